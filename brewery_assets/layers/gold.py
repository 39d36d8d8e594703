"""gold_brewery_counts: the number of breweries by country, state and type."""

from datetime import timedelta

import dagster as dg
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructType

from brewery_assets.lake.tables import Preview, Table, column, markdown, text

SCHEMA = StructType(
    [
        text("country", "The country's slug, such as united_states."),
        text("state", "The state's slug, such as new_york."),
        text("country_name", "The country's name; null when the source has none."),
        text("state_name", "The state's name; null when the source has none."),
        text("brewery_type", "As in silver; unknown when the source has none."),
        column("brewery_count", LongType(), "Breweries of this type in this state."),
    ]
)
WARN_AFTER, FAIL_AFTER = timedelta(hours=26), timedelta(hours=50)
FRESH = dg.FreshnessPolicy.time_window(warn_window=WARN_AFTER, fail_window=FAIL_AFTER)
KEY = ("country", "state", "brewery_type")


def counts(silver: DataFrame) -> DataFrame:
    """One row per (country, state, brewery_type)."""
    typed = silver.withColumn("brewery_type", F.coalesce("brewery_type", F.lit("unknown")))
    grouped = typed.groupBy(*KEY).agg(
        # Each slug has one name, so any aggregate that picks one value would do.
        F.min("country_name").alias("country_name"),
        F.min("state_name").alias("state_name"),
        F.count(F.lit(1)).alias("brewery_count"),
    )
    return grouped.select(*SCHEMA.fieldNames())


def preview(gold: DataFrame) -> Preview:
    """The number of rows, and the twenty largest counts."""
    shown = ("country_name", "state_name", "brewery_type", "brewery_count")
    top = gold.orderBy(F.desc("brewery_count"), *KEY).limit(20).select(*shown)
    return Preview(gold.count(), markdown(shown, top.collect()))


GOLD = Table(
    name="gold_brewery_counts",
    schema=SCHEMA,
    preview=preview,
    sort_by=KEY,
    lineage={
        name: [("silver_breweries", "id" if name == "brewery_count" else name)]
        for name in SCHEMA.fieldNames()
    },
)
