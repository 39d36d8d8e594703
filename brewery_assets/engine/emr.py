"""Amazon EMR Serverless as the engine: a Spark Connect session that ends with the run.

The calls are those of boto3's `emr-serverless`; the token is sent as gRPC metadata and is renewed
before it expires (Amazon EMR Serverless User Guide, "Run interactive sessions … through Spark
Connect"; sessions need release emr-7.13.0 or later).
"""

import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.connect.client import DefaultChannelBuilder

from brewery_assets.aws import Aws, one_line, why
from brewery_assets.engine.sessions import NoAnswerError, first_answer, release
from brewery_assets.settings import SettingsError

STARTING = timedelta(minutes=15)  # an application that is not running takes minutes to start
POLL = 2.0  # seconds between two requests for the state
IDLE_MINUTES = 30  # after which the session of a killed run ends; bronze takes less time
RENEWED = timedelta(minutes=5)  # before the token expires
READY = ("STARTED", "IDLE", "BUSY")
OVER = ("FAILED", "TERMINATING", "TERMINATED")
HEADER = "x-aws-proxy-auth"


class EmrError(RuntimeError):
    """EMR Serverless provides no session; the message has the application and the reason."""


class EmrServerless:
    """One session of an existing application; docs/aws.md has the costs.

    Args:
        log: gets the session's states; None for no log.
        called_off: set when the run ends while the session is still starting.
    """

    name = "Amazon EMR Serverless"
    poll = POLL

    def __init__(
        self,
        aws: Aws,
        application_id: str,
        execution_role_arn: str,
        *,
        log: Any,
        called_off: threading.Event,
    ) -> None:
        self._aws = aws
        self._application = application_id
        self._role = execution_role_arn
        self._log = log
        self._called_off = called_off
        self._session: str | None = None

    def require(self) -> None:
        """Checks the application; this starts nothing and costs nothing."""
        try:
            with self._explained():
                found = self._client.get_application(applicationId=self._application)
        except EmrError as error:
            raise SettingsError(str(error)) from None
        application = found["application"]
        if application["state"] == "TERMINATED":
            raise SettingsError(f"{self._named}: the application is terminated; create another")
        if not application.get("interactiveConfiguration", {}).get("sessionEnabled"):
            raise SettingsError(
                f"{self._named}: the application accepts no sessions; update it with "
                "sessionEnabled=true in its interactiveConfiguration (release emr-7.13.0 or later; "
                f"this one has {application['releaseLabel']})"
            )

    def start(self) -> SparkSession:
        with self._explained():
            self._session = self._client.start_session(
                applicationId=self._application,
                executionRoleArn=self._role,
                name="brewery_assets",
                idleTimeoutMinutes=IDLE_MINUTES,
            )["sessionId"]
        self._wait()
        access = Access(self._endpoint)
        channel = DefaultChannelBuilder(access.address)
        channel.add_interceptor(access)
        try:
            return first_answer(channel)
        except (NoAnswerError, PySparkException) as error:
            raise EmrError(f"{self._named}: {one_line(str(error))}") from None

    def hold(self, frame: DataFrame) -> DataFrame:
        return frame.persist()  # it ends with the session

    def stop(self, session: SparkSession | None) -> None:
        started, self._session = self._session, None
        try:
            if started is not None:  # first, because it costs money
                with self._explained():
                    self._client.terminate_session(
                        applicationId=self._application, sessionId=started
                    )
        finally:
            release(session)

    def abandon(self) -> None:
        self.stop(None)

    def _wait(self) -> None:
        began = time.monotonic()
        said = ""
        while True:
            with self._explained():
                found = self._client.get_session(
                    applicationId=self._application, sessionId=self._session
                )["session"]
            state, waited = found["state"], time.monotonic() - began
            if state != said and self._log is not None:
                self._log.info(
                    f"EMR Serverless session {self._session}: {state} after {waited:.0f} s"
                )
            said = state
            if state in READY:
                return
            if state in OVER:
                details = one_line(found.get("stateDetails") or "EMR gives no reason")
                raise EmrError(f"{self._named}: the session is {state}: {details}")
            if waited > STARTING.total_seconds():
                raise EmrError(f"{self._named}: the session is still {state} after {waited:.0f} s")
            if self._called_off.wait(self.poll):
                raise EmrError(f"{self._named}: canceled while the session was {state}")

    def _endpoint(self) -> dict[str, Any]:
        with self._explained():
            found: dict[str, Any] = self._client.get_session_endpoint(
                applicationId=self._application, sessionId=self._session
            )
        return found

    @cached_property
    def _client(self) -> Any:
        return self._aws.client("emr-serverless")

    @property
    def _named(self) -> str:
        return f"EMR_SERVERLESS_APPLICATION_ID={self._application}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise EmrError(f"{self._named}: {why(error)}") from None


class _Call(
    namedtuple(
        "_Call",
        ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"),
    ),
    grpc.ClientCallDetails,
):
    """A changed copy of a call's details, which are read-only in gRPC."""


class Access(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    """Adds a valid token to each call.

    Args:
        ask: returns an answer of GetSessionEndpoint: endpoint, authToken, authTokenExpiresAt.
    """

    def __init__(self, ask: Callable[[], dict[str, Any]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer = ask()

    @property
    def address(self) -> str:
        """The endpoint in Spark Connect's form: with TLS, unless EMR's endpoint has http."""
        endpoint: str = self._answer["endpoint"]
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        if parts.scheme == "http":
            return f"sc://{parts.netloc}"
        return f"sc://{parts.hostname}:{parts.port or 443}/;use_ssl=true"

    def _signed(self, call: grpc.ClientCallDetails) -> _Call:
        with self._lock:
            if self._answer["authTokenExpiresAt"] - RENEWED < datetime.now(timezone.utc):
                self._answer = self._ask()
            token = self._answer["authToken"]
        return _Call(
            call.method,
            call.timeout,
            [*(call.metadata or ()), (HEADER, token)],
            call.credentials,
            call.wait_for_ready,
            call.compression,
        )

    def intercept_unary_unary(self, go_on: Any, call: Any, request: Any) -> Any:
        return go_on(self._signed(call), request)

    def intercept_unary_stream(self, go_on: Any, call: Any, request: Any) -> Any:
        return go_on(self._signed(call), request)

    def intercept_stream_unary(self, go_on: Any, call: Any, requests: Any) -> Any:
        return go_on(self._signed(call), requests)
