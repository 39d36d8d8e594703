"""Where files lie: the few operations that a lake needs of a folder or of an object store."""

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
PARTS_KEPT = 3600.0  # seconds; no write takes as long, so an older part is of a killed run
CHUNK = 2**20
OUTAGE = 90.0  # seconds: a server that was killed is there again in a minute
Result = TypeVar("Result")
Version = tuple[int, int, int, int]


class StoredFile(NamedTuple):
    """A file of a listing.

    Attributes:
        path: relative to what was listed.
        bytes: its size.
        checksum: of its content: `sha256:…` in a folder, `etag:…` in a bucket; None in the
            manifests of older versions.
    """

    path: str
    bytes: int
    checksum: str | None = None


class Storage(Protocol):
    """Paths are relative to the lake, with `/` between their parts, on every platform.

    Attributes:
        creates_once: whether `create` refuses a file that exists; known once it is prepared.
    """

    @property
    def creates_once(self) -> bool: ...

    def prepare(self) -> None:
        """Makes sure that it can be written; SettingsError when it cannot."""
        ...

    def uri(self, path: str) -> str:
        """The path as an engine and a person take it."""
        ...

    def free(self) -> int | None:
        """Bytes that are free; None where there is no such limit."""
        ...

    def folders(self, path: str) -> list[str]:
        """The names of the folders directly below, sorted; none when there is no such path.

        Raises:
            NotADirectoryError: the path is a file, where that leaves no room for a folder.
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
        """Of the file's content, in hexadecimal; FileNotFoundError when there is none."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """The file whole or not at all, in the place of an older one."""
        ...

    def create(self, path: str, content: bytes) -> None:
        """The same, but FileExistsError when it exists: of two that try, one wins."""
        ...

    def delete(self, path: str) -> None:
        """The file; nothing when there is none."""
        ...

    def delete_each(self, paths: Sequence[str]) -> None:
        """Files; those that do not exist are none."""
        ...

    def delete_folder(self, path: str) -> None:
        """The folder with all below it; nothing when there is none."""
        ...

    def through_outages(self, work: Callable[[], Result], writes: str | None) -> Result:
        """What the work returns, which an engine does on this storage.

        If the storage was away meanwhile, the work is done again.

        Args:
            work: reads or writes as a whole, so that it may be done again.
            writes: the folder that it fills; it is deleted before the work is done again.
        """
        ...


def is_full(error: Exception) -> bool:
    """Whether a disk or a quota is full, in Python's words or in an engine's."""
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
            with tempfile.TemporaryFile(dir=self.root):  # a read-only mount shows only by trying
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
            return []  # lost+found, say: not ours

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
        """A file is read once, and again only if it is another one since."""
        found = file.stat()
        # The time of the last change of a file's status cannot be set.
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
        writes: str | None,  # noqa: ARG002  # a folder is never away
    ) -> Result:
        return work()

    def _written_aside(self, path: str, content: bytes) -> Path:
        """A hidden file beside the real one, on the disk itself before it gets its name."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_parts(target.parent)
        aside = target.with_name(PART.format(name=target.name, id=uuid.uuid4().hex))
        _write_new(aside, content)
        return aside


def _write_new(path: Path, content: bytes) -> None:
    """A file that is whole and on the disk itself, or not there."""
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise


def _sweep_parts(folder: Path) -> None:
    """Deletes what killed runs left of files that they were writing."""
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
