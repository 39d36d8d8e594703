"""Formats the results as Markdown: medians, ratios, and the machine."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.delta import Life
from benchmarks.layers import Found, Pair
from benchmarks.whole import Run

PACKAGES = ("dagster", "pyspark", "pysail", "duckdb", "pyarrow", "deltalake")
LEAST = 0.005  # seconds: below this a ratio is not meaningful


def machine(repeat: int) -> str:
    """The date, the machine and the versions; call it before anything runs."""
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    now = datetime.now(timezone.utc)
    load = psutil.getloadavg()[0]
    return (
        f"{now:%Y-%m-%d}. {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}, "
        f"{packages}. Medians of {repeat} repetitions; load at the start {load:.1f}."
    )


def whole(found: dict[str, list[Run]]) -> str:
    """The whole commands, compared with the first one."""
    first = next(iter(found))
    least = median(run.seconds for run in found[first])
    rows = []
    for name, runs in found.items():
        seconds = [run.seconds for run in runs]
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        middle = median(seconds)
        peak = f"{median(run.peak for run in runs):,.0f}"
        asked = ", ".join(
            f"{number:,} {kind}" for kind, number in sorted(runs[-1].requests.items())
        )
        rows.append((name, f"{middle:.2f}", spread, f"{middle / least:.2f}", peak, asked))
    header = ("seconds", "from to", f"× {first}", "peak MiB", "S3 requests")
    return _table(("`dagster job execute`", *header), rows)


def layers(found: Found, pair: Pair) -> str:
    """Seconds of each layer, and the peak memory, on both engines."""
    passes = ("cold", "warm")
    columns = [f"{name}, {when}" for when in passes for name in (*pair, "×")]
    rows = []
    for size, engines in found.items():
        for layer in (*engines[pair[0]][0].cold, "all"):
            cells: list[str] = []
            for when in passes:
                one, other = (
                    median(_seconds(getattr(run, when), layer) for run in engines[engine])
                    for engine in pair
                )
                cells += [f"{one:.2f}", f"{other:.2f}", f"{other / one:.2f}" if one > LEAST else ""]
            rows.append((f"{size:,}", layer, *cells))
    seconds = _table(("rows", "seconds for", *columns), rows)
    peaks = [
        (f"{size:,}", *(f"{median(run.peak for run in engines[name]):,.0f}" for name in pair))
        for size, engines in found.items()
    ]
    return f"{seconds}\n\n{_table(('rows', *(f'{name}, peak MiB' for name in pair)), peaks)}"


def lives(found: Iterable[Life]) -> str:
    """A Delta table after more and more publications."""
    rows = [
        (
            f"{life.publications:,}",
            f"{life.opens * 1000:.0f} ms",
            f"{life.commits * 1000:.0f} ms",
            f"{life.files:,}",
            f"{life.size / 1e6:.1f} MB",
        )
        for life in found
    ]
    header = ("publications", "the table opens in", "a commit takes", "files in the log", "size")
    return _table(header, rows)


def _seconds(passed: dict[str, float], layer: str) -> float:
    return sum(passed.values()) if layer == "all" else passed[layer]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _processor() -> str:
    """The processor's model; its place differs between Linux, macOS and Windows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
