"""The lake after publications, killed runs, cleanups and repairs in any order, against a model."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from brewery_assets.lake.delta import newest_version
from brewery_assets.lake.lake import MANIFEST, Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.rows import parquet_files, table_of
from brewery_assets.operations import verify
from brewery_assets_tests.lake.readers import with_deltalake
from brewery_assets_tests.lake.tables import TABLE, Row, commit, of_run, publish, write
from brewery_assets_tests.lake.test_readers import by_id
from demo.s3 import S3Server

KEPT, ALL = 3, 1000
AN_HOUR, A_DAY = 2, 25  # hours, and a little more
# If names are later than the clock, only the times in the manifests count, and a test can set them.
AHEAD = datetime.now(timezone.utc) + timedelta(days=7)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abcdef"),
            "name": st.sampled_from([None, "A", "Ü"]),
            "latitude": st.sampled_from([None, 1.5]),
            "country": st.sampled_from(["italy", "france", "unknown"]),
        }
    ),
    max_size=4,
    unique_by=lambda row: row["id"],
)


class Slow(NamedTuple):
    """A run that has written its draft and is still working.

    Attributes:
        lake: as the run sees it.
        name: of its draft.
        rows: what it has written.
        listed: the names that it has listed; it does not see later ones.
        seen: those that were published.
    """

    lake: Lake
    name: str
    rows: list[Row]
    listed: set[str]
    seen: set[str]


class LakeStates(RuleBasedStateMachine):
    """One lake, and what should be in it.

    Attributes:
        published: the rows of each published snapshot, by name.
        ages: how many hours ago each was published.
        drafts: the names of the drafts.
        emptied: names without a file, which SeaweedFS still lists for a while (its issue 9810).
        versions: the snapshot of each version of the Delta table.
        slow: a run that is still working; None if there is none.
    """

    def __init__(self, uri: str, instance: dg.DagsterInstance) -> None:
        super().__init__()
        self.uri, self.instance = uri, instance
        self.storage = Lake(uri=uri).storage  # opened once: a client of S3 takes 0.1 s
        self.runs = 0
        self.published: dict[str, list[Row]] = {}
        self.ages: dict[str, int] = {}
        self.drafts: set[str] = set()
        self.emptied: set[str] = set()
        self.versions: list[str] = []
        self.slow: Slow | None = None

    @rule(rows=ROWS, tried=st.booleans())
    def publish(self, rows: list[Row], tried: bool) -> None:
        """A run publishes; if `tried`, the first try of its step has left files."""
        lake = self._run()
        if tried:
            write(lake, [{"id": "t", "country": "tried"}])
        self._has_published(publish(lake, rows), rows)
        self._has_committed(lake)

    @rule(first=ROWS, second=ROWS)
    def publish_twice(self, first: list[Row], second: list[Row]) -> None:
        """A run publishes, and its step is retried."""
        lake = self._run()
        self._has_published(publish(lake, first), first)
        self._has_published(publish(lake, second), second)
        self._has_committed(lake)

    @rule(rows=ROWS)
    def die_before_the_manifest(self, rows: list[Row]) -> None:
        name = _name(write(self._run(), rows))
        if rows:
            self.drafts.add(name)

    @rule(rows=ROWS, cleaned=st.booleans())
    def die_after_the_manifest(self, rows: list[Row], cleaned: bool) -> None:
        """A run dies before it changes the Delta log; unless `cleaned`, also before it deletes."""
        lake = self._run(KEPT if cleaned else ALL)
        self._has_published(publish(lake, rows), rows, cleaned=cleaned)

    @rule(rows=ROWS)
    def die_in_the_cleanup(self, rows: list[Row]) -> None:
        """A run dies when it has deleted the manifest of an old snapshot, but not its files."""
        lake = self._run(ALL)
        self._has_published(publish(lake, rows), rows, cleaned=False)
        for name in self._old()[:1]:
            lake.storage.delete(f"{TABLE.name}/{name}/{MANIFEST}")
            if self.published.pop(name) or not self._is_on_s3:  # an empty folder
                self.drafts.add(name)
            else:
                self.emptied.add(name)

    @precondition(lambda self: self.slow is None)
    @rule(rows=ROWS.filter(bool))
    def begin_slowly(self, rows: list[Row]) -> None:
        """A run writes its files, and others may publish before it does."""
        lake = self._run()
        name = _name(write(lake, rows))
        listed = {*self.published, *self.drafts}
        self.slow = Slow(lake, name, rows, listed, {*self.published})
        self.drafts.add(name)

    @precondition(lambda self: self.slow is not None)
    @rule(dies=st.booleans())
    def publish_late(self, dies: bool) -> None:
        """The slow run publishes; its name is older than those of the runs that began later."""
        assert self.slow is not None
        (lake, name, rows, listed, seen), self.slow = self.slow, None
        countries = [row["country"] for row in rows]
        manifest = lake.publish(
            f"{TABLE.name}/{name}",
            rows=len(rows),
            codec="zstd",
            columns=TABLE.types,
            rows_by_folder={f"country={found}": countries.count(found) for found in countries},
        )
        self.drafts.remove(name)
        self._has_published(manifest, rows, cleaned=len(listed) >= KEPT)
        if not dies:
            self._has_committed(lake, {*seen, name})

    @rule(hours=st.sampled_from([AN_HOUR, A_DAY]))
    def wait(self, hours: int) -> None:
        """Time passes: the manifests are from earlier. No run works for an hour."""
        storage = self._reader().storage
        for manifest in self._reader().manifests(TABLE.name):
            earlier = manifest.created_at - timedelta(hours=hours)
            older = manifest.model_copy(update={"created_at": earlier})
            storage.write(f"{manifest.folder}/{MANIFEST}", older.model_dump_json().encode())
            self.ages[manifest.snapshot] += hours
        self.slow = None

    @rule()
    def repair(self) -> None:
        verify.repair(self._reader())
        self._follow()

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def read_an_older_one(self, data: st.DataObject) -> None:
        """A reader names a snapshot, and a version of the Delta table that shows it."""
        name = data.draw(st.sampled_from(sorted(self.published)))
        lake = self._reader()
        assert _rows(lake, lake.reading(TABLE.name, name)) == self._rows_of(name)
        if name in self.versions:
            number = len(self.versions) - 1 - self.versions[::-1].index(name)
            (rows,) = with_deltalake(f"{self.uri}/{TABLE.name}", [number])
            assert by_id(rows) == self._rows_of(name)

    @rule()
    def read_a_draft(self) -> None:
        for name in self.drafts:
            with pytest.raises(LakeError, match="has no published snapshot"):
                self._reader().reading(TABLE.name, name)

    @invariant()
    def the_newest_is_the_one_published_last(self) -> None:
        newest = self._reader().newest(TABLE.name)
        assert (newest and newest.snapshot) == max(self.published, default=None)

    @invariant()
    def published_ones_are_whole_and_have_the_rows_that_were_written(self) -> None:
        lake = self._reader()
        found = {manifest.snapshot: manifest for manifest in lake.manifests(TABLE.name)}
        assert [*found] == sorted(self.published, reverse=True)
        without_manifest = {*lake.snapshots(TABLE.name)} - {*found}
        assert without_manifest - self.drafts <= (self.emptied if self._is_on_s3 else set())
        assert without_manifest >= self.drafts
        for name, manifest in found.items():
            assert lake.damage(manifest) is None
            assert _rows(lake, manifest) == self._rows_of(name)

    @invariant()
    def verify_finds_them_whole(self) -> None:
        lake = self._reader()
        said, well = verify.report(lake)
        count = verify._counted(len(self.published), "published snapshot")
        if drafts := len(lake.snapshots(TABLE.name)) - len(self.published):
            count += f" and {verify._counted(drafts, 'draft')}"
        assert well
        assert said.endswith(f"\n{count}: all published ones are whole, and the layers agree.")

    @invariant()
    def the_delta_table_shows_what_was_committed_last(self) -> None:
        version = newest_version(self._reader(), TABLE.name)
        shown = self.versions[-1] if self.versions else None
        assert (version and (version.number, version.snapshot)) == (
            (len(self.versions) - 1, shown) if shown else None
        )
        if shown in self.published:  # otherwise a run that died later has deleted it
            (rows,) = with_deltalake(f"{self.uri}/{TABLE.name}", [None])
            assert by_id(rows) == self._rows_of(shown)
        _, well = verify.delta_tables(self._reader())
        assert well is (shown in (None, max(self.published, default=None)))

    @property
    def _is_on_s3(self) -> bool:
        return self.uri.startswith("s3://")

    def _reader(self) -> Lake:
        lake = Lake(uri=self.uri)
        lake._storage = self.storage
        return lake

    def _run(self, kept: int = KEPT) -> Lake:
        """The lake as a new run sees it. When it begins to write, it deletes old drafts."""
        self.runs += 1
        run_id = f"{self.runs:08x}-0000-4000-8000-{0:012}"
        lake = of_run(self.uri, self.instance, run_id, kept, self.storage)
        lake._run_started = AHEAD
        old = {*filter(self._is_older_than_a_day, self.drafts)}
        self.drafts, self.emptied = self.drafts - old, self.emptied | old
        return lake

    def _is_older_than_a_day(self, draft: str) -> bool:
        return any(self.ages[name] >= A_DAY for name in self.published if name > draft)

    def _has_published(self, manifest: Manifest, rows: list[Row], cleaned: bool = True) -> None:
        self.published[manifest.snapshot], self.ages[manifest.snapshot] = rows, 0
        if cleaned:
            for name in self._old():
                del self.published[name]
                self.emptied.add(name)

    def _old(self) -> list[str]:
        """The published snapshots that a cleanup deletes, oldest first."""
        names = sorted(self.published, reverse=True)
        return [
            name
            for place, name in reversed([*enumerate(names)])
            if place >= KEPT
            and self.ages[name] >= AN_HOUR
            and max(self.ages[newer] for newer in names[:place]) >= AN_HOUR
        ]

    def _has_committed(self, lake: Lake, seen: set[str] | None = None) -> None:
        self._follow(seen)
        version = commit(lake)
        assert (version.number, version.snapshot) == (len(self.versions) - 1, self.versions[-1])

    def _follow(self, seen: set[str] | None = None) -> None:
        """Adds what a run has seen, by default everything; a late run leaves the rest to others."""
        candidates = seen or {*self.published}
        shown = self.versions[-1] if self.versions else ""
        newer = sorted(name for name in candidates if name > shown)
        if not newer and shown not in self.published:
            newer = [max(candidates)] if candidates else []
        self.versions += newer
        if seen is None and self.published:
            assert self.versions[-1] == max(self.published)

    def _rows_of(self, name: str | None) -> list[Row]:
        return by_id(self.published[name or ""])


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]


def _rows(lake: Lake, manifest: Manifest) -> list[Row]:
    """The rows of a snapshot, with the country that is in the name of each folder."""
    files = zip(manifest.files, parquet_files(lake, manifest), strict=True)
    return by_id(
        [
            {**row, "country": file.path.partition("/")[0].removeprefix("country=")}
            for file, content in files
            for row in table_of(content).to_pylist()
        ]
    )


def _try(uri: Callable[[], str], examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries sequences of steps, each on a new lake."""
    monkeypatch.setattr(verify, "TABLES", (TABLE,))
    with dg.DagsterInstance.ephemeral() as instance:

        class NewLake(LakeStates):
            def __init__(self) -> None:
                super().__init__(uri(), instance)

        run_state_machine_as_test(
            NewLake,
            settings=settings(
                max_examples=examples,
                phases=[Phase.generate],  # a failure is shown as it was found
                stateful_step_count=15,
                deadline=None,
                derandomize=True,
                suppress_health_check=[*HealthCheck],
            ),
        )


def test_in_any_order_of_steps_a_folder_has_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _try(lambda: str(tmp_path / uuid.uuid4().hex), 10, monkeypatch)


@pytest.mark.slow("an S3 server")
def test_in_any_order_of_steps_a_bucket_has_what_was_published(
    s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _try(lambda: f"s3://lake/{prefix}/{uuid.uuid4().hex}", 3, monkeypatch)
