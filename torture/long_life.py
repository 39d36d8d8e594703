"""Runs the pipeline hundreds of times, and measures what grows: `python -m torture.long_life`.

Each run stands for a day: afterwards its snapshots are dated back by a day, and what the daily
schedule would delete is deleted.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

import dagster as dg
import psutil
import vl_convert

from benchmarks.memory import sampled
from brewery_assets.automation.retention import RUNS_KEPT, delete_old_runs
from brewery_assets.lake.lake import MANIFEST, Lake
from brewery_assets.operations.platform import LAYERS
from brewery_assets_tests.checkout import Checkout
from demo.data import Row, load
from demo.server import DemoApi

ROWS = 2_000
FLAT = 1.1  # the last third may be a tenth above the middle third
POLL = 0.05  # seconds between two looks at a run
SHOWN = {
    "seconds": "seconds of a run",
    "cpu_seconds": "processor seconds of a run",
    "peak_mb": "peak memory of a run, MB",
    "open_files": "most open files of a run",
    "dagster_mb": ".dagster, MB",
    "lake_mb": "lake, MB",
    "lake_files": "files in the lake",
}


class Day(NamedTuple):
    """What one run took, and what it left."""

    number: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    open_files: int
    dagster_mb: float
    lake_mb: float
    lake_files: int


def main() -> int:
    """The exit code: 0, 1 if something grew or a run failed, 130 after Ctrl-C."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # it stops its server first
    days = []
    try:
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            for day in lived(Path(folder), options.runs, options.rows, options.seed):
                days.append(day)
                print(f"day {day.number:3}: {_line(day)}", file=sys.stderr, flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(days))
    if options.plot:
        options.plot.write_text(plot(days), encoding="utf-8")
    grown = growing(days)
    print("\n".join(grown) or "Nothing grew.")
    return 1 if grown else 0


def lived(folder: Path, runs: int, rows: int, seed: int) -> Iterator[Day]:
    """One run a day into one lake, with one Dagster storage; the source changes every day.

    Raises:
        RuntimeError: a run failed; the message has the end of its output.
    """
    lake = folder / "lake"
    with DemoApi([], requests_per_minute=None) as api:
        api.rows[:] = [dict(row) for row in load()[:rows]]
        spare = [dict(row) for row in load()[rows : 2 * rows]]
        checkout = Checkout(folder / "home", {"BREWERY_API_URL": api.url, "LAKE_URI": str(lake)})
        random = Random(seed)
        for number in range(1, runs + 1):
            _change(api.rows, spare, random)
            before = _cpu_seconds()
            started = time.monotonic()
            peak, files = _run(checkout)
            seconds = time.monotonic() - started
            cpu_seconds = _cpu_seconds() - before
            _date_back(Lake(uri=str(lake)))
            _delete_old_runs(checkout.folder)
            kept, stored = _sizes(lake), _sizes(checkout.folder / ".dagster")
            yield Day(
                number,
                round(seconds, 2),
                round(cpu_seconds, 2),
                round(peak / 1e6, 1),
                files,
                round(sum(stored) / 1e6, 2),
                round(sum(kept) / 1e6, 2),
                len(kept),
            )


def growing(days: Sequence[Day]) -> list[str]:
    """What grew from the middle third of the days to the last: one sentence each."""
    third = len(days) // 3
    middle, last = days[third : 2 * third], days[2 * third :]
    found = []
    for name, about in SHOWN.items():
        then, now = (median(getattr(day, name) for day in part) for part in (middle, last))
        if now > FLAT * then:
            found.append(f"GREW: {about}, from {then:,.1f} to {now:,.1f}")
    return found


def table(days: Sequence[Day]) -> str:
    """The medians of ten parts of the days, as Markdown."""
    lines = [
        "| days | " + " | ".join(SHOWN.values()) + " |",
        "|---" * (len(SHOWN) + 1) + "|",
    ]
    size = max(len(days) // 10, 1)
    for start in range(0, len(days), size):
        part = days[start : start + size]
        cells = [f"{median(getattr(day, name) for day in part):,.1f}" for name in SHOWN]
        lines.append(f"| {part[0].number} to {part[-1].number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(days: Iterable[Day]) -> str:
    """One small chart for each figure, as SVG."""
    values = [
        {"day": day.number, "figure": about, "value": getattr(day, name)}
        for day in days
        for name, about in SHOWN.items()
    ]
    chart: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": "white",
        "data": {"values": values},
        "facet": {
            "field": "figure",
            "sort": list(SHOWN.values()),
            "title": None,
            "header": {"labelFontSize": 12},
        },
        "columns": 2,
        "spec": {
            "width": 300,
            "height": 90,
            "mark": {"type": "line", "strokeWidth": 1},
            "encoding": {
                "x": {"field": "day", "type": "quantitative", "title": "day"},
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": None,
                    "scale": {"zero": True},
                },
            },
        },
        "resolve": {"scale": {"y": "independent"}},
    }
    svg: str = vl_convert.vegalite_to_svg(chart)
    return svg


def _date_back(lake: Lake) -> None:
    """Dates the newest snapshots back by a day, because none is deleted in its first hour."""
    for layer in LAYERS:
        if newest := lake.newest(layer):
            yesterday = newest.created_at - timedelta(days=1)
            older = newest.model_copy(update={"created_at": yesterday})
            lake.storage.write(f"{newest.folder}/{MANIFEST}", older.model_dump_json().encode())


def _delete_old_runs(home: Path) -> None:
    """Deletes what the daily schedule deletes if runs are a day apart: all but the newest 90."""
    with _inside(home), dg.DagsterInstance.from_config(".") as instance:
        newest = instance.get_run_records(limit=RUNS_KEPT.days)
        if len(newest) == RUNS_KEPT.days:
            delete_old_runs(instance, newest[-1].create_timestamp + RUNS_KEPT)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Works in a folder: the paths in dagster.yaml are relative."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _change(rows: list[Row], spare: list[Row], random: Random) -> None:
    """A day at the source: a brewery opens, one closes, one has another name."""
    rows[random.randrange(len(rows))]["name"] = f"Renamed {random.randrange(10**6)}"
    opened = spare.pop(random.randrange(len(spare)))
    spare.append(rows.pop(random.randrange(len(rows))))
    rows.append(opened)


def _run(checkout: Checkout) -> tuple[int, int]:
    """Runs the job; the most resident bytes and the most open files of its process."""
    output = checkout.folder / "output"
    with output.open("w", encoding="utf-8") as said:
        process = checkout.start(*checkout.job(), output=said)
    watched = psutil.Process(process.pid)
    try:
        with sampled(lambda: (watched.memory_info().rss, watched.num_fds()), POLL) as seen:
            code = process.wait()
    finally:  # after Ctrl-C
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if code:
        raise RuntimeError(f"a run failed:\n{output.read_text(encoding='utf-8')[-3000:]}")
    return max(memory for memory, _ in seen), max(files for _, files in seen)


def _cpu_seconds() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def _line(day: Day) -> str:
    return ", ".join(f"{getattr(day, name):,} {about}" for name, about in SHOWN.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture.long_life", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="default 300")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the source, default {ROWS}")
    parser.add_argument("--seed", type=int, default=1, help="chooses what changes")
    parser.add_argument("--plot", type=Path, help="draw the figures into this SVG file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
