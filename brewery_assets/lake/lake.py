"""The lake: immutable snapshots of each layer, published by a manifest that is written last.

    <layer>/snapshot=20261122T101500Z-1a2b3c4d/…      the data
    <layer>/snapshot=20261122T101500Z-1a2b3c4d/_manifest.json

A snapshot without a manifest is a draft. Its writer and the audit see it, nobody else does.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr, ValidationError

from brewery_assets.aws import Aws
from brewery_assets.engine.runs import is_over, lineage
from brewery_assets.lake.differences import difference
from brewery_assets.lake.manifest import (
    Manifest,
    folder_of,
    name_of,
    snapshot_in,
    time_of,
    why_damaged,
)
from brewery_assets.lake.retention import no_longer_kept, old_drafts
from brewery_assets.lake.storage import OUTAGE, Folder, Result, Storage, StoredFile, is_full

MANIFEST = "_manifest.json"
DRAFT = "_draft.json"
A_RUN = 10_000_000  # bytes of all layers and the report, for the 11,822 breweries of 2026


class LakeError(Exception):
    """The lake does not hold what was asked of it."""


class Lake(dg.ConfigurableResource[None]):
    """The lake as one run sees it, or as a reader outside of runs does."""

    uri: str = Field(description="What holds the layers: a folder, or s3://bucket/prefix.")
    aws: Aws | None = Field(default=None, description="Where a lake on S3 is.")
    snapshots_kept: int = Field(default=30, description="Newest snapshots of a layer that stay.")
    wait_for_s3: float = Field(
        default=OUTAGE, description="Seconds that a run waits for an S3 that is away."
    )
    _storage: Storage | None = PrivateAttr(default=None)
    _run_ids: list[str] = PrivateAttr(default_factory=list)
    _run_started: datetime | None = PrivateAttr(default=None)
    _reading: dict[str, Manifest] = PrivateAttr(default_factory=dict)
    _wrote: dict[str, str] = PrivateAttr(default_factory=dict)
    _name: str | None = PrivateAttr(default=None)
    _since: dict[tuple[str, str], Manifest | None] = PrivateAttr(default_factory=dict)
    _known: dict[str, Manifest] = PrivateAttr(default_factory=dict)
    _of_steps: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    _warned: set[str] = PrivateAttr(default_factory=set)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Opens the lake for a run; SettingsError when it cannot be written."""
        self._reading, self._since, self._wrote, self._name = {}, {}, {}, None
        self._of_steps = {}
        if context.run is None or context.instance is None:  # a sensor, which only reads
            return
        if not is_over(context):
            self.storage.prepare()
        self._run_ids = lineage(context.run, context.instance)
        record = context.instance.get_run_record_by_id(context.run.run_id)
        started = record.start_time if record and record.start_time else time.time()
        self._run_started = datetime.fromtimestamp(started, timezone.utc)

    @property
    def storage(self) -> Storage:
        """The files below."""
        if self._storage is None:
            if self.uri.startswith("s3://"):
                from brewery_assets.lake.s3 import Bucket  # boto3, for a lake on S3 only

                self._storage = Bucket(self.uri, self.aws or Aws(), self.wait_for_s3)
            else:
                self._storage = Folder(self.uri)
        return self._storage

    def layers(self) -> list[str]:
        """The names of the layers, and of whatever other folders lie in the lake."""
        return self.storage.folders("")

    def snapshots(self, layer: str) -> list[str]:
        """The names of all snapshots of a layer, drafts too, newest first.

        Raises:
            LakeError: a file lies where the layer's folder should be.
        """
        try:
            found = [snapshot_in(name) for name in self.storage.folders(layer)]
        except NotADirectoryError:
            raise self._in_the_way(layer) from None
        return sorted(filter(None, found), reverse=True)

    def published(self, layer: str) -> Iterator[str]:
        """The names of the published ones, newest first."""
        return (name for name in self.snapshots(layer) if self._is_published(layer, name))

    def manifest(self, layer: str, snapshot: str) -> Manifest:
        """What a published snapshot is; LakeError when there is none or its manifest is damaged."""
        try:
            content = self.storage.read(f"{folder_of(layer, snapshot)}/{MANIFEST}")
        except FileNotFoundError:
            newest = ", ".join(list(self.published(layer))[:5]) or "none"
            raise LakeError(
                f"{self.uri}: {layer} has no published snapshot {snapshot!r}; the newest: {newest}"
            ) from None
        return self._parsed(layer, snapshot, content)

    def survey(self, layer: str) -> dict[str, Manifest | None]:
        """All snapshots of a layer, newest first; None for a draft.

        Each manifest is read once, for none changes. One that is damaged is left out with a
        warning: it is neither published nor a draft.
        """
        folders = {name: folder_of(layer, name) for name in self.snapshots(layer)}
        unread = [name for name, folder in folders.items() if folder not in self._known]
        found = self.storage.read_each([f"{folders[name]}/{MANIFEST}" for name in unread])
        for name, content in zip(unread, found, strict=True):
            if content is None:
                continue
            try:
                self._known[folders[name]] = self._parsed(layer, name, content)
            except LakeError as error:
                self._leave_out(error)
                del folders[name]
        return {name: self._known.get(folder) for name, folder in folders.items()}

    def manifests(self, layer: str) -> list[Manifest]:
        """All published snapshots of a layer, newest first."""
        return [manifest for manifest in self.survey(layer).values() if manifest]

    def newest(self, layer: str) -> Manifest | None:
        """The newest published snapshot of a layer, whoever wrote it."""
        return next((self.manifest(layer, name) for name in self.published(layer)), None)

    def previous(self, manifest: Manifest) -> Manifest | None:
        """The newest snapshot that was published before this one, draft or not."""
        return next(self.undamaged(manifest.layer, before=manifest.snapshot), None)

    def undamaged(self, layer: str, before: str = "") -> Iterator[Manifest]:
        """The published snapshots of a layer, newest first, each read when it is asked for.

        A damaged manifest is left out with a warning.

        Args:
            layer: its name.
            before: only those with an earlier name.
        """
        for name in self.published(layer):
            if (not before or name < before) and (found := self._undamaged(layer, name)):
                yield found

    def _undamaged(self, layer: str, snapshot: str) -> Manifest | None:
        try:
            return self.manifest(layer, snapshot)
        except LakeError as error:
            self._leave_out(error)
            return None

    def _leave_out(self, error: LakeError) -> None:
        """Warns once: a run meets the same manifest many times."""
        if str(error) not in self._warned:
            self._warned.add(str(error))
            dg.get_dagster_logger().warning(f"left out: {error}")

    def _parsed(self, layer: str, snapshot: str, content: bytes, file: str = MANIFEST) -> Manifest:
        """The manifest in a file, if it is that of the place where the file lies."""
        folder = folder_of(layer, snapshot)
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            wrong = why_damaged(error)
        else:
            if manifest.folder == folder:
                return manifest
            wrong = f"it is the manifest of {manifest.folder}"
        raise LakeError(
            f"{self.storage.uri(folder)}/{file} is damaged: {wrong}; put back a copy of it, "
            "or delete it to read an older snapshot"
        )

    def _in_the_way(self, layer: str) -> LakeError:
        return LakeError(
            f"{self.storage.uri(layer)} is a file where the folder of a layer should be; "
            "move it away and run again"
        )

    def reading(self, layer: str, snapshot: str | None = None) -> Manifest:
        """The snapshot that this run reads: the named one, its own, or the newest published.

        It stays the same until the run is over or writes the layer itself, whatever other runs
        publish meanwhile.

        Raises:
            LakeError: when there is none, when this run's own was not audited, or when the files
                are not those of the manifest.
        """
        known = self._reading.get(layer)
        if known is None or snapshot not in (None, known.snapshot):
            self._reading[layer] = self._verified(self._chosen(layer, snapshot))
        return self._reading[layer]

    def since(self, layer: str, reader: str) -> Manifest | None:
        """The older snapshot that another layer, `reader`, compares with what this run reads.

        It is the one up to which that layer has compared before, so that nothing between two of
        its snapshots is left out, or else the previous one; None when there is nothing older.
        """
        if (reader, layer) not in self._since:
            self._since[reader, layer] = self._chosen_since(layer, reader)
        return self._since[reader, layer]

    def _chosen_since(self, layer: str, reader: str) -> Manifest | None:
        now = self.reading(layer)
        for manifest in self.undamaged(reader):
            compared = manifest.made_from.get(layer, "")
            if (
                compared < now.snapshot
                and self._is_published(layer, compared)
                and (older := self._undamaged(layer, compared))
            ):
                return self._verified(older)
        previous = self.previous(now)
        return previous and self._verified(previous)

    def compared(self, reader: str) -> dict[str, str]:
        """For each layer that `reader` looked back from in this run, the older snapshot."""
        return {
            layer: before.snapshot
            for (by, layer), before in self._since.items()
            if by == reader and before
        }

    def _chosen(self, layer: str, snapshot: str | None) -> Manifest:
        if snapshot:
            return self.manifest(layer, snapshot)
        wrote = self._wrote.get(layer) or max(self._of_runs(layer, self._run_ids[:1]), default=None)
        if wrote and self._draft(layer, wrote) and not self._is_published(layer, wrote):
            raise LakeError(
                f"{self.storage.uri(layer)}: what this run wrote is not published; "
                "select the asset's checks too, they publish it"
            )
        newest = self.manifest(layer, wrote) if wrote else self.newest(layer)
        if newest is None:
            raise LakeError(f"{self.uri} has no published {layer}: materialize it first")
        return newest

    def _verified(self, manifest: Manifest) -> Manifest:
        """An engine reads a folder as it finds it, and an empty one as no rows."""
        if damage := self.damage(manifest):
            raise LakeError(
                f"{self.storage.uri(manifest.folder)}: the files are not those of its {MANIFEST}: "
                f"{damage}; put back what the {MANIFEST} lists and move away what it does not, or "
                "delete it to read an older snapshot"
            )
        return manifest

    def damage(self, manifest: Manifest) -> str | None:
        """How the files differ from those of the manifest; None if they do not."""
        found = self._data_files(manifest.folder)
        etags = manifest.lake == self.storage.uri("")
        if change := difference(manifest.files, found, etags=etags):
            return change
        served = (manifest.source or {}).get("sha256")
        if served and self._wrote.get(manifest.layer) != manifest.snapshot:
            for file in manifest.files:  # bronze has one
                if self.storage.sha256(f"{manifest.folder}/{file.path}") != served:
                    return f"{file.path} has another content than the source served"
        return None

    def through_outages(self, work: Callable[[], Result], *, writes: str | None = None) -> Result:
        """What an engine's work returns; see `Storage.through_outages`."""
        return self.storage.through_outages(work, writes)

    def _is_published(self, layer: str, snapshot: str) -> bool:
        return self.storage.exists(f"{folder_of(layer, snapshot)}/{MANIFEST}")

    def _of_runs(self, layer: str, run_ids: list[str]) -> list[str]:
        return [
            snapshot
            for run_id in run_ids
            for snapshot in self.snapshots(layer)
            if snapshot.endswith(f"-{run_id[:8]}")
        ]

    def _data_files(self, folder: str) -> list[StoredFile]:
        """Without what engines and this module note beside the data: _SUCCESS, .crc, …"""
        return [
            file
            for file in self.storage.files(folder)
            if not any(part.startswith(("_", ".")) for part in file.path.split("/"))
        ]

    def begin(self, layer: str) -> str:
        """The empty folder for this run's snapshot of a layer, relative to the lake.

        What an earlier try of the same run left there is deleted; so are, at a run's first
        layer, old drafts of all layers: a disk that they fill has no room for this run.
        """
        self._reading.pop(layer, None)
        if self._name is None:
            self._name = self._own_name()
            self._sweep_drafts()
        self._wrote[layer] = self._name
        folder = folder_of(layer, self._name)
        if self.storage.exists(f"{folder}/{MANIFEST}"):
            raise LakeError(f"{self.storage.uri(folder)} is published and stays as it is")
        try:
            self.storage.delete_folder(folder)
        except NotADirectoryError:
            raise self._in_the_way(layer) from None
        return folder

    @contextmanager
    def writing(self, layer: str, step: str) -> Iterator[str]:
        """The folder that `begin` gives.

        When what is done meanwhile fails, it is deleted again, with all that the step wrote.

        Raises:
            LakeError: the disk is full; how much is free, and how much a run takes.
        """
        folder = self.begin(layer)
        self._of_steps.setdefault(step, []).append(folder)
        with self._full_disk_explained():
            try:
                yield folder
            except Exception:
                try:
                    for wrote in self._of_steps.pop(step):
                        self.storage.delete_folder(wrote)
                except OSError as error:  # the error that brought us here matters more
                    dg.get_dagster_logger().warning(f"{layer}: a draft stays: {error}")
                raise

    @contextmanager
    def _full_disk_explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            free = self.storage.free() if is_full(error) else None
            if free is None:
                raise
            newest = (next(self.undamaged(layer), None) for layer in self.layers())
            takes = max(A_RUN, sum(manifest.bytes for manifest in newest if manifest))
            held = tempfile.gettempdir()  # what the embedded engine holds
            raise LakeError(
                f"{self.storage.uri('')}: no space left on the disk. {free / 1e6:,.1f} MB are "
                f"free there, {shutil.disk_usage(held).free / 1e6:,.1f} MB in {held}, and a run "
                f"takes about {takes / 1e6:,.1f} MB; make room and run again"
            ) from error

    def stage(self, folder: str, **facts: Any) -> Manifest:
        """Notes what was written, as a draft: a manifest under another name.

        Args:
            folder: as `writing` gave it.
            **facts: the manifest's rows, codec, made_from and source.
        """
        layer, _, snapshot = folder.partition("/snapshot=")
        draft = Manifest(
            snapshot=snapshot,
            layer=layer,
            lake=self.storage.uri(""),
            run_id=self._run_ids[0],
            created_at=datetime.now(timezone.utc),
            files=self._data_files(folder),
            **facts,
        )
        self.storage.write(f"{folder}/{DRAFT}", draft.model_dump_json(indent=1).encode())
        return draft

    def draft(self, layer: str) -> Manifest | None:
        """What this run, or the one that it re-executes, wrote and has not published."""
        newest = next(iter(self._of_runs(layer, self._run_ids)), None)
        if newest is None or self._is_published(layer, newest):
            return None
        return self._draft(layer, newest)

    def written(self, layer: str, snapshot: str) -> Manifest:
        """A snapshot, published or not: for the audit of another output of the same step."""
        return self._draft(layer, snapshot) or self.manifest(layer, snapshot)

    def _draft(self, layer: str, snapshot: str) -> Manifest | None:
        try:
            content = self.storage.read(f"{folder_of(layer, snapshot)}/{DRAFT}")
        except FileNotFoundError:
            return None
        return self._parsed(layer, snapshot, content, DRAFT)

    def publish(self, draft: Manifest, checks: list[dict[str, Any]]) -> Manifest:
        """Makes a draft what readers see, if its files are still what was written."""
        if change := difference(draft.files, self._data_files(draft.folder)):
            raise LakeError(
                f"{self.storage.uri(draft.folder)}: its files changed after they were written "
                f"({change}); it stays a draft"
            )
        manifest = draft.model_copy(
            update={"checks": checks, "created_at": datetime.now(timezone.utc)}
        )
        content = manifest.model_dump_json(indent=1).encode()
        with self._full_disk_explained():
            self.storage.create(f"{draft.folder}/{MANIFEST}", content)
        try:
            self.storage.delete(f"{draft.folder}/{DRAFT}")
        except OSError as error:  # nobody looks at it any more
            dg.get_dagster_logger().warning(f"{draft.layer}: {DRAFT} stays: {error}")
        self._reading.pop(draft.layer, None)
        self._sweep(draft.layer)
        return manifest

    def _own_name(self) -> str:
        """One name for all that a run writes: later than all others, whatever the clock says."""
        if not self._run_ids or self._run_started is None:
            raise LakeError("only a Dagster run writes to the lake")
        every = [name for layer in self.layers() for name in self.snapshots(layer)]
        if own := [name for name in every if name.endswith(f"-{self._run_ids[0][:8]}")]:
            return max(own)
        start = self._run_started
        if every:
            start = max(start, time_of(max(every)) + timedelta(seconds=1))
        return name_of(start, self._run_ids[0])

    def _sweep(self, layer: str) -> None:
        """Deletes the published snapshots that are no longer kept."""
        now = datetime.now(timezone.utc)
        self._delete(layer, partial(no_longer_kept, self, layer, self.snapshots_kept, now))

    def _sweep_drafts(self) -> None:
        now = datetime.now(timezone.utc)
        for layer in self.layers():
            self._delete(layer, partial(old_drafts, self, layer, now))

    def _delete(self, layer: str, may_go: Callable[[], list[str]]) -> None:
        """Deletes snapshots; that it cannot is no reason to fail a good run."""
        log = dg.get_dagster_logger()
        try:
            going = may_go()
        except Exception as error:
            log.warning(f"{layer}: cannot tell which snapshots may go: {error}")
            return
        for snapshot in going:
            folder = folder_of(layer, snapshot)
            try:
                self.storage.delete(f"{folder}/{MANIFEST}")
                self.storage.delete_folder(folder)
            except OSError as error:
                log.warning(f"{layer}: {snapshot} could not be deleted: {error}")

    def last_change(self, layer: str, snapshot: str) -> datetime | None:
        """When the newest file of a snapshot was written; None when there is no file."""
        return self.storage.last_change(folder_of(layer, snapshot))
