"""Held frames: computed once, and deleted when the engine stops."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from brewery_assets.engine.frames import PREFIX
from brewery_assets.engine.spark import Spark
from brewery_assets_tests.checkout import ROOT

KILLED = """
import os, signal
from brewery_assets.engine.spark import Spark
spark = Spark()
spark.spark_session
spark.hold(spark.spark_session.range(3))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate temporary folder of the system for this test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def spark() -> Iterator[Spark]:
    spark = Spark()
    yield spark
    spark.stop()


def held_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(f"{PREFIX}*")]


def test_a_held_frame_is_computed_once(temporary: Path, spark: Spark) -> None:
    random = spark.spark_session.range(100).select(F.rand().alias("number"))
    held = spark.hold(random)
    assert held.collect() == held.collect()
    assert held.columns == ["number"]
    assert len(held_in(temporary)) == 1
    spark.stop()
    assert held_in(temporary) == []


def test_two_runs_hold_their_frames_in_separate_folders(temporary: Path, spark: Spark) -> None:
    other = Spark()
    frames = [each.hold(each.spark_session.range(3)) for each in (spark, other)]
    assert len(held_in(temporary)) == 2
    assert [frame.count() for frame in frames] == [3, 3]
    other.stop()
    assert len(held_in(temporary)) == 1
    assert frames[0].count() == 3


def test_frames_of_a_killed_run_are_deleted_by_the_next_run(temporary: Path, spark: Spark) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = held_in(temporary)
    assert spark.spark_session.range(1).count() == 1
    (new,) = held_in(temporary)
    assert new != left


@pytest.mark.slow("needs Java")
@pytest.mark.xdist_group("spark")
def test_a_spark_server_holds_frames_until_the_run_ends(apache_spark: str) -> None:
    spark, other = Spark(remote=apache_spark), Spark(remote=apache_spark)
    try:
        numbers = spark.spark_session.range(100)
        held = spark.hold(numbers)
        assert held.count() == 100
        assert held.storageLevel.useMemory
        spark.stop()
        assert not other.spark_session.range(100).storageLevel.useMemory
    finally:
        spark.stop()
        other.stop()
