"""How files differ from those of a manifest, in words; where two manifests differ."""

from brewery_assets.lake.differences import changed_folders, difference
from brewery_assets.lake.storage import StoredFile

FILES = [StoredFile("a", 1, "etag:1"), StoredFile("b", 2, "sha256:2"), StoredFile("c", 3)]


def test_the_same_files_do_not_differ() -> None:
    assert difference(FILES, FILES) is None
    assert difference([], []) is None


def test_each_difference_is_named_and_of_many_the_first() -> None:
    found = [StoredFile("a", 1, "etag:9"), StoredFile("b", 2_000, "sha256:2"), StoredFile("d", 0)]
    assert difference(FILES, found) == (
        "a has different content; b has 2,000 bytes instead of 2; c is missing; 1 more"
    )
    assert difference([], FILES[:1]) == "a is not in the manifest"


def test_an_unknown_checksum_or_one_of_another_kind_is_not_compared() -> None:
    assert difference([StoredFile("a", 1)], [StoredFile("a", 1, "etag:1")]) is None
    assert difference([StoredFile("a", 1, "etag:1")], [StoredFile("a", 1, "sha256:1")]) is None


def test_the_etags_of_a_copied_lake_are_not_compared_and_other_checksums_are() -> None:
    found = [StoredFile("a", 1, "etag:9"), *FILES[1:]]
    assert difference(FILES, found) == "a has different content"
    assert difference(FILES, found, etags=False) is None
    changed = [FILES[0], StoredFile("b", 2, "sha256:9"), FILES[2]]
    assert difference(FILES, changed, etags=False) == "b has different content"


def test_a_folder_is_changed_if_the_content_of_its_files_is_whatever_they_are_called() -> None:
    before = [
        StoredFile("same/a.parquet", 1, "sha256:1"),
        StoredFile("other/a.parquet", 1, "sha256:2"),
        StoredFile("gone/a.parquet", 1, "sha256:3"),
        StoredFile("unknown/a.parquet", 1),
        StoredFile("more/a.parquet", 1, "sha256:4"),
    ]
    now = [
        StoredFile("same/b.parquet", 1, "sha256:1"),
        StoredFile("other/a.parquet", 1, "sha256:9"),
        StoredFile("new/a.parquet", 1, "sha256:3"),
        StoredFile("unknown/a.parquet", 1),
        StoredFile("more/a.parquet", 1, "sha256:4"),
        StoredFile("more/b.parquet", 1, "sha256:5"),
    ]
    assert changed_folders(now, before) == ["gone", "more", "new", "other", "unknown"]
    assert changed_folders(before[:1], before[:1]) == changed_folders([], []) == []
