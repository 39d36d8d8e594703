"""Runs that are killed, stopped, or re-executed from their failed step."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from brewery_assets.definitions import definitions_of
from brewery_assets.settings import Settings
from brewery_assets_tests.checkout import Checkout
from brewery_assets_tests.conftest import KILLS, LAYERS, Pipeline
from brewery_assets_tests.scenario import OREGON
from demo.data import Row

Process = subprocess.Popen[str]
IN_PROCESSES = pytest.mark.slow("whole runs in separate processes")


@pytest.fixture
def checkout(pipeline: Pipeline, published: None, tmp_path: Path, real_rows: list[Row]) -> Checkout:
    """A checkout whose lake already has a good snapshot of scenario.py's rows."""
    pipeline.api.rows[:] = real_rows
    return Checkout(
        tmp_path / "checkout", {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    )


def start(checkout: Checkout, pipeline: Pipeline, until: Callable[[], bool]) -> Process:
    """Starts a run in a separate process; returns when the condition is true."""
    pipeline.api.requests.clear()
    process = checkout.start(*checkout.job())
    limit = time.monotonic() + 60
    while not pipeline.api.requests or not until():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        # The run needs seconds to start; before that, frequent polling is useless.
        time.sleep(0.0005 if pipeline.api.requests else 0.05)
    return process


def appears(folder: Path) -> Callable[[], bool]:
    """A condition: the folder has a new snapshot, published or not."""
    before = set(folder.iterdir())
    return lambda: set(folder.iterdir()) != before


@IN_PROCESSES
@pytest.mark.parametrize("layer", ["bronze_breweries", "silver_breweries", "gold_brewery_counts"])
def test_a_run_killed_while_it_writes_keeps_the_last_snapshot_and_the_next_run_works(
    pipeline: Pipeline, checkout: Checkout, layer: str
) -> None:
    def kill() -> bool:
        """Kills a run; returns whether it had not yet published the layer."""
        process = start(checkout, pipeline, appears(Path(pipeline.uri) / layer))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return pipeline.newest(layer) == before

    for _ in range(KILLS):
        before = pipeline.newest(layer)
        if in_time := kill():
            break
    assert in_time
    lake = pipeline.lake
    assert len(set(lake.snapshots(layer)) - set(lake.published(layer))) == 1
    if layer != "bronze_breweries":
        assert len(pipeline.rows(layer)) == before.rows
    for name in LAYERS:
        newest = lake.newest(name)
        assert newest is not None
        assert lake.reading(name) == newest  # all its files are complete

    pipeline.run()
    assert pipeline.newest("silver_breweries").rows == 11_822
    assert sum(row["brewery_count"] for row in pipeline.rows("gold_brewery_counts")) == 11_822


@IN_PROCESSES
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_receives_a_signal_stops_with_its_engine(
    pipeline: Pipeline, checkout: Checkout, number: signal.Signals
) -> None:
    def stop() -> bool:
        """Stops a run; returns whether it had not yet published silver."""
        process = start(checkout, pipeline, appears(Path(pipeline.uri) / "silver_breweries"))
        run = psutil.Process(process.pid)
        family = [run, *run.children(recursive=True)]
        process.send_signal(number)
        said, _ = process.communicate(timeout=90)
        assert process.returncode != 0, said
        assert not psutil.wait_procs(family, timeout=30)[1]
        return pipeline.newest("silver_breweries") == before

    for _ in range(KILLS):
        before = pipeline.newest("silver_breweries")
        if in_time := stop():
            break
    assert in_time


def rerunnable() -> dg.JobDefinition:
    """The job with the settings of the environment; Dagster finds this function by name."""
    return definitions_of(Settings.from_environment()).resolve_job_def("run_pipeline_brewery")


def strict() -> dg.JobDefinition:
    """The same job with a lower limit, which scenario.py's rows exceed."""
    settings = Settings.from_environment().model_copy(update={"rejected_percent": 5})
    return definitions_of(settings).resolve_job_def("run_pipeline_brewery")


@pytest.fixture
def kept_instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def settings_in_force(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREWERY_API_URL", pipeline.api.url)
    monkeypatch.setenv("LAKE_URI", pipeline.uri)
    monkeypatch.setenv("REJECTED_PERCENT", "20")  # two of scenario.py's 13 rows are broken


@pytest.mark.usefixtures("settings_in_force")
def test_a_run_reexecuted_from_its_failed_step_continues_from_there(
    pipeline: Pipeline, kept_instance: dg.DagsterInstance
) -> None:
    lake = Path(pipeline.uri)
    lake.mkdir()
    in_the_way = lake / "gold_brewery_counts"
    in_the_way.write_text("a file where a folder should be")
    job = dg.reconstructable(rerunnable)
    with dg.execute_job(job, kept_instance) as first:
        assert not first.success
    silver = pipeline.newest("silver_breweries")
    asked = len(pipeline.api.requests)
    in_the_way.unlink()

    again = dg.ReexecutionOptions.from_failure(first.run_id, kept_instance)
    with dg.execute_job(job, kept_instance, reexecution_options=again) as second:
        assert second.success
    assert len(pipeline.api.requests) == asked
    assert pipeline.newest("silver_breweries") == silver
    assert pipeline.newest("gold_brewery_counts").made_from == {"silver_breweries": silver.snapshot}
    assert sum(row["brewery_count"] for row in pipeline.rows("gold_brewery_counts")) == silver.rows


@pytest.mark.usefixtures("settings_in_force")
def test_a_refused_silver_is_published_from_the_same_bronze_after_the_limit_is_raised(
    pipeline: Pipeline, kept_instance: dg.DagsterInstance
) -> None:
    with dg.execute_job(dg.reconstructable(strict), kept_instance) as first:
        assert not first.success
    bronze = pipeline.newest("bronze_breweries")
    assert pipeline.lake.newest("silver_breweries") is None

    again = dg.ReexecutionOptions.from_failure(first.run_id, kept_instance)
    job = dg.reconstructable(rerunnable)
    with dg.execute_job(job, kept_instance, reexecution_options=again) as second:
        assert second.success
    assert pipeline.newest("bronze_breweries") == bronze
    assert pipeline.newest("silver_breweries").run_id == second.run_id
    assert pipeline.newest("gold_brewery_counts").rows == 9


@IN_PROCESSES
def test_two_runs_at_the_same_time_publish_two_complete_snapshots(
    pipeline: Pipeline, checkout: Checkout, tmp_path: Path
) -> None:
    # Two machines with one lake: each has its own Dagster storage.
    other = Checkout(
        tmp_path / "other", {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    )
    processes = [place.start(*place.job()) for place in (checkout, other)]
    for process in processes:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    for layer in LAYERS:
        names = list(pipeline.lake.published(layer))
        assert len(names) == 3
        assert pipeline.lake.snapshots(layer) == names
    for name in pipeline.lake.published("gold_brewery_counts"):
        manifest = pipeline.lake.manifest("gold_brewery_counts", name)
        rows = pipeline.rows("gold_brewery_counts", manifest)
        total = sum(row["brewery_count"] for row in rows)
        assert total == pipeline.lake.manifest("silver_breweries", name).rows
        assert [row for row in rows if row["state"] == OREGON["state_province"].lower()]
