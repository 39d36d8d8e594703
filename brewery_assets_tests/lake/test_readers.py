"""Common tools read the Delta tables, in a folder and on S3."""

from pathlib import Path

import dagster as dg
import pytest

from brewery_assets.lake.lake import Lake
from brewery_assets_tests.lake.readers import (
    Reader,
    with_deltalake,
    with_duckdb,
    with_pandas,
    with_polars,
    with_sail,
    with_spark,
)
from brewery_assets_tests.lake.tables import OLDER, TABLE, Row, commit, of_run, publish
from demo.s3 import S3Server

RUN = "1a2b3c4d-0000-4000-8000-000000000000"
FIRST: list[Row] = [
    {"id": "a", "name": "A", "country": "italy"},
    {"id": "b", "name": None, "country": "italy"},
    {"id": "c", "name": "C", "country": "unknown"},
]
LAST: list[Row] = [
    {"id": "a", "name": None, "latitude": 1.5, "country": "italy"},
    {"id": "d", "name": "D ü", "latitude": None, "country": "france"},
]
IN_PROCESS = (with_deltalake, with_pandas, with_polars, with_sail)
IN_ANOTHER = (with_duckdb, with_spark)


def by_id(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["id"]))


def reads_all(lake: Lake, read: Reader) -> None:
    """Reads the newest version, one without rows, one with fewer columns, and an older one.

    The log has a checkpoint, and the rows have nulls.
    """
    publish(lake, FIRST, OLDER)
    publish(lake, [])
    for _ in range(10):
        publish(lake, LAST)
    publish(lake, LAST[:1])
    assert commit(lake).number == 12
    table = lake.storage.uri(TABLE.name)
    newest, empty, oldest, later = read(table, [None, 1, 0, 11])
    assert newest == LAST[:1]
    assert empty == []
    assert by_id(oldest) == FIRST
    assert by_id(later) == LAST


@pytest.mark.parametrize(
    "read",
    [
        *IN_PROCESS,
        *(
            pytest.param(read, marks=pytest.mark.slow("Java, or another DuckDB"))
            for read in IN_ANOTHER
        ),
    ],
)
def test_a_reader_sees_the_newest_version_and_older_ones(
    folder: Path, instance: dg.DagsterInstance, read: Reader
) -> None:
    reads_all(of_run(str(folder), instance, RUN), read)


@pytest.mark.slow("Java, another DuckDB and an S3 server")
@pytest.mark.parametrize("read", [*IN_PROCESS, *IN_ANOTHER])
def test_a_reader_sees_the_newest_version_and_older_ones_on_s3(
    s3: S3Server, prefix: str, instance: dg.DagsterInstance, read: Reader
) -> None:
    reads_all(of_run(f"s3://lake/{prefix}", instance, RUN), read)
