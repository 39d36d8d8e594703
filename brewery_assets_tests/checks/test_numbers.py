"""Every number of every check equals that of an independent count."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from brewery_assets.checks.rules import RULES
from brewery_assets_tests.checks.test_checks import numbers_of, results_of
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.plain_rows import Read, Row
from brewery_assets_tests.recount import RECOUNT
from brewery_assets_tests.scenario import (
    BROKEN,
    FLANDERS_IN_DUTCH,
    FLANDERS_IN_FRENCH,
    IRELAND,
    MASSACHUSETTS,
    MISSOURI_AGAIN,
    MISSOURI_MISSPELT,
    NOWHERE,
    OREGON,
    ROWS,
    SILESIA,
    UNKNOWN_FIELDS,
)
from demo.data import CSV
from demo.faults import Faults
from demo.server import DemoApi
from demo.source import STRAYS

pytestmark = pytest.mark.xdist_group("check numbers")  # one process, so that the pipeline runs once
ACCEPTED = (
    "row_count_is_plausible",
    "rejections_are_few",
    "columns_are_as_full_as_before",
    "countries_and_types_are_still_there",
)
SUSPICIONS = ("suspect_breweries", "no_more_suspicions_than_before")
CHECKS = sorted(
    {(layer, name) for layer, rules in RULES.items() for name in rules}
    - {SUSPICIONS}  # tested below; test_suspects.py tests its rules
)


@dataclass(frozen=True)
class Reported:
    """What one run read, and what its checks report, by asset and check.

    Attributes:
        previous: the previous run in the same lake; None for the first.
    """

    read: Read
    passed: dict[str, bool]
    numbers: dict[str, dict[str, Any]]
    previous: "Reported | None"


def dirty_changed() -> list[Row]:
    """Breweries removed, added, closed, moved, misspelled, duplicated; fields removed and added."""
    rows = [
        OREGON | {"state_province": "Oergon"},
        MASSACHUSETTS | {"brewery_type": "closed", "phone": None},
        MISSOURI_MISSPELT | {"longitude": 0, "latitude": "0.0"},
        MISSOURI_AGAIN | {"brewery_type": "none", "founded": 1990},
        FLANDERS_IN_FRENCH | {"longitude": None},
        FLANDERS_IN_DUTCH | {"state_province": None},  # its older field `state` has it
        SILESIA,
        SILESIA | {"name": "Browar Cztery Ściany II", "postal_code": "55100"},
        IRELAND | {"latitude": 51.9, "brewery_type": "Taproom "},
        NOWHERE | {"country": "Ireland", "state": "Cork"},
        {name: value for name, value in UNKNOWN_FIELDS.items() if name != "rating"},
        OREGON | {"id": "new", "name": "A New Brewery", "address_1": None},
        *BROKEN,
    ]
    return [{name: value for name, value in row.items() if name != "address_3"} for row in rows]


def real() -> list[Row]:
    """The bundled data as the API serves it."""
    with CSV.open(encoding="utf-8", newline="") as file:
        return [_served(record) for record in csv.DictReader(file)]


def _served(record: dict[str, str]) -> Row:
    row: Row = {name: value or None for name, value in record.items()}
    for axis in ("longitude", "latitude"):
        row[axis] = float(record[axis]) if record[axis] else None
    return row | {"state": row["state_province"], "street": row["address_1"]}


def real_changed() -> list[Row]:
    """The bundled data after changes, which the first hexadecimal digit of the id decides."""
    gone, no_phone, no_name, closed, odd = "01", "23", "4", "5", "6"
    rows: list[Row] = []
    for at, old in enumerate(real()):
        row, letter = old, old["id"][0]
        if letter in gone or row["brewery_type"] == "proprietor" or row["state"] == "Saarland":
            continue
        if row["country"] == "Ireland" and letter not in "89":
            continue
        if letter in no_phone:
            row = row | {"phone": None}
        elif letter in no_name:
            row = row | {"name": " "}
        elif letter in closed:
            row = row | {"brewery_type": "closed"}
        elif letter in odd:
            row = row | odd_coordinates(at, row)
        elif letter == "7" and at % 8 == 0:
            row = row | {"brewery_type": None, "state_province": f"{row['state_province']} Nord"}
        elif letter == "8" and at % 8 == 0:
            rows.append(row | {"id": f"new-{row['id']}"})
        rows.append(row)
    return rows


def odd_coordinates(at: int, row: Row) -> Row:
    """In turn: swapped, at (0, 0), half a pair, far away, as text."""
    longitude, latitude = row["longitude"], row["latitude"]
    return [
        {"longitude": latitude, "latitude": longitude},
        {"longitude": 0.0, "latitude": 0.0},
        {"latitude": None},
        {"longitude": longitude and longitude + 100},
        {"latitude": str(latitude)},
    ][at % 5]


@pytest.fixture(
    scope="module", params=[(ROWS.copy, dirty_changed), (real, real_changed)], ids=["dirty", "real"]
)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Reported]]:
    """Two runs: over a source, and over the same source after changes."""
    first, second = request.param
    lake = tmp_path_factory.mktemp("check-numbers") / "lake"
    with DemoApi([], requests_per_minute=None) as api, dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(api, str(lake), instance)
        pipeline.rows_lost_percent, pipeline.rejected_percent = 10, 5
        pipeline.filled_lost_percent = 10
        pipeline.accept_checks = ",".join(ACCEPTED)
        one = reported(pipeline, Read(first()), None)
        api.faults = Faults(strays=2)
        pipeline.missing_rows_allowed = 1
        two = reported(pipeline, Read([*second(), *STRAYS[:2]], one.read, 1), one)
        yield {"first": one, "second": two}


def reported(pipeline: Pipeline, read: Read, previous: Reported | None) -> Reported:
    pipeline.api.rows[:] = [value for value in read.served if isinstance(value, dict)]
    run = pipeline.run()
    passed = {name: check.passed for name, check in results_of(run).items()}
    return Reported(read, passed, numbers_of(run), previous)


@pytest.mark.parametrize(("asset", "check"), CHECKS)
@pytest.mark.parametrize("run", ["first", "second"])
def test_a_check_reports_what_an_independent_count_finds(
    both: dict[str, Reported], run: str, asset: str, check: str
) -> None:
    found, previous = both[run], both[run].previous
    name = f"{asset}.{check}"
    passes, numbers = RECOUNT[asset][check](found.read)
    if not passes and check in ACCEPTED:
        numbers["accepted_by"] = f"ACCEPT_CHECKS={check}"
    if check == "columns_as_before":
        older = previous.numbers[name]["snapshot"] if previous else "nothing"
        numbers["compared_with"] = older

    said = dict(found.numbers[name])
    snapshot, folder = said.pop("snapshot"), Path(said.pop("path"))
    assert said == numbers
    assert found.passed[name] is passes
    manifest = json.loads((folder / "_manifest.json").read_text(encoding="utf-8"))
    assert (manifest["layer"], manifest["snapshot"]) == (asset, snapshot)


@pytest.mark.parametrize("run", ["first", "second"])
def test_the_suspicions_are_counted_by_rule(both: dict[str, Reported], run: str) -> None:
    name = ".".join(SUSPICIONS)
    said = both[run].numbers[name]
    rules = pq.read_table(said["path"], columns=["rule"]).column("rule").to_pylist()
    assert said["by_rule"] == Counter(rules)
    assert said["suspicions"] == len(rules) > 0
    before = both[run].previous
    more = {
        rule: {"before": before.numbers[name]["by_rule"].get(rule, 0), "now": rows}
        for rule, rows in Counter(rules).items()
        if before and rows > before.numbers[name]["by_rule"].get(rule, 0)
    }
    assert said.get("more", {}) == more
    assert both[run].passed[name] is (not more)
