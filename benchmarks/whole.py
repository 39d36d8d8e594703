"""The whole command, as a user types it, beside the floor: the same on three trivial assets."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.bench import Bench, BenchmarkError
from benchmarks.lines import REAL_ROWS
from brewery_assets.aws import Aws, environment
from brewery_assets.lake import Lake
from demo.s3 import REGION, S3Server

PIPELINE = ("run_pipeline_brewery", "brewery_assets.definitions")
COMMANDS = {
    "floor": ("floor", "benchmarks.floor"),
    "pipeline": PIPELINE,
    "pipeline on S3": PIPELINE,
}


class Run(NamedTuple):
    """A command that ran: wall seconds, peak resident MiB, and what it asked S3 for."""

    seconds: float
    peak: float
    requests: Counter[str]


def measure(bench: Bench, repeat: int, say: Callable[[str], None]) -> dict[str, list[Run]]:
    """The commands in turn, as often as asked; each once before, unmeasured.

    S3 is SeaweedFS, in a process of its own on this machine, which takes its share of the cores.

    Raises:
        BenchmarkError: when a run failed or did not publish every brewery.
    """
    home, lake = bench.folder / "dagster", bench.folder / "lake"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    found: dict[str, list[Run]] = {name: [] for name in COMMANDS}
    with bench.demo() as address, S3Server("lake") as s3:
        places = {"pipeline": {"LAKE_URI": str(lake)}}
        places["pipeline on S3"] = {"LAKE_URI": "s3://lake/breweries", **s3.environment()}
        for turn in range(repeat + 1):
            for name in [*COMMANDS][:: -1 if turn % 2 else 1]:
                job, module = COMMANDS[name]
                before = s3.requests()
                measured = bench.run(
                    *("dagster", "job", "execute", "-j", job, "-m", module),
                    DAGSTER_HOME=str(home),
                    SNAPSHOTS_KEPT=str(repeat + 1),
                    BREWERY_API_URL=address,
                    **places.get(name, {}),
                )
                say(f"{name}: {measured.seconds:.2f} s" + (" (warm-up)" if turn == 0 else ""))
                if turn:
                    asked = s3.requests() - before
                    found[name].append(Run(measured.seconds, measured.peak, asked))
        _verify(Lake(uri=str(lake)), repeat + 1)
        with environment(s3.environment()):
            _verify(Lake(uri="s3://lake/breweries", aws=Aws(region=REGION)), repeat + 1)
    return found


def _verify(lake: Lake, runs: int) -> None:
    silver = [manifest.rows for manifest in lake.manifests("silver_breweries")]
    gold = lake.manifests("gold_brewery_counts")
    if silver != [REAL_ROWS] * runs or len(gold) != runs:
        raise BenchmarkError(
            f"{lake.uri}: {runs} runs published {len(gold)} times gold, and silver of {silver}"
        )
