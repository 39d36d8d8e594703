"""The IO managers: they store and publish what an asset returns, and load its inputs."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from brewery_assets.engine.errors import message_of
from brewery_assets.engine.runs import is_over
from brewery_assets.engine.spark import Spark
from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.outages import WrongRowsError
from brewery_assets.lake.storage import StoredFile
from brewery_assets.lake.tables import Table, empty, text
from brewery_assets.source.reader import Reading

CODEC = "zstd"
BRONZE_SCHEMA = StructType([text("line", "One record as JSON, as the API served it.")])
READ_SNAPSHOT = {
    "read_snapshot": dg.Field(
        str,
        is_required=False,
        description="The published snapshot that assets read instead of the newest.",
    )
}


@dataclass(frozen=True)
class Candidate:
    """The output of an asset, which its IO manager stores and publishes as one snapshot.

    Attributes:
        layer: the asset's name.
        value: a frame that the engine holds, a `Reading` of the source, or a report.
        rows: the number of rows.
        made_from: the snapshot of each layer that the value was made from.
        compared_with: the older snapshot, by layer, if the value compares two snapshots.
        checks: name, outcome and numbers of each check.
        shown: metadata for the UI.
    """

    layer: str
    value: Any
    rows: int
    made_from: dict[str, str] = field(default_factory=dict)
    compared_with: dict[str, str] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)


class SnapshotIOManager(dg.IOManager):
    """Writes and publishes a candidate; only then does Dagster log the materialization."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    @abstractmethod
    def write(self, folder: str, candidate: Candidate) -> dict[str, Any]:
        """Writes the value below the folder; returns codec, columns, … for the manifest."""

    def handle_output(self, context: dg.OutputContext, obj: Candidate) -> None:
        started = time.monotonic()
        with self.lake.writing(obj.layer) as folder:
            facts = self.write(folder, obj)
            manifest = self.lake.publish(
                folder,
                rows=obj.rows,
                made_from=obj.made_from,
                compared_with=obj.compared_with,
                checks=obj.checks,
                **facts,
            )
        uri = self.lake.storage.uri(folder)
        context.log.info(f"published {uri}")
        context.add_output_metadata(
            {
                "dagster/row_count": manifest.rows,
                "dagster/size_bytes": manifest.bytes,
                "dagster/uri": uri,
                "snapshot": manifest.snapshot,
                "files": len(manifest.files),
                "seconds_to_write": round(time.monotonic() - started, 2),
                **self.after_publication(context, manifest),
                **{f"made_from/{layer}": name for layer, name in obj.made_from.items()},
                **{f"compared_with/{layer}": name for layer, name in obj.compared_with.items()},
                **obj.shown,
            }
        )

    def after_publication(self, context: dg.OutputContext, manifest: Manifest) -> dict[str, Any]:
        """Further work on a published snapshot; returns metadata for the UI."""
        return {}

    def keep_draft(self, candidate: Candidate) -> None:
        """Writes a candidate that a check refused, unpublished, so that people can inspect it."""
        with self.lake.writing(candidate.layer) as folder:
            self.write(folder, candidate)


class FrameSnapshots(SnapshotIOManager):
    """The base class for tables; reads this run's snapshot, the newest one, or a named one."""

    def __init__(self, lake: Lake, spark: Spark, read_snapshot: str | None) -> None:
        super().__init__(lake)
        self.spark = spark
        self.read_snapshot = read_snapshot

    @abstractmethod
    def read(self, manifest: Manifest) -> DataFrame:
        """The rows of a snapshot."""

    def load_input(self, context: dg.InputContext) -> DataFrame:
        return self.read(self.lake.reading(context.asset_key.path[-1], self.read_snapshot))


class JsonLinesSnapshots(FrameSnapshots):
    """Bronze: one JSON Lines file, read back as lines of text."""

    FILE = "breweries.json"

    def write(self, folder: str, candidate: Candidate) -> dict[str, Any]:
        reading: Reading = candidate.value
        path = f"{folder}/{self.FILE}"
        self.lake.storage.write(path, reading.content)
        if self.lake.storage.sha256(path) != reading.sha256:
            raise LakeError(
                f"{self.lake.storage.uri(path)} differs from what was read from the source"
            )
        source = {**reading.facts, "sha256": reading.sha256}
        return {"codec": "none", "columns": reading.columns, "source": source}

    def read(self, manifest: Manifest) -> DataFrame:
        session = self.spark.spark_session
        if manifest.rows == 0:
            return empty(session, BRONZE_SCHEMA)
        path = self.lake.storage.uri(f"{manifest.folder}/{self.FILE}")
        # Not withColumnRenamed: a Spark 3.5 server does not understand it from newer clients.
        lines: DataFrame = session.read.text(path).select(F.col("value").alias("line"))
        return lines


class ParquetSnapshots(FrameSnapshots):
    """Silver and gold: Parquet, written and read by the engine with an explicit schema."""

    def __init__(
        self, lake: Lake, spark: Spark, read_snapshot: str | None, tables: Sequence[Table]
    ) -> None:
        super().__init__(lake, spark, read_snapshot)
        self.tables = {table.name: table for table in tables}
        self._held: dict[str, DataFrame] = {}  # what this run wrote, by folder

    def write(self, folder: str, candidate: Candidate) -> dict[str, Any]:
        table, frame = self.tables[candidate.layer], candidate.value
        path = self.lake.storage.uri(folder)

        def write() -> list[StoredFile]:
            rows = table.sorted(self.spark.gather(frame, *table.partition_by))
            writer = rows.write.option("compression", CODEC)
            writer.partitionBy(*table.partition_by).parquet(path)
            files = self.lake.data_files(folder)  # first: a file that arrives now is counted
            written = self._frame(table.schema, path).count()  # from the footers
            if written != candidate.rows:
                raise WrongRowsError(f"{path}: {written:,} of {candidate.rows:,} rows were written")
            return files

        try:
            files = self.lake.through_outages(write, writes=folder)
        except WrongRowsError as error:
            raise LakeError(str(error)) from None
        except PySparkException as error:  # the engine's message may lack the path
            raise LakeError(f"{path} could not be written: {message_of(error)}") from error
        self._held[folder] = frame
        return {
            "files": files,
            "codec": CODEC,
            "columns": table.types,
            "rows_by_folder": table.rows_by_folder(frame),
        }

    def after_publication(self, context: dg.OutputContext, manifest: Manifest) -> dict[str, Any]:
        """Makes the snapshot the newest version of the layer's Delta table."""
        from brewery_assets.lake.delta import UnsafeStoreError, follow

        try:
            version = follow(self.lake, self.tables[manifest.layer])
        except UnsafeStoreError as error:
            self.lake.warn_once(str(error))
            return {}
        except Exception as error:  # the snapshot is published anyway
            context.log.warning(
                f"{manifest.layer}: {manifest.snapshot} is published, but is not the newest "
                f"version of the Delta table: {error}. The next run tries again, and "
                "`make verify REPAIR=1` does too"
            )
            return {}
        if version is None or version.snapshot != manifest.snapshot:  # another run's is newer
            return {}
        return {"delta_version": version.number}

    def read(self, manifest: Manifest) -> DataFrame:
        if (held := self._held.get(manifest.folder)) is not None:
            return held
        schema = self.tables[manifest.layer].schema_of(manifest.columns)
        if manifest.rows == 0:
            return empty(self.spark.spark_session, schema)
        return self._frame(schema, self.lake.storage.uri(manifest.folder))

    def _frame(self, schema: StructType, path: str) -> DataFrame:
        # Without the schema Spark would read state=44 as a number.
        frame: DataFrame = self.spark.spark_session.read.schema(schema).parquet(path)
        return frame


@dg.io_manager(required_resource_keys={"lake", "spark"}, config_schema=READ_SNAPSHOT)
def json_lines_snapshots(context: dg.InitResourceContext) -> JsonLinesSnapshots:
    """Bronze's IO manager.

    It takes lake and spark from the run, not as nested resources: Dagster would set up a nested
    resource a second time, which would start a second engine.
    """
    resources = context.resources
    return JsonLinesSnapshots(
        resources.lake, resources.spark, context.resource_config.get("read_snapshot")
    )


def parquet_snapshots(*tables: Table) -> dg.IOManagerDefinition:
    """The IO manager of the given tables; see `json_lines_snapshots`."""

    @dg.io_manager(required_resource_keys={"lake", "spark"}, config_schema=READ_SNAPSHOT)
    def parquet_snapshots(context: dg.InitResourceContext) -> ParquetSnapshots:
        resources = context.resources
        if not is_over(context):  # every run needs the engine
            resources.spark.start_soon()
        read_snapshot = context.resource_config.get("read_snapshot")
        return ParquetSnapshots(resources.lake, resources.spark, read_snapshot, tables)

    return parquet_snapshots
