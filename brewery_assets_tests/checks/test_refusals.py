"""Faulty data is not published. Data that is only implausible can be accepted."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brewery_assets.automation.alerts import Alerts
from brewery_assets.automation.run_alerts import alert_of
from brewery_assets.checks import gold as checks_gold
from brewery_assets.checks import silver as checks_silver
from brewery_assets_tests.checks.test_checks import numbers_of, results_of
from brewery_assets_tests.conftest import LAYERS, Pipeline, failure_of, lake_after_a_run
from demo.data import Row

Change = Callable[[Row], Row]
REFINED = LAYERS[1:]


@pytest.fixture(scope="session")
def lake_of_395(real_rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after one run over 395 real breweries, to be copied."""
    return lake_after_a_run(real_rows[::30], tmp_path_factory)


@pytest.fixture
def published(strict: Pipeline, lake_of_395: Path) -> None:
    """The lake has a snapshot of each layer."""
    shutil.copytree(lake_of_395, strict.uri)


@pytest.fixture
def strict(pipeline: Pipeline, real_rows: list[Row]) -> Pipeline:
    """The pipeline with the default limits, over 395 real breweries."""
    pipeline.api.rows[:] = real_rows[::30]
    pipeline.rows_lost_percent, pipeline.rejected_percent = 10, 5
    pipeline.filled_lost_percent = 10
    return pipeline


def without(*names: str) -> Change:
    return lambda row: {name: value for name, value in row.items() if name not in names}


def null(*names: str) -> Change:
    return lambda row: {**row, **dict.fromkeys(names)}


def renamed(old: str, new: str) -> Change:
    return lambda row: {new if name == old else name: value for name, value in row.items()}


FULL = "columns_are_as_full_as_before"
FEW = "rejections_are_few"


@pytest.mark.parametrize("first", [False, True], ids=["after a good run", "on an empty lake"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param((renamed("id", "obdb_id"), FEW, "id"), id="id renamed"),
        pytest.param((without("name"), FEW, "name"), id="name missing"),
        pytest.param((null("name"), FEW, "name"), id="name null"),
        pytest.param((without("state_province", "state"), FULL, "state_province"), id="no state"),
        pytest.param((null("state_province", "state"), FULL, "state_province"), id="state null"),
        pytest.param((without("country"), FULL, "country"), id="country missing"),
        pytest.param((null("country"), FULL, "country"), id="country null"),
        pytest.param((without("brewery_type"), FULL, "brewery_type"), id="type missing"),
        pytest.param((null("brewery_type"), FULL, "brewery_type"), id="type null"),
    ],
)
def test_a_source_that_lost_a_field_is_refused_and_the_old_gold_stays(
    strict: Pipeline, lake_of_395: Path, case: tuple[Change, str, str], *, first: bool
) -> None:
    change, check, field = case
    if not first:
        shutil.copytree(lake_of_395, strict.uri)
    before = {layer: strict.lake.newest(layer) for layer in REFINED}
    strict.api.rows[:] = map(change, strict.api.rows)
    run = strict.run(fails=True)

    assert {layer: strict.lake.newest(layer) for layer in REFINED} == before
    refused = results_of(run)[f"silver_breweries.{check}"]
    assert not refused.passed
    assert refused.severity is dg.AssetCheckSeverity.ERROR
    assert refused.description is not None
    assert refused.description.startswith(f"silver_breweries is not published: {check} failed (")
    assert refused.description.endswith(f"run once with ACCEPT_CHECKS={check}.")
    assert field in numbers_of(run)[f"silver_breweries.{check}"]["fields_without_a_value"]
    record = strict.instance.get_run_record_by_id(run.run_id)
    assert record is not None
    alert = alert_of(record, strict.instance, Alerts())
    assert alert is not None
    assert "fields without a value" in alert.checks[f"silver_breweries / {check}"]


def test_an_empty_source_is_refused_and_bronze_is_not_published(strict: Pipeline) -> None:
    strict.api.rows.clear()
    run = strict.run(fails=True)
    assert not results_of(run)["bronze_breweries.row_count_is_plausible"].passed
    assert all(strict.lake.newest(layer) is None for layer in LAYERS)


def test_an_empty_gold_is_never_published(strict: Pipeline) -> None:
    strict.accept_checks = f"{FEW},{FULL}"
    strict.api.rows[:] = map(without("name"), strict.api.rows)
    run = strict.run(fails=True)
    assert not results_of(run)["gold_brewery_counts.gold_is_not_empty"].passed
    assert strict.lake.newest("gold_brewery_counts") is None


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "older",
    [
        pytest.param(without("state_province"), id="state alone"),
        pytest.param(
            lambda row: {**without("state_province")(row), "state": row["state_province"]},
            id="state",
        ),
        pytest.param(
            lambda row: {
                **null("state_province", "state")(row),
                "county_province": row["state_province"],
            },
            id="county_province",
        ),
        pytest.param(
            lambda row: {**row, "state": "Elsewhere", "county_province": "Elsewhere"},
            id="the newer name counts",
        ),
        pytest.param(without("address_1"), id="street alone"),
    ],
)
def test_records_with_older_field_names_are_read_like_newer_ones(
    strict: Pipeline, older: Change
) -> None:
    silver = sorted(strict.rows("silver_breweries"), key=lambda row: str(row["id"]))
    gold = strict.rows("gold_brewery_counts")
    strict.api.rows[:] = map(older, strict.api.rows)
    strict.run()
    assert sorted(strict.rows("silver_breweries"), key=lambda row: str(row["id"])) == silver
    assert strict.rows("gold_brewery_counts") == gold
    fields = (strict.newest("bronze_breweries").source or {})["fields"]
    assert "state" in fields or "county_province" in fields


@pytest.mark.usefixtures("published")
def test_an_accepted_check_does_not_block_and_is_shown_as_accepted(strict: Pipeline) -> None:
    strict.api.rows[:] = map(null("brewery_type"), strict.api.rows)
    strict.accept_checks = FULL
    run = strict.run(fails=True)  # the accepted check is of silver; one of gold still blocks
    types = numbers_of(run)["gold_brewery_counts.countries_and_types_are_still_there"]
    assert types["shrunk"]["brewery_type: micro"]["now"] == 0
    assert strict.newest("silver_breweries").run_id == run.run_id
    assert strict.newest("gold_brewery_counts").run_id != run.run_id

    strict.accept_checks = "countries_and_types_are_still_there"
    run = strict.run()
    check = results_of(run)["gold_brewery_counts.countries_and_types_are_still_there"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    said = "ACCEPT_CHECKS=countries_and_types_are_still_there"
    assert check.metadata["accepted_by"].value == said
    kept = strict.newest("gold_brewery_counts").check("countries_and_types_are_still_there")
    assert (kept["passed"], kept["accepted_by"]) == (False, said)
    record = strict.instance.get_run_record_by_id(run.run_id)
    assert record is not None
    alert = alert_of(record, strict.instance, Alerts())
    assert alert is not None
    assert said in "\n".join(alert.checks.values())

    strict.accept_checks = None
    strict.run()  # compared with the accepted snapshot


@pytest.mark.usefixtures("published")
def test_the_launchpad_can_accept_checks_for_one_run(
    strict: Pipeline, real_rows: list[Row]
) -> None:
    strict.api.rows[:] = real_rows[:100]
    strict.run(fails=True)
    accept = ["row_count_is_plausible", FULL, "countries_and_types_are_still_there"]
    strict.run(config={"limits": {"config": {"accept_checks": accept}}})
    assert strict.newest("bronze_breweries").rows == 100


@pytest.mark.parametrize("name", ["ids_are_unique", "no_such_check"])
def test_only_checks_of_plausibility_can_be_accepted(strict: Pipeline, name: str) -> None:
    strict.accept_checks = name
    run = strict.run(fails=True)
    assert (
        f"ACCEPT_CHECKS={name}: allowed are columns_are_as_full_as_before, "
        "countries_and_types_are_still_there, rejections_are_few, row_count_is_plausible"
    ) in failure_of(run)
    assert not strict.lake.layers() or strict.lake.newest("bronze_breweries") is None


@pytest.mark.parametrize(("rejected", "passes"), [(0, True), (5, True), (6, False), (100, False)])
def test_only_few_lines_may_be_rejected(rejected: int, *, passes: bool) -> None:
    outcome = checks_silver.rejections_are_few(rejected, 100, 5, [])
    assert outcome.passed is passes
    assert outcome.numbers == {
        "rejected": rejected,
        "bronze": 100,
        "rejected_percent": rejected,
        "allowed_percent": 5,
    }


@pytest.mark.parametrize(
    ("now", "before", "emptier"),
    [
        ({"id": 100.0, "phone": 80.0}, {"id": 100.0, "phone": 90.0}, {}),
        (
            {"id": 100.0, "phone": 79.9},
            {"id": 100.0, "phone": 90.0},
            {"phone": {"before": 90.0, "now": 79.9}},
        ),
        ({"id": 100.0, "fax": 0.0}, {"id": 100.0}, {}),
        ({"id": 100.0}, {"id": 100.0, "fax": 50.0}, {}),
        ({"id": 100.0, "country": 80.0, "phone": 0.0}, None, {}),
        (
            {"id": 100.0, "country": 79.9},
            None,
            {"country": {"before": 90.0, "now": 79.9}},
        ),
    ],
)
def test_a_column_may_not_lose_more_values_than_the_limit(
    now: dict[str, float], before: dict[str, float] | None, emptier: dict[str, Any]
) -> None:
    outcome = checks_silver.columns_are_as_full_as_before(now, before, 10, [])
    assert outcome.passed is not bool(emptier)
    assert outcome.numbers["emptier"] == emptier
    assert outcome.numbers["filled_percent"] == now


@pytest.mark.parametrize(("before", "now"), [(64.4, 54.4), (80.0, 70.0)])
def test_a_column_may_lose_exactly_the_allowed_percentage(before: float, now: float) -> None:
    full = checks_silver.columns_are_as_full_as_before
    assert full({"phone": now}, {"phone": before}, 10, []).passed
    assert not full({"phone": now - 0.1}, {"phone": before}, 10, []).passed


@pytest.mark.parametrize(
    ("now", "shrunk"),
    [
        (100, {}),
        (50, {}),
        (49, {"country: italy": {"before": 100, "now": 49}}),
        (0, {"country: italy": {"before": 100, "now": 0}}),
    ],
)
def test_a_large_country_may_not_lose_more_than_half(now: int, shrunk: dict[str, Any]) -> None:
    def counts(**countries: int) -> checks_gold.Counts:
        return {"country": Counter(countries)}

    still_there = checks_gold.countries_and_types_are_still_there
    first = still_there(counts(italy=100, malta=49, unknown=100), None)
    assert first.passed
    assert first.numbers["large"] == {"country": {"italy": 100}}
    outcome = still_there(counts(italy=now), first.numbers["large"])
    assert outcome.passed is not bool(shrunk)
    assert outcome.numbers["shrunk"] == shrunk


def test_an_invalid_pair_of_coordinates_becomes_null(strict: Pipeline) -> None:
    wrong: dict[str, tuple[Any, Any]] = {
        "swapped": (1.35, 103.8),
        "half": (103.8, None),
        "text": (103.8, "north"),
    }
    for n, (name, (longitude, latitude)) in enumerate(wrong.items()):
        wrong_half = {"id": name, "longitude": longitude, "latitude": latitude}
        strict.api.rows[n] = {**strict.api.rows[n], **wrong_half}
    run = strict.run()
    found = {str(row["id"]): row for row in strict.rows("silver_breweries")}
    for name in wrong:
        assert (found[name]["longitude"], found[name]["latitude"]) == (None, None)
    numbers = numbers_of(run)["silver_breweries.coordinates_are_plausible"]
    assert numbers["without_a_valid_pair"] == 3
    assert {*wrong} <= {*numbers["examples"]}
