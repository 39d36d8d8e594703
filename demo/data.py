"""The rows of the Open Brewery DB data set, in the form that its API serves."""

import csv
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CSV = Path(__file__).with_name("breweries.csv")

FIELDS = (
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
    "longitude",
    "latitude",
    "phone",
    "website_url",
    "state",
    "street",
)


def load(path: Path = CSV) -> list[Row]:
    """One dict per brewery id, in the file's order, with the keys `FIELDS`.

    A blank is None, coordinates are floats (degrees), everything else is text.

    Raises:
        OSError: the file cannot be read.
        KeyError: the file lacks a column.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return [_served(record) for record in csv.DictReader(file)]


def _served(record: dict[str, str]) -> Row:
    row: Row = {field: value or None for field, value in record.items()}
    for axis in ("longitude", "latitude"):
        row[axis] = float(record[axis]) if record[axis] else None
    row["state"] = row["state_province"]
    row["street"] = row["address_1"]
    return {field: row[field] for field in FIELDS}
