"""The Delta log: it follows the manifests, and other tools can read it."""

import json
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from brewery_assets.aws import Aws
from brewery_assets.engine.spark import Spark
from brewery_assets.lake.delta import follow, newest_version
from brewery_assets.lake.io_managers import ParquetSnapshots
from brewery_assets.lake.lake import MANIFEST, Lake, LakeError
from brewery_assets.lake.s3 import Bucket
from brewery_assets_tests.checkout import ROOT
from brewery_assets_tests.conftest import TABLES, Pipeline
from brewery_assets_tests.lake.readers import with_deltalake, with_polars
from brewery_assets_tests.lake.tables import TABLE, Row, commit, of_run, publish, write
from brewery_assets_tests.lake.test_lake import OTHER_RUN, RUN, publish_as
from brewery_assets_tests.lake.test_readers import FIRST, LAST, by_id
from demo.s3 import S3Server


def read(folder: Path) -> list[Row]:
    """The rows of the newest version."""
    (rows,) = with_deltalake(str(folder / TABLE.name), [None])
    return rows


def test_a_run_that_deletes_a_snapshot_it_has_not_listed_does_not_fail(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """A slow run publishes last, with the oldest name, and deletes what others have published."""

    def run(number: int) -> Lake:
        return of_run(str(tmp_path), instance, f"{number:08x}-0000-4000-8000-000000000000", kept=1)

    publish(run(1), [])
    slow = run(2)
    draft = write(slow, [{"id": "a", "country": "x"}])
    for number in (3, 4):
        publish(run(number), [{"id": "b", "country": "x"}])
    lake = Lake(uri=str(tmp_path))
    for manifest in lake.manifests(TABLE.name):  # more than an hour passes
        earlier = manifest.created_at - timedelta(hours=2)
        older = manifest.model_copy(update={"created_at": earlier})
        path = f"{manifest.folder}/{MANIFEST}"
        lake.storage.write(path, older.model_dump_json().encode())
    slow._known.clear()
    slow.publish(draft, rows=1, codec="zstd", columns=TABLE.types)
    assert len(Lake(uri=str(tmp_path)).snapshots(TABLE.name)) == 2


def test_a_version_has_names_comments_partitions_counts_and_its_run(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    manifest = publish(lake := of_run(str(folder), instance, RUN), LAST)
    commit(lake)
    table = DeltaTable(folder / TABLE.name)
    assert table.metadata().name == TABLE.name
    assert table.metadata().partition_columns == ["country"]
    comments = {field.name: field.metadata["comment"] for field in table.schema().fields}
    assert comments == {field.name: field.metadata["comment"] for field in TABLE.schema.fields}
    (history,) = table.history()
    assert (history["snapshot"], history["run_id"]) == (manifest.snapshot, RUN)
    files = table.get_add_actions(flatten=True).to_struct_array().to_pylist()
    assert {file["path"]: (file["num_records"], file["size_bytes"]) for file in files} == {
        f"{manifest.snapshot}/{file.path}": (1, file.bytes) for file in manifest.files
    }


def test_snapshots_of_a_killed_run_are_committed_in_order_by_the_next_run(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = of_run(str(folder), instance, RUN)
    first, second = publish(lake, FIRST), publish(lake, [])
    third = publish(next_lake := of_run(str(folder), instance, OTHER_RUN), LAST)
    commit(next_lake)
    history = DeltaTable(folder / TABLE.name).history()
    assert [entry["snapshot"] for entry in history[::-1]] == [
        made.snapshot for made in (first, second, third)
    ]
    assert commit(next_lake).number == 2  # no version is added twice


def test_the_log_does_not_go_back_when_an_older_run_publishes_last(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    older = of_run(str(folder), instance, RUN)
    draft = write(older, FIRST)
    newest = publish(newer := of_run(str(folder), instance, OTHER_RUN), LAST)
    assert newest.snapshot > draft.rpartition("/")[2]
    commit(newer)
    older.publish(draft, rows=3, codec="zstd", columns=TABLE.types)
    assert commit(older).snapshot == newest.snapshot
    assert by_id(read(folder)) == by_id(LAST)


def test_drafts_and_folders_of_the_older_form_are_never_in_the_log(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = of_run(str(folder), instance, RUN)
    older = publish(lake, FIRST)
    old_form = folder / TABLE.name / f"snapshot={older.snapshot}"
    (folder / older.folder).rename(old_form)
    lake = of_run(str(folder), instance, OTHER_RUN)
    write(lake, FIRST)
    assert follow(lake, TABLE) is None
    assert not (folder / TABLE.name / "_delta_log").exists()


def test_a_snapshot_whose_manifest_was_deleted_leaves_the_delta_table(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = of_run(str(folder), instance, RUN)
    first, second = publish(lake, FIRST), publish(lake, LAST)
    commit(lake)
    (folder / second.folder / "_manifest.json").unlink()
    version = commit(Lake(uri=str(folder)))
    assert (version.number, version.snapshot) == (2, first.snapshot)
    assert len(read(folder)) == len(FIRST)


def test_a_log_changed_by_another_program_is_kept_and_the_warning_says_what_to_do(
    pipeline: Pipeline, published: None
) -> None:
    log = Path(pipeline.uri) / "gold_brewery_counts" / "_delta_log"
    foreign = log / f"{1:020}.json"
    foreign.write_text(json.dumps({"commitInfo": {"operation": "OPTIMIZE"}}) + "\n")
    result = pipeline.run("gold_brewery_counts")
    said = [entry.user_message for entry in pipeline.instance.all_logs(result.run_id)]
    (warning,) = (line for line in said if "is not the newest version" in line)
    assert "was written by another program; move the folder _delta_log away" in warning
    assert "REPAIR=1" in warning
    assert len(pipeline.lake.manifests("gold_brewery_counts")) == 2
    assert [file.name for file in sorted(log.glob("*.json"))] == [f"{0:020}.json", foreign.name]


def test_each_run_adds_a_version_to_every_table_and_the_ui_shows_it(
    pipeline: Pipeline, published: None
) -> None:
    run = pipeline.run()
    shown = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in run.get_asset_materialization_events()
    }
    assert "delta_version" not in shown["bronze_breweries"]
    for layer in TABLES:
        assert shown[layer]["delta_version"].value == 1
        table = DeltaTable(f"{pipeline.uri}/{layer}")
        assert table.history(1)[0]["snapshot"] == pipeline.newest(layer).snapshot
        found = table.to_pyarrow_table().to_pylist()
        key = str if layer == "gold_brewery_changes" else lambda row: sorted(map(str, row.items()))
        assert sorted(found, key=key) == sorted(pipeline.rows(layer), key=key)


def test_old_log_entries_are_deleted_and_kept_versions_can_be_read(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    days = [f"202601{1 + n // 24:02}T{n % 24:02}0000Z-00000001" for n in range(98)]
    for name in days:
        publish_as(name, folder, TABLE.name, columns=TABLE.types)
    commit(Lake(uri=str(folder)))
    lake = of_run(str(folder), instance, RUN, kept=5)
    publish(lake, FIRST)
    publish(lake, LAST)
    assert commit(lake).number == 99
    assert len(lake.snapshots(TABLE.name)) <= 6
    log = folder / TABLE.name / "_delta_log"
    names = sorted(path.name for path in log.iterdir())
    assert names == [
        f"{89:020}.checkpoint.parquet",
        *(f"{number:020}.json" for number in range(89, 99)),
        f"{99:020}.checkpoint.parquet",
        f"{99:020}.json",
        "_last_checkpoint",
    ]
    table = str(folder / TABLE.name)
    assert by_id(read(folder)) == by_id(LAST)
    (older,) = with_polars(table, [98])
    assert len(older) == len(FIRST)
    assert DeltaTable(table, version=95).version() == 95
    with pytest.raises(DeltaError):
        DeltaTable(table, version=50)


def test_a_version_is_committed_even_if_its_checkpoint_cannot_be_written(
    folder: Path, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    log = folder / TABLE.name / "_delta_log"
    (log / f"{9:020}.checkpoint.parquet").mkdir(parents=True)  # blocks the file
    for number in range(9):
        publish_as(f"2026010{number + 1}T000000Z-00000001", folder, TABLE.name, columns=TABLE.types)
    publish(lake := of_run(str(folder), instance, RUN), LAST)
    assert commit(lake).number == 9
    assert "silver: no checkpoint was written: " in caplog.text
    assert by_id(read(folder)) == by_id(LAST)


def test_a_reader_in_a_loop_sees_only_whole_versions(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = of_run(str(folder), instance, RUN)

    def generation(number: int) -> list[Row]:
        return [
            {"id": f"{country}-{row}", "name": str(number), "country": country}
            for country in ("italy", "france", "unknown")
            for row in range(number + 1)
        ]

    publish(lake, generation(0))
    commit(lake)
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            rows = read(folder)
            (name,) = {row["name"] for row in rows}
            assert by_id(rows) == by_id([{"latitude": None, **r} for r in generation(int(name))])
            seen.append(int(name))

    reader = threading.Thread(target=watch)
    reader.start()
    for number in range(1, 11):
        publish(lake, generation(number))
        commit(lake)
        count = len(seen)
        while len(seen) == count and reader.is_alive():
            stop.wait(0.01)
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    assert seen[-1] == 10


ONE_OF_TWO = """
import sys
import dagster as dg
from brewery_assets_tests.lake.tables import commit, of_run, publish
uri, run_id = sys.argv[1:]
with dg.DagsterInstance.ephemeral() as instance:
    lake = of_run(uri, instance, run_id)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(8):
        publish(lake, [{"id": run_id, "name": str(number), "country": "italy"}])
        commit(lake)
"""


@pytest.mark.slow("an S3 server, and runs in separate processes")
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_two_processes_that_commit_at_once_lose_no_version(
    place: str, folder: Path, s3: S3Server, prefix: str
) -> None:
    uri = str(folder) if place == "folder" else f"s3://lake/{prefix}"
    command = (sys.executable, "-c", ONE_OF_TWO, uri)
    processes = [
        subprocess.Popen(
            (*command, run_id), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for run_id in (RUN, OTHER_RUN)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    lake = Lake(uri=uri)
    version = newest_version(lake, TABLE.name)
    newest = lake.newest(TABLE.name)
    assert version is not None
    assert newest is not None
    assert version.snapshot == newest.snapshot
    read = lake.storage.read
    shown: list[str] = []
    live: set[str] = set()
    for number in range(version.number + 1):
        lines = read(f"{TABLE.name}/_delta_log/{number:020}.json").splitlines()
        actions = [json.loads(line) for line in lines]
        shown += [action["commitInfo"]["snapshot"] for action in actions if "commitInfo" in action]
        live -= {action["remove"]["path"] for action in actions if "remove" in action}
        assert not live  # each version replaces the one before
        live |= {action["add"]["path"] for action in actions if "add" in action}
    assert shown == sorted(set(shown))  # none twice, and in order
    assert set(shown) <= {*lake.published(TABLE.name)}


class Overwrites(BaseHTTPRequestHandler):
    """An S3 store that accepts `If-None-Match` but overwrites anyway, as older stores do."""

    objects: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding", "").startswith("aws-chunked"):
            size, _, rest = body.partition(b"\r\n")
            body = rest[: int(size.split(b";")[0], 16)]
        self.objects[urlsplit(self.path).path] = body
        self._answer(200)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if "list-type" in parse_qs(url.query):
            self._answer(200, b"<ListBucketResult></ListBucketResult>")
        elif url.path in self.objects:
            self._answer(200, self.objects[url.path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_DELETE(self) -> None:
        self.objects.pop(urlsplit(self.path).path, None)
        self._answer(204)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_a_store_that_overwrites_files_gets_manifests_but_no_delta_log(
    monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Overwrites)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        lake = of_run("s3://lake/x", instance, RUN)
        manifest = publish(lake, FIRST)
        manager = ParquetSnapshots(lake, Spark(), None, [TABLE])
        for _ in range(2):
            assert manager.after_publication(dg.build_output_context(), manifest) == {}
        with pytest.raises(LakeError, match="overwrites existing files"):
            follow(lake, TABLE)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert caplog.text.count("there are no Delta tables") == 1
    keys = [key.removeprefix("/lake/x/") for key in Overwrites.objects]
    assert f"{manifest.folder}/_manifest.json" in keys
    assert not [key for key in keys if "_delta_log" in key or key.startswith(".probe")]


@pytest.mark.slow("an S3 server")
def test_a_commit_takes_three_requests_to_s3(
    s3: S3Server, prefix: str, instance: dg.DagsterInstance
) -> None:
    lake = of_run(f"s3://lake/{prefix}", instance, RUN)
    for _ in range(5):
        publish(lake, FIRST)
        commit(lake)
    publish(lake, LAST)
    before = s3.requests()
    commit(lake)
    asked = s3.requests() - before
    assert (asked["LIST"], asked["GET"], asked["PUT"]) == (1, 1, 1)


@pytest.mark.slow("an S3 server")
def test_a_store_that_refuses_to_overwrite_is_recognized(s3: S3Server, prefix: str) -> None:
    bucket = Bucket(f"s3://lake/{prefix}", Aws())
    bucket.prepare()
    assert bucket.creates_once
    bucket.write("a", b"")
    bucket.write("b", b"")
    bucket.delete_each(["a", "b", "none"])
    assert bucket.files("") == []
