"""The health of runs, as a real gRPC server of the code location reports it."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient

from brewery_assets.operations.run_launcher import WatchedRunLauncher
from brewery_assets_tests.checkout import JOB, Checkout
from demo.s3 import free_port

pytestmark = pytest.mark.slow("starts a code location as a service")

STARTING = 300.0  # seconds


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a code location without runs."""
    port = free_port()
    checkout = Checkout(tmp_path / "checkout", {})
    options = ("--port", str(port), "--host", "127.0.0.1", "-m", "brewery_assets.definitions")
    with (tmp_path / "log").open("w") as log:
        command = (sys.executable, "-m", "dagster", "api", "grpc", *options)
        server = checkout.start(*command, output=log)
        try:
            until = time.monotonic() + STARTING
            while not answers(port):
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.2)
            yield port
        finally:
            server.kill()
            server.wait()


def answers(port: int) -> bool:
    try:
        return DagsterGrpcClient(host="127.0.0.1", port=port).ping("") is not None
    except dg.DagsterError:
        return False


def health(port: int) -> tuple[WorkerStatus, str]:
    place = json.dumps({"host": "127.0.0.1", "port": port})
    run = dg.DagsterRun(JOB, status=dg.DagsterRunStatus.STARTED, tags={GRPC_INFO_TAG: place})
    found = WatchedRunLauncher().check_run_worker_health(run)
    return found.status, found.msg or ""


def test_a_run_that_its_server_does_not_know_is_reported_as_gone(port: int) -> None:
    status, why = health(port)
    assert status is WorkerStatus.NOT_FOUND
    assert why == "the process of this run is gone: killed, or out of memory"


def test_the_runs_of_an_unreachable_server_count_as_running() -> None:
    assert health(free_port())[0] is WorkerStatus.RUNNING


def test_a_run_of_another_launcher_counts_as_running() -> None:
    run = dg.DagsterRun(JOB, status=dg.DagsterRunStatus.STARTED)
    assert WatchedRunLauncher().check_run_worker_health(run).status is WorkerStatus.RUNNING
    assert WatchedRunLauncher().supports_check_run_worker_health
