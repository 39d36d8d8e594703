"""The rows of each layer, computed in plain Python, independently of the pipeline's code."""

import csv
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

Row = dict[str, Any]

TEXTS = (
    *("id", "name", "brewery_type", "address_1", "address_2", "address_3", "city"),
    *("state_province", "postal_code", "country", "phone", "website_url"),
)
AXES = ("longitude", "latitude")
OLDER = {"address_1": ["street"], "state_province": ["state", "county_province"]}
FILLED = [name for name in (*TEXTS, *AXES) if name != "country"] + ["country", "state"]
JSON_TYPES = {str: "string", int: "number", float: "number", list: "array", type(None): "null"}


@dataclass(frozen=True)
class Read:
    """One read of the source, and what each layer must contain after it.

    Attributes:
        served: the elements of all pages, in the order of the API's rows.
        before: the previous read; None for the first.
        missing_allowed: the value of MISSING_ROWS_ALLOWED.
    """

    served: list[Any]
    before: "Read | None" = None
    missing_allowed: int = 0

    @cached_property
    def bronze(self) -> list[Any]:
        """The last record served for each id, and all records without an id."""
        by_id = {value["id"]: value for value in self.served if _has_id(value)}
        return [*by_id.values(), *(value for value in self.served if not _has_id(value))]

    @cached_property
    def objects(self) -> list[Row]:
        """The records of bronze that are JSON objects."""
        return [value for value in self.bronze if isinstance(value, dict)]

    @cached_property
    def fields(self) -> dict[str, Counter[str]]:
        """For each field, the number of records by JSON type."""
        found: dict[str, Counter[str]] = {}
        for record in self.objects:
            for name, value in record.items():
                found.setdefault(name, Counter())[JSON_TYPES[type(value)]] += 1
        return found

    @cached_property
    def columns(self) -> dict[str, str]:
        """The fields of bronze, with the JSON types of their values."""
        return {
            name: " or ".join(sorted(set(types) - {"null"})) or "null"
            for name, types in self.fields.items()
        }

    @cached_property
    def silver(self) -> list[Row]:
        """The records with an id and a name, as rows of silver."""
        return silver_rows(self.objects)

    @cached_property
    def rejected(self) -> int:
        """The number of records of bronze that are not in silver."""
        return len(self.bronze) - len(self.silver)

    @cached_property
    def unpaired(self) -> list[str]:
        """Ids of breweries whose coordinates are not a valid pair."""
        return [row["id"] for row in self.silver if row["unpaired"]]

    @cached_property
    def places(self) -> Counter[tuple[str, str]]:
        """Breweries by country and state."""
        return Counter((row["country"], row["state"]) for row in self.silver)

    @cached_property
    def filled(self) -> dict[str, float]:
        """For each column of silver, the percentage of rows with a value."""
        return {
            name: percent(sum(_is_filled(row, name) for row in self.silver), len(self.silver))
            for name in FILLED
        }

    def meta_counts(self, field: str) -> Counter[str]:
        """The counts that `/meta` gives for each value of a field."""
        rows = (value for value in self.served if isinstance(value, dict))
        return Counter(row[field] for row in rows if row.get(field) is not None)

    @cached_property
    def gold(self) -> Counter[tuple[str, str, str]]:
        """Breweries by country, state and type."""
        return Counter(
            (row["country"], row["state"], row["brewery_type"] or "unknown") for row in self.silver
        )


def silver_rows(records: list[Row]) -> list[Row]:
    """The records with an id and a name, as rows of silver."""
    rows = [row for row in map(_columns, records) if row["id"] and row["name"]]
    _name_places(rows)
    return rows


def percent(part: int, of: int) -> float:
    """A percentage, rounded to three decimals."""
    return round(100 * part / of, 3)


def _has_id(value: Any) -> bool:
    return isinstance(value, dict) and value.get("id") is not None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return (value if isinstance(value, str) else json.dumps(value)).strip() or None


def _columns(record: Row) -> Row:
    row: Row = {
        name: next(filter(None, (_text(record.get(n)) for n in (name, *OLDER.get(name, ())))), None)
        for name in TEXTS
    }
    row["brewery_type"] = row["brewery_type"] and row["brewery_type"].lower()
    served = [_text(record.get(axis)) for axis in AXES]
    degrees = [_degrees(value, most) for value, most in zip(served, (180, 90), strict=True)]
    pair = None not in degrees
    row |= dict(zip(AXES, degrees if pair else (None, None), strict=True))
    return row | {"unpaired": not pair and any(served)}


def _degrees(value: str | None, most: int) -> float | None:
    if not value or not value.isascii() or "_" in value:  # float() accepts 1_0 and other digits
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) <= most else None


def slug(name: str | None) -> str:
    """A name as partitions spell it; this version covers the letters in the data."""
    letters = unicodedata.normalize("NFKD", name or "").encode("ascii", "ignore").decode()
    return "_".join(re.findall("[a-z0-9]+", letters.lower())) or "unknown"


def aliases() -> dict[tuple[str, str], str]:
    """The state's name for each misspelled (country, state), from the package's data file."""
    content = (
        files("brewery_assets.layers").joinpath("place_aliases.csv").read_text(encoding="utf-8")
    )
    return {
        (slug(row["country"]), slug(row["spelling"])): row["state_name"]
        for row in csv.DictReader(content.splitlines())
    }


def _name_places(rows: list[Row]) -> None:
    """Gives each row the slugs of its country and state, and their most frequent spellings."""
    known = aliases()
    for row in rows:
        row["country_name"] = row["country"]
        row["country"] = slug(row["country_name"])
        spelling = row["state_province"]
        row["state_name"] = known.get((row["country"], slug(spelling)), spelling)
        row["state"] = slug(row["state_name"])
    for key, name in ((("country",), "country_name"), (("country", "state"), "state_name")):
        spellings: dict[tuple[str, ...], Counter[str]] = {}
        for row in rows:
            if row[name]:
                place = tuple(row[column] for column in key)
                spellings.setdefault(place, Counter())[row[name]] += 1
        for row in rows:
            if row[name]:
                counted = spellings[tuple(row[column] for column in key)]
                row[name] = min(counted, key=lambda spelling: (-counted[spelling], spelling))


def _is_filled(row: Row, name: str) -> bool:
    absent = (None, "unknown") if name in ("brewery_type", "country", "state") else (None,)
    return row[name] not in absent
