"""What the checks of each layer take, beside the writing of it."""

import json
from collections.abc import Callable, Sequence
from shutil import rmtree

from benchmarks import lines
from benchmarks.bench import Bench
from benchmarks.clock import BRONZE

Found = dict[int, list[dict[str, float]]]


def measure(bench: Bench, sizes: Sequence[int], repeat: int, say: Callable[[str], None]) -> Found:
    """For each number of rows, in fresh processes, the seconds of each writing and each audit.

    Raises:
        BenchmarkError: when a rule that blocks did not hold.
    """
    found: Found = {}
    lake = bench.folder / "audited"
    for rows in sizes:
        for _ in range(repeat):
            (lake / BRONZE).parent.mkdir(parents=True)
            lines.write(lake / BRONZE, rows)
            said = bench.run("benchmarks.on_engine", str(lake), "--audits").output
            rmtree(lake)
            found.setdefault(rows, []).append(json.loads(said.splitlines()[-1]))
            say(f"{rows:,} rows: {_total(found[rows][-1]):.2f} s for all audits")
    return found


def _total(seconds: dict[str, float]) -> float:
    return sum(took for what, took in seconds.items() if what.startswith("audit "))
