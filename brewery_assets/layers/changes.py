"""gold_brewery_changes: the breweries that were added, removed or changed between snapshots."""

from collections.abc import Callable
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StructType

from brewery_assets.lake.tables import Preview, Table, column, empty, markdown, text
from brewery_assets.layers.silver import SCHEMA as BREWERIES
from brewery_assets.layers.silver import SILVER

CHANGE = StructType([text(name, "") for name in ("column", "old", "new")])
SCHEMA = StructType(
    [
        text("id", "Identifies the brewery; the source's UUID."),
        text("name", "The brewery's name; if it was removed, the last one."),
        text("brewery_type", "As in silver; if it was removed, the last one."),
        text("country", "The country's slug; if it was removed, the last one."),
        text("state", "The state's slug; if it was removed, the last one."),
        text("change", "added, removed or changed."),
        column(
            "changed_columns",
            ArrayType(CHANGE),
            "If changed: each column of silver that differs, with the old and the new value.",
        ),
    ]
)
KEPT = ("id", "name", "brewery_type", "country", "state")
SLUGS = ("country", "state")  # derived from the names, which are compared
NOT_OPEN = ("closed", "planning")
PLACE = ("city", "state_name", "country_name")
TINY = 0.001  # below it, some engines write 1.2E-4, others 0.00012
SHOWN = 20


def no_changes(session: SparkSession) -> DataFrame:
    """An empty table of changes."""
    return empty(session, SCHEMA)


def changes(now: DataFrame, before: DataFrame) -> DataFrame:
    """One row per brewery id that was added, removed or changed.

    Args:
        now: silver, or those partitions of it that differ.
        before: the same part of an older silver; a column that it lacks is not compared.
    """
    compared = [
        name for name in now.columns if name in before.columns and name not in ("id", *SLUGS)
    ]
    new = now.select(*(F.col(name).alias(f"new_{name}") for name in now.columns))
    old = before.select(*(F.col(name).alias(f"old_{name}") for name in before.columns))
    sides = new.join(old, F.col("new_id") == F.col("old_id"), how="full")
    added, removed = F.col("old_id").isNull(), F.col("new_id").isNull()
    different = reduce(or_, map(_differs, ("id", *compared)))  # usually few rows: filtered first
    changed = F.filter(
        F.array(*(F.when(_differs(name), _change(name)) for name in compared)),
        lambda change: change.isNotNull(),
    )
    found = sides.where(different).select(
        *(
            F.when(removed, F.col(f"old_{name}")).otherwise(F.col(f"new_{name}")).alias(name)
            for name in KEPT
        ),
        F.when(added, "added").when(removed, "removed").otherwise("changed").alias("change"),
        F.when(added | removed, F.filter(changed, lambda _: F.lit(False)))
        .otherwise(changed)
        .alias("changed_columns"),
    )
    return found.select(*SCHEMA.fieldNames())


def _differs(name: str) -> Column:
    return ~F.col(f"new_{name}").eqNullSafe(F.col(f"old_{name}"))


def _change(name: str) -> Column:
    return F.struct(
        F.lit(name).alias("column"),
        _text(f"old_{name}", name).alias("old"),
        _text(f"new_{name}", name).alias("new"),
    )


def _text(side: str, name: str) -> Column:
    value = F.col(side)
    if not isinstance(BREWERIES[name].dataType, DoubleType):
        return value
    tiny = (F.abs(value) < TINY) & (value != 0)
    return F.when(tiny, F.format_string("%.12f", value)).otherwise(value.cast("string"))


def events() -> dict[str, Column]:
    """A condition per event, for rows of this table; a row may match none or several."""
    added = F.col("change") == "added"
    opened = _any(lambda was: _is("brewery_type", was) & _shut(was.old) & ~_shut(was.new))
    moved = _any(lambda was: was["column"].isin(*PLACE) & was.old.isNotNull() & was.new.isNotNull())
    return {
        "opened": (added & ~_shut(F.col("brewery_type"))) | opened,
        "closed": _any(lambda was: _is("brewery_type", was) & (was.new == "closed")),
        "moved": moved,
        "renamed": _any(lambda was: _is("name", was)),
        "no longer listed": F.col("change") == "removed",
    }


def _any(fits: Callable[[Column], Column]) -> Column:
    return F.coalesce(F.exists("changed_columns", fits), F.lit(False))


def _is(name: str, change: Column) -> Column:
    return change["column"] == name


def _shut(brewery_type: Column) -> Column:
    return F.coalesce(brewery_type.isin(*NOT_OPEN), F.lit(False))


def preview(found: DataFrame) -> Preview:
    """The number of rows, of events and of changes by column, and some of the rows."""
    totals = found.agg(
        F.count(F.lit(1)).alias("rows"),
        *(F.count_if(happened).alias(name) for name, happened in events().items()),
    ).collect()[0]
    if not totals.rows:
        return Preview(
            0, "No brewery was added, removed or changed, or there is no snapshot to compare with."
        )
    columns = found.select(F.inline("changed_columns")).groupBy("column").count()
    counted = columns.orderBy(F.desc("count"), "column").collect()
    some = found.orderBy("change", "country", "state", "id").limit(SHOWN).collect()
    return Preview(
        totals.rows,
        "\n\n".join(
            [
                markdown(("what happened", "breweries"), [*totals.asDict().items()][1:]),
                markdown(("column", "changed"), counted),
                markdown(
                    ("name", "country", "state", "change", "from … to"),
                    [(*row[1:2], *row[3:6], _told(row.changed_columns)) for row in some],
                ),
            ]
        ),
    )


def _told(changed: list[Row]) -> str:
    return ", ".join(f"{was.column}: {was.old or '–'} → {was.new or '–'}" for was in changed)


CHANGES = Table(
    name="gold_brewery_changes",
    schema=SCHEMA,
    preview=preview,
    sort_by=("id",),
    lineage={
        name: [(SILVER.name, origin) for origin in ([name] if name in KEPT else SILVER.columns)]
        for name in SCHEMA.fieldNames()
    },
)
