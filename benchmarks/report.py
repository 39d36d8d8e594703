"""What was found, as Markdown: medians, ratios, and the machine that they are of."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.bench import Measured
from benchmarks.layers import Found

PACKAGES = ("dagster", "pyspark", "pysail", "duckdb", "pyarrow")
LEAST = 0.005  # seconds: of less than that no ratio says anything


def machine(repeat: int) -> str:
    """What the figures are of: date, machine, versions; asked for before anything runs."""
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    now = datetime.now(timezone.utc)
    load = psutil.getloadavg()[0]
    return (
        f"{now:%Y-%m-%d}. {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}, "
        f"{packages}. Medians of {repeat} repetitions; load at the start {load:.1f}."
    )


def whole(found: dict[str, list[Measured]]) -> str:
    """The whole command beside the floor."""
    floor = median(run.seconds for run in found["floor"])
    rows = []
    for name, runs in found.items():
        seconds = [run.seconds for run in runs]
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        middle = median(seconds)
        rows.append((name, f"{middle:.2f}", spread, f"{middle / floor:.2f}"))
    return _table(("`dagster job execute`", "seconds", "from to", "× floor"), rows)


def layers(found: Found) -> str:
    """Seconds of each layer on both engines."""
    passes = ("cold", "warm")
    columns = [f"{name}, {when}" for when in passes for name in ("DuckDB", "pipeline", "×")]
    rows = []
    for size, engines in found.items():
        for layer in (*engines["duckdb"][0].cold, "all"):
            cells: list[str] = []
            for when in passes:
                theirs, ours = (
                    median(_seconds(getattr(run, when), layer) for run in engines[engine])
                    for engine in ("duckdb", "pipeline")
                )
                ratio = f"{ours / theirs:.2f}" if theirs > LEAST else ""
                cells += [f"{theirs:.2f}", f"{ours:.2f}", ratio]
            rows.append((f"{size:,}", layer, *cells))
    return _table(("rows", "seconds for", *columns), rows)


def memory(commands: dict[str, list[Measured]], found: Found) -> str:
    """Peak resident MiB of each, as a multiple of the floor or of DuckDB."""
    measured: dict[str, tuple[str, dict[str, list[float]]]] = {}
    if commands:
        peaks = {name: [run.peak for run in runs] for name, runs in commands.items()}
        measured["`dagster job execute`"] = ("floor", peaks)
    for size, engines in found.items():
        peaks = {name: [run.peak for run in runs] for name, runs in engines.items()}
        measured[f"layers, {size:,} rows"] = ("DuckDB", peaks)
    rows = []
    for what, (other, peaks) in measured.items():
        theirs, ours = (median(peaks[name]) for name in (other.lower(), "pipeline"))
        rows.append((what, f"{other}: {theirs:,.0f}", f"{ours:,.0f}", f"{ours / theirs:.1f}"))
    return _table(("peak memory", "compared with, MiB", "pipeline, MiB", "×"), rows)


def _seconds(passed: dict[str, float], layer: str) -> float:
    return sum(passed.values()) if layer == "all" else passed[layer]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _processor() -> str:
    """Its model; macOS and Windows name it elsewhere than Linux does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
