"""suspect_breweries.csv: the suspicions for people who send corrections to the data set."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.layers.suspects.table import KEY

SUSPECTS_CSV = "suspect_breweries.csv"
# The columns of the data set that identify the brewery; the suspicion follows them.
RECORD = ("name", "brewery_type", "address_1", "city", "state_province", "postal_code")
SUSPECTS_COLUMNS = ("id", *RECORD, "country", "column", "found", "suggested", "rule", "why")


def suspects_of(suspects: DataFrame, silver: DataFrame) -> list[dict[str, Any]]:
    """The suspicions with the names and places that the data set has, and the country's slug.

    Args:
        suspects: rows of suspect_breweries.
        silver: rows of silver_breweries; if a brewery is no longer there, its cells are null.
    """
    records = silver.select("id", *RECORD, F.col("country_name"))
    rows = suspects.drop("name").join(records, "id", "left").orderBy(*KEY).collect()
    return [{**row.asDict(), "country": row.country_name, "slug": row.country} for row in rows]
