"""Silver, rejected and gold as a run makes them: `python -m benchmarks.on_engine LAKE`.

On the engine that SPARK_REMOTE names. The assets and IO managers are the project's own; what is
left out is Dagster's bookkeeping, the audits and the previews.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame

from benchmarks.clock import BRONZE, clock
from brewery_assets.definitions import resources_of
from brewery_assets.gold import GOLD, gold_brewery_counts
from brewery_assets.io_managers import parquet_snapshots
from brewery_assets.lake_manifest import Manifest, folder_of
from brewery_assets.settings import Settings
from brewery_assets.silver import REJECTED, SILVER, silver_and_rejected_breweries
from brewery_assets.tables import Look


def main(lake: str) -> None:
    """Both passes, in one session that stands when the clock starts."""
    resources = resources_of(Settings(lake_uri=lake))
    counted = [replace(table, look=_count) for table in (SILVER, REJECTED, GOLD)]
    resources["parquet_snapshots"] = parquet_snapshots(*counted)
    needed = ("lake", "spark", "json_lines_snapshots", "parquet_snapshots")
    with dg.build_resources({name: resources[name] for name in needed}) as run:
        _ = run.spark.spark_session  # starts the engine
        # One for both passes: made anew at each call it costs more than gold does.
        context = dg.build_asset_context()
        clock(lambda snapshot: _layers(run, context, snapshot))


def _count(rows: DataFrame) -> Look:
    return Look(rows.count(), "")


def _layers(run: Any, context: dg.AssetExecutionContext, snapshot: str) -> Iterator[str]:
    lines = run.json_lines_snapshots.read(_manifest(BRONZE.parts[0], "real"))
    outputs: Any = silver_and_rejected_breweries(context, lines)
    for output in outputs:
        layer = output.output_name
        run.parquet_snapshots.write(layer, folder_of(layer, snapshot), output.value)
        yield layer
    silver = run.parquet_snapshots.read(_manifest(SILVER.name, snapshot))
    counts = gold_brewery_counts(context, silver)
    run.parquet_snapshots.write(GOLD.name, folder_of(GOLD.name, snapshot), counts)
    yield GOLD.name


def _manifest(layer: str, snapshot: str) -> Manifest:
    """Enough of one to read the snapshot by."""
    return Manifest(
        snapshot=snapshot,
        layer=layer,
        run_id="",
        created_at=datetime.now(timezone.utc),
        rows=1,
        files=[],
        codec="",
    )


if __name__ == "__main__":
    main(sys.argv[1])
