"""Where files lie: the few operations that a lake needs of a folder or of an object store."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Protocol

from brewery_assets.settings import SettingsError


class StoredFile(NamedTuple):
    """A file: its path relative to what was listed, and its size in bytes."""

    path: str
    bytes: int


class Storage(Protocol):
    """Paths are relative to the lake, with `/` between their parts, on every platform."""

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
        """Every file below, at any depth, sorted by path."""
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

    def write(self, path: str, content: bytes) -> None:
        """The file whole or not at all, in the place of an older one."""
        ...

    def create(self, path: str, content: bytes) -> None:
        """The same, but FileExistsError when it exists: of two that try, one wins."""
        ...

    def delete(self, path: str) -> None:
        """The file; nothing when there is none."""
        ...

    def delete_folder(self, path: str) -> None:
        """The folder with all below it; nothing when there is none."""
        ...


def is_full(error: Exception) -> bool:
    """Whether a disk or a quota is full, in Python's words or in an engine's."""
    full = os.strerror(errno.ENOSPC)
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or full in str(error)


def difference(listed: Sequence[StoredFile], found: Sequence[StoredFile]) -> str:
    """The first file that is not as it was listed, and why: for two lists that differ."""
    then = {file.path: file.bytes for file in listed}
    now = {file.path: file.bytes for file in found}
    path = min(path for path in {*then, *now} if then.get(path) != now.get(path))
    if path not in now:
        return f"{path} is missing"
    if path not in then:
        return f"{path} is not in it"
    return f"{path} has {now[path]:,} bytes in place of {then[path]:,}"


class Folder:
    """A lake in a folder of a file system."""

    def __init__(self, uri: str) -> None:
        self.root = Path(uri).expanduser().resolve()

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
            StoredFile(file.relative_to(base).as_posix(), file.stat().st_size)
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

    def delete_folder(self, path: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.root / path)

    def _written_aside(self, path: str, content: bytes) -> Path:
        """A hidden file beside the real one, on the disk itself before it gets its name."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
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
