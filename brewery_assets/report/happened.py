"""What happened since the previous snapshot: which breweries opened, closed, moved, and so on."""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from brewery_assets.layers.changes import PLACE, events
from brewery_assets.presentation import visible

SHOWN = 1000  # the most breweries that the page lists: about a tenth of its bytes

NAMED = {  # the columns whose changes the page shows, and their labels
    "name": "name",
    "brewery_type": "type",
    **{column: column.removesuffix("_name") for column in PLACE},
}

Places = Mapping[tuple[str, str], tuple[str | None, str | None]]


class Happened(NamedTuple):
    """What happened between two snapshots.

    Attributes:
        since: the time of the older snapshot, UTC.
        totals: the number of breweries by event; one brewery may have several events.
        breweries: how many have an event.
        corrected: how many changed only in other columns.
        rows: the listed breweries: country and brewery_type to filter by, and as text what
            happened, name, place, and details: how each value changed, or the type.
    """

    since: datetime
    totals: dict[str, int]
    breweries: int
    corrected: int
    rows: list[dict[str, str]]


def happened_of(since: datetime, changes: DataFrame, silver: DataFrame, places: Places) -> Happened:
    """What happened, with the name and place of each brewery.

    Args:
        since: the time of the older snapshot.
        changes: rows of gold_brewery_changes.
        silver: the newer silver, for the cities.
        places: the names of a state and its country, by their slugs.
    """
    kinds = events()
    counted = changes.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(reduce(or_, kinds.values())).alias("breweries"),
        *(F.count_if(happened).alias(kind) for kind, happened in kinds.items()),
    ).collect()[0]
    first = F.coalesce(*(F.when(is_so, F.lit(i)) for i, is_so in enumerate(kinds.values())))
    order = [F.col("first").asc_nulls_last(), *map(F.col, ("country", "state", "name", "id"))]
    listed = (
        changes.select("*", first.alias("first"), *(kinds[kind].alias(kind) for kind in kinds))
        .orderBy(*order)
        .limit(SHOWN)
        .join(silver.select("id", "city"), "id", "left")
        .orderBy(*order)
    )
    # Not `where`: Sail pushes it into the Parquet reader, which has no array functions.
    rows = [row for row in listed.collect() if row.first is not None]
    return Happened(
        since,
        {kind: counted[kind] for kind in kinds},
        counted.breweries,
        counted["rows"] - counted.breweries,
        [_shown(row, [kind for kind in kinds if row[kind]], places) for row in rows],
    )


def _shown(row: Row, kinds: list[str], places: Places) -> dict[str, str]:
    state, country = places.get((row.country, row.state), (row.state, row.country))
    shown: dict[str, Any] = {
        "what": ", ".join(kinds),
        "name": row["name"],
        "place": ", ".join(filter(None, (row.city, state, country))),
        "details": "; ".join(
            f"{NAMED[was.column]}: {was.old or 'none'} → {was.new or 'none'}"
            for was in row.changed_columns
            if was.column in NAMED
        )
        or f"type: {row.brewery_type or 'none'}",
        "country": row.country,
        "brewery_type": row.brewery_type or "unknown",
    }
    return {name: visible(text) for name, text in shown.items()}
