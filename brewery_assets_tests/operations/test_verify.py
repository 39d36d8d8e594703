"""`make verify`: its report on an undamaged lake and on a damaged one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from brewery_assets.aws import Aws
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.s3 import Bucket
from brewery_assets.operations.verify import report
from brewery_assets_tests.checkout import brewery
from brewery_assets_tests.conftest import LAYERS
from demo.s3 import S3Server


@pytest.fixture
def folder(published_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake with one snapshot of each layer, which a test may damage."""
    shutil.copytree(published_lake, tmp_path / "lake")
    monkeypatch.setenv("LAKE_URI", str(tmp_path / "lake"))
    return tmp_path / "lake"


def newest(folder: Path, layer: str) -> Manifest:
    manifest = Lake(uri=str(folder)).newest(layer)
    assert manifest is not None
    return manifest


def rewrite(folder: Path, layer: str, change: Callable[[Manifest], dict[str, object]]) -> Manifest:
    """Changes the layer's newest manifest, which no run does."""
    manifest = newest(folder, layer)
    changed = manifest.model_copy(update=change(manifest))
    (folder / manifest.folder / "_manifest.json").write_text(changed.model_dump_json())
    return manifest


def without_checksums(manifest: Manifest) -> dict[str, object]:
    return {"files": [file._replace(checksum=None) for file in manifest.files]}


def test_an_undamaged_lake_is_reported_as_whole(folder: Path) -> None:
    code, said = brewery("verify")
    assert code == 0
    snapshot = newest(folder, "silver_breweries").snapshot
    assert said.startswith(f"The lake {folder}\n")
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")] == [*LAYERS]
    assert said.count(f" {snapshot}  whole\n") == len(LAYERS)
    assert (
        f"{len(LAYERS)} published snapshots: all published ones are whole, and the layers agree."
        in said
    )


def test_an_outdated_delta_table_is_found_and_repaired(folder: Path) -> None:
    layer = "silver_breweries"
    older = newest(folder, layer)
    later = older.model_copy(update={"snapshot": "20990101T000000Z-00000000"})
    shutil.copytree(folder / older.folder, folder / later.folder)  # as a killed run leaves it
    (folder / later.folder / "_manifest.json").write_text(later.model_dump_json())
    code, said = brewery("verify")
    assert code == 1
    assert (
        f"{layer}: the Delta table shows {older.snapshot} as version 0, and {later.snapshot} is"
        in said
    )
    shutil.rmtree(folder / "gold_brewery_counts" / "_delta_log")
    code, said = brewery("verify", "--repair")
    assert code == 0
    assert "Delta" not in said
    table = DeltaTable(folder / layer)
    assert [entry["snapshot"] for entry in table.history()] == [later.snapshot, older.snapshot]
    assert DeltaTable(folder / "gold_brewery_counts").version() == 0


def test_a_changed_byte_is_found_with_its_file_and_the_exit_code_is_1(folder: Path) -> None:
    silver = newest(folder, "silver_breweries")
    file = folder / silver.folder / silver.files[0].path
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    code, said = brewery("verify")
    assert code == 1
    assert f"{silver.snapshot}  DAMAGED: {silver.files[0].path} has different content" in said
    assert said.count("whole\n") == len(LAYERS) - 1
    assert (
        f"{len(LAYERS)} published snapshots: 1 damaged, 0 in contradiction to another layer."
        in said
    )


@pytest.mark.parametrize(
    ("layer", "damage", "said"),
    [
        ("gold_brewery_counts", Path.unlink, "is missing"),
        ("bronze_breweries", lambda file: file.write_bytes(b"{}\n"), "has 3 bytes instead of "),
        (
            "silver_breweries",
            lambda file: file.with_name("more.parquet").touch(),
            "more.parquet is not in the manifest",
        ),
    ],
)
def test_a_missing_changed_or_additional_file_is_found(
    folder: Path, layer: str, damage: Callable[[Path], object], said: str
) -> None:
    manifest = newest(folder, layer)
    damage(folder / manifest.folder / manifest.files[0].path)
    text, well = report(Lake(uri=str(folder)))
    assert not well
    (line,) = [line for line in text.splitlines() if "DAMAGED: " in line]
    assert layer in line
    assert said in line


def test_a_truncated_manifest_is_found_and_the_other_layers_are_verified(folder: Path) -> None:
    path = folder / newest(folder, "gold_brewery_counts").folder / "_manifest.json"
    path.write_text(path.read_text()[:100])
    text, well = report(Lake(uri=str(folder)))
    assert not well
    assert "DAMAGED: _manifest.json cannot be read: " in text
    assert text.count("whole\n") == len(LAYERS) - 1


def test_without_checksums_sizes_and_rows_are_compared(folder: Path) -> None:
    silver = rewrite(folder, "silver_breweries", without_checksums)
    text, well = report(Lake(uri=str(folder)))
    assert well
    assert "whole by size and row count: the manifest has no checksums" in text

    file = folder / silver.folder / silver.files[0].path
    file.write_bytes(b"x" * silver.files[0].bytes)
    text, well = report(Lake(uri=str(folder)))
    assert not well
    assert f"DAMAGED: {silver.files[0].path} is not a Parquet file: " in text


def test_a_row_count_that_differs_from_the_manifest_is_found(folder: Path) -> None:
    rewrite(folder, "rejected_breweries", lambda manifest: {"rows": manifest.rows + 1})
    text, well = report(Lake(uri=str(folder)))
    assert not well
    assert "DAMAGED: the files have 2 rows instead of 3" in text


def test_layers_that_contradict_each_other_are_found(folder: Path, tmp_path: Path) -> None:
    older = "20260101T000000Z-00000000"
    for layer, content in (("bronze_breweries", b"{}\n"), ("silver_breweries", None)):
        now = newest(folder, layer)
        target = folder / layer / older
        shutil.copytree(folder / now.folder, target)
        files = now.files[:1]
        for file in now.files[1:]:
            (target / file.path).unlink()
        facts: dict[str, object] = {"snapshot": older, "files": files, "made_from": {}}
        if content is not None:
            (target / files[0].path).write_bytes(content)
            facts |= {"files": [files[0]._replace(bytes=3, checksum=None)], "source": None}
        changed = now.model_copy(update={**facts, "rows": 1})
        (target / "_manifest.json").write_text(changed.model_dump_json())
    assert report(Lake(uri=str(folder)))[1]

    rewrite(folder, "silver_breweries", lambda _: {"made_from": {"bronze_breweries": older}})
    rewrite(folder, "gold_brewery_counts", lambda _: {"made_from": {"silver_breweries": older}})
    text, well = report(Lake(uri=str(folder)))
    assert not well
    assert (
        "CONTRADICTION: 11 rows and 2 rejected do not add up to the 1 of "
        f"bronze_breweries {older}\n" in text
    )
    assert f"CONTRADICTION: the counts add up to 11, and silver_breweries {older} has 1 row" in text
    assert "0 damaged, 2 in contradiction to another layer" in text


def test_drafts_are_listed_but_are_not_damage(folder: Path) -> None:
    gold = newest(folder, "gold_brewery_counts")
    (folder / gold.folder / "_manifest.json").unlink()
    text, well = report(Lake(uri=str(folder)))
    assert well
    assert f"{gold.snapshot}  a draft, not published" in text
    assert (
        f"{len(LAYERS) - 1} published snapshots and 1 draft: all published ones are whole" in text
    )


def test_other_folders_and_an_empty_lake_are_not_damage(folder: Path, tmp_path: Path) -> None:
    (folder / "data_docs").mkdir()
    assert report(Lake(uri=str(folder)))[1]
    text, well = report(Lake(uri=str(tmp_path / "nothing")))
    assert well
    assert "has no snapshots" in text
    assert not (tmp_path / "nothing").exists()


def test_a_copy_of_the_lake_in_a_bucket_is_verified(
    published_lake: Path, s3: S3Server, prefix: str
) -> None:
    uri = f"s3://lake/{prefix}"
    bucket = Bucket(uri, Aws())
    for file in published_lake.rglob("*"):
        if file.is_file():
            bucket.write(file.relative_to(published_lake).as_posix(), file.read_bytes())
    lake = Lake(uri=uri)
    text, well = report(lake)
    assert well, text
    bronze = lake.newest("bronze_breweries")
    assert bronze is not None
    path = f"{bronze.folder}/{bronze.files[0].path}"
    bucket.write(path, bucket.read(path).replace(b"Missouri", b"missouri"))
    text, well = report(lake)
    assert not well
    assert "DAMAGED: breweries.json differs from what the source served" in text


def test_a_changed_file_in_a_bucket_is_found_by_its_etag(
    published_lake: Path, s3: S3Server, prefix: str
) -> None:
    lake = Lake(uri=f"s3://lake/{prefix}")
    gold = newest(published_lake, "gold_brewery_counts")
    (file,) = gold.files
    path = f"{gold.folder}/{file.path}"
    content = (published_lake / path).read_bytes()
    lake.storage.write(path, content)
    manifest = gold.model_copy(
        update={"files": lake.storage.files(gold.folder), "lake": f"s3://lake/{prefix}"}
    )
    lake.storage.write(f"{gold.folder}/_manifest.json", manifest.model_dump_json().encode())
    assert report(lake)[1]
    changed = content[:10] + bytes([content[10] ^ 1]) + content[11:]
    lake.storage.write(path, changed)
    text, well = report(lake)
    assert not well
    assert f"DAMAGED: {file.path} has different content" in text
    # The ETags of a copy elsewhere can differ, so they are not compared.
    said = json.loads(lake.storage.read(f"{gold.folder}/_manifest.json"))
    said["lake"] = "s3://elsewhere"
    lake.storage.write(f"{gold.folder}/_manifest.json", json.dumps(said).encode())
    assert report(lake)[1]


@pytest.mark.usefixtures("folder")
def test_an_invalid_setting_and_an_unreachable_store_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SNAPSHOTS_KEPT", "none")
    code, said = brewery("verify")
    assert code == 2
    assert said.startswith("SNAPSHOTS_KEPT=none: allowed is")
    monkeypatch.delenv("SNAPSHOTS_KEPT")
    monkeypatch.setenv("LAKE_URI", "s3://lake/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")
    code, said = brewery("verify")
    assert code == 2
    assert "no server answers; correct AWS_ENDPOINT_URL or try later: " in said
