"""suspect_breweries.csv: the suspicions for people who send corrections to the data set."""

import csv
import io
import unicodedata

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.suspects import KEY

SUSPECTS_CSV = "suspect_breweries.csv"
# The columns of the data set that tell a person which brewery it is; then the suspicion.
RECORD = ("name", "brewery_type", "address_1", "city", "state_province", "postal_code")
COLUMNS = ("id", *RECORD, "country", "column", "found", "suggested", "rule", "why")
FORMULAS = {"=", "+", "-", "@", "\t", "\r"}


def suspects_csv(suspects: DataFrame, silver: DataFrame) -> bytes:
    """The suspicions with the names, and the places, that the data set has; UTF-8.

    Args:
        suspects: rows of suspect_breweries.
        silver: rows of silver_breweries; of a brewery that is no longer there, cells are blank.
    """
    records = silver.select("id", *RECORD, F.col("country_name"))
    rows = suspects.drop("name").join(records, "id", "left").orderBy(*KEY).collect()
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = {**row.asDict(), "country": row.country_name}
        writer.writerow([safe_cell(cells[name]) for name in COLUMNS])
    return written.getvalue().encode()


def safe_cell(value: str | None) -> str:
    """The text as a cell that no spreadsheet runs as a formula, without invisible characters.

    A cell that begins like a formula gets an apostrophe before it. A control character or the end
    of a line becomes a space; a character that turns the direction of text is left out.
    """
    served = value or ""
    shown = "".join(
        " " if kind in ("Cc", "Zl", "Zp") else char
        for char in served
        if (kind := unicodedata.category(char)) != "Cf"
    )
    # Spreadsheets skip spaces, and some take = in its full width, U+FF1D, for =.
    first = unicodedata.normalize("NFKC", shown.strip()[:1])
    return f"'{shown}" if first in FORMULAS or served[:1] in FORMULAS else shown
