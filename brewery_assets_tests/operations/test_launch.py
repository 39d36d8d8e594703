"""A job that a command starts in Dagster's services and follows to its end."""

import io
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from brewery_assets.operations.launch import Follower
from brewery_assets.operations.progress import Progress
from brewery_assets.operations.terminal import Terminal
from brewery_assets_tests.checkout import JOB, ROOT, Checkout
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.dagster_ui import dagster_daemon
from brewery_assets_tests.scenario import ROWS
from demo.faults import Faults
from demo.server import DemoApi

pytestmark = pytest.mark.xdist_group("services")
DAEMON = pytest.mark.slow("runs go through Dagster's daemon")
COMMAND = pytest.mark.slow("a command that starts Dagster")

# As in deploy/dagster.yaml. With it, commands let Dagster's services execute the runs.
LAUNCHER = """
run_launcher:
  module: brewery_assets.operations.run_launcher
  class: WatchedRunLauncher
"""
UI = "https://dagster.example.org"


class Services(NamedTuple):
    """Dagster's services, with the lake and the source that they use."""

    pipeline: Pipeline
    checkout: Checkout


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One daemon for all tests of this file; it looks for lost runs every two seconds."""
    folder = tmp_path_factory.mktemp("services")
    with (
        DemoApi(ROWS, requests_per_minute=None) as api,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        pipeline = Pipeline(api, str(folder / "lake"), instance)
        checkout = checkout_of(pipeline, folder / "checkout")
        with dagster_daemon(checkout):
            yield Services(pipeline, checkout)


@pytest.fixture
def services(running: Services) -> Iterator[Services]:
    """The same, with a published snapshot of scenario.py's rows and a source that serves them."""
    running.pipeline.run()
    yield running
    running.pipeline.api.rows[:] = ROWS
    running.pipeline.api.faults = Faults()
    running.checkout.environment.pop("ROWS_LOST_PERCENT", None)


def checkout_of(pipeline: Pipeline, folder: Path) -> Checkout:
    checkout = Checkout(
        folder,
        {
            "BREWERY_API_URL": pipeline.api.url,
            "LAKE_URI": pipeline.uri,
            "DAGSTER_WEBSERVER_URL": UI,
        },
    )
    settings = checkout.folder / "dagster.yaml"
    settings.unlink()
    kept = (ROOT / "dagster.yaml").read_text()
    kept = kept.replace("run_monitoring:\n", "run_monitoring:\n  poll_interval_seconds: 2\n")
    settings.write_text(kept + LAUNCHER)
    return checkout


@DAEMON
def test_a_killed_run_does_not_block_the_next_run_and_the_exit_code_shows_its_failure(
    services: Services,
) -> None:
    pipeline, checkout = services
    pipeline.api.faults = Faults(hanging=1.0)
    pipeline.api.requests.clear()
    soon = json.dumps({"dagster/max_runtime": "5"})  # instead of half an hour
    process = checkout.start(*checkout.job(), "--tags", soon)
    until = time.monotonic() + 300
    while not pipeline.api.requests:  # until the run has started
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    pipeline.api.faults = Faults()
    del pipeline.api.rows[5:]
    code, said = checkout.run(*checkout.brewery("run"))
    assert code == 1
    assert "Cause   row_count_is_plausible: There are rows" in said
    assert re.search(r"\n +\(.*\bprevious: 13\b.*\)\n", said)
    assert re.search(r"\nRun [0-9a-f]{8} failed: https://dagster\.example\.org/runs/", said)


@DAEMON
def test_the_environment_of_the_command_sets_the_limits_of_its_run(services: Services) -> None:
    pipeline, checkout = services
    del pipeline.api.rows[5:]
    checkout.environment["ROWS_LOST_PERCENT"] = "100"
    before = len(pipeline.lake.manifests("gold_brewery_counts"))
    code, said = checkout.run(*checkout.brewery("run"))
    assert code == 0, said
    assert re.match(r"Run [0-9a-f]{8}: https://dagster\.example\.org/runs/[0-9a-f-]{36}\n", said)
    assert "page 1 of 1: 5 breweries" in said
    assert re.search(r"\ngold_brewery_counts +\d rows .* \d\.\d s", said)
    assert "\nWhat next:\n" in said
    assert re.search(r"\nRun [0-9a-f]{8} succeeded: https://dagster\.example\.org/runs/", said)
    assert len(pipeline.lake.manifests("gold_brewery_counts")) == before + 1


@pytest.mark.parametrize("verbose", [False, True])
def test_the_cause_of_a_failure_is_shown(pipeline: Pipeline, verbose: bool) -> None:
    pipeline.api.faults = Faults(always_status=403)
    run = pipeline.run(fails=True)
    out, err = io.StringIO(), io.StringIO()
    progress = Progress(Terminal(out, err), verbose=verbose)
    follower = Follower(pipeline.instance, run.run_id, progress)
    assert follower.outcome() is dg.DagsterRunStatus.FAILURE
    progress.explain(JOB, run.run_id)
    said = err.getvalue()
    assert "Failed  bronze_breweries failed. Readers keep the last published snapshot.\n" in said
    assert re.search(r"Cause   GET \S+/breweries\?\S+ answered 403", said), said
    assert ("Traceback" in out.getvalue() or "Stack Trace" in out.getvalue()) is verbose


def test_a_run_counts_as_lost_after_half_an_hour() -> None:
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 1800


@COMMAND
def test_a_queued_run_says_why_it_waits_and_continues_without_the_terminal(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    checkout = checkout_of(pipeline, tmp_path / "checkout")
    process = checkout.start(*checkout.brewery("run"))
    checkout.until(process, "still queued: another run is active, or the daemon is down")
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=180)
    assert f"continues, if it was started: {UI}/runs/" in said
    assert process.returncode == 130


@COMMAND
def test_a_run_that_cannot_be_started_is_explained(pipeline: Pipeline, tmp_path: Path) -> None:
    checkout = checkout_of(pipeline, tmp_path / "checkout")
    (checkout.folder / "workspace.yaml").unlink()
    code, said = checkout.run(*checkout.brewery("run"))
    assert code == 1
    assert "workspace.yaml" in said
    checkout.environment["SNAPSHOTS_KEPT"] = "many"
    assert checkout.run(*checkout.brewery("run")) == (
        2,
        "SNAPSHOTS_KEPT=many: allowed is a whole number, 1 or more\n",
    )
