"""Measures the memory of a process and its children while they run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

MIB = 2**20
POLL = 0.02  # seconds between two measurements
LOOKS_PER_TREE = 25  # finding new child processes takes longer than measuring known ones


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Yields a list that gets the resident bytes of each measurement until the context ends."""
    found = [0]
    ended = threading.Event()

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            tree: list[psutil.Process] = []
            while not ended.wait(POLL):
                if len(found) % LOOKS_PER_TREE == 1:
                    root = psutil.Process(pid)
                    tree = [root, *root.children(recursive=True)]
                found.append(sum(map(_resident, tree)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
