"""Silver, rejected and gold as a run makes them: `python -m benchmarks.on_engine LAKE`.

On the engine that SPARK_REMOTE names. The assets and IO managers are the project's own; what is
left out is Dagster's bookkeeping, the audits and the previews. With `--audits` the layers are
written once, and then looked at by each audit.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame

from benchmarks.clock import BRONZE, clock
from brewery_assets.checks.rules import AUDITED
from brewery_assets.definitions import resources_of
from brewery_assets.lake.io_managers import parquet_snapshots
from brewery_assets.lake.lake import MANIFEST
from brewery_assets.lake.manifest import Manifest, folder_of
from brewery_assets.lake.tables import Look, Table
from brewery_assets.layers.changes import CHANGES, changes
from brewery_assets.layers.gold import GOLD, gold_brewery_counts
from brewery_assets.layers.silver import REJECTED, SILVER, silver_and_rejected_breweries
from brewery_assets.settings import Settings
from brewery_assets.source.profile import profile_of
from brewery_assets.source.records import split_page

NAMES = ("20260101T000000Z-00000000", "20260102T000000Z-00000000")  # an older snapshot, and another


def main(lake: str, *options: str) -> None:
    """Both passes, in one session that stands when the clock starts."""
    resources = resources_of(Settings(lake_uri=lake))
    counted = [replace(table, look=_count) for table in (SILVER, REJECTED, GOLD, CHANGES)]
    resources["parquet_snapshots"] = parquet_snapshots(*counted)
    needed = ("lake", "limits", "spark", "json_lines_snapshots", "parquet_snapshots")
    with dg.build_resources({name: resources[name] for name in needed}) as run:
        _ = run.spark.spark_session  # starts the engine
        # One for both passes: made anew at each call it costs more than gold does.
        context = dg.build_asset_context()
        if "--audits" in options:
            _audits(run, context)
        else:
            clock(lambda snapshot: _layers(run, context, snapshot))


def _count(rows: DataFrame) -> Look:
    return Look(rows.count(), "")


def _layers(run: Any, context: dg.AssetExecutionContext, snapshot: str) -> Iterator[str]:
    lines = run.json_lines_snapshots.read(_manifest(BRONZE.parts[0], "real", rows=1))
    outputs: Any = silver_and_rejected_breweries(context, lines, lake=run.lake)
    for output in outputs:
        layer = output.output_name
        run.parquet_snapshots.write(layer, folder_of(layer, snapshot), output.value)
        yield layer
    silver = run.parquet_snapshots.read(_manifest(SILVER.name, snapshot, SILVER, rows=1))
    counts = gold_brewery_counts(context, silver)
    run.parquet_snapshots.write(GOLD.name, folder_of(GOLD.name, snapshot), counts)
    yield GOLD.name


def _manifest(layer: str, snapshot: str, table: Table | None = None, **facts: Any) -> Manifest:
    """Enough of one to read the snapshot by."""
    return Manifest(
        snapshot=snapshot,
        layer=layer,
        run_id="",
        created_at=datetime.now(timezone.utc),
        files=[],
        codec="",
        columns=table.types if table else {},
        **facts,
    )


def _audits(run: Any, context: dg.AssetExecutionContext) -> None:
    """Prints as JSON the seconds of writing silver and the changes, and of each audit."""
    seconds: dict[str, float] = {}
    bronze = _bronze(run)
    for snapshot in NAMES:
        rows = {}
        since = time.perf_counter()
        for layer in _layers(run, context, snapshot):
            seconds[f"write {layer}"] = time.perf_counter() - since
            since = time.perf_counter()
        for table in (SILVER, REJECTED, GOLD):
            rows[table.name] = run.parquet_snapshots.read(
                _manifest(table.name, snapshot, table, rows=1)
            ).count()
        origins = {
            SILVER.name: {BRONZE.parts[0]: bronze.snapshot},
            GOLD.name: {SILVER.name: snapshot},
        }
        for table in (SILVER, REJECTED, GOLD):
            made_from = origins.get(table.name, {})
            facts = {"rows": rows[table.name], "made_from": made_from}
            _publish(run, _manifest(table.name, snapshot, table, **facts))
    older, newer = (run.lake.manifest(SILVER.name, name) for name in NAMES)
    since = time.perf_counter()
    found = changes(run.parquet_snapshots.read(newer), run.parquet_snapshots.read(older))
    written = run.parquet_snapshots.write(CHANGES.name, folder_of(CHANGES.name, NAMES[1]), found)
    seconds[f"write {CHANGES.name}"] = time.perf_counter() - since
    _publish(
        run,
        _manifest(
            CHANGES.name,
            NAMES[1],
            CHANGES,
            rows=written.facts["rows"],
            made_from={SILVER.name: NAMES[1]},
            compared_with={SILVER.name: NAMES[0]},
        ),
    )
    for name, checks in AUDITED.items():
        newest = bronze if name == bronze.layer else run.lake.manifest(name, NAMES[1])
        since = time.perf_counter()
        outcomes = checks.look(run, newest)
        seconds[f"audit {name}"] = time.perf_counter() - since
        blocked = [rule for rule, it in checks.RULES.items() if it.blocking]
        if failed := [rule for rule in blocked if not outcomes[rule].passed]:
            raise SystemExit(f"{name}: {failed} failed: {outcomes}")
    print(json.dumps(seconds))


def _publish(run: Any, manifest: Manifest) -> None:
    content = manifest.model_dump_json().encode()
    run.lake.storage.write(f"{manifest.folder}/{MANIFEST}", content)


def _bronze(run: Any) -> Manifest:
    """Bronze's manifest, as reading the source would have left it."""
    content: bytes = run.lake.storage.read(BRONZE.as_posix())
    lines = content.decode().splitlines()
    found = profile_of(record.facts for record in split_page(f"[{','.join(lines)}]"))
    meta = {"total": len(lines), **found.counts}
    source = {
        "meta_before": meta,
        "meta_after": meta,
        "verified": True,
        "doubt": None,
        "missing_allowed": 0,
        "distinct": len(lines),
        "sha256": sha256(content).hexdigest(),
        **found._asdict(),
    }
    manifest = _manifest(BRONZE.parts[0], "real", rows=len(lines), source=source)
    _publish(run, manifest)
    return manifest


if __name__ == "__main__":
    main(*sys.argv[1:])
