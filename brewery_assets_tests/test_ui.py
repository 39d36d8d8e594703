"""The UI that `make dev` starts, used in a browser as by a user."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import Browser

from brewery_assets.checks.rules import RULES
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.report.asset import REPORT
from brewery_assets_tests.checkout import ROOT, Checkout
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.dagster_ui import make_dev
from brewery_assets_tests.pictures import PICTURES, Scene
from brewery_assets_tests.ui import DagsterUi
from demo.data import Row
from demo.faults import Faults
from demo.server import DemoApi

pytestmark = [pytest.mark.slow("needs Chromium and the daemon"), pytest.mark.xdist_group("ui")]

ROWS = {
    "bronze_breweries": 11_822,
    "silver_breweries": 11_822,
    "rejected_breweries": 0,
    "suspect_breweries": 247,
    "gold_brewery_counts": 613,
    "gold_brewery_changes": 0,
    "brewery_report": 613,
}
KINDS = {
    "bronze_breweries": "Bronze",
    "silver_breweries": "Silver",
    "rejected_breweries": "Silver",
    "suspect_breweries": "Silver",
    "gold_brewery_counts": "Gold",
    "gold_brewery_changes": "Gold",
    "brewery_report": "html",
    "silver_data_docs": "html",
}
CHECKS = {name: dict.fromkeys(rules, "Succeeded") for name, rules in RULES.items()}
CHECKS[SILVER.name] |= {"coordinates_are_plausible": "Failed"}
SHARPNESS = 1.5 if "PICTURES" in os.environ else 1  # `make pictures` sets it; more pixels cost time
AUTOMATIONS = {"schedules/daily_pipeline", "sensors/gold_updated", "sensors/alerts"}


@pytest.fixture(scope="module")
def pipeline(real_rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The pipeline that the UI runs, over all real rows; tests read its lake."""
    lake = tmp_path_factory.mktemp("ui") / "lake"
    with (
        DemoApi(real_rows, requests_per_minute=None) as api,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Pipeline(api, str(lake), instance)


@pytest.fixture(scope="module")
def address(
    browser: Browser, pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    settings = {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    with make_dev(Checkout(tmp_path_factory.mktemp("make-dev") / "checkout", settings)) as address:
        yield address


@pytest.fixture
def ui(browser: Browser, address: str) -> Iterator[DagsterUi]:
    """A new window; at the end, its pages must not have had uncaught errors."""
    ui = DagsterUi(browser, address, sharpness=SHARPNESS)
    yield ui
    ui.close()
    assert not ui.errors


def test_materialize_all_makes_the_assets_of_the_lineage_and_their_pages_show_the_results(
    ui: DagsterUi, pipeline: Pipeline
) -> None:
    lineage = ui.lineage()
    assert [*lineage][:2] == ["bronze_breweries", "silver_breweries"]  # from left to right
    assert {*[*lineage][-2:]} == {REPORT, "silver_data_docs"}
    for asset, kind in KINDS.items():
        assert kind in lineage.pop(asset)
    assert not lineage

    assert ui.outcome(ui.materialize_all()) == "Success"
    lineage = ui.lineage()
    for asset in ROWS:
        assert "Materialized" in lineage[asset]
    assert "Materialized" not in lineage["silver_data_docs"]  # another job makes it
    for asset, checks in CHECKS.items():
        passed = [*checks.values()].count("Succeeded")
        assert f"{passed} / {len(checks)} Passed" in lineage[asset]

    assert {asset: pipeline.newest(asset).rows for asset in ROWS} == ROWS
    for asset in (GOLD.name, SILVER.name):  # each page is slow
        assert ui.checks(asset) == CHECKS[asset]
        assert ui.row_count(asset) == ROWS[asset]


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_documentation_can_be_made(
    name: str, ui: DagsterUi, browser: Browser, pipeline: Pipeline, tmp_path: Path
) -> None:
    if pipeline.lake.newest(REPORT) is None:
        assert ui.outcome(ui.materialize_all()) == "Success"
    report = Path(pipeline.uri) / REPORT / "index.html"
    file = ROOT / os.environ.get("PICTURES", tmp_path) / name
    PICTURES[name](Scene(ui, browser, report, SHARPNESS), file)
    assert file.read_bytes().startswith(b"\x89PNG" if file.suffix == ".png" else b"<svg")
    assert 10_000 < file.stat().st_size < 500_000


def test_a_failing_source_makes_a_failed_run_with_a_readable_error(
    ui: DagsterUi, pipeline: Pipeline
) -> None:
    before = pipeline.lake.newest("bronze_breweries")
    pipeline.api.faults = Faults(always_status=403)
    try:
        run = ui.materialize_all()
        assert ui.outcome(run) == "Failure"
    finally:
        pipeline.api.faults = Faults()
    error = ui.error(run)
    assert f"GET {pipeline.api.url}/breweries?per_page=200" in error
    assert "answered 403" in error
    assert pipeline.lake.newest("bronze_breweries") == before


def test_the_schedule_and_the_sensors_are_listed_and_can_be_turned_on_and_off(
    ui: DagsterUi,
) -> None:
    assert ui.automations() == dict.fromkeys(AUTOMATIONS, False)
    for on in (True, False):
        for name in AUTOMATIONS:
            ui.switch(name, on=on)
        assert ui.automations() == dict.fromkeys(AUTOMATIONS, on)


def test_materializing_gold_on_its_page_triggers_the_report(
    ui: DagsterUi, pipeline: Pipeline
) -> None:
    if pipeline.lake.newest(SILVER.name) is None:
        assert ui.outcome(ui.materialize_all()) == "Success"
    ui.switch("sensors/gold_updated", on=True)
    try:
        assert ui.outcome(ui.materialize(GOLD.name)) == "Success"
        gold = pipeline.newest(GOLD.name)
        until = time.monotonic() + 300
        while pipeline.newest(REPORT).made_from[GOLD.name] != gold.snapshot:
            assert time.monotonic() < until
            time.sleep(0.5)
    finally:
        ui.switch("sensors/gold_updated", on=False)
    run, said = ui.newest_run()
    assert "gold_updated" in said
    assert ui.outcome(run) == "Success"
    assert ui.row_count(REPORT) == 613
    page = Path(pipeline.uri) / REPORT / "index.html"
    assert gold.snapshot in page.read_text(encoding="utf-8")
