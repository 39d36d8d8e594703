"""Spark Connect sessions with a time limit for the first answer and a reliable end.

PySpark's client imports pandas, which takes half a second on a slow machine. So it is imported
where it is used, by the thread that starts the engine while the pages are read.
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
RELEASING = 10.0  # seconds for its last answer
# PySpark's default policy retries an unreachable server for ten minutes, this one for one.
PATIENCE: dict[str, Any] = {"max_retries": 9, "max_backoff": 10_000}
# Spark's error classes for a session that it no longer knows.
LOST = ("SESSION_NOT_FOUND", "SESSION_CHANGED", "SESSION_CLOSED", "NO_ACTIVE_SESSION")


class LostSessionError(PySparkException):
    """A server was restarted while a run was using it."""


class NoAnswerError(RuntimeError):
    """A server accepts connections, but does not answer."""


def first_answer(channel: "DefaultChannelBuilder") -> SparkSession:
    """A session whose server has answered; PySpark alone would wait forever.

    Raises:
        NoAnswerError: after ANSWERING seconds.
    """
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as SparkSession.builder.remote does
    session: Any = ConnectSession.builder.channelBuilder(channel).create()
    _limit_retries(session.client)
    _say_that_it_was_restarted(session.client)
    try:
        within(ANSWERING, lambda: session.version)
    except BaseException as error:
        session.release_session_on_close = False  # the server does not answer
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
    """Makes the client raise LostSessionError if the server was restarted.

    PySpark's messages for this vary: no active session, an invalid handle, or responses that were
    already received.
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
    """A session on this machine, where a client need not reattach after a lost connection.

    Without reattaching, PySpark needs no threads that acknowledge results. With them, PySpark 4.1
    can deadlock if Python's garbage collector runs at a bad moment (SPARK-55362, SPARK-55406).
    """
    session.client.disable_reattachable_execute()
    _limit_retries(session.client)
    found: SparkSession = session
    return found


def release(session: Any) -> None:
    """Ends a Spark Connect session on its server; does not wait for an unreachable server."""
    if session is None:
        return
    session.client.set_retry_policies([])
    with suppress(TookTooLong):
        within(RELEASING, session.stop)
    # When the client is garbage-collected, PySpark closes it again, and with it what other
    # sessions use (SPARK-55362).
    session.client.close = lambda: None


def checkpointed(frame: DataFrame) -> DataFrame:
    """The frame, computed now and kept by its session.

    PySpark 4.1 assigns the result to the thread's active session, which may be a different one.
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
        """Releases all of them; does not wait for an unreachable server."""
        frames, self._frames = self._frames, []

        def unpersist() -> None:
            for frame in frames:
                frame.unpersist()

        with suppress(TookTooLong, PySparkException):
            within(RELEASING, unpersist)


def within(seconds: float, call: Callable[[], Any]) -> None:
    """Makes the call; raises TookTooLong if it takes longer than these seconds."""
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
