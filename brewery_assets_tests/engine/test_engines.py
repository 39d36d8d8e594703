"""Every engine gives the same rows: Sail, Apache Spark 4.1, and the Spark 3.5 that EMR runs."""

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from brewery_assets_tests.checkout import Checkout
from brewery_assets_tests.conftest import TABLES, Pipeline
from brewery_assets_tests.scenario import BROKEN, ROWS, row
from brewery_assets_tests.spark_servers import LIGHT, require_java, spark_3_5_server
from demo.data import Row
from demo.s3 import S3Server

pytestmark = pytest.mark.slow("needs Java")
# One server for each version: its tests run one after another in one process.
SPARK_4_1 = pytest.mark.xdist_group("spark")
SPARK_3_5 = pytest.mark.xdist_group("spark-3.5")

PLACE = "Italy/Bolzano/Bolzano"
TEXTS: tuple[Any, ...] = (
    *(5, 5.0, 1.5, -0.0, 12345678901234567890, True, False, [], {}, ["a", 1], {"a": [None, 1]}),
    *("", " x ", "null", "NaN", "\u0000", "a\u2028b", "\U0001f37a", "\x7f", "\ufeffx", "a\\b"),
    *('q"q', "tab\tx", "\u00e9", "e\u0301", "line\nbreak\r\n", "\u00a0x\u3000"),
)
NUMBERS: tuple[Any, ...] = (
    *("1e1", " 12 ", "+5", "0x10", ".5", "5.", "1_000", "180.0000001", "-180", "1e400", "-0"),
    *("\u0661\u0662", "1,5", "12d", "12f", "NaN", "Infinity", "\u00a012.5\u2003", ""),
    *(True, [1], {"a": 1}, 12, -12.5, 1e2, 1e-5, 9999999999999999999, 0.1 + 0.2, 5e-324),
    41.12345678901234,
)
PLACES: tuple[Any, ...] = (
    *("a/b", "..", ".", "%41", "=", "\U0001f37a", "  ", "044", "null", "a'b", 'a"b', "#", "?", "*"),
    *("\u00cele-de-France ", "ILE DE FRANCE", "ile-de-france", "__HIVE_DEFAULT_PARTITION__"),
    *("\u65e5\u672c", "\u00df", "\u0130stanbul", "x" * 200, 7, True),
)


def odd(kind: str, number: int, **fields: Any) -> Row:
    return {**row("Odd", PLACE, id=f"{kind}-{number:03}"), **fields}


def countable(value: Any) -> bool:
    """Whether the demo API can count rows by this value for /meta."""
    return not isinstance(value, list | dict)


ODD_VALUES: list[Row] = [
    *ROWS,
    *(odd("text", n, phone=value, postal_code=value) for n, value in enumerate(TEXTS)),
    *(odd("name", n, name=value) for n, value in enumerate(TEXTS)),
    *(odd("type", n, brewery_type=value) for n, value in enumerate(TEXTS) if countable(value)),
    *(odd("number", n, longitude=value, latitude=value) for n, value in enumerate(NUMBERS)),
    *({"id": f"few-{n}", "name": "Few", "tags": [{"deep": n}]} for n in range(2)),
    {"name": "Without an id"},
    {"id": "without-a-name"},
    {"id": "   ", "name": "With a blank id"},
]
ODD: list[Row] = [  # each place is a file, so this takes longer
    *ODD_VALUES,
    *(odd("state", n, state_province=value) for n, value in enumerate(PLACES)),
    *(odd("country", n, country=value) for n, value in enumerate(PLACES)),
]


class Content(NamedTuple):
    """What an engine wrote: sorted rows, columns with their types, folders."""

    rows: list[str]
    columns: set[tuple[str, ...]]
    folders: set[str]


def content(pipeline: Pipeline, table: str) -> Content:
    manifest = pipeline.newest(table)
    columns = set()
    for file in manifest.files:
        found = pipeline.lake.storage.read(f"{manifest.folder}/{file.path}")
        schema = pq.read_schema(pa.BufferReader(found))
        kinds = [(field.name, str(field.type)) for field in schema]
        # Sail names the elements of a list `item`, others `element`. No reader uses the name.
        columns.add(tuple(f"{name} {kind.replace('<item:', '<element:')}" for name, kind in kinds))
    rows = [json.dumps(row, sort_keys=True) for row in pipeline.rows(table)]
    folders = {file.path.rpartition("/")[0] for file in manifest.files}
    # Without rows, Apache Spark writes an empty file and Sail writes none.
    return Content(sorted(rows), columns, folders) if rows else Content([], set(), set())


@pytest.fixture(scope="session")
def apache_spark_3_5() -> Iterator[str]:
    with spark_3_5_server() as address:
        yield address


def other(rows: list[Row]) -> list[Row]:
    """Other rows: from them to the given rows, some are added, some removed, many changed."""
    shifted = pairwise(rows)
    changed = [{**one, **another, "id": one.get("id")} for one, another in shifted]
    return [{**changed[0], "id": "gone"}, *changed[3:]]


def changes_read_by(pipeline: Pipeline) -> list[tuple[str | None, ...]]:
    """Every changed column, as the pipeline's engine reads it from another engine's table."""
    manifest = pipeline.newest("gold_brewery_changes")
    resources = pipeline.resources()
    needed = ("lake", "spark", "parquet_snapshots")
    with dg.build_resources({name: resources[name] for name in needed}) as run:
        changes = run.parquet_snapshots.read(manifest)
        changed = changes.select("id", F.inline("changed_columns")).collect()
    return [tuple(row) for row in changed]


def compare(pipeline: Pipeline, rows: list[Row], engine: str) -> None:
    """Sail and another engine write the same tables from the same rows and each other's tables."""
    pipeline.api.rows[:] = other(rows)
    pipeline.run()
    pipeline.api.rows[:] = rows
    pipeline.run()
    expected = {table: content(pipeline, table) for table in TABLES}
    assert len(expected["silver_breweries"].rows) > len(rows) * 0.9
    assert len(expected["gold_brewery_changes"].rows) > len(rows) * 0.8

    pipeline.spark_remote = engine
    assert changes_read_by(pipeline) == [
        (row["id"], change["column"], change["old"], change["new"])
        for row in pipeline.rows("gold_brewery_changes")
        for change in row["changed_columns"]
    ]
    pipeline.spark_remote = None
    pipeline.api.rows[:] = other(rows)
    pipeline.run()
    pipeline.spark_remote = engine
    pipeline.api.rows[:] = rows
    pipeline.run()  # its changes are from Sail's silver to its own
    for table in TABLES:
        assert content(pipeline, table) == expected[table]

    pipeline.spark_remote = None
    pipeline.run("gold_brewery_counts")  # from the other engine's silver
    assert content(pipeline, "gold_brewery_counts") == expected["gold_brewery_counts"]


@SPARK_4_1
def test_apache_spark_writes_the_same_tables_on_s3(
    pipeline_on_s3: Pipeline, apache_spark: str
) -> None:
    compare(pipeline_on_s3, ODD_VALUES, apache_spark)


@SPARK_4_1
def test_apache_spark_writes_the_same_tables_from_real_and_odd_rows_in_a_folder(
    pipeline: Pipeline, apache_spark: str, real_rows: list[Row]
) -> None:
    ids = {row.get("id") for row in ODD}
    pipeline.api.rows[:] = [*ODD, *(row for row in real_rows if row["id"] not in ids)]
    pipeline.spark_remote = apache_spark
    pipeline.run()
    found = {table: content(pipeline, table) for table in TABLES}
    assert len(found["silver_breweries"].rows) > len(real_rows)
    pipeline.spark_remote = None
    pipeline.run()  # its changes are from Apache Spark's silver to its own
    assert found == {table: content(pipeline, table) for table in TABLES}


@SPARK_3_5
def test_the_spark_version_of_emr_writes_the_same_tables(
    pipeline: Pipeline, apache_spark_3_5: str
) -> None:
    compare(pipeline, ODD, apache_spark_3_5)


@SPARK_4_1
def test_apache_spark_writes_empty_tables_if_all_lines_are_rejected(
    pipeline_on_s3: Pipeline, apache_spark: str
) -> None:
    pipeline = pipeline_on_s3
    pipeline.api.rows[:] = BROKEN
    for engine in (apache_spark, None):
        pipeline.spark_remote = engine
        run = pipeline.run(fails=True)
        tables = [table for table in TABLES if table != "gold_brewery_counts"]
        rows = {table: pipeline.newest(table).rows for table in tables}
        assert rows == {**dict.fromkeys(tables, 0), "rejected_breweries": 2}
        (empty,) = [
            found
            for found in run.get_asset_check_evaluations()
            if found.check_name == "gold_is_not_empty"
        ]
        assert empty.metadata["rows"].value == 0
        assert pipeline.lake.newest("gold_brewery_counts") is None


@SPARK_4_1
def test_apache_spark_inside_a_run_writes_to_s3_and_ends_with_the_run(
    pipeline_on_s3: Pipeline, s3: S3Server, tmp_path: Path
) -> None:
    require_java()
    settings = {"BREWERY_API_URL": pipeline_on_s3.api.url, "LAKE_URI": pipeline_on_s3.uri}
    checkout = Checkout(
        tmp_path / "checkout", {**settings, **s3.environment(), **LIGHT, "SPARK_REMOTE": "local[2]"}
    )
    process = checkout.start(*checkout.job())
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "Spark engine: local[2]" in said
    assert len(pipeline_on_s3.rows("gold_brewery_counts")) == 9
    left = [found for found in psutil.process_iter() if _session_of(found) == process.pid]
    assert not psutil.wait_procs(left, timeout=120)[1]


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None
