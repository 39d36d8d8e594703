"""The difference between files and their manifest, and the folders that changed."""

from brewery_assets.lake.differences import changed_folders, difference
from brewery_assets.lake.storage import StoredFile

FILES = [StoredFile("a", 1, "etag:1"), StoredFile("b", 2, "sha256:2"), StoredFile("c", 3)]


def test_the_same_files_do_not_differ() -> None:
    assert difference(FILES, FILES) is None
    assert difference([], []) is None


def test_the_first_three_differences_are_named_and_the_others_counted() -> None:
    found = [StoredFile("a", 1, "etag:9"), StoredFile("b", 2_000, "sha256:2"), StoredFile("d", 0)]
    assert difference(FILES, found) == (
        "a has different content; b has 2,000 bytes instead of 2; c is missing; 1 more"
    )
    assert difference([], FILES[:1]) == "a is not in the manifest"


def test_missing_checksums_and_checksums_of_another_kind_are_not_compared() -> None:
    assert difference([StoredFile("a", 1)], [StoredFile("a", 1, "etag:1")]) is None
    assert difference([StoredFile("a", 1, "etag:1")], [StoredFile("a", 1, "sha256:1")]) is None


def test_etags_of_a_copied_lake_are_not_compared_but_other_checksums_are() -> None:
    found = [StoredFile("a", 1, "etag:9"), *FILES[1:]]
    assert difference(FILES, found) == "a has different content"
    assert difference(FILES, found, etags=False) is None
    changed = [FILES[0], StoredFile("b", 2, "sha256:9"), FILES[2]]
    assert difference(FILES, changed, etags=False) == "b has different content"


def test_a_folder_is_changed_if_the_content_of_its_files_is_not_their_names() -> None:
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
