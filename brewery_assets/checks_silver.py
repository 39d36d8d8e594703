"""What is checked of silver: nothing lost, nothing doubled, nothing that cannot be."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructType

from brewery_assets.audit import Outcome, Rule
from brewery_assets.checks_bronze import EXAMPLES
from brewery_assets.checks_columns import COLUMNS_AS_BEFORE, columns_as_before
from brewery_assets.lake_manifest import Manifest
from brewery_assets.places import alias_slugs
from brewery_assets.silver import REJECTED
from brewery_assets.tables import column, small, text

BREWERY_TYPES = (
    *("bar", "beergarden", "brewpub", "cidery", "closed", "contract", "large", "location"),
    *("micro", "nano", "planning", "proprietor", "regional", "taproom", "unknown"),
)
REQUIRED = ("id", "name", "country", "state")
AXES = ("longitude", "latitude")
# Of the real data five breweries lie so far from the middle of their country, all of them wrongly:
# four with their coordinates swapped, one without its minus sign. Alaska lies at 4.3, Hawaii at 3.
FAR = 5.0  # standard deviations
LEAST_DEVIATION = 0.02  # degrees: however close the others lie, ten kilometres away is not far
BOUNDS = StructType(
    [
        text("country", "The country's slug."),
        *(
            column(f"{side}_{axis}", DoubleType(), "Degrees.")
            for axis in AXES
            for side in ("least", "most")
        ),
    ]
)
RULES = {
    "rows_are_conserved": Rule("Each row of bronze is in silver or among the rejected."),
    "ids_are_unique": Rule("No two rows have the same id.", columns=("id",)),
    "required_columns_are_filled": Rule(
        "Each row has an id, a name, a country and a state.", columns=REQUIRED
    ),
    "brewery_types_are_known": Rule(
        "Each brewery is of a type that is known.", blocking=False, columns=("brewery_type",)
    ),
    "places_are_known": Rule(
        "Each country and state was there the last time, or among the aliases.",
        blocking=False,
        columns=("country", "state"),
    ),
    "coordinates_are_plausible": Rule(
        "Coordinates come in pairs, are not 0, 0 and lie near the country's other breweries.",
        blocking=False,
        columns=AXES,
    ),
    "nothing_was_rejected": Rule("Each line of bronze is a brewery.", blocking=False),
    "columns_as_before": COLUMNS_AS_BEFORE,
}


class Spread(NamedTuple):
    """Where a country's breweries lie: mean and standard deviation of each axis, in degrees."""

    longitude: tuple[float, float]
    latitude: tuple[float, float]


def totals(silver: DataFrame) -> Row:
    """One row: `rows`, `ids` that differ, and for each required column how many are null."""
    return silver.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_distinct("id").alias("ids"),
        *(F.count_if(F.col(name).isNull()).alias(name) for name in REQUIRED),
    ).collect()[0]


def groups(silver: DataFrame) -> list[Row]:
    """One row per country, state and brewery type: `rows`, and sums over their coordinates."""
    return (
        silver.groupBy("country", "state", "brewery_type")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.count_if(both()).alias("located"),
            F.count_if(astray()).alias("astray"),
            *(F.sum(F.when(both(), F.col(axis))).alias(axis) for axis in AXES),
            *(F.sum(F.when(both(), F.col(axis) ** 2)).alias(f"{axis}_squared") for axis in AXES),
        )
        .collect()
    )


def both() -> Column:
    """Whether a row has both coordinates."""
    return F.col("longitude").isNotNull() & F.col("latitude").isNotNull()


def astray() -> Column:
    """Whether one coordinate is missing (or was out of range), or both are 0."""
    half = F.col("longitude").isNull() != F.col("latitude").isNull()
    zero = both() & (F.col("longitude") == 0) & (F.col("latitude") == 0)
    return half | zero


def spreads(found: Iterable[Row]) -> dict[str, Spread]:
    """By country, for those in which anything can be far off: n values are within sqrt(n)."""
    sums: dict[str, Counter[str]] = {}
    for row in found:
        into = sums.setdefault(row.country, Counter())
        into["located"] += row.located
        for axis in AXES:
            for name in (axis, f"{axis}_squared"):
                into[name] += row[name] or 0
    return {
        country: Spread(*(_spread(into, axis) for axis in AXES))
        for country, into in sums.items()
        if into["located"] > FAR**2
    }


def _spread(sums: Mapping[str, float], axis: str) -> tuple[float, float]:
    mean = sums[axis] / sums["located"]
    variance = sums[f"{axis}_squared"] / sums["located"] - mean**2
    return mean, max(sqrt(max(variance, 0.0)), LEAST_DEVIATION)


def far_off(silver: DataFrame, known: Mapping[str, Spread]) -> DataFrame:
    """The `id`s of rows that lie far outside the other breweries of their country."""
    # A table to be joined: as one condition, a hundred countries are too deep for Spark Connect.
    bounds = [
        {
            "country": country,
            **{
                f"{side}_{axis}": mean + sign * FAR * deviation
                for axis, (mean, deviation) in spread._asdict().items()
                for side, sign in (("least", -1), ("most", 1))
            },
        }
        for country, spread in known.items()
    ]
    near = F.lit(True)
    for axis in AXES:
        near &= F.col(axis).between(F.col(f"least_{axis}"), F.col(f"most_{axis}"))
    located = silver.where(both()).select("id", "country", *AXES)
    table = small(silver.sparkSession, bounds, BOUNDS)
    return located.join(table, "country", "inner").where(~near).select("id")


def rows_are_conserved(bronze: int, silver: int, rejected: int) -> Outcome:
    """Whether each row of bronze is in silver or among the rejected."""
    numbers = {"bronze": bronze, "silver": silver, "rejected": rejected}
    return Outcome(bronze == silver + rejected, numbers)


def ids_are_unique(silver: DataFrame, rows: int, distinct: int) -> Outcome:
    """Whether no two breweries have one id; names a few that do."""
    if rows == distinct:
        return Outcome(True, {"rows": rows, "distinct_ids": distinct})
    doubled = silver.groupBy("id").count().where("count > 1").orderBy("id").limit(EXAMPLES)
    ids = [row.id for row in doubled.collect()]
    return Outcome(False, {"rows": rows, "distinct_ids": distinct, "examples": ids})


def required_columns_are_filled(missing: Mapping[str, int]) -> Outcome:
    """Whether no required column is null anywhere.

    Args:
        missing: nulls by column.
    """
    return Outcome(not any(missing.values()), {"missing": dict(missing)})


def brewery_types_are_known(silver: DataFrame, types: Counter[str | None]) -> Outcome:
    """Whether each brewery's type is one of BREWERY_TYPES; names a few whose is not.

    Args:
        types: rows by type.
    """
    unknown = {kind or "none": rows for kind, rows in types.items() if kind not in BREWERY_TYPES}
    numbers: dict[str, Any] = _share(sum(unknown.values()), types.total())
    if unknown:
        is_known = F.coalesce(F.col("brewery_type").isin(*BREWERY_TYPES), F.lit(False))
        numbers |= {"types": unknown, "examples": _ids(silver, ~is_known)}
    return Outcome(not unknown, numbers | {"expected": list(BREWERY_TYPES)})


def places_are_known(
    places: Mapping[tuple[str, str], int], known: set[tuple[str, str]] | None
) -> Outcome:
    """Whether each (country, state) was in the previous snapshot or is an alias's.

    Args:
        places: rows by place.
        known: None for the first snapshot, which has nothing to be compared with.
    """
    if known is None:
        return Outcome(
            True, {"places": len(places), "compared_with": "nothing: the first snapshot"}
        )
    new = {"/".join(place): rows for place, rows in sorted(places.items()) if place not in known}
    gone = ["/".join(place) for place in sorted(known - set(places))]
    return Outcome(not new, {"places": len(places), "new": new, "gone": gone})


def coordinates_are_plausible(silver: DataFrame, found: list[Row]) -> Outcome:
    """Whether no coordinate is alone, at 0, 0, or far outside its country; names a few that are.

    Args:
        found: as `groups` gives it.
    """
    total = sum(row.rows for row in found)
    alone = sum(row.astray for row in found)
    known = spreads(found)
    far = _counted(far_off(silver.where(~astray()), known)) if known else (0, [])
    numbers: dict[str, Any] = {
        **_share(alone + far[0], total),
        "alone_or_0_0": alone,
        "far_from_their_country": far[0],
        "far_means": f"{FAR:g} standard deviations from the country's mean",
    }
    examples = [*far[1], *(_ids(silver, astray()) if alone else [])]
    if examples:
        numbers["examples"] = sorted(examples)[:EXAMPLES]
    return Outcome(not examples, numbers)


def nothing_was_rejected(rejected: int, bronze: int) -> Outcome:
    """Whether each line of bronze is a brewery."""
    return Outcome(rejected == 0, {**_share(rejected, bronze), "see": REJECTED.name})


def look(resources: Any, silver: Manifest) -> dict[str, Outcome]:
    """The outcomes, from two aggregations and, where something is wrong, a look at examples."""
    lake = resources.lake
    frame = resources.parquet_snapshots.read(silver)
    all_of_it, found = totals(frame), groups(frame)
    bronze = lake.manifest("bronze_breweries", silver.made_from["bronze_breweries"])
    rejected = lake.written(REJECTED.name, silver.snapshot)
    types: Counter[str | None] = Counter()
    places: Counter[tuple[str, str]] = Counter()
    for row in found:
        types[row.brewery_type] += row.rows
        places[row.country, row.state] += row.rows
    previous = lake.previous(silver)
    return {
        "rows_are_conserved": rows_are_conserved(bronze.rows, all_of_it.rows, rejected.rows),
        "ids_are_unique": ids_are_unique(frame, all_of_it.rows, all_of_it.ids),
        "required_columns_are_filled": required_columns_are_filled(
            {name: all_of_it[name] for name in REQUIRED}
        ),
        "brewery_types_are_known": brewery_types_are_known(frame, types),
        "places_are_known": places_are_known(
            places, previous and {*places_of(previous), *alias_slugs()}
        ),
        "coordinates_are_plausible": coordinates_are_plausible(frame, found),
        "nothing_was_rejected": nothing_was_rejected(rejected.rows, bronze.rows),
        "columns_as_before": columns_as_before(silver, previous),
    }


def places_of(silver: Manifest) -> Iterable[tuple[str, str]]:
    """The (country, state) slugs of a snapshot, from the names of its folders."""
    for file in silver.files:
        country, state, _ = file.path.split("/")
        yield country.removeprefix("country="), state.removeprefix("state=")


def _counted(rows: DataFrame) -> tuple[int, list[str]]:
    """How many rows there are, and the first of their ids, from one pass."""
    first = F.slice(F.sort_array(F.collect_list("id")), 1, EXAMPLES)
    found = rows.agg(F.count(F.lit(1)).alias("rows"), first.alias("ids")).collect()[0]
    return found.rows, found.ids or []


def _ids(silver: DataFrame, wrong: Column) -> list[str]:
    found = silver.where(wrong).select("id").orderBy("id").limit(EXAMPLES)
    return [row.id for row in found.collect()]


def _share(wrong: int, rows: int) -> dict[str, float]:
    """As numbers, of which Dagster draws how they went over time."""
    return {"wrong": wrong, "rows": rows, "percent": round(100 * wrong / rows, 3) if rows else 0.0}
