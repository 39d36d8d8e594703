"""The memory of the embedded engine, and the error if that is too little."""

import os
import subprocess
import sys

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from brewery_assets.engine import engines as spark_engines
from brewery_assets.engine.engines import Sail
from brewery_assets.engine.errors import message_of
from brewery_assets.engine.spark import Spark
from brewery_assets.settings import SettingsError

ROWS = 400_000
TASKS = "SAIL_EXECUTION__DEFAULT_PARALLELISM"
POOL = "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE"


def test_too_little_memory_is_an_error_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    Sail(s3=None).require()
    monkeypatch.setattr(spark_engines, "NEEDED", 10**15)
    with pytest.raises(SettingsError, match=r"^A run needs about \d+ MB of memory, but only \d+ "):
        Sail(s3=None).require()


def rows_sorted() -> int:
    """The number of rows after sorting 240 MB of text in a new engine."""
    spark = Spark()
    try:
        numbers = spark.spark_session.range(ROWS)
        text = F.concat(F.reverse(F.col("id").cast("string")), F.lit("x" * 600))
        rows = numbers.select(text.alias("text"))
        return spark.hold(rows.orderBy("text")).count()
    finally:
        spark.stop()


def test_rows_that_do_not_fit_into_the_engines_memory_are_sorted_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(POOL, "1000000")
    with pytest.raises(PySparkException) as full:
        rows_sorted()
    assert message_of(full.value).startswith(
        "the rows do not fit into the memory of the embedded engine. Set SPARK_REMOTE to Apache "
    )
    monkeypatch.setenv(TASKS, "4")
    monkeypatch.setenv(POOL, "120000000")
    assert rows_sorted() == ROWS


IN_A_PROCESS = """
import os, sys
from pyspark.sql import functions as F
from brewery_assets.engine import engines
from brewery_assets.engine.spark import Spark
engines.memory_allowed = lambda: engines.NEEDED
os.cpu_count = lambda: 64
spark = Spark()
numbers = spark.spark_session.range(int(sys.argv[1]))
def text(i):
    return F.md5(F.concat("id", F.lit(str(i))))
"""
GATHERED = """
long = numbers.select(F.concat(text(0), F.lit("x" * 600)).alias("text"))
print(spark.hold(spark.gather(long, "text").sortWithinPartitions("text")).count())
spark.stop()
"""
HELD = """
print(spark.hold(numbers.select(*(text(i).alias(f"text_{i}") for i in range(14)))).count())
spark.stop()
"""


@pytest.mark.parametrize(
    ("script", "settings"),
    [
        pytest.param(HELD, {}, id="wide rows, as many tasks as fit into the pool"),
        pytest.param(
            HELD,
            {TASKS: "2", POOL: "125000000"},
            id="wide rows, more of them than fit into the pool",
        ),
        pytest.param(
            GATHERED,
            {TASKS: "16", POOL: "250000000"},
            id="long rows, sorted for the files on disk",
        ),
    ],
)
def test_with_little_memory_and_many_cores_rows_are_held_and_sorted_without_a_hang(
    script: str, settings: dict[str, str]
) -> None:
    found = subprocess.run(  # a process, because an engine that hangs cannot be stopped
        [sys.executable, "-c", IN_A_PROCESS + script, str(ROWS)],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    assert found.stdout.split()[-1] == str(ROWS)
