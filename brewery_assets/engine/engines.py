"""The Spark engines: each starts a Spark Connect session, and stops what it started."""

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
from brewery_assets.engine.sessions import (
    HeldFrames,
    NoAnswerError,
    checkpointed,
    first_answer,
    near,
    release,
)
from brewery_assets.memory import memory_allowed
from brewery_assets.settings import SettingsError

LOOPBACK = "127.0.0.1"
CONNECT_PORT = 15002
NEEDED = 700_000_000  # bytes: a run of the bundled data is killed with 650 MB, and not with 700
# Bytes of memory for the sorts and joins of the embedded engine. With more, silver of 4,000,000
# breweries needs 3.0 GB in place of 1.6 GB, and is not faster.
LEAST_POOL, MOST_POOL = 500_000_000, 1_500_000_000
# Each task that writes a table reserves up to 60 MB of the pool: one row group of 14 text columns.
PER_TASK = 60_000_000
ROW_GROUP = 65_536  # rows; a task keeps its row group in memory until it is complete
REACHING = 5.0  # seconds for a connection, and again for gRPC to be ready
# Replaces settings of a user that would start another Spark, or let it listen on the network.
LOCAL_SPARK = {"SPARK_HOME": str(Path(pyspark.__file__).parent), "SPARK_LOCAL_IP": LOOPBACK}
# Variables that PySpark sets or deletes; they are restored when the run ends.
SET_BY_PYSPARK = dict.fromkeys(
    ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_AUTHENTICATE_TOKEN"), ""
)


class Engine(Protocol):
    """The interface of an engine."""

    @property
    def name(self) -> str:
        """The name for the log."""

    def require(self) -> None:
        """Checks early what would otherwise fail later; raises SettingsError."""

    def start(self) -> SparkSession:
        """A new session."""

    def hold(self, frame: DataFrame) -> DataFrame:
        """The frame, computed once for several actions and held until the engine stops."""

    def stop(self, session: SparkSession | None) -> None:
        """Ends the session, if any, and all that was started for it, even after a failed start."""

    def abandon(self) -> None:
        """Ends what costs money, while `start` is still running in another thread."""


class Sail:
    """Sail inside the run's process, on a loopback port."""

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
        # PySpark would use a token of another server for this one, and require TLS.
        self._running.enter_context(environment({"SPARK_CONNECT_AUTHENTICATE_TOKEN": ""}))
        if self._s3:  # Sail reads the environment when it first accesses a bucket
            self._running.enter_context(environment(self._s3.engine_settings()))
        folder = self._running.enter_context(folder_of_frames())
        pool = min(max(memory_allowed() // 4, LEAST_POOL), MOST_POOL)
        # Twice the cores: while one task writes, another parses (a tenth faster at 1,000,000 rows).
        tasks = min(2 * (os.cpu_count() or 1), pool // PER_TASK)
        defaults = {
            "RUST_LOG": "error",  # otherwise Sail logs every query
            "SAIL_EXECUTION__DEFAULT_PARALLELISM": str(tasks),
            # Sorts that do not fit into the pool use the disk; without one they fill the memory.
            "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
            "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(pool),
            "SAIL_PARQUET__MAX_ROW_GROUP_SIZE": str(ROW_GROUP),
        }
        on_disk = {
            "SAIL_EXECUTION__CHECKPOINT__PATH": folder.as_uri(),
            "SAIL_RUNTIME__TEMPORARY_FILES__PATHS": json.dumps([str(folder)]),
        }
        chosen = {name: value for name, value in defaults.items() if name not in os.environ}
        self._running.enter_context(environment({**chosen, **on_disk}))
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer(LOOPBACK, 0)
        server.start(background=True)
        self._running.callback(server.stop)
        host, port = server.listening_address
        return near(SparkSession.builder.remote(f"sc://{host}:{port}").create())

    def hold(self, frame: DataFrame) -> DataFrame:
        return checkpointed(frame)  # Sail's persist() does nothing

    def stop(self, session: SparkSession | None) -> None:
        with self._running:  # stops the server after the session: otherwise the process hangs
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
                f"which is in use ({error.strerror}); if your own Spark Connect server uses it, "
                f"set SPARK_REMOTE=sc://{LOOPBACK}:{CONNECT_PORT}, else wait until the port is free"
            ) from None

    def start(self) -> SparkSession:
        # The JVM gets credentials in its environment, because logs and events show its settings.
        aws = self._s3.engine_settings() if self._s3 else {}
        java = {"JAVA_HOME": self._java.home} if self._java.home else {}
        self._running.enter_context(environment({**aws, **java, **LOCAL_SPARK, **SET_BY_PYSPARK}))
        settings = {
            "spark.connect.grpc.binding.address": LOOPBACK,
            "spark.authenticate": "true",  # for its other ports; Spark creates the secret
            "spark.ui.enabled": "false",  # it would listen on every interface
            **(s3a.settings(aws) if self._s3 else {}),
        }
        builder = SparkSession.builder.remote(self._remote or "local[*]")
        for key, value in settings.items():
            builder = builder.config(key, value)
        with warnings.catch_warnings():  # about settings that a JVM reads only when it starts
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
    """An external Spark Connect server; its own configuration says how it reaches S3.

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
        except PySparkException:  # its message would quote a token
            raise self._refused(
                "what follows /; must be key=value, with %3D for = in a value"
            ) from None
        address = urlsplit(self._remote)
        try:
            target = (address.hostname or "", address.port or CONNECT_PORT)
            socket.create_connection(target, timeout=REACHING).close()
        except (OSError, ValueError) as error:
            raise self._refused(f"no server answers there ({error})") from None
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
