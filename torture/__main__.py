"""Tries to break the pipeline, and tells what happened: `python -m torture --help`."""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path
from random import Random

import psutil

from demo.s3 import S3Server
from torture import damage, kills, source, storage, together
from torture.trial import Outcome, Trial
from torture.verdict import (
    columns_lost,
    faults_after_recovery,
    faults_of,
    ids_in,
    ids_of,
    published,
)
from torture.world import Universe, World

CAMPAIGNS = {  # the quick ones first, for a run of a few minutes
    "kill-run": kills.of_runs,
    "faults": source.of_faults,
    "drift": source.of_drift,
    "hands": damage.of_hands,
    "s3": storage.of_s3,
    "disk": damage.of_disks,
    "monsters": source.of_monsters,
    "clock": damage.of_clocks,
    "drafts": damage.of_drafts,
    "together": together.of_runs,
    "kill-s3": kills.of_s3,
    "readers": together.of_readers,
    "kill-spark": kills.of_spark,
}
NEEDS = {"disk": "the right to mount a tmpfs", "clock": "faketime", "kill-spark": "Java 17 to 22"}
Result = tuple[Trial, Outcome]


def main() -> int:
    """The exit code: 0, 1 if a trial found a fault, 130 after Ctrl-C, 143 after SIGTERM."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # it stops its servers first
    try:
        return _campaign(options)
    except KeyboardInterrupt:
        return 130


def _campaign(options: argparse.Namespace) -> int:
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with (
        tempfile.TemporaryDirectory(prefix="torture-") as folder,
        S3Server("lake") as s3,
    ):
        os.environ.update(s3.environment())
        universe = Universe(Path(folder), s3)
        print(f"Seed {options.seed}. The first run of the pipeline:", end=" ", flush=True)
        universe.prepare()
        print(f"{universe.seconds:.0f} s", flush=True)
        results = list(_tried(universe, options))
    print(f"\n{_machine(options.seed)}\n\n{_table(results)}")
    faulty = [(trial, outcome) for trial, outcome in results if outcome.faults]
    for trial, outcome in faulty:
        print(f"\nFAULT in {trial.campaign} ({trial.place}), {trial.name}:")
        print("\n".join(f"  {fault}" for fault in outcome.faults))
    return 1 if faulty else 0


def _tried(universe: Universe, options: argparse.Namespace) -> Iterator[Result]:
    until = time.monotonic() + 60 * options.minutes
    for trial in _interleaved(universe, options.only, options.seed):
        if time.monotonic() > until:
            break
        started = time.monotonic()
        outcome = _judged(universe, trial, Random(f"{options.seed} {trial.name}"))
        mark = "FAULT" if outcome.faults else "ok"
        seconds = time.monotonic() - started
        where = f"{trial.campaign:10} {trial.place:6}"
        told = f"{trial.name}: {outcome.result}{outcome.detail and f' ({outcome.detail})'}"
        print(f"{mark:5} {seconds:5.0f} s  {where}  {told}", flush=True)
        for fault in outcome.faults:
            print(f"        {fault}", flush=True)
        yield trial, outcome


def _interleaved(universe: Universe, only: Sequence[str], seed: int) -> Iterator[Trial]:
    """The trials of all campaigns in turn, each campaign's in random order."""
    shuffled = []
    for name in only or CAMPAIGNS:
        random = Random(f"{seed} {name}")
        trials = list(CAMPAIGNS[name](universe, random))
        if not trials:
            print(f"Left out: {name}, which needs {NEEDS[name]}", flush=True)
        random.shuffle(trials)
        shuffled.append(trials)
    for turn in zip_longest(*shuffled):
        yield from (trial for trial in turn if trial)


def _judged(universe: Universe, trial: Trial, random: Random) -> Outcome:
    with universe.world(trial.place, random) as world:
        before = published(world.lake)
        outcome = trial.act(world)
        faults = [
            *outcome.faults,
            *faults_of(world, before, _allowed(world, trial)),
            *columns_lost(world),
            *faults_after_recovery(world),
        ]
    return outcome._replace(faults=tuple(faults))


def _allowed(world: World, trial: Trial) -> Iterable[frozenset[str]]:
    """The sets of ids that silver may have after the trial."""
    states = {ids_of(world.before), ids_of(world.truth), ids_of(world.api.rows)}
    if trial.may_move:
        # The rows change while they are read: anything between the two states is right.
        seen, most = ids_in(world.lake), frozenset[str]().union(*states)
        if len(most - seen) < len(most) // 10:
            states.add(seen)
    return states


def _table(results: Sequence[Result]) -> str:
    tried, faulty = Counter[str](), Counter[str]()
    ended: dict[str, Counter[str]] = {}
    for trial, outcome in results:
        tried[trial.campaign] += 1
        faulty[trial.campaign] += bool(outcome.faults)
        ended.setdefault(trial.campaign, Counter())[outcome.result] += 1
    lines = ["| campaign | trials | how the runs ended | with a fault |", "|---|---|---|---|"]
    for name, number in tried.items():
        how = ", ".join(f"{count} {result}" for result, count in ended[name].most_common())
        lines.append(f"| {name} | {number} | {how} | {faulty[name]} |")
    return "\n".join(lines)


def _machine(seed: int) -> str:
    memory = psutil.virtual_memory().total / 1024**3
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, seed {seed}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="no trial starts later; default: all"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses moments, pairs and order")
    parser.add_argument(
        "--only", nargs="+", choices=CAMPAIGNS, default=[], help="these campaigns only"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
