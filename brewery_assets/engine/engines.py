"""The engines that may answer: each starts a Spark Connect session, and ends what it started."""

import json
import os
import socket
import warnings
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import grpc
import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from brewery_assets.aws import Aws, environment, one_line
from brewery_assets.engine import s3a
from brewery_assets.engine.frames import folder_of_frames
from brewery_assets.engine.java import Java, NoJavaError, find_java
from brewery_assets.engine.memory import memory_allowed
from brewery_assets.engine.sessions import (
    HeldFrames,
    NoAnswerError,
    checkpointed,
    first_answer,
    near,
    release,
)
from brewery_assets.settings import SettingsError

LOOPBACK = "127.0.0.1"
CONNECT_PORT = 15002
NEEDED = 700_000_000  # bytes: a run of the bundled data is killed with 650 MB, and not with 700
LEAST_POOL = 500_000_000  # bytes of memory for the sorts of the embedded engine
REACHING = 5.0  # seconds for a connection, and as many for the first word of gRPC
# What of a user's own settings would start another Spark, or let it listen beyond this machine.
LOCAL_SPARK = {"SPARK_HOME": str(Path(pyspark.__file__).parent), "SPARK_LOCAL_IP": LOOPBACK}
# What PySpark sets or deletes on its way, put back when the run is over.
SET_BY_PYSPARK = dict.fromkeys(
    ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_AUTHENTICATE_TOKEN"), ""
)


class Engine(Protocol):
    """What a run asks of an engine."""

    @property
    def name(self) -> str:
        """As the log says it."""

    def require(self) -> None:
        """SettingsError, at once, for what could only fail later."""

    def start(self) -> SparkSession:
        """A new session."""

    def hold(self, frame: DataFrame) -> DataFrame:
        """The frame for several actions: it is computed once, and held until the engine stops."""

    def stop(self, session: SparkSession | None) -> None:
        """Ends the session, if there was one, and what was started for it, however far it came."""

    def abandon(self) -> None:
        """Ends what costs money, while `start` still goes on in another thread."""


class Sail:
    """Sail inside the run's own process, on a port of loopback."""

    name = "sail"

    def __init__(self, s3: Aws | None) -> None:
        self._s3 = s3
        self._running = ExitStack()

    def require(self) -> None:
        allowed = memory_allowed()
        if allowed < NEEDED:
            raise SettingsError(
                f"A run needs about {NEEDED // 10**6} MB of memory, but only {allowed // 10**6} MB "
                "are allowed here: give this machine or its container more, or set SPARK_REMOTE "
                "to a Spark Connect server on another machine"
            )

    def start(self) -> SparkSession:
        # PySpark would take a token for another server as one for this, and ask it for TLS.
        self._running.enter_context(environment({"SPARK_CONNECT_AUTHENTICATE_TOKEN": ""}))
        if self._s3:  # it looks into the environment when it first meets a bucket
            self._running.enter_context(environment(self._s3.engine_settings()))
        os.environ.setdefault("RUST_LOG", "error")  # it notes every query on stderr otherwise
        # Twice the cores: while one task writes, another parses (a tenth faster at 1,000,000 rows).
        tasks = str(2 * (os.cpu_count() or 1))
        os.environ.setdefault("SAIL_EXECUTION__DEFAULT_PARALLELISM", tasks)
        # What does not fit into the pool is sorted on disk; without one it would fill the memory.
        os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__TYPE", "fair")
        pool = str(max(memory_allowed() // 4, LEAST_POOL))
        os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE", pool)
        folder = self._running.enter_context(folder_of_frames())
        on_disk = {
            "SAIL_EXECUTION__CHECKPOINT__PATH": folder.as_uri(),
            "SAIL_RUNTIME__TEMPORARY_FILES__PATHS": json.dumps([str(folder)]),
        }
        self._running.enter_context(environment(on_disk))
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer(LOOPBACK, 0)
        server.start(background=True)
        self._running.callback(server.stop)
        host, port = server.listening_address
        return near(SparkSession.builder.remote(f"sc://{host}:{port}").create())

    def hold(self, frame: DataFrame) -> DataFrame:
        return checkpointed(frame)  # its persist() does nothing

    def stop(self, session: SparkSession | None) -> None:
        with self._running:  # after the session: the other way round the process would hang
            release(session)

    def abandon(self) -> None:
        return


class ApacheSpark:
    """Apache Spark in a JVM that PySpark starts, and that ends with the process."""

    def __init__(self, remote: str | None, s3: Aws | None) -> None:
        self._remote = remote
        self._s3 = s3
        self._running = ExitStack()
        self._held = HeldFrames()

    @property
    def name(self) -> str:
        name = self._remote or "local[*] (no Sail for this platform)"
        where = f" in {self._java.home}" if self._java.home else ""
        return f"{name} on Java {self._java.version}{where}"

    @cached_property
    def _java(self) -> Java:
        return find_java()

    def require(self) -> None:
        try:
            _ = self._java
        except NoJavaError as error:
            why = f"SPARK_REMOTE={self._remote}" if self._remote else "No Sail for this platform"
            raise SettingsError(
                f"{why}: {error}"
                + (", or leave SPARK_REMOTE empty for the embedded engine" if self._remote else "")
            ) from None
        try:
            socket.create_server((LOOPBACK, CONNECT_PORT)).close()
        except OSError as error:
            raise SettingsError(
                f"SPARK_REMOTE={self._remote or ''}: Spark Connect needs port {CONNECT_PORT}, "
                f"which is taken ({error.strerror}); if that is a Spark Connect server of yours, "
                f"say SPARK_REMOTE=sc://{LOOPBACK}:{CONNECT_PORT}, else wait for it to end"
            ) from None

    def start(self) -> SparkSession:
        # The JVM gets credentials by its environment: its settings stand in logs and events.
        aws = self._s3.engine_settings() if self._s3 else {}
        java = {"JAVA_HOME": self._java.home} if self._java.home else {}
        self._running.enter_context(environment({**aws, **java, **LOCAL_SPARK, **SET_BY_PYSPARK}))
        settings = {
            "spark.connect.grpc.binding.address": LOOPBACK,
            "spark.authenticate": "true",  # of its other ports; Spark makes the secret itself
            "spark.ui.enabled": "false",  # it would listen on every interface
            **(s3a.settings(aws) if self._s3 else {}),
        }
        builder = SparkSession.builder.remote(self._remote or "local[*]")
        for key, value in settings.items():
            builder = builder.config(key, value)
        with warnings.catch_warnings():  # of what a JVM takes only when it starts, as it did
            warnings.filterwarnings("ignore", "Failed to set spark")
            return near(builder.getOrCreate())

    def hold(self, frame: DataFrame) -> DataFrame:
        return self._held.add(frame)

    def stop(self, session: SparkSession | None) -> None:
        self._held.free()
        with self._running:
            release(session)

    def abandon(self) -> None:
        return


class ConnectServer:
    """A Spark Connect server that somebody else runs; its configuration decides about S3.

    The address has the form `sc://host:port/;key=value` (Spark Connect's client-connection-string).
    """

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self.name = remote.partition("/;")[0]  # what follows may be a token
        self._held = HeldFrames()

    def require(self) -> None:
        from pyspark.sql.connect.client import DefaultChannelBuilder

        try:
            channel = DefaultChannelBuilder(self._remote)
        except PySparkException:  # it would quote what may be a token
            raise self._refused("what follows /; must be key=value, with %3D for = in it") from None
        address = urlsplit(self._remote)
        try:
            target = (address.hostname or "", address.port or CONNECT_PORT)
            socket.create_connection(target, timeout=REACHING).close()
        except (OSError, ValueError) as error:
            raise self._refused(f"nobody answers there ({error})") from None
        with channel.toChannel() as connection:
            try:
                grpc.channel_ready_future(connection).result(timeout=REACHING)
            except grpc.FutureTimeoutError:
                tls = " over TLS" if channel.secure else ""
                token = ", which a token needs except to localhost" if channel.token else ""
                raise self._refused(f"the server there does not speak gRPC{tls}{token}") from None

    def start(self) -> SparkSession:
        from pyspark.sql.connect.client import DefaultChannelBuilder

        try:
            return first_answer(DefaultChannelBuilder(self._remote))
        except (NoAnswerError, PySparkException) as error:
            raise self._refused(one_line(str(error))) from None

    def hold(self, frame: DataFrame) -> DataFrame:
        return self._held.add(frame)

    def stop(self, session: SparkSession | None) -> None:
        self._held.free()
        release(session)

    def abandon(self) -> None:
        return

    def _refused(self, why: str) -> SettingsError:
        return SettingsError(
            f"SPARK_REMOTE={self.name}: {why}; start the Spark Connect server, correct the "
            "address, or leave it empty for the embedded engine"
        )
