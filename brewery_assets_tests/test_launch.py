"""A job started from a terminal where Dagster is services, and followed to its end."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from brewery_assets_tests.checkout import JOB, Checkout
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.dagster_ui import dagster_dev
from demo.faults import Faults

LAUNCH = (sys.executable, "-u", "-m", "brewery_assets.launch")


@pytest.fixture
def checkout(pipeline: Pipeline, tmp_path: Path) -> Checkout:
    settings = {
        "BREWERY_API_URL": pipeline.api.url,
        "LAKE_URI": pipeline.uri,
        "DAGSTER_WEBSERVER_URL": "https://dagster.example.org",
    }
    return Checkout(tmp_path / "checkout", settings)


def test_what_a_run_says_is_told_and_its_outcome_is_the_exit_code(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    with dagster_dev(checkout):
        code, said = checkout.run(*LAUNCH, JOB)
        assert code == 0, said
        assert re.match(
            r"Run [0-9a-f]{8}: https://dagster\.example\.org/runs/[0-9a-f-]{36}\n", said
        )
        assert "page 1 of 1: 13 breweries" in said
        assert "Asset check 'counts_add_up' on 'gold_brewery_counts' passed." in said
        assert re.search(r"\nRun [0-9a-f]{8} succeeded: https://dagster\.example\.org/runs/", said)
        assert len(pipeline.lake.manifests("gold_brewery_counts")) == 1

        pipeline.api.faults = Faults(always_status=403)
        code, said = checkout.run(*LAUNCH, JOB)
        assert code == 1
        assert re.search(r"RefusedError: GET \S+/breweries\?\S+ answered 403", said), said
        assert re.search(r"\nRun [0-9a-f]{8} failed: https://dagster\.example\.org/runs/", said)


def test_whoever_starts_the_pipeline_may_set_its_limits_for_this_run(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    pipeline.run()
    del pipeline.api.rows[5:]
    with dagster_dev(checkout):
        code, said = checkout.run(*LAUNCH, JOB)
        assert code == 1
        assert "'row_count_is_plausible' on 'bronze_breweries' did not pass" in said
        checkout.environment["ROWS_LOST_PERCENT"] = "100"
        code, said = checkout.run(*LAUNCH, JOB)
        assert code == 0, said


def test_a_run_that_waits_says_why_and_goes_on_without_the_terminal(checkout: Checkout) -> None:
    process = checkout.start(*LAUNCH, JOB)
    checkout.until(process, "still queued: another run goes on, or the daemon is down")
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert "goes on, if it was started: https://dagster.example.org/runs/" in said
    assert process.returncode == 130


def test_what_cannot_be_started_is_told(checkout: Checkout) -> None:
    code, said = checkout.run(*LAUNCH, "no_such_job")
    assert code == 1
    assert "no_such_job" in said
    checkout.environment["SNAPSHOTS_KEPT"] = "many"
    assert checkout.run(*LAUNCH, JOB) == (
        1,
        "SNAPSHOTS_KEPT=many: allowed is a whole number, 1 or more\n",
    )
