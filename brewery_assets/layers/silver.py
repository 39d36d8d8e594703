"""silver_breweries and rejected_breweries: each line of bronze, in typed columns or rejected."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StringType, StructField, StructType

from brewery_assets.lake.tables import Preview, Table, column, markdown, small, text
from brewery_assets.layers.bronze import BRONZE
from brewery_assets.layers.places import Place, Spelling, conform

SERVED_TEXT = (
    "id",
    "name",
    "brewery_type",
    "address_1",
    "address_2",
    "address_3",
    "city",
    "state_province",
    "postal_code",
    "country",
    "phone",
    "website_url",
)
SERVED_NUMBERS = ("longitude", "latitude")
# Before 2023 the source had `street`, `state` and, outside the United States, `county_province`.
OLDER_NAMES = {"address_1": ("street",), "state_province": ("state", "county_province")}
# Every type that the source documents.
BREWERY_TYPES = (
    *("bar", "beergarden", "brewpub", "cidery", "closed", "contract", "large", "location"),
    *("micro", "nano", "planning", "proprietor", "regional", "taproom", "unknown"),
)
EXAMPLES = 10
WHITE_SPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NESTING = r":\s*[\[{]"  # precedes each object or array that is a value in an object

SCHEMA = StructType(
    [
        text("id", "Identifies the brewery; the source's UUID."),
        text("name", "As served, trimmed."),
        text("brewery_type", "What kind of brewery it is, lower case: micro, brewpub, closed, …"),
        text("address_1", "First line of the address: mostly street and number."),
        text("address_2", "Second line of the address."),
        text("address_3", "Third line of the address."),
        text("city", "As served, trimmed."),
        text("state_province", "State, province or region as the source spells it, trimmed."),
        text("postal_code", "As text: leading zeros matter."),
        text("country_name", "The country's name, one spelling per country."),
        text("state_name", "The state's name, one spelling per state; null when missing."),
        text("phone", "As served, trimmed."),
        text("website_url", "As served, trimmed."),
        column("longitude", DoubleType(), "Degrees east, -180 to 180; null without a latitude."),
        column("latitude", DoubleType(), "Degrees north, -90 to 90; null without a longitude."),
        text("country", "Partition: the country's slug, such as united_states; never null."),
        text("state", "Partition: the state's slug, such as new_york; never null."),
    ]
)
REJECTED_SCHEMA = StructType(
    [
        text("line", "The record as in bronze."),
        text("reason", "Why silver refused it."),
    ]
)
SPELLING = ("country_spelling", "state_spelling")
PLACES = StructType([StructField(name, StringType()) for name in Place._fields])


def blank_to_null(value: Column) -> Column:
    """Trims Unicode white space (`trim` removes only spaces); null if nothing is left."""
    return F.nullif(F.btrim(value, F.lit(WHITE_SPACE)), F.lit(""))


def is_nested(value: Column) -> Column:
    """Whether a value parsed from `line` is an object or an array, which becomes compact JSON.

    A text that is itself compact JSON, such as "[1]", looks the same if the line has another object
    or array.
    """
    brackets = value.startswith("{") | value.startswith("[")
    compact = F.coalesce(F.get_json_object(value, "$") == value, F.lit(False))
    return F.col("line").rlike(NESTING) & brackets & compact


def degrees(value: Column, limit: int) -> Column:
    """A coordinate; null unless it is a decimal number from -limit to limit.

    The text is already trimmed by `parse`. The pattern is checked first because the engines' casts
    differ: Spark accepts 12d, both accept NaN.
    """
    number = F.when(value.rlike(NUMBER), value).try_cast("double")
    return F.when(number.between(-limit, limit), number)


def parse(lines: DataFrame, names: Sequence[str] = SERVED_TEXT + SERVED_NUMBERS) -> DataFrame:
    """The named fields of each line as text, trimmed; all null for a broken line.

    The column `line` has the line itself if it is not a brewery, and is null otherwise. A blank or
    missing field gets the value of its older name, if there is one.
    """
    served_as = {name: (name, *OLDER_NAMES.get(name, ())) for name in names}
    # All types are read as text: the API serves coordinates as numbers or text, depending on its
    # version, and the engines' JSON readers treat a value of an unexpected type differently.
    fields = [field for each in served_as.values() for field in each]
    schema = StructType([StructField(field, StringType()) for field in fields])
    served = lines.select("line", F.from_json("line", schema).alias("served"))
    values = {
        name: F.coalesce(*(blank_to_null(_field(field)) for field in fields))
        for name, fields in served_as.items()
    }
    no_brewery = values["id"].isNull() | values["name"].isNull()
    return served.select(
        *(value.alias(name) for name, value in values.items()),
        F.when(no_brewery, F.col("line")).alias("line"),
    )


def _field(name: str) -> Column:
    """A field of a parsed line, as text; null for an object or an array.

    Coordinates are read from the line again: Sail's from_json rounds some numbers wrongly in the
    last digit (93 of 9,387 longitudes of the real data), but its get_json_object does not.
    """
    parsed = F.col("served")[name]
    if name not in SERVED_NUMBERS:
        return F.when(~is_nested(parsed), parsed)
    return F.when(parsed.isNotNull(), F.get_json_object("line", f"$.{name}"))


def is_brewery() -> Column:
    """Whether a parsed line is a brewery: it has an id and a name. Never null."""
    return F.col("id").isNotNull() & F.col("name").isNotNull()


def refusal() -> Column:
    """Why a parsed line is not a brewery; null if it is one."""
    broken = F.coalesce(*(F.col(name) for name in SERVED_TEXT + SERVED_NUMBERS)).isNull()
    return (
        F.when(broken, "not a JSON object with any known field")
        .when(F.col("id").isNull(), "no id")
        .when(F.col("name").isNull(), "no name")
    )


def rejected(parsed: DataFrame) -> DataFrame:
    """One row per line that silver refuses: `line`, `reason`."""
    return parsed.where(~is_brewery()).select("line", refusal().alias("reason"))


def coordinates() -> dict[str, Column]:
    """Both coordinates of a parsed line in degrees; both null if one is missing or invalid."""
    longitude, latitude = degrees(F.col("longitude"), 180), degrees(F.col("latitude"), 90)
    pair = longitude.isNotNull() & latitude.isNotNull()
    return {"longitude": F.when(pair, longitude), "latitude": F.when(pair, latitude)}


def is_no_pair() -> Column:
    """Whether a parsed line is a brewery with coordinates that are not a valid pair."""
    served = F.col("longitude").isNotNull() | F.col("latitude").isNotNull()
    return is_brewery() & served & coordinates()["longitude"].isNull()


def spellings(parsed: DataFrame) -> DataFrame:
    """One row per (country, state_province) as spelled.

    The other columns are `records` (how many have this spelling), `no_pair` (how many of them are
    `is_no_pair`) and `no_pair_ids` (the first ids of those).
    """
    return parsed.groupBy("country", "state_province").agg(
        F.count(F.lit(1)).alias("records"),
        F.count_if(is_no_pair()).alias("no_pair"),
        F.slice(F.sort_array(F.collect_list(F.when(is_no_pair(), F.col("id")))), 1, EXAMPLES).alias(
            "no_pair_ids"
        ),
    )


def breweries(parsed: DataFrame, places: DataFrame) -> DataFrame:
    """One row per line that is a brewery, in silver's columns.

    Args:
        parsed: as returned by `parse`.
        places: as returned by `places_frame`.
    """
    served = parsed.where(is_brewery()).withColumns(
        {
            "brewery_type": F.lower("brewery_type"),
            **coordinates(),
            "country_spelling": F.coalesce("country", F.lit("")),
            "state_spelling": F.coalesce("state_province", F.lit("")),
        }
    )
    # Sail keeps the left side of a hash join in memory, so the few places come first.
    conformed = places.join(served.drop("country"), list(SPELLING), how="inner")
    return conformed.select(*SCHEMA.fieldNames())


class Refined(NamedTuple):
    """Every line of bronze, as a brewery or as a rejected line.

    Attributes:
        breweries: in silver's columns.
        rejected: lines and reasons.
        without_a_pair: breweries whose coordinates are dropped because they are not a valid pair.
        without_a_pair_ids: some of their ids, sorted.
    """

    breweries: DataFrame
    rejected: DataFrame
    without_a_pair: int
    without_a_pair_ids: list[str]


def refine(parsed: DataFrame) -> Refined:
    """The lines of bronze as silver.

    Args:
        parsed: as returned by `parse`, and held, because it is read several times.
    """
    found = spellings(parsed.where(is_brewery())).collect()
    places = conform(Spelling(row.country, row.state_province, row.records) for row in found)
    ids = sorted(each for row in found for each in row.no_pair_ids or [])
    return Refined(
        breweries(parsed, places_frame(parsed.sparkSession, places)),
        rejected(parsed),
        sum(row.no_pair for row in found),
        ids[:EXAMPLES],
    )


def places_frame(session: SparkSession, places: Iterable[Place]) -> DataFrame:
    """One row per spelling, in the schema `PLACES`; a missing spelling is blank, for the join."""
    rows = [
        {
            name: value or "" if name in SPELLING else value
            for name, value in place._asdict().items()
        }
        for place in places
    ]
    return small(session, rows, PLACES)


def preview(silver: DataFrame) -> Preview:
    """The number of rows, an example for each of the five largest countries, rows by country."""
    shown = ("name", "brewery_type", "city", "state_name")
    first = F.min(F.struct("id", *shown)).alias("first")
    counted = silver.groupBy("country_name").agg(F.count(F.lit(1)).alias("breweries"), first)
    countries = counted.orderBy(F.desc("breweries"), "country_name").collect()
    examples = [(*row.first[1:], row.country_name) for row in countries[:5]]
    by_country = [(row.country_name, row.breweries) for row in countries]
    return Preview(
        sum(row.breweries for row in countries),
        "\n\n".join(
            [
                markdown((*shown, "country_name"), examples),
                markdown(("country_name", "breweries"), by_country),
            ]
        ),
    )


def preview_of_rejected(refused: DataFrame) -> Preview:
    """The number of rows, the lines by reason, and five of the lines."""
    counted = refused.groupBy("reason").agg(F.count(F.lit(1)).alias("lines"))
    reasons = counted.orderBy(F.desc("lines"), "reason").collect()
    if not reasons:
        return Preview(0, "No line was refused.")
    lines = refused.select("reason", F.substring("line", 1, 200)).orderBy("line").limit(5)
    return Preview(
        sum(row.lines for row in reasons),
        "\n\n".join(
            [
                markdown(("reason", "lines"), reasons),
                markdown(("reason", "line"), lines.collect()),
            ]
        ),
    )


_ORIGINS = {
    "country": ["country"],
    "country_name": ["country"],
    "state": ["country", "state_province"],
    "state_name": ["country", "state_province"],
    "longitude": ["longitude", "latitude"],
    "latitude": ["longitude", "latitude"],
}
SILVER = Table(
    name="silver_breweries",
    schema=SCHEMA,
    preview=preview,
    partition_by=("country", "state"),
    sort_by=("id",),
    lineage={
        name: [(BRONZE, origin) for origin in _ORIGINS.get(name, [name])]
        for name in SCHEMA.fieldNames()
    },
)
REJECTED = Table(
    name="rejected_breweries",
    schema=REJECTED_SCHEMA,
    preview=preview_of_rejected,
    lineage={"line": [(BRONZE, "id")], "reason": [(BRONZE, "id"), (BRONZE, "name")]},
)
