"""Snapshots: how they are drafted, published, read and deleted."""

import errno
import json
import os
import re
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import Manifest, name_of, time_of
from brewery_assets.lake.storage import Folder
from brewery_assets.settings import SettingsError
from brewery_assets_tests.conftest import Pipeline

RUN = "1a2b3c4d-0000-4000-8000-000000000000"
OTHER_RUN = "ffffffff-0000-4000-8000-000000000000"


def lake_of(
    uri: Path | str,
    instance: dg.DagsterInstance,
    run_id: str = RUN,
    kept: int = 30,
) -> Lake:
    """The lake as a run of the instance sees it."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        run = dg.DagsterRun("job", run_id)
        instance.add_run(run)
    lake = Lake(uri=str(uri), snapshots_kept=kept)
    context = dg.build_init_resource_context(instance=instance)
    context._dagster_run = run  # the builder takes no run
    lake.setup_for_execution(context)
    return lake


def write(lake: Lake, layer: str = "gold") -> str:
    """Writes a draft with one file and returns its folder."""
    with lake.writing(layer) as folder:
        lake.storage.write(f"{folder}/a.parquet", b"rows")
    return folder


def publish(lake: Lake, layer: str = "gold", **facts: Any) -> Manifest:
    return lake.publish(write(lake, layer), **{"rows": 1, "codec": "zstd", **facts})


def publish_as(name: str, folder: Path, layer: str = "gold", **facts: object) -> None:
    """Publishes a snapshot with this name, as an earlier run did at that time."""
    target = folder / layer / name
    target.mkdir(parents=True)
    (target / "a.parquet").write_bytes(b"old")
    manifest = Manifest(
        snapshot=name,
        layer=layer,
        run_id=OTHER_RUN,
        rows=1,
        files=Folder(str(target)).files(""),
        codec="zstd",
        **{"created_at": time_of(name), **facts},  # type: ignore[arg-type]
    )
    (target / "_manifest.json").write_text(manifest.model_dump_json())


def test_a_snapshot_is_named_after_the_runs_start_and_id(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    manifest = publish(lake_of(folder, instance))
    assert re.fullmatch(r"\d{8}T\d{6}Z-1a2b3c4d", manifest.snapshot)
    assert before <= time_of(manifest.snapshot) <= datetime.now(timezone.utc)


def test_all_layers_of_a_run_share_one_name(folder: Path, instance: dg.DagsterInstance) -> None:
    lake = lake_of(folder, instance)
    assert publish(lake, "bronze").snapshot == publish(lake, "silver").snapshot
    again = lake_of(folder, instance)  # another process of the same run
    assert publish(again, "gold").snapshot > publish(lake, "rejected").snapshot


def test_a_later_run_has_a_later_name_even_if_a_clock_is_wrong(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    future = name_of(datetime.now(timezone.utc) + timedelta(days=400), OTHER_RUN)
    publish_as(future, folder, "silver")
    name = publish(lake_of(folder, instance)).snapshot
    assert time_of(name) == time_of(future) + timedelta(seconds=1)


def test_a_draft_is_not_read_but_a_published_snapshot_is(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    draft = write(lake)
    assert Lake(uri=str(folder)).newest("gold") is None
    checks = [{"name": "counts_add_up", "passed": True}]
    published = lake.publish(draft, rows=1, codec="zstd", checks=checks)
    newest = Lake(uri=str(folder)).newest("gold")
    assert newest == published
    assert newest.folder == draft
    assert newest.checks == checks
    assert [(file.path, file.bytes) for file in newest.files] == [("a.parquet", 4)]


def test_a_published_snapshot_cannot_be_published_again(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    first = publish(lake)
    with pytest.raises(FileExistsError):
        lake.publish(first.folder, rows=2, codec="zstd")
    assert lake.newest("gold") == first


def test_a_step_that_is_retried_after_it_published_has_a_later_name(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    first, second, third = publish(lake), publish(lake), publish(lake)
    assert first.snapshot < second.snapshot < third.snapshot
    assert publish(lake, "silver").snapshot == first.snapshot
    assert lake.reading("gold") == third
    assert list(Lake(uri=str(folder)).published("gold")) == [
        third.snapshot,
        second.snapshot,
        first.snapshot,
    ]


def test_a_retried_step_first_deletes_its_draft(folder: Path, instance: dg.DagsterInstance) -> None:
    lake = lake_of(folder, instance)
    with lake.writing("gold") as half:
        lake.storage.write(f"{half}/half-written.parquet", b"half")
    assert [file.path for file in publish(lake).files] == ["a.parquet"]


def test_a_failed_write_deletes_its_draft_but_nothing_published(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)

    def fail(*, after_publication: bool) -> None:
        with lake.writing("gold") as draft:
            lake.storage.write(f"{draft}/a.parquet", b"rows")
            if after_publication:
                lake.publish(draft, rows=1, codec="zstd")
            raise OSError("stop")

    with pytest.raises(OSError, match="stop"):
        fail(after_publication=False)
    assert Lake(uri=str(folder)).snapshots("gold") == []
    with pytest.raises(OSError, match="stop"):
        fail(after_publication=True)
    assert Lake(uri=str(folder)).reading("gold").rows == 1


def test_a_published_snapshot_with_a_missing_file_is_refused(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    manifest = publish(lake_of(folder, instance))
    (folder / manifest.folder / "a.parquet").unlink()
    lake = Lake(uri=str(folder))
    for _ in range(2):  # a retried step reads it again
        with pytest.raises(LakeError, match=r"the files differ from its _manifest\.json"):
            lake.reading("gold")


def test_changed_content_is_refused_even_if_size_and_time_are_the_same(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    manifest = publish(lake_of(folder, instance))
    file = folder / manifest.folder / "a.parquet"
    before = file.stat()
    file.write_bytes(b"ROWS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for reader in (lake_of(folder, instance, OTHER_RUN), Lake(uri=str(folder))):
        with pytest.raises(
            LakeError,
            match=r"differ from its _manifest\.json: a\.parquet has different content; restore",
        ):
            reader.reading("gold")


def test_an_older_manifest_without_checksums_can_be_read(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    manifest = publish(lake_of(folder, instance))
    path = folder / manifest.folder / "_manifest.json"
    said = json.loads(path.read_text())
    said["files"] = [file[:2] for file in said["files"]]
    del said["lake"]
    path.write_text(json.dumps(said))
    assert Lake(uri=str(folder)).reading("gold").files == [("a.parquet", 4, None)]


def test_bronze_without_a_usable_checksum_is_compared_with_the_hash_of_the_source(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    served = sha256(b"rows").hexdigest()
    manifest = publish(lake_of(folder, instance), "bronze", source={"sha256": served})
    path = folder / manifest.folder / "_manifest.json"
    path.write_text(path.read_text().replace(f"sha256:{served}", "another:kind"))
    assert Lake(uri=str(folder)).reading("bronze").rows == 1
    (folder / manifest.folder / "a.parquet").write_bytes(b"ROWS")
    with pytest.raises(LakeError, match=r"a\.parquet differs from what the source served"):
        Lake(uri=str(folder)).reading("bronze")


def test_extra_files_that_engines_write_are_not_in_the_manifest(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    with lake.writing("gold") as draft:
        for name in ("country=a/x", "_SUCCESS", "country=a/.x.crc", "_temporary/0/y"):
            lake.storage.write(f"{draft}/{name}", b"x")
        manifest = lake.publish(draft, rows=1, codec="zstd")
    assert [file.path for file in manifest.files] == ["country=a/x"]


def test_a_run_reads_its_own_snapshot_even_if_another_run_published_later(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    own = publish(lake, "bronze")
    publish_as(
        name_of(datetime.now(timezone.utc) + timedelta(hours=1), OTHER_RUN), folder, "bronze"
    )
    assert lake.reading("bronze") == own


def test_a_run_without_its_own_snapshot_keeps_reading_the_same_one(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    publish_as("20260101T000000Z-00000001", folder, "bronze")
    publish_as("20260102T000000Z-00000002", folder, "bronze")
    lake = lake_of(folder, instance)
    assert lake.reading("bronze").snapshot == "20260102T000000Z-00000002"
    publish_as("20260103T000000Z-00000003", folder, "bronze")
    assert lake.reading("bronze").snapshot == "20260102T000000Z-00000002"


def test_an_older_snapshot_can_be_read_by_name_and_an_unknown_name_is_refused(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    publish_as("20260101T000000Z-00000001", folder, "bronze")
    publish_as("20260102T000000Z-00000002", folder, "bronze")
    older = lake_of(folder, instance).reading("bronze", "20260101T000000Z-00000001")
    assert older.snapshot == "20260101T000000Z-00000001"
    with pytest.raises(LakeError, match="no published snapshot 'x'; the newest: 20260102T0"):
        lake_of(folder, instance).reading("bronze", "x")


def test_an_empty_lake_says_what_to_do(folder: Path, instance: dg.DagsterInstance) -> None:
    with pytest.raises(LakeError, match="has no published bronze: materialize it first"):
        lake_of(folder, instance).reading("bronze")


def test_the_newest_snapshots_and_the_bronze_of_a_kept_silver_are_not_deleted(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    days = [f"202601{day:02}T000000Z-000000{day:02}" for day in range(1, 6)]
    for name in days:
        publish_as(name, folder, "bronze")
    publish_as(days[4], folder, "silver", made_from={"bronze": days[1]})
    own = publish(lake_of(folder, instance, kept=2), "bronze").snapshot
    lake = Lake(uri=str(folder))
    assert list(lake.published("bronze")) == [own, days[4], days[1]]
    assert list(lake.published("silver")) == [days[4]]
    assert sorted(path.name for path in (folder / "bronze").iterdir()) == [
        days[1],
        days[4],
        own,
    ]


def test_folders_of_the_older_form_are_read_kept_and_deleted_like_others(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    days = [f"202601{day:02}T000000Z-000000{day:02}" for day in range(1, 5)]
    for name in days:
        publish_as(name, folder)
        (folder / "gold" / name).rename(folder / "gold" / f"snapshot={name}")
    (folder / "gold" / f"snapshot={days[3]}" / "_manifest.json").unlink()  # a draft
    newest, draft = Lake(uri=str(folder)).survey("gold"), days[3]
    assert [*newest] == days[::-1]
    assert newest[draft] is None
    lake = lake_of(folder, instance, kept=2)
    older = lake.reading("gold", days[0])
    assert older.snapshot == days[0]
    assert lake.storage.read(f"{older.folder}/a.parquet") == b"old"
    assert lake.previous("gold") == lake.manifest("gold", days[2])
    own = publish(lake)
    assert own.folder == f"gold/{own.snapshot}"
    assert Lake(uri=str(folder)).newest("gold") == own
    assert {path.name for path in (folder / "gold").iterdir()} == {
        own.snapshot,
        f"snapshot={days[2]}",
    }


def test_drafts_are_deleted_after_a_day(folder: Path, instance: dg.DagsterInstance) -> None:
    now = datetime.now(timezone.utc)
    old = name_of(now - timedelta(hours=25), OTHER_RUN)
    fresh = name_of(now - timedelta(hours=23), OTHER_RUN)
    for name in (old, fresh):
        publish_as(name, folder)
        (folder / "gold" / name / "_manifest.json").unlink()
    own = publish(lake_of(folder, instance)).snapshot
    assert Lake(uri=str(folder)).snapshots("gold") == [own, fresh]


def test_foreign_folders_and_files_are_left_alone(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    for name in (
        "gold/snapshot=mine",
        "gold/notes",
        "private",
        "x/snapshot=20261399T235959Z-00000000",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "gold" / "README.txt").write_text("mine")
    publish(lake_of(folder, instance, kept=1))
    assert (folder / "gold" / "snapshot=mine").is_dir()
    assert (folder / "gold" / "README.txt").read_text() == "mine"
    assert (folder / "private").is_dir()


def test_a_runs_own_snapshot_is_not_deleted_during_the_run(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    first = lake_of(folder, instance, kept=1)
    own = publish(first, "bronze").snapshot
    publish(lake_of(folder, instance, OTHER_RUN, kept=1), "bronze")
    assert first.reading("bronze").snapshot == own
    assert publish(first, "silver").snapshot == own
    # If it is deleted anyway, no other snapshot is read instead.
    shutil.rmtree(folder / "bronze" / own)
    first._reading.clear()
    with pytest.raises(LakeError, match=r"a\.parquet is missing"):
        first.reading("bronze")


def test_a_run_can_read_a_named_snapshot_after_it_read_the_newest(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    publish_as("20260101T000000Z-00000001", folder, "silver")
    publish_as("20260102T000000Z-00000002", folder, "silver")
    lake = lake_of(folder, instance)
    assert lake.reading("silver").snapshot == "20260102T000000Z-00000002"
    named = "20260101T000000Z-00000001"
    assert lake.reading("silver", named).snapshot == named
    assert lake.reading("silver").snapshot == named


class Unreadable(Folder):
    """A folder on a disk where reading many files at once fails."""

    def read_each(self, _: Sequence[str]) -> list[bytes | None]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_failing_to_delete_old_snapshots_is_a_warning_not_an_error(
    folder: Path, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    publish_as("20260101T000000Z-00000001", folder)
    lake = lake_of(folder, instance, kept=1)
    lake._storage = Unreadable(str(folder))
    manifest = publish(lake)
    newest = Lake(uri=str(folder)).newest("gold")
    assert newest is not None
    assert newest.snapshot == manifest.snapshot
    assert "cannot determine which snapshots to delete" in caplog.text


def test_a_manifest_is_json_with_all_documented_fields(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    manifest = publish(lake_of(folder, instance), made_from={"silver": "x"})
    said = json.loads((folder / manifest.folder / "_manifest.json").read_text())
    assert said["layer"] == "gold"
    assert said["run_id"] == RUN
    assert said["rows"] == 1
    assert said["files"] == [["a.parquet", 4, f"sha256:{sha256(b'rows').hexdigest()}"]]
    assert said["lake"] == str(folder)
    assert said["codec"] == "zstd"
    assert said["made_from"] == {"silver": "x"}
    assert datetime.fromisoformat(said["created_at"].replace("Z", "+00:00")).tzinfo


def test_a_lake_that_cannot_be_written_is_refused_and_the_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(SettingsError, match=r"^LAKE_URI=.*/file/lake: cannot be written \(Not a"),
    ):
        lake_of(tmp_path / "file" / "lake", instance)


def test_reading_creates_no_folder(folder: Path) -> None:
    assert Lake(uri=str(folder)).newest("gold") is None
    assert not folder.exists()


def test_a_lake_can_be_moved(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.run()
    counts = pipeline.rows("gold_brewery_counts")
    moved = tmp_path / "elsewhere ü 'quoted'"
    shutil.move(pipeline.uri, moved)
    pipeline.uri = str(moved)
    pipeline.run("gold_brewery_counts")
    assert pipeline.rows("gold_brewery_counts") == counts
