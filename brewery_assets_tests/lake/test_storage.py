"""The storage of a lake behaves the same in a folder and in a bucket."""

import errno
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from brewery_assets.aws import Aws
from brewery_assets.lake.s3 import Bucket
from brewery_assets.lake.storage import Folder, Storage
from brewery_assets_tests.checkout import ROOT
from demo.s3 import S3Server


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Storage:
    """The bucket has spaces in its prefix here; tests of only the bucket have none."""
    if request.param == "folder":
        return Folder(str(tmp_path / "lake"))
    request.getfixturevalue("s3")
    return Bucket(f"s3://lake/{prefix} of its own", Aws())


def test_written_files_can_be_read(storage: Storage) -> None:
    storage.prepare()
    storage.write("layer/a b/file.json", b"one")
    storage.write("layer/a b/file.json", b"two")
    assert storage.read("layer/a b/file.json") == b"two"
    assert storage.exists("layer/a b/file.json")
    assert not storage.exists("layer/a b")
    assert not storage.exists("layer/a b/file")
    with pytest.raises(FileNotFoundError):
        storage.read("layer/a b/file")


def test_old_partial_files_are_deleted_when_their_folder_is_written_to(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    old, new = (folder / f".index.html.{name * 32}.part" for name in "ab")
    other = folder / ".mine.part"
    for left in (old, new, other):
        left.write_text("half")
    for left in (old, other):
        os.utime(left, (0, 0))
    Folder(str(tmp_path)).write("report/index.html", b"whole")
    assert {path.name for path in folder.iterdir()} == {"index.html", new.name, other.name}


def test_preparing_leaves_no_files(storage: Storage) -> None:
    storage.prepare()
    assert storage.folders("") == []
    assert storage.files("") == []


def test_files_are_listed_at_any_depth_and_folders_only_directly_below(storage: Storage) -> None:
    for path in ("gold/b/2", "gold/b/c/3", "gold/a", "golden/x", "top"):
        storage.write(path, path.encode())
    assert storage.folders("") == ["gold", "golden"]
    assert storage.folders("gold") == ["b"]
    assert storage.folders("silver") == []
    found = [(file.path, file.bytes) for file in storage.files("gold")]
    assert found == [("a", 6), ("b/2", 8), ("b/c/3", 10)]
    assert storage.files("silver") == []


def test_another_content_of_the_same_size_has_another_checksum(
    storage: Storage,
) -> None:
    storage.write("gold/a", b"one")
    storage.write("gold/b", b"one")
    one, same = storage.files("gold")
    assert one.checksum == same.checksum
    assert storage.sha256("gold/a") == sha256(b"one").hexdigest()
    storage.write("gold/a", b"two")
    assert storage.files("gold")[0].checksum != one.checksum
    assert storage.sha256("gold/a") == sha256(b"two").hexdigest()


def test_a_file_is_distinguished_from_an_empty_folder(tmp_path: Path) -> None:
    storage = Folder(str(tmp_path))
    storage.write("gold", b"")
    with pytest.raises(NotADirectoryError):
        storage.folders("gold")


def test_the_last_change_is_that_of_the_newest_file(storage: Storage) -> None:
    assert storage.last_change("gold") is None
    for name in ("gold/a", "gold/b/c"):
        storage.write(name, b"")
    changed = storage.last_change("gold")
    assert changed is not None
    assert abs(datetime.now(timezone.utc) - changed) < timedelta(minutes=5)


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "gold" / "a" / "in the way").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        Folder(str(tmp_path)).write("gold/a", b"rows")
    assert [path.name for path in (tmp_path / "gold").iterdir()] == ["a"]


def test_an_interrupted_write_leaves_no_file(tmp_path: Path) -> None:
    # The kernel lets that process write 100 bytes to each file and refuses more.
    script = """
import resource, sys
from brewery_assets.lake.storage import Folder
folder = Folder(sys.argv[1])
folder.prepare()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for put in (folder.write, folder.create):
    try:
        put("gold/a", b"x" * 100_000)
    except OSError as error:
        print(error.strerror)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "lake")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert said == f"{os.strerror(errno.EFBIG)}\n" * 2
    assert [*(tmp_path / "lake" / "gold").iterdir()] == []


def test_many_files_are_read_at_once_in_order(storage: Storage) -> None:
    for number in range(25):
        storage.write(f"x/{number}", str(number).encode())
    paths = [f"x/{number}" for number in range(26)]
    assert storage.read_each(paths) == [*(str(number).encode() for number in range(25)), None]
    assert storage.read_each([]) == []


def test_a_file_can_be_created_only_once(storage: Storage) -> None:
    storage.create("gold/_manifest.json", b"first")
    with pytest.raises(FileExistsError):
        storage.create("gold/_manifest.json", b"second")
    assert storage.read("gold/_manifest.json") == b"first"


def test_deleting_a_folder_deletes_everything_in_it_and_nothing_else(storage: Storage) -> None:
    for path in ("gold/s=1/a", "gold/s=1/b/c", "gold/s=10/a"):
        storage.write(path, b"")
    storage.delete_folder("gold/s=1")
    storage.delete_folder("gold/s=2")
    assert [file.path for file in storage.files("")] == ["gold/s=10/a"]
    storage.delete("gold/s=10/a")
    storage.delete("gold/s=10/a")
    assert storage.files("") == []


def test_files_that_need_several_list_requests_are_listed_and_deleted(
    s3: S3Server, prefix: str
) -> None:
    bucket = Bucket(f"s3://lake/{prefix}", Aws())
    # S3 lists at most 1,000 keys in one answer; here it lists 3.
    answers = []
    events = bucket.client.meta.events
    events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 3}
    )
    events.register("after-call.s3.ListObjectsV2", lambda parsed, **_: answers.append(parsed))
    for number in range(7):
        bucket.write(f"gold/{number}", b"")
    assert [file.path for file in bucket.files("gold")] == [*"0123456"]
    assert [answer["KeyCount"] for answer in answers] == [3, 3, 1]
    bucket.write("gold/folder/a", b"")
    bucket.delete_folder("gold")
    assert bucket.files("") == []


def test_folder_markers_are_not_files(s3: S3Server, prefix: str) -> None:
    bucket = Bucket(f"s3://lake/{prefix}", Aws())
    s3.client().put_object(Bucket="lake", Key=f"{prefix}/gold/", Body=b"")
    bucket.write("gold/a", b"x")
    assert [file.path for file in bucket.files("gold")] == ["a"]
    assert bucket.folders("") == ["gold"]


def test_a_create_request_whose_answer_was_lost_does_not_fail(s3: S3Server, prefix: str) -> None:
    bucket = Bucket(f"s3://lake/{prefix}", Aws())
    bucket.create("gold/_manifest.json", b"mine")
    bucket.create("gold/_manifest.json", b"mine")  # as boto3 retries it
    assert bucket.read("gold/_manifest.json") == b"mine"


def test_a_large_file_is_written_in_parts(s3: S3Server, prefix: str) -> None:
    bucket = Bucket(f"s3://lake/{prefix}", Aws())
    content = bytes(range(256)) * 2**16  # 16 MiB
    bucket.write("bronze/breweries.json", content)
    assert bucket.read("bronze/breweries.json") == content
    tag = s3.client().head_object(Bucket="lake", Key=f"{prefix}/bronze/breweries.json")["ETag"]
    assert tag.strip('"').endswith("-2")
