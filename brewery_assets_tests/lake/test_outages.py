"""An S3 server that goes down during a run and comes back."""

import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from pyspark.errors import PySparkException

from brewery_assets.aws import Aws
from brewery_assets.lake import s3 as lake_s3
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.outages import WrongRowsError
from brewery_assets.lake.s3 import Bucket, S3Error
from brewery_assets.lake.storage import OUTAGE
from brewery_assets_tests.checkout import Checkout
from brewery_assets_tests.conftest import LAYERS, Pipeline
from demo.data import Row
from demo.s3 import S3Server, free_port

IN_PROCESSES = pytest.mark.slow("whole runs in separate processes")


@pytest.fixture
def lake(mortal_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake on a server that the test may kill, as a run uses it."""
    monkeypatch.setattr(lake_s3, "LATE", 0.1)
    lake = Lake(uri="s3://lake/x")
    lake.storage.prepare()
    return lake


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two tries."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))


def test_a_request_is_retried_until_the_server_is_back(lake: Lake, mortal_s3: S3Server) -> None:
    lake.storage.write("gold/a", b"rows")
    mortal_s3.kill()
    back = threading.Thread(target=mortal_s3.start)  # takes about a second
    back.start()
    assert lake.storage.read("gold/a") == b"rows"
    assert [file.path for file in lake.storage.files("gold")] == ["a"]
    back.join()


def test_an_address_that_never_answered_fails_without_a_long_wait(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    bucket = Bucket("s3://lake/x", Aws())
    started = time.monotonic()
    with pytest.raises(S3Error, match="no server answers; correct AWS_ENDPOINT_URL or try later"):
        bucket.read("gold/a")
    assert time.monotonic() - started < OUTAGE / 2


@pytest.mark.usefixtures("_no_waiting")
def test_a_failed_write_of_the_engine_is_repeated_from_the_start(
    lake: Lake, mortal_s3: S3Server
) -> None:
    tries = []

    def work() -> int:
        tries.append(lake.storage.files("gold/snapshot"))
        lake.storage.write("gold/snapshot/half", b"half")
        if len(tries) == 1:
            mortal_s3.kill()
            mortal_s3.start()
            raise PySparkException("Connection refused (os error 111)")
        return len(tries)

    lake.storage.write("gold/other", b"")
    assert lake.through_outages(work, writes="gold/snapshot") == 2
    assert tries == [[], []]
    assert [file.path for file in lake.storage.files("gold")] == ["other", "snapshot/half"]


@pytest.mark.usefixtures("_no_waiting")
def test_a_write_is_repeated_if_a_file_of_a_failed_try_arrives_late(lake: Lake) -> None:
    tries = []

    def work() -> str:
        tries.append([file.path for file in lake.storage.files("gold/snapshot")])
        if len(tries) == 1:
            raise PySparkException("Connection refused (os error 111)")
        if len(tries) == 2:
            lake.storage.write("gold/snapshot/late", b"rows")
            raise WrongRowsError("3 of 2 rows were written")
        return "written"

    assert lake.through_outages(work, writes="gold/snapshot") == "written"
    assert tries == [[], [], []]


def test_a_write_that_has_wrong_rows_without_an_outage_is_not_repeated(lake: Lake) -> None:
    tries = []

    def work() -> NoReturn:
        tries.append(1)
        raise WrongRowsError("3 of 2 rows were written")

    with pytest.raises(WrongRowsError):
        lake.through_outages(work, writes="gold/snapshot")
    assert tries == [1]


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(
    ("said", "tried"),
    [
        (
            "Generic S3 error: Error performing GET http://h/a, after 10 retries - cut",
            2,
        ),
        ("External: Generic S3 error: Error performing PUT http://h/a - HTTP error: cut", 2),
        ("AWSClientIOException: Unable to execute HTTP request: Connect to h:1 failed", 2),
        ("Generic S3 error: The operation lacked the necessary privileges: AccessDenied", 1),
        ("failed to connect to all addresses: ipv4:127.0.0.1:1: Connection refused (111)", 1),
        ("[CAST_INVALID_INPUT] The value cannot be cast", 1),
    ],
)
def test_work_is_repeated_only_if_it_did_not_reach_the_store(
    s3: S3Server, prefix: str, said: str, tried: int
) -> None:
    lake = Lake(uri=f"s3://lake/{prefix}")
    lake.storage.prepare()
    tries = []

    def work() -> NoReturn:
        tries.append(said)
        if len(tries) == 2:
            raise ZeroDivisionError
        raise PySparkException(said)

    with pytest.raises((PySparkException, ZeroDivisionError)):
        lake.through_outages(work)
    assert len(tries) == tried


@pytest.fixture
def of_real_rows(pipeline: Pipeline, real_rows: list[Row]) -> None:
    pipeline.api.rows[:] = real_rows


def begun(pipeline: Pipeline, s3: S3Server, folder: Path, layer: str) -> subprocess.Popen[str]:
    """A run in a separate process that has just started to write the layer."""
    settings = {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    checkout = Checkout(folder, {**settings, **s3.environment()})
    before = pipeline.lake.snapshots(layer)
    process = checkout.start(*checkout.job())
    until = time.monotonic() + 300
    while pipeline.lake.snapshots(layer) == before:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        if not pipeline.api.requests:  # it takes seconds to start
            time.sleep(0.05)
    return process


@IN_PROCESSES
@pytest.mark.usefixtures("of_real_rows")
@pytest.mark.parametrize(
    ("seconds", "layer"),
    [(2, "silver_breweries"), (20, "bronze_breweries"), (45, "silver_breweries")],
)
def test_a_run_continues_when_a_killed_server_is_back(
    pipeline: Pipeline, mortal_s3: S3Server, tmp_path: Path, seconds: int, layer: str
) -> None:
    pipeline.uri = "s3://lake/outage"
    process = begun(pipeline, mortal_s3, tmp_path / "checkout", layer)
    mortal_s3.kill()
    time.sleep(seconds)
    mortal_s3.start()
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "S3 is unavailable, the next try is in " in said
    for name in LAYERS:
        (manifest,) = pipeline.lake.manifests(name)
        assert pipeline.lake.reading(name) == manifest  # checks every file
    assert pipeline.newest("silver_breweries").rows == 11_822
    counts = pipeline.rows("gold_brewery_counts")
    assert sum(row["brewery_count"] for row in counts) == 11_822
