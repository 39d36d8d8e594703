"""The PySpark resource: one Spark Connect session for a run, on any of the engines."""

import contextlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr
from pyspark.sql import DataFrame, SparkSession

from brewery_assets.aws import Aws
from brewery_assets.engine.accounts import others_can_log_in
from brewery_assets.engine.engines import ApacheSpark, ConnectServer, Engine, Sail
from brewery_assets.engine.runs import is_over

STOPPING = 30.0  # seconds; to cancel an EMR session that is starting takes some
SHARED_MACHINE = (
    "Other accounts can log in to this machine. During this run they can find the embedded "
    "engine's loopback port, which needs no password, and read, overwrite or delete files with "
    "this run's rights and AWS keys. If you do not trust them, set SPARK_REMOTE=local[*] (needs "
    "Java), or use a separate container or machine"
)
SESSION = {"spark.sql.session.timeZone": "UTC"}


class Emr(dg.Config):
    """The EMR Serverless application that starts a session for a run."""

    application_id: str
    execution_role_arn: str


class Spark(LazyPySparkResource):
    """A Spark Connect session, started when it is first needed and stopped when the run ends."""

    spark_config: dict[str, Any] = Field(default=SESSION, description="Settings of the session.")
    remote: str | None = Field(
        default=None,
        description="local[*], sc://host:15002, or nothing for Sail inside the run's process.",
    )
    emr: Emr | None = Field(default=None, description="Amazon EMR Serverless, instead of remote.")
    s3: Aws | None = Field(default=None, description="How to reach S3, if the lake is on S3.")
    _engine: Engine | None = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _log: Any = PrivateAttr(default=None)
    _failure: Exception | None = PrivateAttr(default=None)
    _stopped: threading.Event = PrivateAttr(default_factory=threading.Event)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Checks early what would otherwise fail later; SettingsError says what is missing."""
        self._log = context.log
        if not is_over(context):
            self._answering().require()

    def start_soon(self) -> None:
        """Starts the engine in the background, while the pages of the API are read."""

        def start() -> None:
            with self._lock:
                try:
                    self._ensure()
                except Exception as error:
                    self._failure = error  # raised where the session is needed

        threading.Thread(target=start, name="spark", daemon=True).start()

    def hold(self, frame: DataFrame) -> DataFrame:
        """The frame, computed once for several actions and held by the engine during the run."""
        engine = self._engine
        if engine is None:
            raise RuntimeError("the engine of this run has been stopped")
        return engine.hold(frame)

    def gather(self, frame: DataFrame, *columns: str) -> DataFrame:
        """The frame, with all rows that have equal values in `columns` in one task."""
        if isinstance(self._engine, Sail):
            # Sail 0.7.2 can hang when `repartition` spills (DataFusion's issue 24883). This is as
            # fast: the tasks before it remain parallel, and so do the files after it.
            return frame.coalesce(1)
        return frame.repartition(*columns or (1,))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stops the engine, also after a failure."""
        self.stop()

    def stop(self) -> None:
        """Stops the engine. A failure is only a warning, because the work is done."""
        self._stopped.set()
        if self._lock.acquire(timeout=STOPPING):
            try:
                self._stop_what_runs()
            finally:
                self._lock.release()
        elif engine := self._engine:  # still starting in the background; it checks _stopped later
            self._end(engine, engine.abandon)

    def _stop_what_runs(self) -> None:
        session, self._spark_session = self._spark_session, None
        engine, self._engine = self._engine, None
        if engine is not None:
            self._end(engine, lambda: engine.stop(session))

    def _end(self, engine: Engine, how: Callable[[], None]) -> None:
        try:
            how()
        except Exception as error:
            if self._log is None:
                raise
            self._log.warning(f"{engine.name} was not stopped: {error}")

    def _answering(self) -> Engine:
        """The engine that the settings choose."""
        if self.emr:
            from brewery_assets.engine.emr import EmrServerless  # boto3, for EMR only

            aws = self.s3 or Aws()
            return EmrServerless(
                aws,
                self.emr.application_id,
                self.emr.execution_role_arn,
                log=self._log,
                called_off=self._stopped,
            )
        if self.remote and self.remote.startswith("sc://"):
            return ConnectServer(self.remote)
        if self.remote or importlib.util.find_spec("pysail") is None:
            return ApacheSpark(self.remote, self.s3)
        return Sail(self.s3)

    def _init_session(self) -> None:
        with self._lock:
            if failure := self._failure:
                self._failure = None  # a retried step starts another engine
                raise failure
            self._ensure()

    def _ensure(self) -> None:
        """Starts the engine unless it is running; the caller holds the lock."""
        if self._spark_session is not None:
            return
        if not self._stopped.is_set():
            self._start()
        if self._stopped.is_set():
            self._stop_what_runs()
            raise RuntimeError("the engine of this run has been stopped")

    def _start(self) -> None:
        self._engine = self._answering()
        if self._log is not None:
            self._log.info(f"Spark engine: {self._engine.name}")
            if isinstance(self._engine, Sail) and others_can_log_in():
                self._log.warning(SHARED_MACHINE)
        try:
            session: SparkSession = self._engine.start()
            self._spark_session = session
            for key, value in self.spark_config.items():
                session.conf.set(key, value)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to report
                self._stop_what_runs()
            raise
