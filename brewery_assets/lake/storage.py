"""File storage: the operations that a lake needs from a folder or an object store."""

import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from brewery_assets.settings import SettingsError

PART = ".{name}.{id}.part"
PARTS_KEPT = 3600.0  # seconds; no write takes this long, so an older part is left from a killed run
CHUNK = 2**20
OUTAGE = 90.0  # seconds; a server that was killed is back within a minute
Result = TypeVar("Result")
Version = tuple[int, int, int, int]


class StoredFile(NamedTuple):
    """A file in a listing.

    Attributes:
        path: relative to the listed folder.
        bytes: its size.
        checksum: `sha256:…` of its content in a folder, `etag:…` in a bucket; None in the
            manifests of older versions.
    """

    path: str
    bytes: int
    checksum: str | None = None


class Storage(Protocol):
    """The interface of a storage. Paths are relative to the lake, with `/` on every platform.

    Attributes:
        creates_once: whether `create` refuses an existing file; known after `prepare`.
    """

    @property
    def creates_once(self) -> bool: ...

    def prepare(self) -> None:
        """Checks that it can be written; SettingsError if it cannot."""
        ...

    def uri(self, path: str) -> str:
        """The full path or URI, for engines and people."""
        ...

    def free(self) -> int | None:
        """Free bytes; None if there is no limit."""
        ...

    def folders(self, path: str) -> list[str]:
        """The names of the folders directly below, sorted; empty if the path does not exist.

        Raises:
            NotADirectoryError: the path is a file (on S3 a file and a folder can share a path).
        """
        ...

    def files(self, path: str) -> list[StoredFile]:
        """Every file below, at any depth, sorted by path, with its checksum."""
        ...

    def last_change(self, path: str) -> datetime | None:
        """When the newest file below was written, UTC; None when there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        ...

    def read(self, path: str) -> bytes:
        """The file's content; FileNotFoundError when there is none."""
        ...

    def read_each(self, paths: Sequence[str]) -> list[bytes | None]:
        """The content of each file, None for one that does not exist."""
        ...

    def sha256(self, path: str) -> str:
        """The SHA-256 of the file's content, in hexadecimal; FileNotFoundError if it is missing."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Writes the file completely or not at all, and replaces an older one."""
        ...

    def create(self, path: str, content: bytes) -> None:
        """Like `write`, but FileExistsError if the file exists: of two writers, one wins."""
        ...

    def delete(self, path: str) -> None:
        """Deletes the file, if it exists."""
        ...

    def delete_each(self, paths: Sequence[str]) -> None:
        """Deletes those of the files that exist."""
        ...

    def delete_folder(self, path: str) -> None:
        """Deletes the folder and everything below it, if it exists."""
        ...

    def through_outages(self, work: Callable[[], Result], writes: str | None) -> Result:
        """Runs an engine's work on this storage, and returns its result.

        If the storage was unavailable, the work is repeated.

        Args:
            work: a complete read or write, so that it can be repeated.
            writes: the folder that it writes; deleted before the work is repeated.
        """
        ...


def is_full(error: Exception) -> bool:
    """Whether an error of Python or of an engine means that a disk or a quota is full."""
    full = os.strerror(errno.ENOSPC)
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or full in str(error)


class Folder:
    """A lake in a folder of a file system."""

    creates_once = True

    def __init__(self, uri: str) -> None:
        self.root = Path(uri).expanduser().resolve()
        self._sums: dict[Path, tuple[Version, str]] = {}

    def prepare(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):  # detects a read-only mount
                pass
        except OSError as error:
            raise SettingsError(
                f"LAKE_URI={self.root}: cannot be written ({error.strerror}); "
                "allowed is a folder that this user may write"
            ) from None

    def uri(self, path: str) -> str:
        return str(self.root / path)

    def free(self) -> int | None:
        return shutil.disk_usage(self.root).free

    def folders(self, path: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self.root / path).iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []
        except PermissionError:
            if self.root / path == self.root:
                raise
            return []  # such as lost+found: not part of the lake

    def files(self, path: str) -> list[StoredFile]:
        base = self.root / path
        return sorted(
            StoredFile(
                file.relative_to(base).as_posix(), file.stat().st_size, f"sha256:{self._sum(file)}"
            )
            for file in base.rglob("*")
            if file.is_file()
        )

    def last_change(self, path: str) -> datetime | None:
        folder = self.root / path
        if not folder.exists():
            return None
        newest = max(entry.stat().st_mtime for entry in (folder, *folder.rglob("*")))
        return datetime.fromtimestamp(newest, timezone.utc)

    def exists(self, path: str) -> bool:
        return (self.root / path).is_file()

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def read_each(self, paths: Sequence[str]) -> list[bytes | None]:
        return [self.read(path) if self.exists(path) else None for path in paths]

    def sha256(self, path: str) -> str:
        return self._sum(self.root / path)

    def _sum(self, file: Path) -> str:
        """The checksum of a file, which is read again only if it has changed."""
        found = file.stat()
        # Programs cannot set st_ctime, the time of the last change of a file's status.
        version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._sums.get(file)
        if known is None or known[0] != version:
            known = self._sums[file] = version, _sha256(file)
        return known[1]

    def write(self, path: str, content: bytes) -> None:
        aside = self._written_aside(path, content)
        try:
            aside.replace(self.root / path)
        except OSError:
            aside.unlink()
            raise

    def create(self, path: str, content: bytes) -> None:
        aside = self._written_aside(path, content)
        try:
            os.link(aside, self.root / path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links, such as exFAT
            _write_new(self.root / path, content)
        finally:
            aside.unlink()

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def delete_each(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.delete(path)

    def delete_folder(self, path: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.root / path)

    def through_outages(
        self,
        work: Callable[[], Result],
        writes: str | None,  # noqa: ARG002  # a folder has no outages
    ) -> Result:
        return work()

    def _written_aside(self, path: str, content: bytes) -> Path:
        """A hidden file next to the target, flushed to the disk before it gets its final name."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_parts(target.parent)
        aside = target.with_name(PART.format(name=target.name, id=uuid.uuid4().hex))
        _write_new(aside, content)
        return aside


def _write_new(path: Path, content: bytes) -> None:
    """Writes a new file and flushes it to the disk; after an error there is no file."""
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise


def _sweep_parts(folder: Path) -> None:
    """Deletes partly written files of killed runs."""
    for part in folder.glob(PART.format(name="*", id="[0-9a-f]" * 32)):
        with suppress(OSError):  # another run has deleted it, or it is not ours
            if part.stat().st_mtime < time.time() - PARTS_KEPT:
                part.unlink()


def _sha256(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb", buffering=0) as content:
        while chunk := content.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
