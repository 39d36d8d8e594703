"""Measures silver, rejected and gold alone on two engines, each in a separate process."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from benchmarks import lines
from benchmarks.bench import Bench, BenchmarkError
from benchmarks.clock import BRONZE

ENGINES = {
    "DuckDB": ("benchmarks.on_duckdb", {}),
    "pipeline": ("benchmarks.on_engine", {}),
    "Sail": ("benchmarks.on_engine", {}),
    "Apache Spark": ("benchmarks.on_engine", {"SPARK_REMOTE": "local[*]"}),
}
Pair = tuple[str, str]
BESIDE_DUCKDB: Pair = ("DuckDB", "pipeline")
BESIDE_SPARK: Pair = ("Sail", "Apache Spark")


class Passes(NamedTuple):
    """One process: the seconds of each layer by pass, and the peak MiB."""

    cold: dict[str, float]
    warm: dict[str, float]
    peak: float


Found = dict[int, dict[str, list[Passes]]]


def measure(
    bench: Bench, pair: Pair, sizes: Sequence[int], repeat: int, say: Callable[[str], None]
) -> Found:
    """Runs the engines of a pair in turn, `repeat` times for each number of rows.

    Before that, each engine runs once on the real rows as a warm-up.

    Raises:
        BenchmarkError: the engines did not write the same rows.
    """
    found: Found = {}
    for rows, turns in ((lines.REAL_ROWS, 0), *((rows, repeat) for rows in sizes)):
        bronze = bench.folder / "lines.json"
        lines.write(bronze, rows)
        measured: dict[str, list[Passes]] = {engine: [] for engine in pair}
        for turn in range(turns or 1):
            digests = {}
            for engine in pair[:: -1 if turn % 2 else 1]:
                passes, digests[engine] = _run(bench, engine, bronze)
                seconds = sum(passes.warm.values())
                note = "" if turns else " (warm-up)"
                say(f"{rows:,} rows on {engine}: {seconds:.2f} s warm{note}")
                measured[engine].append(passes)
            _verify(digests, rows)
        if turns:
            found[rows] = measured
    return found


def _run(bench: Bench, engine: str, bronze: Path) -> tuple[Passes, dict[str, Any]]:
    module, settings = ENGINES[engine]
    lake = bench.folder / "layers"
    (lake / BRONZE).parent.mkdir(parents=True)
    os.link(bronze, lake / BRONZE)
    try:
        measured = bench.run(module, str(lake), **settings)
        seconds = json.loads(measured.output.splitlines()[-1])
        digest = json.loads(bench.run("benchmarks.digest", str(lake)).output)
    finally:
        rmtree(lake)
    return Passes(seconds["cold"], seconds["warm"], measured.peak), digest


def _verify(digests: dict[str, dict[str, Any]], rows: int) -> None:
    """Raises BenchmarkError unless both engines wrote the same, complete rows in both passes."""
    every = [layers for passes in digests.values() for layers in passes.values()]
    first = every[0]
    if any(layers != first for layers in every):
        raise BenchmarkError(f"the engines differ:\n{json.dumps(digests, indent=1)}")
    silver, gold = first["silver_breweries"], first["gold_brewery_counts"]
    refused = first["rejected_breweries"][0]
    if not (silver[0] == silver[-1] == gold[-1] == rows - refused):
        raise BenchmarkError(
            f"both engines wrote a wrong number of the {rows} rows: {json.dumps(first, indent=1)}"
        )
