"""What must hold after each trial."""

from collections.abc import Iterable, Iterator

import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from brewery_assets.lake.lake import Lake
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.operations import verify
from brewery_assets.operations.platform import LAYERS
from demo.data import Row
from torture.world import World

FILLED_LOST = 10.0  # percentage points: the limit that the runs have
Published = dict[str, set[str]]


def published(lake: Lake) -> Published:
    """The names of the published snapshots of each layer."""
    return {layer: set(lake.published(layer)) for layer in LAYERS}


def ids_of(rows: Iterable[Row]) -> frozenset[str]:
    """The ids of the source's rows."""
    return frozenset(str(row["id"]) for row in rows if row.get("id"))


def ids_in(lake: Lake) -> frozenset[str]:
    """The ids that a reader of silver's Delta table sees."""
    ids = _table(lake, SILVER.name).to_pyarrow_table(columns=["id"]).column("id")
    return frozenset(ids.to_pylist())


def faults_of(world: World, before: Published, allowed: Iterable[frozenset[str]]) -> Iterator[str]:
    """What a trial has damaged: one sentence for each fault.

    Args:
        before: the published snapshots before the trial.
        allowed: the sets of ids that silver may have.
    """
    lake = world.lake
    for layer, names in published(lake).items():
        if lost := before[layer] - names:
            yield f"{layer} lost the published {', '.join(sorted(lost))}"
    text, whole = verify.report(lake)
    if not whole:
        yield from (
            line.strip() for line in text.splitlines() if "DAMAGED" in line or "CONTRA" in line
        )
        return
    seen = ids_in(lake)
    if seen not in set(allowed):
        sizes = sorted({len(ids) for ids in allowed})
        yield f"silver has {len(seen)} ids that are none of the expected sets ({sizes})"
    counted = _table(lake, GOLD.name).to_pyarrow_table(columns=["brewery_count"])
    total = pc.sum(counted.column("brewery_count")).as_py()
    newest = lake.newest(GOLD.name)
    assert newest  # noqa: S101  # the lake began with one
    if newest.made_from[SILVER.name] in set(lake.published(SILVER.name)):
        rows = lake.manifest(SILVER.name, newest.made_from[SILVER.name]).rows
        # After a kill between a manifest and its log, readers see the version before.
        behind = any(GOLD.name in line for line in verify.delta_tables(lake)[0])
        if total != rows and not behind:
            yield f"gold counts {total} of silver's {rows} rows"


def faults_after_recovery(world: World) -> Iterator[str]:
    """Runs the pipeline once more with nothing in its way; what is still wrong then."""
    world.api.rows[:] = world.truth
    ended = world.run()
    if ended.code:
        yield f"the next run failed: {ended.cause}"
        return
    lake = world.lake
    if ids_in(lake) != ids_of(world.truth):
        yield "the next run did not publish the source's ids"
    yield from verify.delta_tables(lake)[0]
    yield from (f"left behind: {what}" for what in world.left_behind(patience=10.0))


def columns_lost(world: World) -> Iterator[str]:
    """Columns of silver whose filled share has fallen by more than the runs' limit."""
    lake = world.lake
    manifests = lake.manifests(SILVER.name)
    now, then = (_filled(lake, manifest.folder) for manifest in (manifests[0], manifests[-1]))
    for name, share in then.items():
        if share - now.get(name, 0.0) > FILLED_LOST:
            fell = f"from {share:.0f} % to {now.get(name, 0.0):.0f} %"
            yield f"silver was published although {name} is filled less: {fell}"


def _filled(lake: Lake, folder: str) -> dict[str, float]:
    rows, nulls = 0, dict[str, int]()
    for file in lake.storage.files(folder):
        if file.path.endswith(".parquet"):
            table = pq.read_table(lake.storage.uri(f"{folder}/{file.path}"), partitioning=None)
            rows += table.num_rows
            for name in table.column_names:
                nulls[name] = nulls.get(name, 0) + table.column(name).null_count
    return {name: 100 * (rows - missing) / rows for name, missing in nulls.items()}


def options_of(uri: str) -> dict[str, str] | None:
    """The storage options with which a Delta reader opens a table of the lake."""
    return {"AWS_ALLOW_HTTP": "true"} if uri.startswith("s3://") else None


def _table(lake: Lake, name: str) -> DeltaTable:
    uri = lake.storage.uri(name)
    return DeltaTable(uri, storage_options=options_of(uri))
