"""The tables as Delta Lake tables: with a log next to the files, other tools can read them.

    <layer>/_delta_log/00000000000000000007.json                  the eighth version
    <layer>/_delta_log/00000000000000000009.checkpoint.parquet    the tenth, for fast opening

The manifests are the source of truth, and the log follows them. Each version is one complete
snapshot, and its file in the log describes all of it. So a commit reads one file and writes one.
The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

import json
import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.tables import Table

LOG = "_delta_log"
CHECKPOINT_EVERY = 10  # versions; a reader opens the last checkpoint and the commits after it
TRIES = 20  # a try fails if another run commits at the same time
_FILE = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)")
_PROTOCOL = {"minReaderVersion": 1, "minWriterVersion": 2}  # supported by the oldest readers
# The lake deletes snapshots, and this module deletes their log entries. VACUUM must not.
_CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
}
_IN_CHECKPOINTS = {"protocol", "metaData", "add"}
Action = dict[str, Any]


class UnsafeStoreError(LakeError):
    """The store overwrites existing files, so two runs could lose each other's versions."""


@dataclass(frozen=True)
class Version:
    """The newest version of a table.

    Attributes:
        number: starts at 0.
        snapshot: the snapshot that it shows.
        actions: the actions of its commit, each as {kind: values}.
        log: the names of the files in the log when it was read.
    """

    number: int
    snapshot: str
    actions: list[Action]
    log: list[str]

    def of_kind(self, kind: str) -> list[Action]:
        """The actions of a kind, such as `add`."""
        return [action[kind] for action in self.actions if kind in action]


def newest_version(lake: Lake, layer: str) -> Version | None:
    """The newest version in the log of a table; None when there is no log.

    Raises:
        LakeError: the log is damaged or was not written by this module.
    """
    names = [file.path for file in lake.storage.files(f"{layer}/{LOG}")]
    commits = [name for name in names if _FILE.fullmatch(name) and name.endswith(".json")]
    if not commits:
        return None
    path = f"{layer}/{LOG}/{max(commits)}"
    try:
        actions = [json.loads(line) for line in lake.storage.read(path).splitlines()]
        (info,) = (action["commitInfo"] for action in actions if "commitInfo" in action)
        return Version(_number(max(commits)), info["snapshot"], actions, names)
    except (ValueError, TypeError, KeyError):
        raise LakeError(
            f"{lake.storage.uri(path)} is damaged or was written by another program; move the "
            f"folder {LOG} away, and `make verify REPAIR=1` writes it again"
        ) from None


@retry(retry=retry_if_exception_type(FileExistsError), stop=stop_after_attempt(TRIES), reraise=True)
def follow(lake: Lake, table: Table) -> Version | None:
    """Adds each published snapshot that is newer than the log's newest version, in order.

    If the snapshot of the newest version is no longer published, the newest published snapshot
    becomes the next version.

    Returns:
        The newest version afterwards; None if no published snapshot can be shown by a table.

    Raises:
        FileExistsError: another run committed at the same time, in each of the tries.
        LakeError: as `newest_version`.
        UnsafeStoreError: the storage overwrites existing files.
    """
    if not lake.storage.creates_once:
        raise UnsafeStoreError(
            f"{lake.storage.uri('')}: this S3 overwrites existing files even with If-None-Match. "
            "Two runs could lose each other's versions, so there are no Delta tables. Snapshots "
            "are published by their manifests alone"
        )
    version = newest_version(lake, table.name)
    for manifest in pending(lake, table.name, version.snapshot if version else ""):
        version = _commit(lake, table, manifest, version)
    return version


def pending(lake: Lake, layer: str, shown: str) -> list[Manifest]:
    """The published snapshots that are missing in the log, oldest first.

    Args:
        shown: the snapshot of the newest version; blank if there is none.
    """
    newer = [*_shown_by_tables(lake.undamaged(layer, after=shown))]
    if newer or not shown or lake.is_published(layer, shown):
        return newer[::-1]
    return [*_shown_by_tables(lake.undamaged(layer))][:1]


def _shown_by_tables(manifests: Iterator[Manifest]) -> Iterator[Manifest]:
    """Leaves out folders of the older form, `snapshot=…`, which readers would take for a column."""
    return (manifest for manifest in manifests if manifest.folder_name is None)


def _commit(lake: Lake, table: Table, manifest: Manifest, before: Version | None) -> Version:
    """Makes a snapshot the newest version; FileExistsError if another run was faster."""
    number = before.number + 1 if before else 0
    actions = _actions(table, manifest, before)
    name = f"{number:020}.json"
    lake.storage.create(f"{table.name}/{LOG}/{name}", _lines(actions))
    version = Version(number, manifest.snapshot, actions, [*(before.log if before else []), name])
    if number % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1:
        try:
            _checkpoint(lake, table.name, version)
        except Exception as error:  # the version is valid without a checkpoint
            dg.get_dagster_logger().warning(f"{table.name}: no checkpoint was written: {error}")
    return version


def _actions(table: Table, manifest: Manifest, before: Version | None) -> list[Action]:
    """The actions of a version: its schema, its files, and the removed files of the one before."""
    now = int(manifest.created_at.timestamp() * 1000)
    old = before.of_kind("metaData")[0] if before else {"id": str(uuid.uuid4()), "createdTime": now}
    info = {
        "timestamp": now,
        "operation": "WRITE",
        "operationParameters": {"mode": "Overwrite", "partitionBy": json.dumps(table.partition_by)},
        "operationMetrics": {
            "numFiles": str(len(manifest.files)),
            "numOutputRows": str(manifest.rows),
            "numOutputBytes": str(manifest.bytes),
        },
        "userMetadata": f"snapshot {manifest.snapshot}",  # what Spark shows in a table's history
        "snapshot": manifest.snapshot,
        "run_id": manifest.run_id,
        "engineInfo": "brewery_assets",
    }
    meta = {
        "id": old["id"],
        "name": table.name,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": table.schema_of(manifest.columns).json(),
        "partitionColumns": [*table.partition_by],
        "configuration": _CONFIGURATION,
        "createdTime": old["createdTime"],
    }
    removed = [
        {
            "path": file["path"],
            "deletionTimestamp": now,
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": file["partitionValues"],
            "size": file["size"],
        }
        for file in (before.of_kind("add") if before else [])
    ]
    return [
        {"commitInfo": info},
        {"protocol": _PROTOCOL},
        {"metaData": meta},
        *({"remove": file} for file in removed),
        *({"add": file} for file in _added(manifest, now)),
    ]


def _added(manifest: Manifest, now: int) -> Iterator[Action]:
    """The files of a manifest, with the number of rows of each file if it is known."""
    rows = manifest.rows_by_folder or {"": manifest.rows}
    folders = Counter(file.path.rpartition("/")[0] for file in manifest.files)
    for file in manifest.files:
        folder = file.path.rpartition("/")[0]
        known = rows.get(folder) if folders[folder] == 1 else None
        yield {
            "path": quote(f"{manifest.snapshot}/{file.path}", safe="/="),
            "partitionValues": dict(part.split("=", 1) for part in folder.split("/") if part),
            "size": file.bytes,
            "modificationTime": now,
            "dataChange": True,
            **({} if known is None else {"stats": json.dumps({"numRecords": known})}),
        }


def _checkpoint(lake: Lake, layer: str, version: Version) -> None:
    """Writes a checkpoint, and deletes log files that only older versions need.

    If the lake has n snapshots, readers can still open the n newest versions.
    """
    log = f"{layer}/{LOG}"
    name = f"{version.number:020}.checkpoint.parquet"
    kept = [action for action in version.actions if action.keys() & _IN_CHECKPOINTS]
    lake.storage.write(f"{log}/{name}", _checkpoint_of(kept))
    hint = json.dumps({"version": version.number, "size": len(kept)}).encode()
    lake.storage.write(f"{log}/_last_checkpoint", hint)
    oldest = version.number - len(lake.snapshots(layer)) + 1
    files = [file for file in [*version.log, name] if _FILE.fullmatch(file)]
    bases = [_number(file) for file in files if file.endswith(".parquet")]
    base = max((number for number in bases if number <= oldest), default=0)
    lake.storage.delete_each([f"{log}/{file}" for file in files if _number(file) < base])


def _checkpoint_of(actions: list[Action]) -> bytes:
    """The checkpoint that deltalake writes of one commit: each commit here is the whole table."""
    from deltalake import DeltaTable

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, LOG)
        log.mkdir()
        (log / f"{0:020}.json").write_bytes(_lines(actions))
        DeltaTable(folder).create_checkpoint()
        return (log / f"{0:020}.checkpoint.parquet").read_bytes()


def _lines(actions: list[Action]) -> bytes:
    return "".join(f"{json.dumps(action)}\n" for action in actions).encode()


def _number(name: str) -> int:
    return int(name[:20])
