"""Spark Connect sessions that answer in time and end for good; PySpark sees to neither.

PySpark's client brings pandas, half a second on a slow machine. So it is imported where it is
used, by the thread that starts the engine while the pages are coming.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

if TYPE_CHECKING:
    from pyspark.sql.connect.client import DefaultChannelBuilder

ANSWERING = 15.0  # seconds for the first answer of Spark
RELEASING = 10.0  # seconds for its last
# PySpark's own goes on asking a server that is gone for ten minutes, this one for one.
PATIENCE: dict[str, Any] = {"max_retries": 9, "max_backoff": 10_000}
# How Spark says that it does not know a session any more.
LOST = ("SESSION_NOT_FOUND", "SESSION_CHANGED", "SESSION_CLOSED", "NO_ACTIVE_SESSION")


class LostSessionError(PySparkException):
    """A server was restarted while a run was using it."""


class NoAnswerError(RuntimeError):
    """A server takes connections and says nothing."""


def first_answer(channel: "DefaultChannelBuilder") -> SparkSession:
    """A session, once its server has answered; PySpark would wait without end.

    Raises:
        NoAnswerError: after ANSWERING seconds.
    """
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as SparkSession.builder.remote says it
    session: Any = ConnectSession.builder.channelBuilder(channel).create()
    _limit_retries(session.client)
    _say_that_it_was_restarted(session.client)
    try:
        within(ANSWERING, lambda: session.version)
    except BaseException as error:
        session.release_session_on_close = False  # the server is gone
        session.stop()
        if isinstance(error, TookTooLong):
            raise NoAnswerError(f"no answer within {ANSWERING:.0f} seconds") from None
        raise
    found: SparkSession = session
    return found


def _limit_retries(client: Any) -> None:
    from pyspark.sql.connect.client.retries import DefaultPolicy

    client.set_retry_policies([DefaultPolicy(**PATIENCE)])


def _say_that_it_was_restarted(client: Any) -> None:
    """Has the client tell a server that was restarted from all else that may go wrong.

    PySpark says by turns that there is no active session, that a handle is invalid, and that
    responses were already received.
    """
    handle = client._handle_error

    def told(error: Exception) -> None:
        try:
            handle(error)
        except PySparkException as refused:
            if client.is_closed or any(sign in str(refused) for sign in LOST):
                raise LostSessionError(
                    "the Spark Connect server was restarted, and this run's session is lost"
                ) from None
            raise

    client._handle_error = told


def near(session: Any) -> SparkSession:
    """A session on this machine, where no connection has to be taken up again.

    Without that PySpark needs no threads to acknowledge results, on which PySpark 4.1 can lock
    itself up when Python's collector comes at a bad moment (SPARK-55362, SPARK-55406).
    """
    session.client.disable_reattachable_execute()
    _limit_retries(session.client)
    found: SparkSession = session
    return found


def release(session: Any) -> None:
    """Lets a server forget a Spark Connect session; one that is gone is not waited for."""
    if session is None:
        return
    session.client.set_retry_policies([])
    with suppress(TookTooLong):
        within(RELEASING, session.stop)
    # PySpark closes it again when it is collected, and with it what other sessions use
    # (SPARK-55362).
    session.client.close = lambda: None


def checkpointed(frame: DataFrame) -> DataFrame:
    """The frame, computed now and kept by its session.

    PySpark 4.1 takes the result for one of the thread's active session, which may be another.
    """
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    ConnectSession._active_session.session = frame.sparkSession
    return frame.checkpoint()


class HeldFrames:
    """The frames that a Spark server holds for a session; it would keep them after the session."""

    def __init__(self) -> None:
        self._frames: list[DataFrame] = []

    def add(self, frame: DataFrame) -> DataFrame:
        """The frame, which the server computes at its first action and then holds."""
        self._frames.append(frame.persist())
        return self._frames[-1]

    def free(self) -> None:
        """Lets go of them all; a server that is gone is not waited for."""
        frames, self._frames = self._frames, []

        def unpersist() -> None:
            for frame in frames:
                frame.unpersist()

        with suppress(TookTooLong, PySparkException):
            within(RELEASING, unpersist)


def within(seconds: float, call: Callable[[], Any]) -> None:
    """Calls, and waits no longer than that: TookTooLong."""
    ended: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=run, name="spark server", daemon=True).start()
    ended.result(timeout=seconds)
