"""The whole command, as a user types it, beside the floor: the same on three trivial assets."""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Bench, BenchmarkError, Measured
from benchmarks.lines import REAL_ROWS

COMMANDS = {
    "floor": ("floor", "benchmarks.floor"),
    "pipeline": ("run_pipeline_brewery", "brewery_assets.definitions"),
}


def measure(bench: Bench, repeat: int, say: Callable[[str], None]) -> dict[str, list[Measured]]:
    """Both commands in turn, as often as asked; each once before, unmeasured.

    Raises:
        BenchmarkError: when a run failed or did not publish every brewery.
    """
    home, lake = bench.folder / "dagster", bench.folder / "lake"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    found: dict[str, list[Measured]] = {name: [] for name in COMMANDS}
    with bench.demo() as address:
        for turn in range(repeat + 1):
            for name in sorted(COMMANDS, reverse=turn % 2 == 0):
                job, module = COMMANDS[name]
                measured = bench.run(
                    *("dagster", "job", "execute", "-j", job, "-m", module),
                    DAGSTER_HOME=str(home),
                    LAKE_URI=str(lake),
                    SNAPSHOTS_KEPT=str(repeat + 1),
                    BREWERY_API_URL=address,
                )
                say(f"{name}: {measured.seconds:.2f} s" + (" (warm-up)" if turn == 0 else ""))
                if turn:
                    found[name].append(measured)
    _verify(lake, repeat + 1)
    return found


def _verify(lake: Path, runs: int) -> None:
    silver = [
        json.loads(manifest.read_text(encoding="utf-8"))["rows"]
        for manifest in lake.glob("silver_breweries/*/_manifest.json")
    ]
    gold = list(lake.glob("gold_brewery_counts/*/_manifest.json"))
    if silver != [REAL_ROWS] * runs or len(gold) != runs:
        raise BenchmarkError(
            f"{runs} runs published {len(gold)} times gold, and silver of {silver}"
        )
