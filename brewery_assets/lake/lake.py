"""The lake: immutable snapshots of each layer, published by a manifest that is written last.

    <layer>/20261122T101500Z-1a2b3c4d/…      the data
    <layer>/20261122T101500Z-1a2b3c4d/_manifest.json

A snapshot without a manifest is a draft: readers ignore it. Earlier versions named the folder
`snapshot=20261122T101500Z-1a2b3c4d`. Those snapshots are still read, kept and deleted like others.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr, ValidationError

from brewery_assets.aws import Aws
from brewery_assets.engine.runs import is_over
from brewery_assets.lake.differences import difference
from brewery_assets.lake.manifest import (
    Manifest,
    name_of,
    snapshot_in,
    time_of,
    why_damaged,
)
from brewery_assets.lake.retention import no_longer_kept, old_drafts
from brewery_assets.lake.storage import OUTAGE, Folder, Result, Storage, StoredFile, is_full
from brewery_assets.settings import Settings

MANIFEST = "_manifest.json"
A_SECOND = timedelta(seconds=1)
A_RUN = 10_000_000  # bytes of all layers and the report, for the 11,822 breweries of 2026


class LakeError(Exception):
    """The lake cannot do what was requested; the message says why."""


class Lake(dg.ConfigurableResource[None]):
    """The lake, as seen by one run or by a reader outside of runs."""

    uri: str = Field(description="Where the layers are: a folder, or s3://bucket/prefix.")
    aws: Aws | None = Field(default=None, description="How to reach S3, if the lake is on S3.")
    snapshots_kept: int = Field(default=30, description="Newest snapshots of a layer to keep.")
    wait_for_s3: float = Field(
        default=OUTAGE, description="Seconds that a run waits while S3 is unavailable."
    )
    _storage: Storage | None = PrivateAttr(default=None)
    _run_id: str | None = PrivateAttr(default=None)
    _run_started: datetime | None = PrivateAttr(default=None)
    _name: str | None = PrivateAttr(default=None)
    _listed: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    _folders: dict[str, dict[str, str]] = PrivateAttr(default_factory=dict)
    _known: dict[str, Manifest] = PrivateAttr(default_factory=dict)
    _reading: dict[str, Manifest] = PrivateAttr(default_factory=dict)
    _begun: set[str] = PrivateAttr(default_factory=set)
    _published: dict[str, Manifest] = PrivateAttr(default_factory=dict)
    _warned: set[str] = PrivateAttr(default_factory=set)

    @classmethod
    def of(cls, settings: Settings) -> "Lake":
        """The lake of the given settings."""
        return cls(
            uri=settings.lake_uri,
            aws=Aws(region=settings.aws_region),
            snapshots_kept=settings.snapshots_kept,
        )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Opens the lake for a run; SettingsError if it cannot be written."""
        self._run_id, self._name, self._listed, self._known = None, None, {}, {}
        self._reading, self._begun, self._published = {}, set(), {}
        if context.run is None or context.instance is None:  # a sensor, which only reads
            return
        if not is_over(context):
            self.storage.prepare()
        self._run_id = context.run.run_id
        record = context.instance.get_run_record_by_id(context.run.run_id)
        started = record.start_time if record and record.start_time else time.time()
        self._run_started = datetime.fromtimestamp(started, timezone.utc)

    @property
    def storage(self) -> Storage:
        """The storage that holds the files."""
        if self._storage is None:
            if self.uri.startswith("s3://"):
                from brewery_assets.lake.s3 import Bucket  # boto3, for a lake on S3 only

                self._storage = Bucket(self.uri, self.aws or Aws(), self.wait_for_s3)
            else:
                self._storage = Folder(self.uri)
        return self._storage

    def layers(self) -> list[str]:
        """The names of the layers, and of other folders in the lake."""
        return self.storage.folders("")

    def snapshots(self, layer: str) -> list[str]:
        """The names of all snapshots of a layer, drafts too, newest first.

        A run lists a layer once. It does not see what other runs publish later.

        Raises:
            LakeError: a file is where the layer's folder should be.
        """
        if layer in self._listed:
            return self._listed[layer]
        try:
            found = {snapshot_in(name): name for name in self.storage.folders(layer)}
        except NotADirectoryError:
            raise LakeError(
                f"{self.storage.uri(layer)} is a file where the folder of a layer should be; "
                "move it away and run again"
            ) from None
        self._folders[layer] = {name: folder for name, folder in found.items() if name}
        names = sorted(self._folders[layer], reverse=True)
        if self._run_id:
            self._listed[layer] = names
        return names

    def folder_of(self, layer: str, snapshot: str) -> str:
        """The folder of a snapshot, relative to the lake."""
        if layer not in self._folders:
            self.snapshots(layer)
        return f"{layer}/{self._folders[layer].get(snapshot, snapshot)}"

    def published(self, layer: str) -> Iterator[str]:
        """The names of the published snapshots of a layer, newest first."""
        for name in self.snapshots(layer):
            if self.is_published(layer, name):
                yield name

    def manifest(self, layer: str, snapshot: str) -> Manifest:
        """The manifest of a published snapshot; LakeError if it is missing or damaged."""
        if found := self._manifest(layer, snapshot):
            return found
        newest = ", ".join(islice(self.published(layer), 5)) or "none"
        raise LakeError(
            f"{self.uri}: {layer} has no published snapshot {snapshot!r}; the newest: {newest}"
        )

    def _manifest(self, layer: str, snapshot: str) -> Manifest | None:
        """The manifest of a snapshot; None for a draft. A run reads it once: it never changes."""
        folder = self.folder_of(layer, snapshot)
        if folder in self._known:
            return self._known[folder]
        try:
            content = self.storage.read(f"{folder}/{MANIFEST}")
        except FileNotFoundError:
            return None
        manifest = self._parsed(layer, snapshot, content)
        if self._run_id:
            self._known[folder] = manifest
        return manifest

    def survey(self, layer: str) -> dict[str, Manifest | None]:
        """All snapshots of a layer, newest first; None for a draft.

        Each manifest is read once, because manifests never change. A snapshot with a damaged
        manifest is left out with a warning: it is neither published nor a draft.
        """
        folders = {name: self.folder_of(layer, name) for name in self.snapshots(layer)}
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
        """The newest published snapshot of a layer."""
        found = (self._manifest(layer, name) for name in self.snapshots(layer))
        return next(filter(None, found), None)

    def previous(self, layer: str) -> Manifest | None:
        """The newest published snapshot that is older than this run's."""
        return next(self.undamaged(layer, before=self.name), None)

    def is_published(self, layer: str, snapshot: str) -> bool:
        """Whether a snapshot is published."""
        folder = self.folder_of(layer, snapshot)
        return folder in self._known or self.storage.exists(f"{folder}/{MANIFEST}")

    def undamaged(self, layer: str, before: str = "", after: str = "") -> Iterator[Manifest]:
        """Yields the published snapshots of a layer, newest first; reads each one on demand.

        A damaged manifest is left out with a warning.

        Args:
            layer: its name.
            before: only those with an earlier name.
            after: only those with a later name.
        """
        for name in self.snapshots(layer):
            if name <= after:
                return
            if (not before or name < before) and (found := self._undamaged(layer, name)):
                yield found

    def _undamaged(self, layer: str, snapshot: str) -> Manifest | None:
        try:
            return self._manifest(layer, snapshot)
        except LakeError as error:
            self._leave_out(error)
            return None

    def _leave_out(self, error: LakeError) -> None:
        """Warns once, because a run reads the same damaged manifest many times."""
        self.warn_once(f"left out: {error}")

    def warn_once(self, text: str) -> None:
        """Logs a warning, unless it has already been logged."""
        if text not in self._warned:
            self._warned.add(text)
            dg.get_dagster_logger().warning(text)

    def _parsed(self, layer: str, snapshot: str, content: bytes) -> Manifest:
        """The manifest in a file, if it belongs to the folder of the file."""
        folder = self.folder_of(layer, snapshot)
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            wrong = why_damaged(error)
        else:
            if (manifest.layer, manifest.snapshot) == (layer, snapshot):
                name = folder.partition("/")[2]
                return manifest.model_copy(
                    update={"folder_name": name if name != snapshot else None}
                )
            wrong = f"it is the manifest of {manifest.folder}"
        raise LakeError(
            f"{self.storage.uri(folder)}/{MANIFEST} is damaged: {wrong}; restore it from a "
            "copy, or delete it to read an older snapshot"
        )

    def reading(self, layer: str, snapshot: str | None = None) -> Manifest:
        """The snapshot that this run reads: the named one, its own, or the newest published.

        It stays the same until the run is over or writes the layer itself.

        Raises:
            LakeError: there is none, or its files differ from the manifest.
        """
        known = self._reading.get(layer)
        if known is None or snapshot not in (None, known.snapshot):
            chosen = self.manifest(layer, snapshot) if snapshot else self._own_or_newest(layer)
            self._reading[layer] = self.verified(chosen)
        return self._reading[layer]

    def _own_or_newest(self, layer: str) -> Manifest:
        found = self._published.get(layer) or self.newest(layer)
        if found is None:
            raise LakeError(f"{self.uri} has no published {layer}: materialize it first")
        return found

    def last_used(self, layer: str, reader: str, before: str) -> Manifest | None:
        """The newest snapshot of a layer, older than `before`, that `reader` was made from.

        If there is none, the newest older one; None if nothing is older.

        Args:
            layer: the layer.
            reader: another layer.
            before: the name of a snapshot.
        """
        for manifest in self.undamaged(reader):
            used = manifest.made_from.get(layer, "")
            if "" < used < before and (older := self._undamaged(layer, used)):
                return older
        return next(self.undamaged(layer, before=before), None)

    def compared_last(self, layer: str, reader: str) -> Manifest | None:
        """The older snapshot of a layer that `reader`, another layer, compares with this run's.

        It is the last one that `reader` was made from, so that no change is missed.
        """
        older = self.last_used(layer, reader, self.reading(layer).snapshot)
        return older and self.verified(older)

    def verified(self, manifest: Manifest) -> Manifest:
        """The manifest, if its files are intact: an engine reads an empty folder as no rows."""
        if damage := self.damage(manifest):
            raise LakeError(
                f"{self.storage.uri(manifest.folder)}: the files differ from its {MANIFEST}: "
                f"{damage}; restore the files that it lists and move other files away, or delete "
                f"the {MANIFEST} to read an older snapshot"
            )
        return manifest

    def damage(self, manifest: Manifest) -> str | None:
        """How the files differ from those of the manifest; None if they do not."""
        found = self.data_files(manifest.folder)
        etags = manifest.lake == self.storage.uri("")
        if change := difference(manifest.files, found, etags=etags):
            return change
        served = (manifest.source or {}).get("sha256")
        if served and self._published.get(manifest.layer) != manifest:
            for file in manifest.files:  # bronze has one
                if self.storage.sha256(f"{manifest.folder}/{file.path}") != served:
                    return f"{file.path} differs from what the source served"
        return None

    def through_outages(self, work: Callable[[], Result], *, writes: str | None = None) -> Result:
        """Runs an engine's work, repeatedly if S3 fails; see `Storage.through_outages`."""
        return self.storage.through_outages(work, writes)

    def data_files(self, folder: str) -> list[StoredFile]:
        """The files of data, without those that engines and this module add: _SUCCESS, .crc, …"""
        return [
            file
            for file in self.storage.files(folder)
            if not any(part.startswith(("_", ".")) for part in file.path.split("/"))
        ]

    def _list_all(self) -> dict[str, list[str]]:
        """The snapshots of all layers, listed in parallel."""
        layers = self.layers()
        with ThreadPoolExecutor(max_workers=8) as pool:
            return dict(zip(layers, pool.map(self.snapshots, layers), strict=True))

    @property
    def name(self) -> str:
        """The name of this run's snapshots: later than all others, even if the clock is slow."""
        if self._name is None:
            if self._run_id is None or self._run_started is None:
                raise LakeError("only a Dagster run writes to the lake")
            start = self._run_started
            if every := [name for names in self._list_all().values() for name in names]:
                start = max(start, time_of(max(every)) + A_SECOND)
            self._name = name_of(start, self._run_id)
        return self._name

    def name_in(self, layer: str) -> str:
        """The name of this run's snapshot of a layer.

        If the run has already published the layer and its step is retried, the name is a second
        later.
        """
        if own := self._published.get(layer):
            return name_of(time_of(own.snapshot) + A_SECOND, own.run_id)
        return self.name

    def folder(self, layer: str) -> str:
        """The folder of this run's snapshot of a layer, relative to the lake."""
        return f"{layer}/{self.name_in(layer)}"

    @contextmanager
    def writing(self, layer: str) -> Iterator[str]:
        """Gives an empty folder for this run's snapshot of a layer; deletes it after an error.

        First it deletes what an earlier try of the same run left there. At a run's first layer it
        also deletes old drafts of all layers, because they may fill the disk.

        Raises:
            LakeError: the disk is full; the message says how much is free and how much a run takes.
        """
        folder = self.folder(layer)
        self.snapshots(layer)  # fails if a file is in place of the layer's folder
        if not self._begun:
            self._sweep_drafts()
        if folder in self._begun:
            self.storage.delete_folder(folder)
        self._begun.add(folder)
        with self.full_disk_explained():
            try:
                yield folder
            except Exception:
                try:
                    if not self.storage.exists(f"{folder}/{MANIFEST}"):
                        self.storage.delete_folder(folder)
                except OSError as error:  # the first error matters more
                    dg.get_dagster_logger().warning(f"{layer}: a draft was not deleted: {error}")
                raise

    @contextmanager
    def full_disk_explained(self) -> Iterator[None]:
        """Turns an error of a full disk into a LakeError with the free space and what is needed."""
        try:
            yield
        except Exception as error:
            free = self.storage.free() if is_full(error) else None
            if free is None:
                raise
            newest = (next(self.undamaged(layer), None) for layer in self.layers())
            takes = max(A_RUN, sum(manifest.bytes for manifest in newest if manifest))
            held = tempfile.gettempdir()  # where the embedded engine holds frames
            raise LakeError(
                f"{self.storage.uri('')}: no space left on the disk. {free / 1e6:,.1f} MB are "
                f"free there, {shutil.disk_usage(held).free / 1e6:,.1f} MB in {held}, and a run "
                f"takes about {takes / 1e6:,.1f} MB; make room and run again"
            ) from error

    def publish(
        self, folder: str, *, files: Sequence[StoredFile] | None = None, **facts: Any
    ) -> Manifest:
        """Publishes the snapshot in a folder: from now on readers see it.

        Args:
            folder: as returned by `writing`.
            files: the files of the snapshot; None takes all that are in the folder.
            **facts: the other attributes of the manifest.

        Raises:
            FileExistsError: it is already published.
        """
        layer, _, snapshot = folder.partition("/")
        manifest = Manifest(
            snapshot=snapshot,
            layer=layer,
            lake=self.storage.uri(""),
            run_id=self._run_id or "",
            created_at=datetime.now(timezone.utc),
            files=self.data_files(folder) if files is None else list(files),
            **facts,
        )
        content = manifest.model_dump_json(indent=1).encode()
        self.storage.create(f"{folder}/{MANIFEST}", content)
        self._reading.pop(layer, None)
        self._published[layer] = self._known[folder] = manifest
        self._listed[layer] = [snapshot, *self.snapshots(layer)]
        self._sweep(layer)
        return manifest

    def _sweep(self, layer: str) -> None:
        """Deletes the published snapshots that are no longer kept."""
        if len(self.snapshots(layer)) <= self.snapshots_kept:
            return
        now = datetime.now(timezone.utc)
        fresh = Lake(uri=self.uri, aws=self.aws)  # sees what other runs have published since
        fresh._storage, fresh._known, fresh._warned = self._storage, self._known, self._warned
        self._delete(layer, partial(no_longer_kept, fresh, layer, self.snapshots_kept, now))

    def _sweep_drafts(self) -> None:
        now = datetime.now(timezone.utc)
        for layer in [*self._listed]:
            self._delete(layer, partial(old_drafts, self, layer, now))

    def _delete(self, layer: str, may_go: Callable[[], list[str]]) -> None:
        """Deletes snapshots. A failure is only a warning, so that a good run does not fail."""
        log = dg.get_dagster_logger()
        try:
            going = may_go()
        except Exception as error:
            log.warning(f"{layer}: cannot determine which snapshots to delete: {error}")
            return
        for snapshot in going:
            folder = self.folder_of(layer, snapshot)
            try:
                self.storage.delete(f"{folder}/{MANIFEST}")
                self.storage.delete_folder(folder)
                # It is not in this list if it was published after this run had listed the layer.
                self._listed[layer] = [name for name in self._listed[layer] if name != snapshot]
            except OSError as error:
                log.warning(f"{layer}: {snapshot} could not be deleted: {error}")

    def last_change(self, layer: str, snapshot: str) -> datetime | None:
        """When the newest file of a snapshot was written; None when there is no file."""
        return self.storage.last_change(self.folder_of(layer, snapshot))
