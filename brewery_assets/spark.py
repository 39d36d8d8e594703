"""The PySpark resource: one Spark Connect session for a run, whichever engine answers it."""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import threading
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr
from pyspark.sql import SparkSession

from brewery_assets.settings import SettingsError

CONNECT_PORT = 15002
ANSWERING = 10.0  # seconds
STOPPING = 10.0  # seconds
SESSION = {"spark.sql.session.timeZone": "UTC"}


class Spark(LazyPySparkResource):
    """A Spark Connect session, started when it is first needed and stopped when the run ends."""

    spark_config: dict[str, Any] = Field(default=SESSION, description="Settings of the session.")
    remote: str | None = Field(
        default=None,
        description="local[*], sc://host:15002, or nothing for Sail inside the run's process.",
    )
    _server: Any = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _log: Any = PrivateAttr(default=None)
    _stopped: bool = PrivateAttr(default=False)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Refuses at once what could only fail later; SettingsError says what is missing."""
        self._log = context.log
        if self._engine.startswith("sc://"):
            _require_an_answer(self._engine)
        elif self._engine.startswith("local") and (lacking := _lack_of_java()):
            why = f"SPARK_REMOTE={self.remote}" if self.remote else "No Sail for this platform"
            raise SettingsError(
                f"{why}: Apache Spark needs Java 17 or newer, and {lacking}; install it"
                + (", or leave SPARK_REMOTE empty for the embedded engine" if self.remote else "")
            )

    def start_soon(self) -> None:
        """Starts the engine in the background: it comes up while the pages are still coming."""

        def start() -> None:
            with contextlib.suppress(Exception):  # whoever needs the session meets it again
                self._init_session()

        threading.Thread(target=start, name="spark", daemon=True).start()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stops the engine, whatever happened."""
        self.stop()

    def stop(self) -> None:
        """Stops the session, then the server: the other way round the process would hang."""
        self._stopped = True
        if not self._lock.acquire(timeout=STOPPING):
            return  # it is just starting in the background, and will see that it is not wanted
        try:
            self._stop_what_runs()
        finally:
            self._lock.release()

    def _stop_what_runs(self) -> None:
        session, self._spark_session = self._spark_session, None
        server, self._server = self._server, None
        try:
            if session is not None:
                session.stop()
        finally:
            if server is not None:
                server.stop()

    @property
    def _engine(self) -> str:
        """A Spark Connect address, or "sail"."""
        return self.remote or ("sail" if importlib.util.find_spec("pysail") else "local[*]")

    def _init_session(self) -> None:
        with self._lock:
            if self._spark_session is not None:
                return
            if self._stopped:
                raise RuntimeError("the engine of this run has been stopped")
            engine = self._engine
            remote = self._start_sail() if engine == "sail" else engine
            if self._log is not None:
                without = "" if self.remote or engine == "sail" else " (no Sail for this platform)"
                self._log.info(f"Spark engine: {engine}{without}")
            builder = SparkSession.builder.remote(remote)
            for key, value in self.spark_config.items():
                builder = builder.config(key, value)
            # A session of its own on a shared server; on a local one, the JVM that this starts.
            local = remote.startswith("local")
            self._spark_session = builder.getOrCreate() if local else builder.create()
            if self._stopped:
                self._stop_what_runs()
                raise RuntimeError("the engine of this run has been stopped")

    def _start_sail(self) -> str:
        """Starts a Spark Connect server on loopback; its address."""
        os.environ.setdefault("RUST_LOG", "error")  # it notes every query on stderr otherwise
        # Twice the cores: while one task writes, another parses (a tenth faster at 1,000,000 rows).
        tasks = str(2 * (os.cpu_count() or 1))
        os.environ.setdefault("SAIL_EXECUTION__DEFAULT_PARALLELISM", tasks)
        from pysail.spark import SparkConnectServer

        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        host, port = self._server.listening_address
        return f"sc://{host}:{port}"


def _require_an_answer(remote: str) -> None:
    """SettingsError when nobody listens at a Spark Connect address; PySpark would go on asking.

    The form is `sc://host:port/;key=value` (Spark Connect's client-connection-string).
    """
    address = urlsplit(remote)
    try:
        target = (address.hostname or "", address.port or CONNECT_PORT)
        socket.create_connection(target, timeout=ANSWERING).close()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"SPARK_REMOTE={remote.partition('/;')[0]}: nobody answers there ({error}); start the "
            "Spark Connect server, correct the address, or leave it empty for the embedded engine"
        ) from None


def _lack_of_java() -> str | None:
    """What is wrong with the Java that PySpark would start; None when it will do."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        return "there is none in JAVA_HOME or on the PATH"
    try:
        said = subprocess.run(
            [java, "-version"], check=False, capture_output=True, text=True, timeout=30
        ).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{java} cannot be run ({error})"
    version = re.search(r'version "(\d+)', said)
    if version is None:
        return f"{java} is none"  # macOS has a java that only says where to get one
    return None if int(version[1]) >= 17 else f"{java} is version {version[1]}"
