"""A damaged lake: the error names the file, and everything else continues to work."""

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.automation.jobs import gold_updated
from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import name_of
from brewery_assets.lake.storage import Folder
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import REJECTED
from brewery_assets.operations import platform as operations
from brewery_assets.report.asset import REPORT
from brewery_assets.step import RESOURCES, Step
from brewery_assets_tests.conftest import LAYERS, Pipeline, failure_of
from brewery_assets_tests.lake.test_lake import OTHER_RUN, lake_of, publish, publish_as, write
from demo.s3 import S3Server

Damage = Callable[[bytes], bytes]
NOW = datetime.now(timezone.utc)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def with_facts(**facts: Any) -> Damage:
    return lambda content: json.dumps({**json.loads(content), **facts}).encode()


DAMAGES: dict[str, tuple[Damage, str]] = {
    "half": (lambda content: content[: len(content) // 2], "empty, cut off or not JSON"),
    "empty": (lambda _: b"", "empty, cut off or not JSON"),
    "not JSON": (lambda content: b"PAR1\xff\x00" + content, "empty, cut off or not JSON"),
    "another layer": (with_facts(layer="other"), "it is the manifest of other/2"),
    "another snapshot": (
        with_facts(snapshot="20250101T000000Z-00000000"),
        r"it is the manifest of \w+/20250101T000000Z-00000000",
    ),
    "a newer format": (
        with_facts(files={"a.parquet": {"bytes": 3}}),
        r"not a manifest of this version or an older one \(files: ",
    ),
    "no time zone": (with_facts(created_at="2026-01-01T00:00:00"), r"\(created_at: "),
}
any_damage = pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES)


def spoil(manifest: Path, damage: Damage) -> None:
    manifest.write_bytes(damage(manifest.read_bytes()))


def manifest_in(folder: Path, layer: str, snapshot: str) -> Path:
    return folder / layer / snapshot / "_manifest.json"


@any_damage
def test_reading_a_damaged_manifest_is_an_error_with_its_path(
    folder: Path, damage: Damage, why: str
) -> None:
    for name in ("20260101T000000Z-00000001", "20260102T000000Z-00000002"):
        publish_as(name, folder)
    manifest = manifest_in(folder, "gold", "20260102T000000Z-00000002")
    spoil(manifest, damage)
    lake = Lake(uri=str(folder))
    message = rf"^{re.escape(str(manifest))} is damaged: .*{why}.*; restore .* delete it"
    asks: list[Callable[[], object]] = [
        lambda: lake.newest("gold"),
        lambda: lake.reading("gold"),
        lambda: lake.manifest("gold", "20260102T000000Z-00000002"),
    ]
    for ask in asks:
        with pytest.raises(LakeError, match=message):
            ask()
    manifest.unlink()  # as the error says
    newest = lake.newest("gold")
    assert newest is not None
    assert newest.snapshot == "20260101T000000Z-00000001"


@any_damage
def test_an_older_damaged_manifest_is_skipped_with_a_warning(
    folder: Path,
    instance: dg.DagsterInstance,
    damage: Damage,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    days = [f"202601{day:02}T000000Z-000000{day:02}" for day in range(1, 6)]
    for name in days:
        publish_as(name, folder, "silver")
        publish_as(name, folder, "gold", made_from={"silver": name})
    damaged = days[3]
    for layer in ("silver", "gold"):
        spoil(manifest_in(folder, layer, damaged), damage)
    lake = lake_of(folder, instance, kept=2)
    own = publish(lake, "silver")
    assert lake.compared_last("silver", "gold") == lake.manifest("silver", days[4])
    assert lake.previous("silver") == lake.manifest("silver", days[4])
    older = lake.undamaged("silver", before=days[4])
    assert next(older) == lake.manifest("silver", days[2])
    publish(lake, "gold", made_from={"silver": own.snapshot})
    # The damaged snapshot is not one of the two to keep. It stays so that people can inspect it.
    # The silver of the third day stays too: a gold made from it still existed at the cleanup.
    assert lake.snapshots("silver") == [own.snapshot, days[4], damaged, days[2]]
    assert lake.snapshots("gold") == [own.snapshot, days[4], damaged]
    warnings = [said for said in caplog.messages if "left out: " in said]
    assert len(warnings) == 2  # one for each, however often it is read
    assert all(re.search(rf"{damaged}/_manifest\.json is damaged: .*{why}", w) for w in warnings)


def test_a_comparison_skips_damaged_manifests(folder: Path, instance: dg.DagsterInstance) -> None:
    days = [f"202601{day:02}T000000Z-000000{day:02}" for day in range(1, 4)]
    for name in days:
        publish_as(name, folder, "silver")
        publish_as(name, folder, "changes", made_from={"silver": name})
    spoil(manifest_in(folder, "silver", days[1]), DAMAGES["half"][0])
    spoil(manifest_in(folder, "changes", days[2]), DAMAGES["empty"][0])
    lake = lake_of(folder, instance)
    older = lake.compared_last("silver", "changes")
    assert older is not None
    assert older.snapshot == days[0]


@pytest.fixture
def status(pipeline: Pipeline) -> Iterator[Callable[[], str]]:
    """What `make status` prints."""
    with dg.instance_for_test() as instance:
        yield lambda: operations.status(instance, pipeline.lake, NOW)


@pytest.mark.usefixtures("published")
def test_the_status_the_report_and_a_run_name_each_damaged_manifest(
    pipeline: Pipeline, status: Callable[[], str]
) -> None:
    lake = Path(pipeline.uri)
    kinds = dict(zip(LAYERS, list(DAMAGES)[: len(LAYERS)], strict=True))
    paths = {layer: manifest_in(lake, layer, pipeline.newest(layer).snapshot) for layer in LAYERS}
    good = paths[GOLD.name].read_bytes()
    for damage, why in DAMAGES.values():
        paths[GOLD.name].write_bytes(damage(good))
        said = failure_of(pipeline.run(REPORT, fails=True))
        assert re.search(
            rf"LakeError: {re.escape(str(paths[GOLD.name]))} is damaged: .*{why}", said
        )
        assert re.search(rf"^  gold_brewery_counts +/.*is damaged: .*{why}", status(), re.MULTILINE)
    paths[GOLD.name].write_bytes(good)
    for layer, kind in kinds.items():
        spoil(paths[layer], DAMAGES[kind][0])
    said = status()
    for layer, kind in kinds.items():
        assert re.search(
            rf"^  {layer} +{re.escape(str(paths[layer]))} is .*{DAMAGES[kind][1]}",
            said,
            re.MULTILINE,
        )

    run = pipeline.run()
    warned = [
        record.user_message
        for record in pipeline.instance.all_logs(run.run_id)
        if "left out: " in record.user_message
    ]
    assert sorted(re.findall(r"left out: (\S+/_manifest\.json) is damaged", "\n".join(warned))) == (
        sorted(str(path) for layer, path in paths.items() if layer != REJECTED.name)  # not read
    )
    assert all(pipeline.newest(layer).run_id == run.run_id for layer in LAYERS)
    assert "damaged" not in status()


@pytest.mark.slow("draws charts")
@pytest.mark.usefixtures("published")
def test_the_report_ignores_older_damaged_manifests(pipeline: Pipeline) -> None:
    damaged = {layer: pipeline.newest(layer) for layer in LAYERS}
    pipeline.run()
    for layer, manifest in damaged.items():
        spoil(
            manifest_in(Path(pipeline.uri), layer, manifest.snapshot), DAMAGES["another layer"][0]
        )
    pipeline.run(REPORT)
    assert pipeline.newest(REPORT).made_from[GOLD.name] == pipeline.newest(GOLD.name).snapshot


def test_a_damaged_manifest_in_a_bucket_is_named_and_skipped_too(
    s3: S3Server, prefix: str, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"s3://lake/{prefix}"
    first = publish(lake_of(uri, instance, OTHER_RUN))
    lake = lake_of(uri, instance)
    path = f"{first.folder}/_manifest.json"
    lake.storage.write(path, lake.storage.read(path)[:100])
    with pytest.raises(LakeError, match=rf"^{uri}/{path} is damaged: it is empty, cut off or"):
        lake.reading("gold")
    second = publish(lake)
    assert lake.newest("gold") == second
    assert [*lake.undamaged("gold", before=second.snapshot)] == []
    assert f"left out: {uri}/{path} is damaged" in caplog.text


class FullDisk(Folder):
    """A folder on a full disk: the kernel refuses every write."""

    def _written_aside(self, _: str, content: bytes) -> Path:
        with Path("/dev/full").open("wb") as disk:
            disk.write(content)
        raise AssertionError("the disk took it")


NO_SPACE = (
    r"no space left on the disk\. [\d,.]+ MB are free there, [\d,.]+ MB in \S+, "
    r"and a run takes about "
)


def test_the_error_for_a_full_disk_names_the_space_needed_and_the_draft_is_deleted(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    lake._storage = FullDisk(str(folder))

    def step() -> None:
        with lake.writing("bronze") as draft:
            (folder / draft).mkdir(parents=True)
            (folder / draft / "half").write_bytes(b"half")
            lake.storage.write(f"{draft}/breweries.json", b"rows")

    message = rf"^{re.escape(str(folder))}: {NO_SPACE}10\.0 MB; make room"
    with pytest.raises(LakeError, match=message):
        step()
    assert [*(folder / "bronze").iterdir()] == []


def test_the_space_that_a_run_needs_is_estimated_from_the_newest_snapshots(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    for layer in ("bronze", "silver"):
        publish_as("20260101T000000Z-00000001", folder, layer)
        manifest = manifest_in(folder, layer, "20260101T000000Z-00000001")
        spoil(manifest, with_facts(files=[["breweries", 12_500_000]]))
    lake = lake_of(folder, instance)
    lake._storage = FullDisk(str(folder))
    with pytest.raises(LakeError, match=rf"{NO_SPACE}25\.0 MB; make room and run again"):
        publish(lake)
    lake._storage = Folder(str(folder))
    assert publish(lake).rows == 1  # now there is room


def test_if_the_engine_finds_the_disk_full_the_error_says_so_and_its_draft_is_deleted(
    pipeline: Pipeline,
) -> None:
    @dg.asset(name=GOLD.name, io_manager_key="parquet_snapshots", required_resource_keys=RESOURCES)
    def gold_without_space(context: dg.AssetExecutionContext) -> None:
        rows = context.resources.spark.spark_session.range(50_000, numPartitions=8)
        full = F.raise_error(F.lit("No space left on device (os error 28)")).cast("string")
        text = F.when(F.col("id") == 49_999, full).otherwise("x")
        found: DataFrame = rows.select(
            *(text.alias(name) for name in GOLD.columns[:-1]), F.col("id").alias("brewery_count")
        )
        Step(context).hold(GOLD, lambda: found, [])

    run = dg.materialize(
        [gold_without_space],
        resources=pipeline.resources(),
        instance=pipeline.instance,
        raise_on_error=False,
    )
    assert not run.success
    assert re.search(rf"LakeError: {re.escape(pipeline.uri)}: {NO_SPACE}", failure_of(run))
    assert [*Path(pipeline.uri).glob("gold_brewery_counts/*")] == []


def test_old_drafts_of_all_layers_are_deleted_before_anything_is_written(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    old, fresh = (name_of(NOW - HOUR * hours, OTHER_RUN) for hours in (25, 23))
    for layer in ("bronze", "silver"):
        for name in (old, fresh):
            publish_as(name, folder, layer)
            manifest_in(folder, layer, name).unlink()
    lake = lake_of(folder, instance)
    write(lake, "gold")
    assert lake.snapshots("bronze") == lake.snapshots("silver") == [fresh]


def test_old_snapshots_are_deleted_even_if_a_clock_was_ahead(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    ahead = NOW + DAY * 400
    names = [name_of(ahead + timedelta(seconds=second), OTHER_RUN) for second in range(5)]
    publish_as(names[0], folder, created_at=ahead)  # while the clock was ahead
    for age, name in enumerate(reversed(names[1:]), 1):  # later, with the right clock
        publish_as(name, folder, created_at=NOW - DAY * age)
    own = publish(lake_of(folder, instance, kept=2)).snapshot
    assert own > names[4]
    assert Lake(uri=str(folder)).snapshots("gold") == [own, names[4]]


def test_a_draft_with_a_name_in_the_future_is_deleted_a_day_after_it_was_written(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    names = [name_of(NOW + DAY * 400 + HOUR * hour, OTHER_RUN) for hour in range(2)]
    for name, age in zip(names, (25, 23), strict=True):
        publish_as(name, folder)
        manifest_in(folder, "gold", name).unlink()
        draft = folder / "gold" / name
        for path in (draft / "a.parquet", draft):
            os.utime(path, ((NOW - HOUR * age).timestamp(),) * 2)
    lake = lake_of(folder, instance)
    write(lake, "silver")
    assert lake.snapshots("gold") == [names[1]]


def test_a_draft_is_deleted_if_a_later_name_was_published_more_than_a_day_ago(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    draft, later = (name_of(NOW + DAY * days, OTHER_RUN) for days in (400, 401))
    publish_as(draft, folder)
    manifest_in(folder, "gold", draft).unlink()
    publish_as(later, folder, created_at=NOW - DAY * 2)
    lake = lake_of(folder, instance)
    write(lake, "silver")
    assert lake.snapshots("gold") == [later]


@pytest.mark.parametrize(("hours", "stays"), [(0.9, True), (1.1, False)])
def test_a_superseded_snapshot_stays_for_an_hour(
    folder: Path, instance: dg.DagsterInstance, hours: float, stays: bool
) -> None:
    first, second = (name_of(NOW - DAY * days, OTHER_RUN) for days in (3, 2))
    publish_as(first, folder)
    publish_as(second, folder, created_at=datetime.now(timezone.utc) - HOUR * hours)
    own = publish(lake_of(folder, instance, kept=1)).snapshot
    expected = [own, second, first] if stays else [own, second]
    assert Lake(uri=str(folder)).snapshots("gold") == expected


def test_a_snapshot_that_is_published_late_stays_for_an_hour_too(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    slow, quick = (name_of(NOW - DAY * days, OTHER_RUN) for days in (3, 2))
    publish_as(slow, folder, created_at=datetime.now(timezone.utc))
    publish_as(quick, folder)
    own = publish(lake_of(folder, instance, kept=1)).snapshot
    assert Lake(uri=str(folder)).snapshots("gold") == [own, quick, slow]


@pytest.mark.usefixtures("published")
def test_a_file_in_place_of_a_layers_folder_is_named(
    pipeline: Pipeline, folder: Path, status: Callable[[], str]
) -> None:
    layer = folder / "gold_brewery_counts"
    layer.rename(folder / "elsewhere")
    layer.write_text("")
    sentence = f"{layer} is a file where the folder of a layer should be; move it away"
    assert f"  gold_brewery_counts   {sentence}" in status()
    for asset in ("gold_brewery_counts", REPORT):
        assert f"LakeError: {sentence}" in failure_of(pipeline.run(asset, fails=True))
    pipeline.run("bronze_breweries")
    with pytest.raises(LakeError, match="is a file where"):
        pipeline.lake.newest("gold_brewery_counts")


@pytest.mark.usefixtures("published")
def test_a_foreign_parquet_file_in_gold_is_named(pipeline: Pipeline) -> None:
    snapshot = Path(pipeline.uri) / pipeline.newest(GOLD.name).folder
    (file,) = snapshot.glob("*.parquet")
    foreign = snapshot / "mine.parquet"
    foreign.write_bytes(file.read_bytes())
    said = failure_of(pipeline.run(REPORT, fails=True))
    assert "the files differ from its _manifest.json: mine.parquet is not in the manifest; " in said
    assert str(snapshot) in said
    foreign.unlink()
    pipeline.lake.reading(GOLD.name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "a.parquet is missing"),
        (lambda file: file.write_bytes(b"longer"), "a.parquet has 6 bytes instead of 3"),
    ],
)
def test_a_file_that_is_missing_or_has_another_size_is_named(
    folder: Path, change: Callable[[Path], Any], said: str
) -> None:
    publish_as("20260101T000000Z-00000001", folder)
    snapshot = folder / "gold" / "20260101T000000Z-00000001"
    change(snapshot / "a.parquet")
    with pytest.raises(
        LakeError,
        match=re.escape(f"{snapshot}: the files differ from its _manifest.json: {said}; "),
    ):
        Lake(uri=str(folder)).reading("gold")


@pytest.mark.usefixtures("published")
def test_new_counts_get_a_report_even_if_the_last_report_is_damaged(
    pipeline: Pipeline, folder: Path
) -> None:
    publish_as("20260101T000000Z-00000001", folder, REPORT)
    spoil(manifest_in(folder, REPORT, "20260101T000000Z-00000001"), DAMAGES["half"][0])
    context = dg.build_sensor_context(pipeline.instance, resources={"lake": pipeline.lake})
    asked = gold_updated(context)
    assert isinstance(asked, dg.RunRequest)
    assert asked.run_key == pipeline.newest(GOLD.name).snapshot
