"""Measures the whole command, and the same command on three trivial assets (the floor)."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.bench import Bench, BenchmarkError
from benchmarks.lines import REAL_ROWS
from benchmarks.relay import relay
from brewery_assets.aws import Aws, environment
from brewery_assets.lake.lake import Lake
from demo.s3 import REGION, S3Server

PIPELINE = ("run_pipeline_brewery", "brewery_assets.definitions")
FLOOR = ("floor", "benchmarks.floor")


class Command(NamedTuple):
    """A measured job: its name, its module, and the place of its lake.

    Attributes:
        round_trip: milliseconds to an S3 server; None for a folder.
    """

    job: str
    module: str
    round_trip: int | None = None


WHOLE = {
    "floor": Command(*FLOOR),
    "pipeline": Command(*PIPELINE),
    "pipeline on S3": Command(*PIPELINE, round_trip=0),
}
LATE_S3 = {
    "a folder": Command(*PIPELINE),
    **{f"S3, {late} ms": Command(*PIPELINE, round_trip=late) for late in (0, 10, 30, 60)},
}


class Run(NamedTuple):
    """A finished command: wall seconds, peak resident MiB, and its S3 requests by kind."""

    seconds: float
    peak: float
    requests: Counter[str]


def measure(
    bench: Bench, commands: Mapping[str, Command], repeat: int, say: Callable[[str], None]
) -> dict[str, list[Run]]:
    """Runs the commands in turn, `repeat` times, after one warm-up run of each.

    So each measured run finds an older snapshot in its lake. S3 is SeaweedFS in a separate process
    on this machine, with which it shares the cores, behind a relay that delays it.

    Raises:
        BenchmarkError: a run failed or did not publish every brewery.
    """
    home = bench.folder / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    found: dict[str, list[Run]] = {name: [] for name in commands}
    with ExitStack() as servers:
        address = servers.enter_context(bench.demo())
        s3 = servers.enter_context(S3Server("lake"))
        places = {}
        for number, (name, command) in enumerate(commands.items()):
            places[name] = {"LAKE_URI": str(bench.folder / f"lake-{number}")}
            if command.round_trip is not None:
                late = servers.enter_context(relay(s3.port, command.round_trip / 1000))
                places[name] = {**s3.environment(), "AWS_ENDPOINT_URL": late}
                places[name]["LAKE_URI"] = f"s3://lake/{number}"
        for turn in range(repeat + 1):
            for name in [*commands][:: -1 if turn % 2 else 1]:
                before = s3.requests()
                measured = bench.run(
                    *("dagster", "job", "execute"),
                    *("-j", commands[name].job, "-m", commands[name].module),
                    DAGSTER_HOME=str(home),
                    SNAPSHOTS_KEPT=str(repeat + 1),
                    BREWERY_API_URL=address,
                    **places[name],
                )
                say(f"{name}: {measured.seconds:.2f} s" + (" (warm-up)" if turn == 0 else ""))
                if turn:
                    asked = s3.requests() - before
                    found[name].append(Run(measured.seconds, measured.peak, asked))
        for name, command in commands.items():
            if command.job == PIPELINE[0]:
                aws = None if command.round_trip is None else Aws(region=REGION)
                with environment(s3.environment()):
                    _verify(Lake(uri=places[name]["LAKE_URI"], aws=aws), repeat + 1)
    return found


def _verify(lake: Lake, runs: int) -> None:
    silver = [manifest.rows for manifest in lake.manifests("silver_breweries")]
    gold = lake.manifests("gold_brewery_counts")
    if silver != [REAL_ROWS] * runs or len(gold) != runs:
        raise BenchmarkError(
            f"{lake.uri}: {runs} runs published gold {len(gold)} times, silver with {silver} rows"
        )
