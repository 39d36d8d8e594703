"""The folder of the frames that the embedded engine holds during a run."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "brewery-assets-frames-"
LOCK = "lock"


@contextmanager
def folder_of_frames() -> Iterator[Path]:
    """An empty folder in the system's temporary folder, deleted at the end.

    It is locked while this process lives. Folders that killed runs have left are not locked, and
    are deleted first.
    """
    _delete_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / LOCK).open("w") as lock:
            _lock(lock.fileno())
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _delete_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # An error means: its run is alive, it is not ours, or another run is deleting it.
        with suppress(OSError), (folder / LOCK).open("r+") as lock:
            _lock(lock.fileno())
            shutil.rmtree(folder, ignore_errors=True)


if sys.platform == "win32":

    def _lock(file: int) -> None:
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:

    def _lock(file: int) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
