"""EMR Serverless as the engine: botocore's Stubber stands in for AWS, and Sail for Spark."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import boto3
import dagster as dg
import grpc
import pytest
from botocore.stub import Stubber
from pydantic import PrivateAttr
from pyspark.errors import PySparkException

from brewery_assets.aws import PATIENCE, Aws
from brewery_assets.engine import emr as spark_emr
from brewery_assets.engine import sessions as spark_sessions
from brewery_assets.engine import spark as spark_module
from brewery_assets.engine.emr import Access, EmrError, EmrServerless
from brewery_assets.engine.spark import Emr, Spark
from brewery_assets.settings import Settings, SettingsError
from demo.s3 import free_port

SOON = 30.0  # seconds; on an idle machine it takes less than one
APPLICATION, SESSION = "00f1abc2def3", "00g4hij5klm6"
ROLE = "arn:aws:iam::123456789012:role/brewery-emr"
ARN = f"arn:aws:emr-serverless:us-east-1:123456789012:/applications/{APPLICATION}"
NAMED = f"EMR_SERVERLESS_APPLICATION_ID={APPLICATION}: "
ONE, TWO, THREE, SECRET = SECRETS = ("token-one", "token-two", "token-three", "secret-key")
IDS = {"applicationId": APPLICATION, "sessionId": SESSION}
START = {"executionRoleArn": ROLE, "name": "brewery_assets", "idleTimeoutMinutes": 30}
ASKED: dict[str, dict[str, Any]] = {
    "get_application": {"applicationId": APPLICATION},
    "start_session": {"applicationId": APPLICATION, **START},
    **dict.fromkeys(("get_session", "get_session_endpoint", "terminate_session"), IDS),
}
KNOWN: Any = {"arn": ARN, "releaseLabel": "emr-7.13.0", "createdAt": 0, "updatedAt": 0}


class OneClient(Aws):
    _client: Any = PrivateAttr(default=None)

    def client(self, service: str) -> Any:
        assert service == "emr-serverless"
        return self._client


class Gateway(grpc.GenericRpcHandler):
    """Forwards calls with the right token to Sail, as EMR's endpoint does to Spark."""

    def __init__(self, sail: grpc.Channel, good: str) -> None:
        self.good = good
        self.calls: list[tuple[str, list[Any]]] = []
        self._sail = sail

    def service(self, details: Any) -> Any:
        name = details.method.removeprefix("/spark.connect.SparkConnectService/")
        tokens = [value for key, value in details.invocation_metadata if key == spark_emr.HEADER]
        self.calls.append((name, tokens))
        streams = name in ("ExecutePlan", "ReattachExecute")
        kind = "stream_unary" if name == "AddArtifacts" else "unary_unary"
        kind = "unary_stream" if streams else kind

        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            if tokens != [self.good]:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not good")
            try:
                answered = getattr(self._sail, kind)(details.method)(request)
                yield from answered if streams else [answered]
            except grpc.RpcError as error:
                told: Any = error
                context.abort(told.code(), told.details())

        behaves: Any = answer if streams else lambda *asked: next(answer(*asked))
        return getattr(grpc, f"{kind}_rpc_method_handler")(behaves)


@contextmanager
def serving(gateway: Gateway, port: int = 0) -> Iterator[int]:
    with ThreadPoolExecutor(8) as workers:
        server = grpc.server(workers, handlers=[gateway])
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        yield port
        server.stop(None).wait()


@pytest.fixture(scope="module")
def sail() -> Iterator[grpc.Channel]:
    """A real Spark Connect server, started once; every session ends before it does."""
    pysail = pytest.importorskip("pysail.spark", reason="no Sail for this platform")
    os.environ.setdefault("RUST_LOG", "error")  # as the engine does; Sail reads it only once
    server = pysail.SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    with grpc.insecure_channel("{}:{}".format(*server.listening_address)) as channel:
        yield channel
    server.stop()


class Cloud:
    """EMR Serverless: gives the prepared answers in order and checks each request."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway, self.port = gateway, port
        keys = {"aws_access_key_id": "AKIANOBODY", "aws_secret_access_key": SECRET}
        self.aws = OneClient()
        self.aws._client = boto3.client("emr-serverless", region_name="us-east-1", **keys)
        self._stubber = Stubber(self.aws._client)
        self._stubber.activate()
        self.finished = self._stubber.assert_no_pending_responses
        self.terminates = partial(self.will, "terminate_session", **IDS)

    def will(self, operation: str, **answer: Any) -> None:
        self._stubber.add_response(operation, answer, ASKED[operation])

    def refuses(self, operation: str, code: str) -> None:
        self._stubber.add_client_error(operation, code, "Not now.", 400, None, ASKED[operation])

    def has_application(self, state: str, **more: Any) -> None:
        about = {"applicationId": APPLICATION, "type": "SPARK", "state": state, **KNOWN, **more}
        self.will("get_application", application=about)

    def starts_session(self, *states: str) -> None:
        self.will("start_session", **IDS, arn=ARN)
        about = {"executionRoleArn": ROLE, "createdBy": ROLE, "stateDetails": "No capacity"}
        for state in states:
            self.will("get_session", session={**IDS, **KNOWN, **about, "state": state})

    def gives(self, token: str, lasting: timedelta = timedelta(minutes=6), port: int = 0) -> None:
        found = {"endpoint": f"http://127.0.0.1:{port or self.port}", "authToken": token}
        end = datetime.now(timezone.utc) + lasting
        self.will("get_session_endpoint", **IDS, **found, authTokenExpiresAt=end)


def engine_of(aws: Aws) -> EmrServerless:
    return EmrServerless(aws, APPLICATION, ROLE, log=None, called_off=threading.Event())


@pytest.fixture
def cloud(sail: grpc.Channel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(EmrServerless, "poll", 0.01)
    with serving(gateway := Gateway(sail, ONE)) as port:
        yield (cloud := Cloud(gateway, port))
    cloud.finished()  # no request is missing, such as terminating the session


@pytest.fixture
def spark(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> Iterator[Spark]:
    context = dg.build_init_resource_context()
    assert context.log is not None
    context.log.addHandler(caplog.handler)
    cloud.has_application("STOPPED", interactiveConfiguration={"sessionEnabled": True})
    spark = Spark(emr=Emr(application_id=APPLICATION, execution_role_arn=ROLE), s3=cloud.aws)
    spark.setup_for_execution(context)
    yield spark
    with suppress(Exception):  # only a failed test leaves something to stop
        spark.stop()
    assert not re.search("|".join(SECRETS), caplog.text)


def refused(does: Callable[[], Any], error: type[Exception] = EmrError) -> str:
    """The error message after the application's name: one line, without secrets."""
    with pytest.raises(error) as raised:
        does()
    message = str(raised.value)
    assert message.startswith(NAMED)
    assert not re.search("|".join(["\n", *SECRETS]), message)
    return message.removeprefix(NAMED)


def test_a_session_starts_with_the_first_query_and_ends_with_the_run(
    spark: Spark, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.starts_session("SUBMITTED", "STARTING", "STARTING", "STARTED")
    cloud.gives(ONE)
    session = spark.spark_session
    assert session.range(3).count() == 3
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    with suppress(PySparkException):  # the server may refuse the file
        session.addArtifacts(__file__, file=True)
    cloud.finished()
    cloud.terminates()
    spark.teardown_after_execution(dg.build_init_resource_context())
    said = re.findall(rf"EMR Serverless session {SESSION}: (\w+) after \d+ s", caplog.text)
    assert said == ["SUBMITTED", "STARTING", "STARTED"]
    assert {"Config", "ExecutePlan", "AddArtifacts"} <= {name for name, _ in cloud.gateway.calls}
    assert all(tokens == [ONE] for _, tokens in cloud.gateway.calls)


def test_a_token_is_renewed_before_it_expires(
    spark: Spark, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.starts_session("STARTED")
    cloud.gives(ONE, timedelta(minutes=4))
    cloud.gives(TWO, timedelta(hours=1))
    cloud.gateway.good = TWO
    session = spark.spark_session
    assert all(tokens == [TWO] for _, tokens in cloud.gateway.calls)
    monkeypatch.setattr(spark_emr, "RENEWED", timedelta(hours=2))  # as if an hour had passed
    cloud.gives(THREE, timedelta(hours=3))
    cloud.gateway.good = THREE
    cloud.gateway.calls.clear()
    assert session.range(4).count() == 4
    cloud.terminates()
    spark.stop()
    assert all(tokens == [THREE] for _, tokens in cloud.gateway.calls)


def test_the_session_is_terminated_after_failed_calls(
    spark: Spark, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.starts_session("BUSY")
    cloud.gives(ONE)
    with pytest.raises(PySparkException, match="nowhere"):
        _ = spark.spark_session.table("nowhere").schema
    with monkeypatch.context() as later:
        later.setattr(spark_emr, "RENEWED", timedelta(minutes=10))
        cloud.refuses("get_session_endpoint", "ConflictException")  # instead of a new token
        assert (
            refused(lambda: spark.spark_session.conf.get("some")) == "Not now (ConflictException)"
        )
    cloud.gateway.good = "another"
    with pytest.raises(PySparkException, match="the token is not good") as raised:
        spark.spark_session.conf.get("some")
    assert ONE not in str(raised.value)
    cloud.terminates()
    spark.stop()


@pytest.mark.parametrize("state", ["FAILED", "TERMINATING", "TERMINATED", "SUBMITTED"])
def test_a_session_that_does_not_start_is_reported_and_terminated(
    spark: Spark, cloud: Cloud, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_emr, "STARTING", timedelta(0))
    cloud.starts_session(state)
    cloud.terminates()
    said = f"{state}: No capacity" if state != "SUBMITTED" else "still SUBMITTED after 0 s"
    assert refused(lambda: spark.spark_session) == f"the session is {said}"


def test_a_session_that_failed_in_the_background_restarts_only_on_a_retry(
    spark: Spark, cloud: Cloud
) -> None:
    cloud.starts_session("FAILED")
    cloud.terminates()
    spark.start_soon()
    for thread in [found for found in threading.enumerate() if found.name == "spark"]:
        thread.join(SOON)
    cloud.finished()
    assert refused(lambda: spark.spark_session) == "the session is FAILED: No capacity"
    cloud.starts_session("STARTED")  # as a step does that Dagster retries
    cloud.gives(ONE)
    assert spark.spark_session.range(2).count() == 2
    cloud.terminates()
    spark.stop()


def test_a_run_that_is_canceled_while_it_waits_terminates_the_session_at_once(
    spark: Spark,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(EmrServerless, "poll", 120)
    cloud.starts_session("SUBMITTED")
    cloud.terminates()

    def call_off() -> None:
        until = time.monotonic() + SOON
        while "SUBMITTED" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
        spark.stop()

    (calling_off := threading.Thread(target=call_off)).start()
    began = time.monotonic()
    said = refused(lambda: spark.spark_session)
    calling_off.join()
    assert time.monotonic() - began < 2 * SOON
    assert said == "canceled while the session was SUBMITTED"


def test_a_session_whose_endpoint_never_answers_is_terminated(
    spark: Spark, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_sessions, "ANSWERING", 1.0)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cloud.starts_session("STARTED")
        cloud.gives(ONE, port=silent.getsockname()[1])
        cloud.terminates()
        assert refused(lambda: spark.spark_session) == "no answer within 1 seconds"
        for asking in set(threading.enumerate()) - before:
            asking.join(SOON)
            assert not asking.is_alive()


def test_a_session_whose_endpoint_is_gone_is_terminated_at_once(
    spark: Spark, cloud: Cloud, sail: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_sessions, "RELEASING", 1.0)
    monkeypatch.setitem(spark_sessions.PATIENCE, "max_retries", 3)
    cloud.starts_session("STARTED")
    with serving(Gateway(sail, ONE)) as port:
        cloud.gives(ONE, port=port)
        assert spark.spark_session.range(3).count() == 3
    cloud.terminates()
    began = time.monotonic()
    spark.stop()
    assert time.monotonic() - began < SOON
    with serving(Gateway(sail, "another"), port):  # threads that still call get an error and end
        for asking in [thread for thread in threading.enumerate() if thread.name == "spark server"]:
            asking.join(SOON)


def test_a_session_is_terminated_even_while_its_start_hangs(
    spark: Spark, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_module, "STOPPING", 0.2)
    monkeypatch.setattr(spark_sessions, "ANSWERING", SOON)  # or until the socket is closed
    monkeypatch.setitem(spark_sessions.PATIENCE, "max_retries", 1)
    cloud.starts_session("STARTED")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cloud.gives(ONE, port=silent.getsockname()[1])
        spark.start_soon()
        until = time.monotonic() + SOON
        while "spark server" not in {thread.name for thread in threading.enumerate()}:
            assert time.monotonic() < until
            time.sleep(0.05)
        cloud.terminates()
        spark.stop()
        cloud.finished()
    for thread in [found for found in threading.enumerate() if found.name.startswith("spark")]:
        thread.join(SOON)
        assert not thread.is_alive()


def test_the_first_error_is_reported_even_if_terminating_fails_too(
    spark: Spark, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.starts_session("FAILED")
    cloud.refuses("terminate_session", "ValidationException")
    assert refused(lambda: spark.spark_session) == "the session is FAILED: No capacity"
    assert f"was not stopped: {NAMED}Not now (ValidationException)" in caplog.text


@pytest.mark.parametrize("operation", ASKED)
@pytest.mark.parametrize(
    "kind", ["AccessDenied", "Conflict", "ResourceNotFound", "ServiceQuotaExceeded", "Validation"]
)
def test_an_error_of_aws_is_reported_in_one_sentence(
    cloud: Cloud, operation: str, kind: str
) -> None:
    said, engine = "Not now", engine_of(cloud.aws)
    if kind == "AccessDenied":
        name = operation.title().replace("_", "")
        said = f"access to {name} is denied; docs/aws.md has the permissions needed: Not now"
    states = {"get_session": [], "get_session_endpoint": ["IDLE"], "terminate_session": ["FAILED"]}
    if operation in states:
        cloud.starts_session(*states[operation])
    if operation == "terminate_session":
        refused(engine.start)
    cloud.refuses(operation, f"{kind}Exception")
    stop = partial(engine.stop, None)
    does: dict[str, Callable[[], Any]] = {
        "get_application": engine.require,
        "terminate_session": stop,
    }
    error = SettingsError if operation == "get_application" else EmrError
    assert refused(does.get(operation, engine.start), error) == f"{said} ({kind}Exception)"
    if operation.startswith("get_session"):
        cloud.terminates()
    stop()


@pytest.mark.parametrize("known", [False, True])
def test_without_credentials_or_an_answer_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    found = {name: "" for name in os.environ if name.startswith("AWS_")}
    found |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    found |= {"AWS_ENDPOINT_URL": address, "AWS_EC2_METADATA_DISABLED": "true"}
    expected = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    if known:
        found |= {"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": SECRET}
        expected = "no server answers; correct AWS_ENDPOINT_URL or try later: Could not connect to "
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(PATIENCE, "retries", {"mode": "standard", "total_max_attempts": 2})
    engine = engine_of(Aws(region="us-east-1"))
    assert refused(engine.require, SettingsError).startswith(expected)
    assert refused(engine.start).startswith(expected)


def test_an_application_that_cannot_have_sessions_is_refused(cloud: Cloud) -> None:
    engine = engine_of(cloud.aws)
    cloud.has_application("STARTED", interactiveConfiguration={"sessionEnabled": False})
    said = refused(engine.require, SettingsError)
    assert said.startswith(
        "the application accepts no sessions; update it with sessionEnabled=true"
    )
    cloud.has_application("TERMINATED")
    assert "is terminated; create another" in refused(engine.require, SettingsError)


@pytest.mark.parametrize("scheme", ["", "https://"])
@pytest.mark.parametrize(("port", "reached"), [("", 443), (":8443", 8443), ("/", 443)])
def test_every_form_of_an_endpoint_is_accepted(scheme: str, port: str, reached: int) -> None:
    access = Access(lambda: {"endpoint": f"{scheme}emr.example{port}"})
    assert access.address == f"sc://emr.example:{reached}/;use_ssl=true"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EMR_EXECUTION_ROLE_ARN", "", "EMR_EXECUTION_ROLE_ARN is not set: "),
        ("EMR_SERVERLESS_APPLICATION_ID", "", "EMR_SERVERLESS_APPLICATION_ID is not set: "),
        ("SPARK_REMOTE", "local", "SPARK_REMOTE and EMR_SERVERLESS_APPLICATION_ID are both "),
        ("LAKE_URI", "lake", "LAKE_URI=lake: EMR Serverless needs a lake on s3://"),
    ],
)
def test_settings_that_do_not_fit_emr_serverless_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("EMR_SERVERLESS_APPLICATION_ID", APPLICATION)
    monkeypatch.setenv("EMR_EXECUTION_ROLE_ARN", ROLE)
    monkeypatch.setenv("LAKE_URI", "s3://bucket/lake")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment()
    assert str(refusal.value).startswith(said)
