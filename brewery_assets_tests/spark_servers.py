"""Apache Spark Connect servers, each in a separate process."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from brewery_assets.engine.java import SPARK_3_5, SPARK_4_1, NoJavaError, find_java
from brewery_assets.engine.server import TOKEN
from brewery_assets_tests.checkout import ROOT
from demo.s3 import free_port

STARTING = 300.0  # seconds; the first start resolves its jars
STARTED = "Spark Connect server started"
# The tests' queries are short: full compilation and 200 partitions would only cost time.
LIGHT = {
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "SPARK_CONF_DIR": str(Path(__file__).parent / "spark"),
}
OLD_SPARK = ROOT / ".spark-3.5"


def require_java(fitting: range = SPARK_4_1) -> dict[str, str]:
    """JAVA_HOME, if it must be set. If no Java fits, the test is skipped, or fails in CI."""
    try:
        home = find_java(fitting).home
    except NoJavaError as error:
        missing(str(error))
    return {"JAVA_HOME": home} if home else {}


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


class SparkServer:
    """A server as `make spark_connect` starts it, with these AWS settings.

    Attributes:
        port: on loopback.
        remote: its address with its token, as it prints it for SPARK_REMOTE.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        require_java()
        self.port = free_port()
        self.remote = ""
        self._environment = dict(environment)
        module = "brewery_assets.engine.server"
        self._command = [sys.executable, "-m", module, "--port", str(self.port)]
        self._running = ExitStack()

    def start(self) -> None:
        said = self._running.enter_context(_started(self._command, self._environment))
        (self.remote,) = re.findall("^SPARK_REMOTE='(.+)'$", said, re.MULTILINE)
        self._environment[TOKEN] = self.remote.partition("token=")[2]

    def stop(self) -> None:
        """Kills the server, as a power failure does; `start` restarts it with the same token."""
        self._running.close()


@contextmanager
def spark_3_5_server() -> Iterator[str]:
    """Runs an Apache Spark 3.5 server, as EMR 7.13 does; yields its address."""
    java = require_java(SPARK_3_5)
    if not (OLD_SPARK / "installed").exists():
        missing("Apache Spark 3.5 is not installed; run `make spark_3_5`")
    (home,) = OLD_SPARK.glob("lib/python*/site-packages/pyspark")
    port = free_port()
    command = [
        f"{home}/bin/spark-submit",
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *("--packages", "org.apache.spark:spark-connect_2.12:3.5.5"),
        *("--conf", "spark.connect.grpc.binding.address=127.0.0.1"),
        *("--conf", f"spark.connect.grpc.binding.port={port}"),
        *("--master", "local[*]", "spark-internal"),
    ]
    with _started(command, {"SPARK_HOME": str(home), **java}):
        yield f"sc://127.0.0.1:{port}"


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Runs a server; yields its output up to its start."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPARK_"))
    }
    with tempfile.TemporaryDirectory(prefix="spark-") as folder:
        said = Path(folder) / "log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    **kept,
                    "PYTHONPATH": str(ROOT),
                    "SPARK_LOCAL_DIRS": folder,
                    **LIGHT,
                    **environment,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until = time.monotonic() + STARTING
            while STARTED not in said.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"Apache Spark did not start:\n{said.read_text()[-3000:]}")
                time.sleep(0.2)
            yield said.read_text(errors="replace")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
