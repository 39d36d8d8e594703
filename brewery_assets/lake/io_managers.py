"""The IO managers: what an asset returns becomes a draft in the lake, what it asks for a frame."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import dagster as dg
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from brewery_assets.engine.runs import is_over
from brewery_assets.engine.spark import Spark
from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.tables import Look, Table, Versions, empty, text
from brewery_assets.source.reader import Reading

CODEC = "zstd"
BRONZE_SCHEMA = StructType([text("line", "One record as JSON, as the API served it.")])
READ_SNAPSHOT = {
    "read_snapshot": dg.Field(
        str,
        is_required=False,
        description="The published snapshot that assets are to read, in place of the newest.",
    )
}


class Written(NamedTuple):
    """Of what was written, the facts that the manifest keeps, and what the UI shows besides."""

    facts: dict[str, Any]
    shown: dict[str, Any]


class SnapshotIOManager(dg.IOManager):
    """Writes a draft of a new snapshot."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    @abstractmethod
    def write(self, name: str, folder: str, value: Any) -> Written:
        """Writes the value below the folder."""

    def origins(self, context: dg.OutputContext) -> list[str]:
        """The layers that the value was made from."""
        return [dep.asset_key.path[-1] for dep in context.asset_spec.deps]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        name = context.asset_key.path[-1]
        with self.lake.writing(name, context.step_key) as folder:
            started = time.monotonic()
            written = self.write(name, folder, obj)
            seconds = time.monotonic() - started
            made_from = {of: self.lake.reading(of).snapshot for of in self.origins(context)}
            compared = self.lake.compared(name)
            draft = self.lake.stage(
                folder,
                made_from=made_from,
                compared_with=compared,
                noted={name: value.value for name, value in context.output_metadata.items()},
                **written.facts,
            )
        context.add_output_metadata(
            {
                "dagster/row_count": draft.rows,
                "dagster/size_bytes": draft.bytes,
                "dagster/uri": self.lake.storage.uri(folder),
                "snapshot": draft.snapshot,
                "files": len(draft.files),
                "seconds_to_write": round(seconds, 2),
                **{f"made_from/{origin}": snapshot for origin, snapshot in made_from.items()},
                **{f"compared_with/{origin}": older for origin, older in compared.items()},
                **written.shown,
            }
        )


class FrameSnapshots(SnapshotIOManager):
    """The same of tables; reads this run's snapshot, the newest published one, or another."""

    def __init__(self, lake: Lake, spark: Spark, read_snapshot: str | None) -> None:
        super().__init__(lake)
        self.spark = spark
        self.read_snapshot = read_snapshot

    @abstractmethod
    def read(self, manifest: Manifest) -> DataFrame:
        """The rows of a snapshot."""

    def load_input(self, context: dg.InputContext) -> DataFrame | Versions:
        layer = context.asset_key.path[-1]
        about = context.definition_metadata
        snapshot = self.read_snapshot
        if later := about.get("behind"):  # not a newer one, which that layer has yet to count
            snapshot = self.lake.reading(later).made_from[layer]
        now = self.read(self.lake.reading(layer, snapshot))
        if not (reader := about.get("since")):
            return now
        before = self.lake.since(layer, reader)
        return Versions(now, self.read(before) if before else None)


class JsonLinesSnapshots(FrameSnapshots):
    """Bronze: one JSON Lines file, read back as lines of text."""

    FILE = "breweries.json"

    def write(self, name: str, folder: str, value: Reading) -> Written:
        self.lake.storage.write(f"{folder}/{self.FILE}", value.content)
        source = {**value.facts, "sha256": value.sha256}
        shown = ("verified", "requests", "retries", "duplicates_dropped", "sha256")
        columns = {
            name: " or ".join(sorted({*kinds} - {"null"})) or "null"
            for name, kinds in source["fields"].items()
        }
        return Written(
            {"rows": len(value.lines), "codec": "none", "columns": columns, "source": source},
            {f"source/{name}": source[name] for name in shown},
        )

    def read(self, manifest: Manifest) -> DataFrame:
        session = self.spark.spark_session
        if manifest.rows == 0:
            return empty(session, BRONZE_SCHEMA)
        path = self.lake.storage.uri(f"{manifest.folder}/{self.FILE}")
        # Not withColumnRenamed: a Spark 3.5 server does not know how newer clients say that.
        lines: DataFrame = session.read.text(path).select(F.col("value").alias("line"))
        return lines


class ParquetSnapshots(FrameSnapshots):
    """Silver and gold: Parquet, written and read by the engine under a written-out schema."""

    def __init__(
        self, lake: Lake, spark: Spark, read_snapshot: str | None, tables: Sequence[Table]
    ) -> None:
        super().__init__(lake, spark, read_snapshot)
        self.tables = {table.name: table for table in tables}
        self._held: dict[str, DataFrame] = {}  # what this run wrote, by folder

    def write(self, name: str, folder: str, value: DataFrame) -> Written:
        table = self.tables[name]
        path = self.lake.storage.uri(folder)

        def write() -> Look:
            rows = self._held[folder] = self.spark.hold(value.select(*table.columns))
            writer = table.files_of(rows).write.option("compression", CODEC)
            writer.partitionBy(*table.partition_by).parquet(path)
            look = table.look(rows)
            written = self._frame(table.schema, path).count()  # from the footers
            if written != look.rows:
                raise LakeError(f"{path}: {written:,} rows were written of {look.rows:,}")
            return look

        try:
            look = self.lake.through_outages(write, writes=folder)
        except PySparkException as error:  # the engine's own words do not always say where
            raise LakeError(f"{path} could not be written: {error}") from error
        shown = {
            "dagster/column_schema": table.column_schema(),
            "dagster/column_lineage": table.column_lineage(),
            "preview": dg.MetadataValue.md(look.preview),
        }
        return Written({"rows": look.rows, "codec": CODEC, "columns": table.types}, shown)

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
    one a second time, and with it a second engine.
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
        if not is_over(context):  # whatever this run does, it does with the engine
            resources.spark.start_soon()
        read_snapshot = context.resource_config.get("read_snapshot")
        return ParquetSnapshots(resources.lake, resources.spark, read_snapshot, tables)

    return parquet_snapshots
