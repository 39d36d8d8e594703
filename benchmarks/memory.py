"""Measures the memory of a process and its children while they run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import TypeVar

import psutil

Look = TypeVar("Look")
MIB = 2**20
POLL = 0.02  # seconds between two measurements
LOOKS_PER_TREE = 25  # finding new child processes takes longer than measuring known ones


@contextmanager
def sampled(look: Callable[[], Look], every: float) -> Iterator[list[Look]]:
    """Yields a list that gets the result of each look until the context or the process ends."""
    found: list[Look] = []
    ended = threading.Event()

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while not ended.wait(every):
                found.append(look())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Yields a list that gets the resident bytes of each measurement until the context ends."""
    tree: list[psutil.Process] = []
    looks = count()

    def look() -> int:
        if next(looks) % LOOKS_PER_TREE == 0:
            root = psutil.Process(pid)
            tree[:] = [root, *root.children(recursive=True)]
        return sum(map(_resident, tree))

    with sampled(look, POLL) as found:
        found.append(0)
        yield found


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
