"""Other tools that read Delta tables."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import polars as pl
from deltalake import DeltaTable

from brewery_assets.aws import Aws
from brewery_assets.engine.s3a import settings
from brewery_assets.engine.spark import Spark
from brewery_assets_tests.checkout import ROOT
from brewery_assets_tests.spark_servers import LIGHT, missing, require_java

Row = dict[str, Any]
Reader = Callable[
    [str, list[int | None]], list[list[Row]]
]  # the rows of each version; None: newest
DUCKDB = ROOT / ".duckdb"


def with_deltalake(uri: str, versions: list[int | None]) -> list[list[Row]]:
    return [_table(uri, version).to_pyarrow_table().to_pylist() for version in versions]


def with_pandas(uri: str, versions: list[int | None]) -> list[list[Row]]:
    # Not typed: older pandas, for Python 3.10, declares no `where` with None.
    frames: list[Any] = [_table(uri, version).to_pandas() for version in versions]
    known = [frame.astype(object).where(frame.notna(), None) for frame in frames]
    return [
        [dict(zip(frame.columns, row, strict=True)) for row in frame.to_numpy().tolist()]
        for frame in known
    ]


def with_polars(uri: str, versions: list[int | None]) -> list[list[Row]]:
    return [
        pl.read_delta(uri, version=version, storage_options=_options(uri)).to_dicts()
        for version in versions
    ]


def with_sail(uri: str, versions: list[int | None]) -> list[list[Row]]:
    spark = Spark(s3=Aws() if uri.startswith("s3://") else None)
    try:
        found = []
        for version in versions:
            reader = spark.spark_session.read.format("delta")
            if version is not None:
                reader = reader.option("versionAsOf", version)
            found.append([row.asDict() for row in reader.load(uri).collect()])
        return found
    finally:
        spark.stop()


IN_DUCKDB = """
import json, os, sys
from pathlib import Path
import duckdb, duckdb_extension_delta, duckdb_extension_httpfs
connection = duckdb.connect()
for wheel in (duckdb_extension_httpfs, duckdb_extension_delta):
    (extension,) = Path(wheel.__path__[0]).rglob("*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
if "AWS_ENDPOINT_URL" in os.environ:
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', "
        f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', REGION '{os.environ['AWS_REGION']}', "
        f"ENDPOINT '{os.environ['AWS_ENDPOINT_URL'].removeprefix('http://')}', "
        "URL_STYLE 'path', USE_SSL false)"
    )
found = []
for version in json.loads(sys.argv[2]):
    of = "" if version is None else f", version = {version}"
    rows = connection.execute(f"FROM delta_scan('{sys.argv[1]}'{of})")
    names = [column[0] for column in rows.description]
    found.append([dict(zip(names, row)) for row in rows.fetchall()])
print(json.dumps(found))
"""


def with_duckdb(uri: str, versions: list[int | None]) -> list[list[Row]]:
    """Runs in a separate environment, because only an older DuckDB has the extension as a wheel."""
    if not (DUCKDB / "installed").exists():
        missing("`make duckdb_delta` installs the DuckDB with its delta extension that this needs")
    return _printed([f"{DUCKDB}/bin/python", "-c", IN_DUCKDB, uri, json.dumps(versions)], {})


IN_SPARK = """
import json, sys
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[1]")
for name, value in json.loads(sys.argv[3]).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
found = []
for version in json.loads(sys.argv[2]):
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    found.append([row.asDict() for row in reader.load(sys.argv[1]).collect()])
print(json.dumps(found))
"""
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "1",  # instead of 50 tasks for each version
}


def with_spark(uri: str, versions: list[int | None]) -> list[list[Row]]:
    """Apache Spark 4.1 in a JVM, with Delta Lake's own package."""
    conf = settings(Aws().engine_settings())
    # Earlier versions fail at a checkpoint on Spark 4.1.2: NoSuchMethodError.
    conf["spark.jars.packages"] += ",io.delta:delta-spark_4.1_2.13:4.3.0"
    command = [sys.executable, "-c", IN_SPARK, uri, json.dumps(versions)]
    return _printed([*command, json.dumps({**conf, **DELTA})], {**LIGHT, **require_java()})


def _printed(command: list[str], environment: dict[str, str]) -> list[list[Row]]:
    """The rows that a script prints, in a process where PySpark is not set up for Connect."""
    inherited = {n: value for n, value in os.environ.items() if not n.startswith("SPARK_")}
    done = subprocess.run(
        command,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[list[Row]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _table(uri: str, version: int | None) -> DeltaTable:
    return DeltaTable(uri, version=version, storage_options=_options(uri))


def _options(uri: str) -> dict[str, str]:
    if not uri.startswith("s3://"):
        return {}
    return {name: value for name, value in Aws().engine_settings().items() if value}
