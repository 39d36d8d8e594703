"""A small table and how tests publish it, without an engine."""

import io
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.types import DoubleType, StructType

from brewery_assets.lake.delta import Version, follow
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.storage import Storage
from brewery_assets.lake.tables import Preview, Table, column, text

Row = dict[str, Any]
SCHEMA = StructType(
    [
        text("id", "The key."),
        text("name", "May be null."),
        column("latitude", DoubleType(), "Added later."),
        text("country", "A slug."),
    ]
)
TABLE = Table("silver", SCHEMA, lambda _: Preview(0, ""), partition_by=("country",))
OLDER = ("id", "name", "country")
ARROW = {"string": pa.string(), "double": pa.float64()}


def of_run(
    uri: str,
    instance: dg.DagsterInstance,
    run_id: str,
    kept: int = 30,
    storage: Storage | None = None,
) -> Lake:
    """The lake as a run of the instance sees it; `storage` saves the time to open it."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        run = dg.DagsterRun("job", run_id)
        instance.add_run(run)
    lake = Lake(uri=uri, snapshots_kept=kept)
    lake._storage = storage
    context = dg.build_init_resource_context(instance=instance)
    context._dagster_run = run  # the builder takes no run
    lake.setup_for_execution(context)
    return lake


def write(lake: Lake, rows: list[Row], columns: Sequence[str] = TABLE.columns) -> str:
    """Writes a draft with a file for each country and returns its folder."""
    schema = pa.schema([(name, ARROW[TABLE.types[name]]) for name in columns if name != "country"])
    with lake.writing(TABLE.name) as folder:
        for country in sorted({row["country"] for row in rows}):
            of_it = [row for row in rows if row["country"] == country]
            content = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(of_it, schema), content)
            path = f"{folder}/country={country}/part-0.zstd.parquet"
            lake.storage.write(path, content.getvalue())
    return folder


def publish(lake: Lake, rows: list[Row], columns: Sequence[str] = TABLE.columns) -> Manifest:
    """Publishes a snapshot, but does not commit it to the Delta log."""
    countries = [row["country"] for row in rows]
    return lake.publish(
        write(lake, rows, columns),
        rows=len(rows),
        codec="zstd",
        columns={name: TABLE.types[name] for name in columns},
        rows_by_folder={f"country={name}": countries.count(name) for name in countries},
    )


def commit(lake: Lake) -> Version:
    """Commits the published snapshots to the Delta log."""
    version = follow(lake, TABLE)
    assert version is not None
    return version
