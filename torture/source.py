"""Trouble at the source: faults of the API alone and in pairs, monstrous answers, drift."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from random import Random
from typing import Any

from demo.data import FIELDS, Row
from demo.faults import Faults
from torture.serving import serving
from torture.trial import Outcome, Trial, outcome, run
from torture.world import Universe, World

RATES = (0.02, 0.2, 1.0)
SHARES = tuple(
    field.name for field in fields(Faults) if field.type is float and field.name != "hanging"
)
# Values for the faults that are not shares, mild ones first.
SWITCHES: dict[str, tuple[Any, ...]] = {
    "hanging": (0.02, 0.1, 1.0),
    "fail_first": (1, 3, 9),
    "always_status": (204, 404, 503),
    "empty_page_numbers": (frozenset({2}), frozenset({1}), frozenset({1, 2, 3})),
    "ignore_sort": (True,),
    "ignore_page": (True,),
    "per_page_cap": (50, 7, 1),
    "no_meta": (True,),
    "meta_as_text": (True,),
    "meta_total_off_by": (1, -1, 400),
    "coordinates_as_text": (True,),
    "strays": (1, 10, 100),
    "rows_change_every": (3, 2, 1),
}
GIGABYTES = 2 * 1024**3
DEEP = 10_000


def of_faults(universe: Universe, random: Random) -> Iterator[Trial]:
    """Every fault of the demo API, alone and in pairs, at three rates."""
    del universe
    levels = dict.fromkeys(SHARES, RATES) | SWITCHES
    alone = [{name: value} for name, values in levels.items() for value in values]
    pairs = [
        {one: random.choice(levels[one]), other: random.choice(levels[other])}
        for one, other in combinations(levels, 2)
        for _ in RATES
    ]
    for switches in (*alone, *pairs):
        faults = Faults(seed=random.randrange(10**6), **switches)

        def act(world: World, faults: Faults = faults) -> Outcome:
            world.api.faults = faults
            try:
                return run(world)
            finally:
                world.truth = list(world.api.rows)
                world.api.faults = Faults()

        shown = ", ".join(
            f"{name}={sorted(value) if isinstance(value, frozenset) else value}"
            for name, value in switches.items()
        )
        yield Trial("faults", "folder", shown, act, may_move="rows_change_every" in switches)


def of_monsters(universe: Universe, random: Random) -> Iterator[Trial]:
    """Answers that would fill the memory, or never end."""
    del universe, random
    for name, (headers, body) in MONSTERS.items():

        def act(
            world: World,
            headers: dict[str, str] = headers,
            body: Callable[[], Iterator[bytes]] = body,
        ) -> Outcome:
            with _serving(headers, body) as address:
                ended = world.run(BREWERY_API_URL=address)
            return outcome(ended, *([] if ended.code else ["it was published"]))

        yield Trial("monsters", "folder", name, act)


def of_drift(universe: Universe, random: Random) -> Iterator[Trial]:
    """Each field renamed, emptied, retyped and half emptied, alone and in pairs."""
    del universe
    alone = [((how, field),) for field in FIELDS for how in DRIFTS]
    pairs = [
        tuple((random.choice([*DRIFTS]), field) for field in pair)
        for pair in combinations(FIELDS, 2)
    ]
    for changes in (*alone, *pairs):

        def act(world: World, changes: tuple[tuple[str, str], ...] = changes) -> Outcome:
            for number, row in enumerate(served := [dict(row) for row in world.truth]):
                for how, field in changes:
                    DRIFTS[how](row, field, number)
            world.api.rows[:] = served
            return run(world)

        yield Trial(
            "drift", "folder", " and ".join(f"{field} {how}" for how, field in changes), act
        )


def _rename(row: Row, field: str, number: int) -> None:
    del number
    row[f"{field}_new"] = row.pop(field, None)


def _empty(row: Row, field: str, number: int) -> None:
    del number
    row[field] = None


def _retype(row: Row, field: str, number: int) -> None:
    row[field] = {"value": row.get(field)} if number % 2 else [row.get(field)]


def _half_empty(row: Row, field: str, number: int) -> None:
    if number % 2:
        row[field] = None


DRIFTS: dict[str, Callable[[Row, str, int], None]] = {
    "renamed": _rename,
    "emptied": _empty,
    "retyped": _retype,
    "half emptied": _half_empty,
}


def _endless() -> Iterator[bytes]:
    yield b"["
    while True:
        yield b'{"id": "x"},' * 1000


def _two_gigabytes() -> Iterator[bytes]:
    yield b"["
    chunk = b'{"id": "x"},' * 100_000
    for _ in range(GIGABYTES // len(chunk)):
        yield chunk
    yield b"{}]"


def _bomb() -> Iterator[bytes]:
    """500 MB of zeros in half a megabyte."""
    yield gzip.compress(b"0" * 500_000_000, compresslevel=9)


def _deep() -> Iterator[bytes]:
    yield b"[" * DEEP + b"]" * DEEP


def _slow() -> Iterator[bytes]:
    yield b"["
    waiting = threading.Event()
    while True:
        waiting.wait(1.0)
        yield b" "


MONSTERS: dict[str, tuple[dict[str, str], Callable[[], Iterator[bytes]]]] = {
    "an answer of 2 GB": ({}, _two_gigabytes),
    "a body without an end": ({}, _endless),
    "a body without an end, a byte a second": ({}, _slow),
    "a gzip bomb": ({"Content-Encoding": "gzip"}, _bomb),
    f"JSON nested {DEEP:,} deep": ({}, _deep),
}


@contextmanager
def _serving(headers: dict[str, str], body: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """An API whose counts are right and whose pages are this body; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if "/meta" in self.path:
                self.end_headers()
                self.wfile.write(json.dumps({"total": 600}).encode())
                return
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the client has closed the connection
                for chunk in body():
                    self.wfile.write(chunk)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield f"{address}/v1"
