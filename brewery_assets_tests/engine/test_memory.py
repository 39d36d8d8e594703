"""How much memory a run may use, and the error if that is too little."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from brewery_assets.engine import engines as spark_engines
from brewery_assets.engine.engines import Sail
from brewery_assets.engine.memory import memory_allowed
from brewery_assets.engine.spark import Spark
from brewery_assets.settings import SettingsError

ROWS = 400_000
MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("membership", "limits", "allowed"),
    [
        pytest.param("0::/", {}, MACHINE, id="no limit"),
        pytest.param(
            "0::/system.slice/dagster.service",
            {"system.slice/dagster.service/memory.max": "max", "system.slice/memory.max": "5000"},
            5000,
            id="a service, version 2",
        ),
        pytest.param("0::/", {"memory.max": "4000"}, 4000, id="a container, version 2"),
        pytest.param(
            "3:cpu,cpuacct:/docker/1a2b\n2:memory:/docker/1a2b\n0::/",
            {"memory/memory.limit_in_bytes": "3000"},
            3000,
            id="a container that sees its own group as the root, version 1",
        ),
        pytest.param(
            "2:memory:/",
            {"memory/memory.limit_in_bytes": str(2**63 - 4096)},
            MACHINE,
            id="no limit, version 1",
        ),
    ],
)
def test_the_lowest_limit_counts(
    tmp_path: Path, membership: str, limits: dict[str, str], allowed: int
) -> None:
    own = tmp_path / "membership"
    own.write_text(f"{membership}\n")
    for name, limit in limits.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    assert memory_allowed(tmp_path / "groups", own) == allowed


def test_without_control_groups_the_memory_of_the_machine_counts(tmp_path: Path) -> None:
    assert memory_allowed(tmp_path / "none", tmp_path / "none") == MACHINE


def test_too_little_memory_is_an_error_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    Sail(s3=None).require()
    monkeypatch.setattr(spark_engines, "NEEDED", 2 * MACHINE)
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
    monkeypatch.setenv("SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE", "1000000")
    with pytest.raises(PySparkException, match=r"(?i)memory|resources exhausted"):
        rows_sorted()
    monkeypatch.setenv("SAIL_EXECUTION__DEFAULT_PARALLELISM", "4")
    monkeypatch.setenv("SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE", "120000000")
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
            {"tasks": "2", "pool": "125000000"},
            id="wide rows, more of them than fit into the pool",
        ),
        pytest.param(
            GATHERED,
            {"tasks": "16", "pool": "250000000"},
            id="long rows, sorted for the files on disk",
        ),
    ],
)
def test_with_little_memory_and_many_cores_rows_are_held_and_sorted_without_a_hang(
    script: str, settings: dict[str, str]
) -> None:
    names = {
        "tasks": "SAIL_EXECUTION__DEFAULT_PARALLELISM",
        "pool": "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE",
    }
    found = subprocess.run(  # a process, because an engine that hangs cannot be stopped
        [sys.executable, "-c", IN_A_PROCESS + script, str(ROWS)],
        env=os.environ | {names[name]: value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    assert found.stdout.split()[-1] == str(ROWS)
