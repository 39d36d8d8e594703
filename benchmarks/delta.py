"""A Delta table with many versions: the time of a commit, and the time to open the table."""

import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import NamedTuple

from deltalake import DeltaTable

from benchmarks.bench import Bench, BenchmarkError
from brewery_assets.lake.delta import LOG, follow
from brewery_assets.lake.lake import MANIFEST, Lake
from brewery_assets.lake.manifest import Manifest, name_of
from brewery_assets.lake.storage import StoredFile
from brewery_assets.layers.silver import SILVER

PUBLICATIONS = (10, 100, 500, 1_000)
FILES = 207  # as many as silver has for the real data
KEPT = 30  # the default of SNAPSHOTS_KEPT
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Life(NamedTuple):
    """A table after some publications.

    Attributes:
        opens: seconds that deltalake takes to open it and to list its files.
        commits: seconds of a commit, the median of all so far.
        files: the number of files in its log.
        size: bytes of its log.
    """

    publications: int
    opens: float
    commits: float
    files: int
    size: int


def measure(bench: Bench, repeat: int, say: Callable[[str], None]) -> list[Life]:
    """Publishes manifests one after another, without data, because the log needs none.

    Raises:
        BenchmarkError: the table does not show the newest snapshot.
    """
    lake = bench.folder / "long-life"
    commits: list[float] = []
    found = []
    for number in range(1, PUBLICATIONS[-1] + 1):
        newest = _publish(lake, number)
        if number > KEPT:
            shutil.rmtree(lake / _manifest(lake, number - KEPT).folder)
        started = time.perf_counter()
        follow(Lake(uri=str(lake)), SILVER)
        commits.append(time.perf_counter() - started)
        if number in PUBLICATIONS:
            found.append(_life(lake, number, commits, repeat, newest))
            say(f"{number:,} publications: the table opens in {found[-1].opens * 1000:.0f} ms")
    return found


def _life(lake: Path, number: int, commits: list[float], repeat: int, newest: Manifest) -> Life:
    opened = []
    for _ in range(repeat):
        started = time.perf_counter()
        table = DeltaTable(lake / SILVER.name)
        files = table.file_uris()
        opened.append(time.perf_counter() - started)
    if len(files) != FILES or newest.snapshot not in files[0]:
        raise BenchmarkError(f"after {number} publications the table shows {files[:1]}")
    log = [path.stat().st_size for path in (lake / SILVER.name / LOG).iterdir()]
    return Life(number, median(opened), median(commits), len(log), sum(log))


def _publish(lake: Path, number: int) -> Manifest:
    manifest = _manifest(lake, number)
    folder = lake / manifest.folder
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return manifest


def _manifest(lake: Path, number: int) -> Manifest:
    when = START + timedelta(hours=number)
    folders = [f"country=country_{n % 23}/state=state_{n}" for n in range(FILES)]
    return Manifest(
        snapshot=name_of(when, f"{number:08x}"),
        layer=SILVER.name,
        lake=str(lake),
        run_id=f"{number:08x}",
        created_at=when,
        rows=FILES,
        files=[StoredFile(f"{folder}/part-0.parquet", 10_000, None) for folder in folders],
        codec="zstd",
        columns=SILVER.types,
        rows_by_folder=dict.fromkeys(folders, 1),
    )
