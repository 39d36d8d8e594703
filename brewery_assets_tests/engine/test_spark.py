"""The engine: one for each run, started when it is needed, stopped when the run ends."""

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import grpc
import psutil
import pytest
from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator

from brewery_assets.engine import engines as spark_engines
from brewery_assets.engine import java
from brewery_assets.engine import sessions as spark_sessions
from brewery_assets.engine.engines import CONNECT_PORT
from brewery_assets.engine.server import TOKEN
from brewery_assets.engine.sessions import LostSessionError
from brewery_assets.engine.spark import SHARED_MACHINE, Spark
from brewery_assets.settings import SettingsError
from brewery_assets_tests.checkout import ROOT
from brewery_assets_tests.conftest import Pipeline, failure_of
from brewery_assets_tests.engine.test_accounts import machine_of
from brewery_assets_tests.spark_servers import LIGHT, SparkServer, require_java
from demo.s3 import free_port


def listening() -> set[int]:
    """The loopback ports that this process listens on: Sail's is one of them."""
    connections = psutil.Process().net_connections(kind="inet")
    return {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}


def engines_started(run: dg.ExecuteInProcessResult, pipeline: Pipeline) -> int:
    records = pipeline.instance.all_logs(run.run_id)
    return sum("Spark engine: " in record.user_message for record in records)


def test_a_run_starts_one_engine_and_stops_it(pipeline: Pipeline) -> None:
    before = listening()
    run = pipeline.run()
    assert engines_started(run, pipeline) == 1
    assert listening() <= before
    assert "spark" not in {thread.name for thread in threading.enumerate()}


def test_a_run_of_only_bronze_starts_no_engine(pipeline: Pipeline) -> None:
    run = pipeline.run("bronze_breweries")
    assert engines_started(run, pipeline) == 0


@pytest.mark.usefixtures("published")
def test_a_run_that_fails_stops_its_engine(pipeline: Pipeline) -> None:
    before = listening()
    folder = Path(pipeline.uri) / pipeline.newest("silver_breweries").folder
    shutil.rmtree(folder / "country=poland")
    message = failure_of(pipeline.run("gold_brewery_counts", fails=True))
    assert "the files differ from its _manifest.json" in message
    assert listening() <= before


def test_a_session_that_is_started_in_the_background_is_used() -> None:
    spark = Spark()
    before = listening()
    try:
        spark.start_soon()
        spark.start_soon()
        session = spark.spark_session
        assert spark.spark_session is session
        assert session.range(3).count() == 3
        assert len(listening() - before) == 1
    finally:
        spark.stop()
    assert listening() <= before


def test_without_java_apache_spark_is_refused_and_the_error_says_what_to_do(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(java, "PLACES", ())
    pipeline.spark_remote = "local[*]"
    message = failure_of(pipeline.run(fails=True))
    assert (
        "SPARK_REMOTE=local[*]: Apache Spark needs Java 17 to 22, and there is none in JAVA_HOME "
        "or on the PATH; install Java 21 or 17, or leave SPARK_REMOTE empty for the embedded engine"
    ) in message
    assert pipeline.lake.newest("bronze_breweries") is None


def test_a_spark_connect_server_is_used_if_the_settings_name_it(pipeline: Pipeline) -> None:
    before = listening()
    other = Spark()
    try:
        assert other.spark_session.range(1).count() == 1
        (port,) = listening() - before
        pipeline.spark_remote = f"sc://127.0.0.1:{port}"
        before = listening()
        run = pipeline.run()
        assert listening() <= before
        assert engines_started(run, pipeline) == 1
        assert pipeline.newest("gold_brewery_counts").rows == 9
    finally:
        other.stop()


def test_a_session_that_is_garbage_collected_does_not_block_another() -> None:
    # PySpark 4.1 closes the thread pool of all sessions when a stopped one is garbage-collected
    # (SPARK-55362). A session that starts a thread at that moment waits forever.
    alive = Spark()
    try:
        _ = alive.spark_session
        for _ in range(5):
            dead = Spark()
            cycle: list[Any] = [dead.spark_session]
            cycle.append(cycle)
            dead.stop()
            del dead
            shared = ExecutePlanResponseReattachableIterator._get_or_create_release_thread_pool()
            cycle.clear()
            gc.collect()
            assert shared.submit(lambda: 1).result(timeout=60) == 1
            assert alive.spark_session.range(3).count() == 3
    finally:
        alive.stop()
        ExecutePlanResponseReattachableIterator.shutdown()


def test_the_embedded_engine_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    spark = Spark()
    try:
        assert spark.spark_session.range(3).count() == 3
        assert os.environ["RUST_LOG"] == "error"
    finally:
        spark.stop()
    assert capfd.readouterr().err == ""


def test_an_address_that_does_not_answer_is_refused_before_any_work(pipeline: Pipeline) -> None:
    port = free_port()
    pipeline.spark_remote = f"sc://127.0.0.1:{port}"
    message = failure_of(pipeline.run(fails=True))
    assert f"SPARK_REMOTE=sc://127.0.0.1:{port}: no server answers there" in message
    assert not pipeline.api.requests


def test_a_server_that_does_not_speak_grpc_is_refused_before_any_work(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_engines, "REACHING", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pipeline.spark_remote = f"sc://127.0.0.1:{silent.getsockname()[1]}/;token=hidden"
        monkeypatch.setenv("SPARK_REMOTE", pipeline.spark_remote)
        started = time.monotonic()
        message = failure_of(pipeline.run(fails=True))
    assert time.monotonic() - started < 60
    assert "there does not speak gRPC over TLS, which a token needs except to " in message
    assert "hidden" not in message
    assert not pipeline.api.requests


def test_parameters_that_cannot_be_parsed_are_refused_and_not_shown(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.spark_remote = "sc://127.0.0.1:1/;token=padded=="
    monkeypatch.setenv("SPARK_REMOTE", pipeline.spark_remote)
    message = failure_of(pipeline.run(fails=True))
    assert "SPARK_REMOTE=sc://127.0.0.1:1: what follows /; must be key=value, with %3D" in message
    assert "padded" not in message


class Hung(grpc.GenericRpcHandler):
    """A server that accepts every call and never answers."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def service(self, handler_call_details: Any) -> Any:  # noqa: ARG002  # gRPC's signature
        def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.over.wait()
            return b""

        return grpc.unary_unary_rpc_method_handler(wait)


def test_a_server_that_accepts_calls_and_never_answers_times_out(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_sessions, "ANSWERING", 1.0)
    hung = Hung()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[hung])
    pipeline.spark_remote = f"sc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        started = time.monotonic()
        message = failure_of(pipeline.run(fails=True))
        assert time.monotonic() - started < 60
        assert f"SPARK_REMOTE={pipeline.spark_remote}: no answer within 1 seconds; " in message
    finally:
        hung.over.set()
        server.stop(None).wait()
    assert pipeline.lake.newest("silver_breweries") is None


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("accounts", "warnings"),
    [(["me:1000:/bin/sh", "you:1001:/bin/sh"], 1), (["me:1000:/bin/sh"], 0)],
)
def test_a_run_warns_once_if_other_accounts_could_reach_the_embedded_engine(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, accounts: list[str], warnings: int
) -> None:
    machine_of(monkeypatch, me=1000, accounts=accounts)
    run = pipeline.run("gold_brewery_counts", "gold_brewery_changes")
    said = [record.user_message for record in pipeline.instance.all_logs(run.run_id)]
    assert said.count(SHARED_MACHINE) == warnings
    assert "SPARK_REMOTE=local[*]" in SHARED_MACHINE


def test_the_embedded_engine_ignores_the_token_of_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN, "of-another-server")
    spark = Spark()
    try:
        assert spark.spark_session.range(3).count() == 3
    finally:
        spark.stop()
    assert os.environ[TOKEN] == "of-another-server"


def refusal(remote: str) -> str:
    """The error message when a Spark Connect server refuses a client."""
    spark = Spark(remote=remote)
    try:
        with pytest.raises(SettingsError) as refused:
            _ = spark.spark_session
    finally:
        spark.stop()
    return str(refused.value)


@pytest.mark.slow("needs Java")
@pytest.mark.xdist_group("spark")
def test_make_spark_connect_refuses_a_client_without_its_token(spark_server: SparkServer) -> None:
    spark = Spark(remote=spark_server.remote)
    try:
        assert spark.spark_session.range(3).count() == 3
    finally:
        spark.stop()
    assert "UNAUTHENTICATED" in refusal(f"sc://127.0.0.1:{spark_server.port}")
    message = refusal(f"sc://localhost:{spark_server.port}/;token=a-guess")
    assert "UNAUTHENTICATED" in message
    assert "a-guess" not in message


LOCAL_SPARK = """
from brewery_assets.engine.spark import Spark
spark = Spark(remote="local[2]")
print(spark.spark_session.range(3).count(), "rows", flush=True)
input()
spark.stop()
"""


@pytest.mark.slow("needs Java")
@pytest.mark.xdist_group("spark")
def test_apache_spark_inside_a_run_refuses_every_other_client(tmp_path: Path) -> None:
    environment = {**os.environ, **LIGHT, **require_java(), "PYTHONPATH": str(ROOT)}
    environment |= {TOKEN: "of-another-server", "SPARK_LOCAL_DIRS": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", LOCAL_SPARK],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            assert "3 rows" in process.stdout.readline()
            assert "UNAUTHENTICATED" in refusal(f"sc://127.0.0.1:{CONNECT_PORT}")
            other = f"sc://localhost:{CONNECT_PORT}/;token=of-another-server"
            assert "UNAUTHENTICATED" in refusal(other)
            process.communicate("\n", timeout=300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow("starts Apache Spark twice")
@pytest.mark.xdist_group("spark")
def test_a_restart_of_the_server_is_reported_in_one_sentence(spark_server: SparkServer) -> None:
    spark = Spark(remote=spark_server.remote)
    try:
        rows = spark.spark_session.range(3)
        assert rows.count() == 3
        spark_server.stop()
        spark_server.start()
        with pytest.raises(LostSessionError, match="was restarted, and this run's session is lost"):
            rows.count()
    finally:
        spark.stop()


@pytest.mark.slow("needs Java")
@pytest.mark.xdist_group("spark")  # another test of this group uses that port
def test_another_server_on_the_port_of_spark_connect_is_refused(
    pipeline: Pipeline,
) -> None:
    require_java()
    pipeline.spark_remote = "local[2]"
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(OSError):  # another program already has it
            taken.enter_context(socket.create_server(("127.0.0.1", 15002)))
        message = failure_of(pipeline.run(fails=True))
    assert "SPARK_REMOTE=local[2]: Spark Connect needs port 15002, which is in use" in message
    assert "set SPARK_REMOTE=sc://127.0.0.1:15002, else wait" in message
    assert not pipeline.api.requests


def test_an_engine_that_is_stopped_while_it_starts_leaves_nothing_running() -> None:
    for _ in range(5):
        before = listening()
        spark = Spark()
        spark.start_soon()
        spark.stop()
        for thread in [found for found in threading.enumerate() if found.name == "spark"]:
            thread.join(60)
        assert listening() <= before
        with pytest.raises(RuntimeError, match="has been stopped"):
            _ = spark.spark_session
