"""The pipeline on S3, on a real server on loopback that checks credentials, and its failures."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from urllib.parse import unquote

import dagster as dg
import pytest
from botocore.stub import Stubber

from brewery_assets.aws import PATIENCE, Aws
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.s3 import Bucket, S3Error
from brewery_assets.lake.storage import OUTAGE
from brewery_assets.settings import SettingsError
from brewery_assets_tests.checkout import Checkout
from brewery_assets_tests.conftest import KILLS, LAYERS, TABLES, Pipeline, failure_of
from brewery_assets_tests.scenario import BROKEN, GOOD, OREGON
from demo.data import Row
from demo.s3 import OWNER, READER, REGION, S3Server

ON_S3 = pytest.mark.slow("whole runs on an S3 server")


def keys(s3: S3Server, prefix: str) -> list[str]:
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


@ON_S3
def test_two_runs_publish_two_complete_snapshots_and_nothing_else(
    pipeline_on_s3: Pipeline, s3: S3Server, prefix: str
) -> None:
    pipeline_on_s3.run()
    first = pipeline_on_s3.rows("gold_brewery_counts")
    pipeline_on_s3.run()
    assert len(pipeline_on_s3.lines()) == len(GOOD) + len(BROKEN)
    assert {row["id"] for row in pipeline_on_s3.rows("silver_breweries")} == {
        row["id"] for row in GOOD
    }
    assert {row["country"] for row in pipeline_on_s3.rows("silver_breweries")} >= {"united_states"}
    assert len(pipeline_on_s3.rows("rejected_breweries")) == len(BROKEN)
    assert pipeline_on_s3.rows("gold_brewery_counts") == first
    assert sum(row["brewery_count"] for row in first) == len(GOOD)

    lake = pipeline_on_s3.lake
    named = {
        f"{prefix}/{manifest.folder}/{name}"
        for layer in LAYERS
        for manifest in lake.manifests(layer)
        for name in ("_manifest.json", *(file.path for file in manifest.files))
    }
    named |= {
        f"{prefix}/{layer}/_delta_log/{version:020}.json" for layer in TABLES for version in (0, 1)
    }
    assert set(keys(s3, prefix)) == named  # no draft, no probe, nothing unknown
    assert [len(lake.manifests(layer)) for layer in LAYERS] == [2] * len(LAYERS)


@ON_S3
def test_a_run_on_s3_starts_one_engine_and_does_not_change_the_environment(
    pipeline_on_s3: Pipeline,
) -> None:
    before = dict(os.environ)
    run = pipeline_on_s3.run()
    said = [record.user_message for record in pipeline_on_s3.instance.all_logs(run.run_id)]
    assert sum("Spark engine: " in line for line in said) == 1
    ours = {"SPARK_CONNECT_MODE_ENABLED"}
    assert {name: os.environ[name] for name in {*os.environ} - ours} == {
        name: value for name, value in before.items() if name not in ours
    }


@ON_S3
def test_the_ui_shows_the_path_in_the_bucket(pipeline_on_s3: Pipeline) -> None:
    run = pipeline_on_s3.run()
    shown = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in run.get_asset_materialization_events()
    }
    for layer in LAYERS:
        manifest = pipeline_on_s3.newest(layer)
        uri = f"{pipeline_on_s3.uri}/{manifest.folder}"
        assert shown[layer]["dagster/uri"].value == uri
        assert shown[layer]["dagster/size_bytes"].value == manifest.bytes
        assert bool(manifest.bytes) is bool(manifest.rows)


@ON_S3
@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("s3://lake/{}/", "s3://lake/{}"),
        ("s3://lake/{}/a b/c/", "s3://lake/{}/a b/c"),
        ("s3://lake/{}/üñ'&+=", "s3://lake/{}/üñ'&+="),
    ],
)
def test_a_prefix_may_end_in_a_slash_and_contain_special_characters(
    pipeline_on_s3: Pipeline, s3: S3Server, prefix: str, written: str, taken: str
) -> None:
    pipeline_on_s3.uri = written.format(prefix)
    pipeline_on_s3.run()
    pipeline_on_s3.run("gold_brewery_counts")
    pipeline_on_s3.uri = taken.format(prefix)
    assert len(pipeline_on_s3.rows("gold_brewery_counts")) == 9
    folder = taken.format(prefix).removeprefix("s3://lake/")
    assert all(key.startswith(f"{folder}/") for key in keys(s3, prefix))


@ON_S3
def test_a_lake_may_be_a_whole_bucket(pipeline: Pipeline, s3: S3Server) -> None:
    s3.client().create_bucket(Bucket="of-its-own")
    pipeline.uri = "s3://of-its-own"
    pipeline.run()
    assert len(pipeline.rows("gold_brewery_counts")) == 9


@ON_S3
def test_foreign_files_under_the_prefix_are_not_deleted(
    pipeline_on_s3: Pipeline, s3: S3Server, prefix: str
) -> None:
    foreign = [
        f"{prefix}/{key}"
        for key in (
            "README.md",
            "gold_brewery_counts/",
            "gold_brewery_counts/notes.txt",
            "gold_brewery_counts/snapshot=mine/part.parquet",
            "gold_brewery_counts/snapshot=20261399T000000Z-00000000/_manifest.json",
            "silver_breweries/old/part.parquet",
        )
    ]
    for key in foreign:
        s3.client().put_object(Bucket="lake", Key=key, Body=b"mine")
    pipeline_on_s3.snapshots_kept = 1
    pipeline_on_s3.run()
    pipeline_on_s3.run()
    assert set(foreign) <= set(keys(s3, prefix))
    assert len(pipeline_on_s3.rows("gold_brewery_counts")) == 9


@ON_S3
def test_old_snapshots_and_drafts_are_deleted_from_a_bucket_too(
    pipeline_on_s3: Pipeline, s3: S3Server, prefix: str
) -> None:
    pipeline_on_s3.run("bronze_breweries")
    kept = pipeline_on_s3.newest("bronze_breweries")
    storage = pipeline_on_s3.lake.storage
    # A snapshot stays for an hour after the next was published.
    kept = kept.model_copy(update={"created_at": kept.created_at - timedelta(hours=2)})
    storage.write(f"{kept.folder}/_manifest.json", kept.model_dump_json().encode())
    for day, name in ((1, "_manifest.json"), (2, "_manifest.json"), (3, "_draft.json")):
        published = datetime(2026, 1, day, tzinfo=timezone.utc)
        old = kept.model_copy(
            update={"snapshot": f"2026010{day}T000000Z-00000000", "created_at": published}
        )
        storage.write(f"{old.folder}/breweries.json", b"{}\n")
        storage.write(f"{old.folder}/{name}", old.model_dump_json().encode())
    pipeline_on_s3.snapshots_kept = 2
    pipeline_on_s3.run("bronze_breweries")
    folders = {key.split("/")[2] for key in keys(s3, prefix)}
    newest = pipeline_on_s3.newest("bronze_breweries")
    assert folders == {kept.snapshot, newest.snapshot}


def checkout_of(pipeline: Pipeline, s3: S3Server, folder: Path) -> Checkout:
    settings = {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    return Checkout(folder, {**settings, **s3.environment()})


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets boto3 try an address only twice, with a short wait between the tries."""
    monkeypatch.setitem(PATIENCE, "retries", {"mode": "standard", "total_max_attempts": 2})


def refused(pipeline: Pipeline) -> str:
    """The message of a run that fails before it asks the source for anything."""
    started = time.monotonic()
    message = failure_of(pipeline.run(fails=True))
    assert not pipeline.api.requests
    assert time.monotonic() - started < OUTAGE
    return message


def test_a_bucket_that_does_not_exist_is_refused_and_not_created(
    pipeline: Pipeline, s3: S3Server
) -> None:
    pipeline.uri = "s3://no-such-bucket/lake"
    assert (
        "LAKE_URI=s3://no-such-bucket/lake: there is no such bucket; create it first, the "
        "pipeline never does (NoSuchBucket)"
    ) in refused(pipeline)
    assert "no-such-bucket" not in str(s3.client().list_buckets())


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_refused_and_not_shown(
    pipeline_on_s3: Pipeline, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv(wrong, "not-the-right-one")
    message = refused(pipeline_on_s3)
    assert (
        f"LAKE_URI={pipeline_on_s3.uri}: the AWS credentials are refused; correct "
        "AWS_ACCESS_KEY_ID and related variables ("
    ) in message
    assert "not-the-right-one" not in message
    assert OWNER[1] not in message


def test_without_credentials_the_error_says_how_to_set_them(
    pipeline_on_s3: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or" in refused(
        pipeline_on_s3
    )


def test_a_profile_that_does_not_exist_is_refused(
    pipeline_on_s3: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "The config profile (nobody) could not be found" in refused(pipeline_on_s3)


def test_read_only_credentials_are_refused_before_any_work(
    pipeline_on_s3: Pipeline, s3: S3Server, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in s3.environment(READER).items():
        monkeypatch.setenv(name, value)
    assert (
        f"LAKE_URI={pipeline_on_s3.uri}: access to PutObject is denied; docs/aws.md has the "
        "permissions needed (AccessDenied)"
    ) in refused(pipeline_on_s3)
    assert keys(s3, prefix) == []


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_endpoint_that_does_not_answer_is_refused_with_its_address(
    pipeline_on_s3: Pipeline, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    message = refused(pipeline_on_s3)
    assert "no server answers; correct AWS_ENDPOINT_URL or try later: " in message
    assert url in message


def test_an_endpoint_that_is_not_a_url_is_refused(
    pipeline_on_s3: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    assert "LAKE_URI=s3://lake/" in (message := refused(pipeline_on_s3))
    assert "localhost:9000" in message


class OfAnotherRegion(Aws):
    """AWS as it answers when the bucket is in another region."""

    def client(self, service: str) -> object:
        client = Aws(region="eu-west-1").client(service)
        stub = Stubber(client)
        stub.add_response("list_objects_v2", {})
        stub.add_client_error(
            "head_bucket",
            "403",
            http_status_code=403,
            response_meta={"HTTPHeaders": {"x-amz-bucket-region": "eu-central-1"}},
        )
        stub.activate()
        return client


def test_a_wrong_region_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    bucket = Bucket("s3://lake/x", OfAnotherRegion())
    with pytest.raises(SettingsError) as error:
        bucket.prepare()
    assert str(error.value) == "AWS_REGION: the bucket lake is in eu-central-1, not eu-west-1"


def stubbed(s3: S3Server, prefix: str) -> tuple[Bucket, Stubber]:
    """A bucket whose next answers come from a stub."""
    bucket = Bucket(f"s3://lake/{prefix}", Aws())
    return bucket, Stubber(bucket.client)


def test_a_create_request_that_conflicts_with_another_is_retried(
    s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
    bucket, answers = stubbed(s3, prefix)
    answers.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    answers.add_response("put_object", {})
    with answers:
        bucket.create("gold/_manifest.json", b"{}")
    answers.assert_no_pending_responses()


def test_a_deletion_is_retried_if_s3_is_too_busy(s3: S3Server, prefix: str) -> None:
    bucket, answers = stubbed(s3, prefix)
    busy = {"Errors": [{"Key": "b", "Code": "SlowDown", "Message": "Please reduce your rate."}]}
    keys = {"Contents": [{"Key": "a", "Size": 1}, {"Key": "b", "Size": 1}]}
    answers.add_response("list_objects_v2", keys)
    for wanted, answer in ((["a", "b"], busy), (["b"], busy), (["b"], {})):
        objects = [{"Key": key} for key in wanted]
        expected = {"Bucket": "lake", "Delete": {"Objects": objects, "Quiet": True}}
        answers.add_response("delete_objects", answer, expected)
    with answers:
        bucket.delete_folder("gold")
    answers.assert_no_pending_responses()

    answers.add_response("list_objects_v2", keys)
    for _ in range(5):
        answers.add_response("delete_objects", busy)
    with answers, pytest.raises(S3Error, match=r"gold: Please reduce your rate. \(SlowDown\)"):
        bucket.delete_folder("gold")


class HangsUp(BaseHTTPRequestHandler):
    """Accepts a request and closes the connection."""

    def do_GET(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.usefixtures("_impatient")
def test_an_endpoint_that_closes_the_connection_is_named(
    pipeline_on_s3: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(HangsUp) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        message = refused(pipeline_on_s3)
    assert (
        f"LAKE_URI={pipeline_on_s3.uri}: no server answers; correct AWS_ENDPOINT_URL or " in message
    )
    assert url in message


@pytest.mark.usefixtures("_impatient")
def test_an_endpoint_that_never_answers_times_out(
    s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PATIENCE, "read_timeout", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(SettingsError, match="no server answers; correct AWS_ENDPOINT_URL"):
            Bucket(f"s3://lake/{prefix}", Aws()).prepare()


class CutsOff(BaseHTTPRequestHandler):
    """Closes the connection in the middle of the first two answers."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"complete" if len(self.asked) > 2 else b"comp")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_an_interrupted_download_restarts(
    s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(CutsOff) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert Bucket(f"s3://lake/{prefix}", Aws()).read("bronze.json") == b"complete"
    assert len(CutsOff.asked) == 3


# Sail keeps the first credentials it gets until its process ends, so from here on each run has a
# separate process.
IN_PROCESSES = pytest.mark.slow("whole runs in separate processes")
RUN = """
import sys
import dagster as dg
from brewery_assets.definitions import defs
with dg.DagsterInstance.ephemeral() as instance:
    job = defs.resolve_job_def("run_pipeline_brewery")
    assert job.execute_in_process(instance=instance).success
print("boto3 is loaded:", bool({"boto3", "dagster_aws"} & {*sys.modules}))
"""


@IN_PROCESSES
def test_the_engine_uses_the_credentials_of_a_profile(
    pipeline_on_s3: Pipeline, s3: S3Server, tmp_path: Path
) -> None:
    key, secret = OWNER
    (tmp_path / "credentials").write_text(
        f"[brewer]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    )
    checkout = checkout_of(pipeline_on_s3, s3, tmp_path / "checkout")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del checkout.environment[name]
    checkout.environment |= {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_PROFILE": "brewer",
    }
    code, said = checkout.run(sys.executable, "-c", RUN)
    assert code == 0, said
    assert pipeline_on_s3.newest("gold_brewery_counts").rows == 9


class ContainerRole(BaseHTTPRequestHandler):
    """The server from which a container gets the credentials of its role."""

    def do_GET(self) -> None:
        key, secret = OWNER
        said = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": ""}
        content = json.dumps({**said, "Expiration": "2036-01-01T00:00:00Z"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@IN_PROCESSES
def test_the_engine_uses_the_credentials_of_a_containers_role(
    pipeline_on_s3: Pipeline, s3: S3Server, tmp_path: Path
) -> None:
    checkout = checkout_of(pipeline_on_s3, s3, tmp_path / "checkout")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del checkout.environment[name]
    with served(ContainerRole) as url:
        checkout.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{url}/credentials"
        code, said = checkout.run(sys.executable, "-c", RUN)
    assert code == 0, said
    assert pipeline_on_s3.newest("gold_brewery_counts").rows == 9


class Recorder(BaseHTTPRequestHandler):
    """Refuses every request and records its headers."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_error(403)

    do_HEAD = do_GET  # noqa: N815  # the name that the base class looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


ASK_THE_ENGINE = """
from brewery_assets.aws import Aws
from brewery_assets.engine.spark import Spark
spark = Spark(s3=Aws(region="eu-west-1"))
try:
    spark.spark_session.read.text("s3://lake/x").collect()
finally:
    spark.stop()
"""


@IN_PROCESSES
def test_the_engine_sends_the_session_token_with_its_requests(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout", {})
    with served(Recorder) as url:
        checkout.environment |= {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "temporary",
            "AWS_ENDPOINT_URL": url,
        }
        code, said = checkout.run(sys.executable, "-c", ASK_THE_ENGINE)
    assert code != 0
    assert "403" in said
    assert Recorder.seen
    assert {headers["x-amz-security-token"] for headers in Recorder.seen} == {"temporary"}
    assert all("/eu-west-1/s3/" in headers["authorization"] for headers in Recorder.seen)


@pytest.mark.parametrize(
    ("address", "allow_http"),
    [
        (None, None),
        ("https://s3.eu-west-1.amazonaws.com", None),
        ("https://s3.cn-north-1.amazonaws.com.cn", None),
        ("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com", "false"),
        ("http://127.0.0.1:8333", "true"),
    ],
)
def test_the_engine_gets_an_endpoint_only_if_it_is_not_the_aws_default(
    monkeypatch: pytest.MonkeyPatch, address: str | None, allow_http: str | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    if address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    settings = Aws(region="eu-west-1").engine_settings()
    assert settings["AWS_REGION"] == "eu-west-1"
    assert settings.get("AWS_ENDPOINT") == (address if allow_http else None)
    assert settings.get("AWS_ALLOW_HTTP") == allow_http


def writing_silver(pipeline: Pipeline, s3: S3Server, folder: Path) -> subprocess.Popen[str]:
    """A second run, in a separate process, that has just started to write silver."""
    checkout = checkout_of(pipeline, s3, folder)
    known = len(pipeline.lake.snapshots("silver_breweries"))
    pipeline.api.requests.clear()
    impatient = folder / "impatient.yaml"
    lake = {"uri": pipeline.uri, "aws": {"region": REGION}, "wait_for_s3": 5.0}
    impatient.write_text(json.dumps({"resources": {"lake": {"config": lake}}}))
    process = checkout.start(*checkout.job(), "--config", str(impatient))
    until = time.monotonic() + 300
    while not pipeline.api.requests or len(pipeline.lake.snapshots("silver_breweries")) == known:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        if not pipeline.api.requests:  # it takes seconds to start
            time.sleep(0.05)
    return process


@IN_PROCESSES
def test_a_run_fails_without_a_manifest_if_the_server_dies_during_a_write(
    pipeline: Pipeline, mortal_s3: S3Server, tmp_path: Path, real_rows: list[Row]
) -> None:
    pipeline.uri = "s3://lake/dies"
    pipeline.run()
    pipeline.api.rows[:] = real_rows
    for attempt in range(KILLS):
        before = {layer: pipeline.newest(layer) for layer in LAYERS}
        process = writing_silver(pipeline, mortal_s3, tmp_path / f"checkout-{attempt}")
        mortal_s3.kill()
        said, _ = process.communicate(timeout=600)
        assert process.returncode != 0
        mortal_s3.start()
        if pipeline.newest("silver_breweries") == before["silver_breweries"]:
            break
    snapshot = r"dies/(silver|rejected)_breweries/\d{8}T"
    assert re.search(rf"^[\w.]+(Error|Exception): .*{snapshot}", unquote(said), re.MULTILINE)
    assert OWNER[1] not in said
    assert pipeline.newest("silver_breweries") == before["silver_breweries"]
    assert pipeline.newest("gold_brewery_counts") == before["gold_brewery_counts"]
    for layer in LAYERS:
        assert pipeline.lake.reading(layer).rows >= 0  # checks every file
    pipeline.run()
    assert sum(row["brewery_count"] for row in pipeline.rows("gold_brewery_counts")) == 11_822


@IN_PROCESSES
def test_a_run_killed_during_a_write_leaves_no_manifest(
    pipeline_on_s3: Pipeline, s3: S3Server, tmp_path: Path, real_rows: list[Row]
) -> None:
    pipeline_on_s3.run()
    pipeline_on_s3.api.rows[:] = real_rows
    for attempt in range(KILLS):
        before = pipeline_on_s3.newest("silver_breweries")
        process = writing_silver(pipeline_on_s3, s3, tmp_path / f"checkout-{attempt}")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if pipeline_on_s3.newest("silver_breweries") == before:
            break
    assert pipeline_on_s3.newest("silver_breweries") == before
    lake = pipeline_on_s3.lake
    drafts = set(lake.snapshots("silver_breweries")) - set(lake.published("silver_breweries"))
    assert len(drafts) == 1
    pipeline_on_s3.run()
    assert pipeline_on_s3.newest("silver_breweries").rows == 11_822


@IN_PROCESSES
def test_two_runs_at_once_on_one_bucket_publish_two_complete_snapshots(
    pipeline_on_s3: Pipeline, s3: S3Server, tmp_path: Path
) -> None:
    places = [checkout_of(pipeline_on_s3, s3, tmp_path / name) for name in ("one", "other")]
    processes = [place.start(*place.job()) for place in places]
    for process in processes:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    for layer in LAYERS:
        manifests = pipeline_on_s3.lake.manifests(layer)
        assert len(manifests) == 2
        assert pipeline_on_s3.lake.snapshots(layer) == [found.snapshot for found in manifests]
        for manifest in manifests:
            assert pipeline_on_s3.lake.reading(layer, manifest.snapshot) == manifest
    for manifest in pipeline_on_s3.lake.manifests("gold_brewery_counts"):
        rows = pipeline_on_s3.rows("gold_brewery_counts", manifest)
        assert sum(row["brewery_count"] for row in rows) == len(GOOD)
        assert [row for row in rows if row["state"] == OREGON["state_province"].lower()]


@IN_PROCESSES
@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_reaches_a_log_an_event_or_a_file(
    pipeline_on_s3: Pipeline, s3: S3Server, tmp_path: Path, fails: bool
) -> None:
    checkout = checkout_of(pipeline_on_s3, s3, tmp_path / "checkout")
    token = "a-token-nobody-may-see"  # noqa: S105
    if fails:  # SeaweedFS does not know this token
        checkout.environment["AWS_SESSION_TOKEN"] = token
    module = ("-m", "brewery_assets.definitions")
    code, said = checkout.run("dagster", "asset", "materialize", "--select", "*", *module)
    assert (code != 0) is fails, said
    key, secret = OWNER
    kept = checkout.kept()
    assert b"bronze_breweries" in kept
    for hidden in (key, secret, token):
        assert hidden not in said
        assert hidden.encode() not in kept


@pytest.mark.slow("runs the real data on S3")
def test_a_second_run_sends_few_requests_to_s3(
    pipeline_on_s3: Pipeline, s3: S3Server, real_rows: list[Row]
) -> None:
    pipeline_on_s3.api.rows[:] = real_rows
    pipeline_on_s3.run()
    changed = real_rows[0] | {"phone": "1"}
    pipeline_on_s3.api.rows[0] = changed
    before = s3.requests()
    pipeline_on_s3.run()
    asked = s3.requests() - before
    assert pipeline_on_s3.newest("gold_brewery_changes").rows == 1
    assert 200 < asked["GET"] <= 400
    assert 200 < asked["PUT"] <= 240
    assert asked["LIST"] <= 50


@IN_PROCESSES
def test_boto3_is_not_imported_for_a_lake_in_a_folder(pipeline: Pipeline, tmp_path: Path) -> None:
    checkout = Checkout(
        tmp_path / "checkout", {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    )
    code, said = checkout.run(sys.executable, "-c", RUN)
    assert code == 0, said
    assert "boto3 is loaded: False" in said


def test_a_lake_outside_a_run_is_read_only(s3: S3Server, prefix: str) -> None:
    lake = Lake(uri=f"s3://lake/{prefix}")
    assert lake.newest("gold_brewery_counts") is None
    assert keys(s3, prefix) == []


def test_settings_of_the_lake_reach_the_run(pipeline_on_s3: Pipeline) -> None:
    with dg.build_resources({"lake": pipeline_on_s3.resources()["lake"]}) as run:
        assert isinstance(run.lake.storage, Bucket)
