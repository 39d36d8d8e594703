"""The names of snapshots, and the manifest that describes what is in a snapshot."""

import re
from datetime import datetime, timezone
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from brewery_assets.lake.storage import StoredFile

_STAMP = "%Y%m%dT%H%M%SZ"
_FOLDER = re.compile(r"(?:snapshot=)?([12]\d{7}T\d{6}Z-[0-9a-f]{8})")


class Manifest(BaseModel, frozen=True):
    """The description of a snapshot, written next to its files as JSON.

    Attributes:
        snapshot: its name: UTC time of the run's start and eight characters of the run's id.
        layer: the asset's name.
        lake: the path or URI of the lake where it was written; a copy of the lake has another.
        run_id: the Dagster run that wrote it.
        created_at: when it was published, UTC.
        rows: the number of records.
        files: path below the snapshot, size in bytes and checksum of each file.
        codec: how the files are compressed.
        columns: types by column name; for bronze, the fields and their JSON types.
        made_from: the snapshot of each layer that it was made from.
        compared_with: the older snapshot, by layer, if it compares two snapshots of a layer.
        checks: name, outcome and numbers of each check when it was published.
        rows_by_folder: for a partitioned table, the number of rows in each folder.
        source: for bronze, what the source said and how it was read.
        folder_name: the name of its folder; None if it is the snapshot's name.
    """

    snapshot: str
    layer: str
    run_id: str
    created_at: AwareDatetime
    rows: int
    files: list[StoredFile]
    codec: str
    columns: dict[str, str] = {}
    made_from: dict[str, str] = {}
    compared_with: dict[str, str] = {}
    checks: list[dict[str, Any]] = []
    rows_by_folder: dict[str, int] = {}
    source: dict[str, Any] | None = None
    lake: str | None = None
    folder_name: str | None = Field(default=None, exclude=True)

    @property
    def folder(self) -> str:
        """The path of its folder, relative to the lake."""
        return f"{self.layer}/{self.folder_name or self.snapshot}"

    @property
    def bytes(self) -> int:
        """The total size of its files."""
        return sum(file.bytes for file in self.files)

    def check(self, name: str) -> dict[str, Any]:
        """The outcome and the numbers of a check; empty if an older version lacked the check."""
        return next((found for found in self.checks if found["name"] == name), {})


def number_before(previous: Manifest | None, check: str, number: str) -> Any:
    """A number of a check in the previous snapshot; None if there is none."""
    return previous.check(check).get(number) if previous else None


def why_damaged(error: ValidationError) -> str:
    """What is wrong with a manifest that cannot be read, in a short sentence."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"it is empty, cut off or not JSON ({first['msg']})"
    where = ".".join(map(str, first["loc"])) or "the whole"
    return f"it is not a manifest of this version or an older one ({where}: {first['msg']})"


def snapshot_in(folder: str) -> str | None:
    """The name of the snapshot in a folder; None if the folder has another kind of name.

    An older form of the folder's name is `snapshot=…`.
    """
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return None
    try:
        time_of(match[1])
    except ValueError:  # 20261399T000000Z
        return None
    return match[1]


def name_of(started: datetime, run_id: str) -> str:
    """A snapshot's name: UTC to the second, and eight characters of the run's id."""
    return f"{started.astimezone(timezone.utc).strftime(_STAMP)}-{run_id[:8]}"


def time_of(snapshot: str) -> datetime:
    """The time in a snapshot's name."""
    return datetime.strptime(snapshot.partition("-")[0], _STAMP).replace(tzinfo=timezone.utc)
