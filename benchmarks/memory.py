"""How much memory a process and those below it hold while they run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

MIB = 2**20
POLL = 0.02  # seconds between two looks
LOOKS_PER_TREE = 25  # looking for new child processes costs more than a look at known ones


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Bytes resident at each look, added to a list until the context is left."""
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
