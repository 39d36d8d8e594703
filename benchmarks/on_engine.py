"""Silver, rejected and gold as a run builds them: `python -m benchmarks.on_engine LAKE`.

It uses the engine in SPARK_REMOTE, and the project's layer functions and IO managers, without
Dagster's steps and events, the checks and the previews.
"""

import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame

from benchmarks.clock import BRONZE, clock
from brewery_assets.definitions import resources_of
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.tables import Table
from brewery_assets.layers.gold import GOLD, counts
from brewery_assets.layers.silver import REJECTED, SILVER, parse, refine
from brewery_assets.settings import Settings

BRONZE_MANIFEST = Manifest(
    snapshot="real",
    layer=BRONZE.parts[0],
    run_id="",
    created_at=datetime.now(timezone.utc),
    rows=1,
    files=[],
    codec="",
)


def main(lake: str) -> None:
    """Both passes, in one session that is open before the clock starts."""
    resources = resources_of(Settings(lake_uri=lake))
    needed = ("lake", "spark", "json_lines_snapshots", "parquet_snapshots")
    with dg.build_resources({name: resources[name] for name in needed}) as run:
        _ = run.spark.spark_session  # starts the engine
        clock(lambda snapshot: _layers(run, snapshot))


def _layers(run: Any, snapshot: str) -> Iterator[str]:
    def write(table: Table, frame: DataFrame) -> DataFrame:
        held: DataFrame = run.spark.hold(frame.select(*table.columns))
        candidate = Candidate(table.name, held, held.count())
        run.parquet_snapshots.write(f"{table.name}/{snapshot}", candidate)
        return held

    bronze = run.json_lines_snapshots.read(BRONZE_MANIFEST)
    refined = refine(run.spark.hold(parse(bronze)))
    silver = write(SILVER, refined.breweries)
    yield SILVER.name
    write(REJECTED, refined.rejected)
    yield REJECTED.name
    write(GOLD, counts(silver))
    yield GOLD.name


if __name__ == "__main__":
    main(*sys.argv[1:])
