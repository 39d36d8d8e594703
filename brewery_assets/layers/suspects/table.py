"""suspect_breweries: values of the source that are likely wrong, with suggested values."""

from collections.abc import Sequence
from operator import attrgetter

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from brewery_assets.lake.tables import Preview, Table, empty, markdown, small, text
from brewery_assets.layers.silver import SERVED_NUMBERS, SILVER, is_no_pair, parse
from brewery_assets.layers.suspects.contacts import (
    impossible_phones,
    no_web_addresses,
    wrong_postcodes,
)
from brewery_assets.layers.suspects.coordinates import wrong_coordinates
from brewery_assets.layers.suspects.postcodes import postcodes_of, postcodes_that_do_not_exist
from brewery_assets.layers.suspects.records import duplicates, misspelled_places, unknown_types
from brewery_assets.layers.suspects.suspicion import Brewery, Suspicion

SCHEMA = StructType(
    [
        text("id", "Identifies the brewery; the source's UUID."),
        text("name", "As in silver."),
        text("country", "The country's slug, such as united_states."),
        text("state", "The state's slug, such as new_york."),
        text("rule", "Which rule the record breaks; docs/data-quality.md explains each."),
        text("column", "The column of silver that is likely wrong; longitude, latitude for both."),
        text("found", "The value of that column; of coordinates, as the source serves them."),
        text("suggested", "The value that would be right; null when nothing can be suggested."),
        text("why", "Why the value is likely wrong, in a sentence."),
    ]
)
KEY = ("country", "state", "id", "rule")
SHOWN = 20
LONGEST = 80  # characters of a value in the preview


def suspicions(breweries: Sequence[Brewery]) -> list[Suspicion]:
    """Every suspicion about the breweries, sorted; at most one per rule and brewery.

    Args:
        breweries: all of them, since some rules compare them. Their ids are unique.
    """
    known = sorted(breweries, key=attrgetter("id"))
    postcodes = postcodes_of(known)
    found = [
        *duplicates(known),
        *unknown_types(known),
        *misspelled_places(known),
        *impossible_phones(known),
        *wrong_postcodes(known),
        *postcodes_that_do_not_exist(known, postcodes),
        *no_web_addresses(known),
        *wrong_coordinates(known, postcodes),
    ]
    return sorted(found, key=lambda it: (*(getattr(it.brewery, by) for by in KEY[:3]), it.rule))


def points_of(bronze: DataFrame) -> DataFrame:
    """The id, name and served coordinates of each line of bronze."""
    return parse(bronze, ("id", "name", *SERVED_NUMBERS))


def breweries_of(silver: DataFrame, points: DataFrame) -> list[Brewery]:
    """The rows of silver, with the served coordinates where they are not a valid pair.

    Args:
        silver: as published.
        points: as returned by `points_of`, and held: Sail would parse each line for each condition.
    """
    lost = points.where(is_no_pair()).select("id", *SERVED_NUMBERS)
    served = {row.id: (row.longitude, row.latitude) for row in lost.collect()}
    rows = silver.toArrow().to_pylist()  # in a tenth of the time of collect()
    return [Brewery(**row, served=served.get(row["id"])) for row in rows]


def frame(like: DataFrame, found: Sequence[Suspicion]) -> DataFrame:
    """The suspicions as rows of `SCHEMA`.

    Args:
        like: any frame of the session.
        found: as returned by `suspicions`.
    """
    session = like.sparkSession
    if not found:
        return empty(session, SCHEMA)
    rows = [
        {name: getattr(each.brewery, name) for name in ("id", "name", "country", "state")}
        | {name: getattr(each, name) for name in ("rule", "column", "found", "suggested", "why")}
        for each in found
    ]
    return small(session, rows, SCHEMA)


def preview(found: DataFrame) -> Preview:
    """The number of rows, rows by rule, and some rows, first those with a suggestion."""
    counted = found.groupBy("rule").agg(F.count(F.lit(1)).alias("rows"))
    rules = counted.orderBy(F.desc("rows"), "rule").collect()
    if not rules:
        return Preview(0, "No record is suspect.")
    shown = ("name", "country", "state", "column", "found", "suggested", "why")
    cut = (F.substring(name, 1, LONGEST).alias(name) if name == "found" else name for name in shown)
    some = found.orderBy(F.col("suggested").isNull(), "rule", *KEY).limit(SHOWN).select(*cut)
    return Preview(
        sum(row.rows for row in rules),
        "\n\n".join([markdown(("rule", "suspicions"), rules), markdown(shown, some.collect())]),
    )


SUSPECTS = Table(
    name="suspect_breweries",
    schema=SCHEMA,
    preview=preview,
    sort_by=KEY,
    lineage={
        name: [
            (SILVER.name, origin)
            for origin in ([name] if name in SILVER.columns else SILVER.columns)
        ]
        for name in SCHEMA.fieldNames()
    },
)
