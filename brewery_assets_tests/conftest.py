"""Shared fixtures: the demo API, a lake in a temporary folder, and a run of the pipeline."""

import atexit
import gc
import os
import shutil
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from playwright.sync_api import Browser
from pyarrow.dataset import HivePartitioning
from pyarrow.fs import S3FileSystem

from brewery_assets.definitions import ASSETS, resources_of
from brewery_assets.engine.server import TOKEN
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest
from brewery_assets.settings import Settings
from brewery_assets.source.client import OpenBreweryDB
from brewery_assets_tests.browser import chromium
from brewery_assets_tests.scenario import ROWS
from brewery_assets_tests.spark_servers import SparkServer
from demo.data import Row, load
from demo.faults import Faults
from demo.s3 import S3Server
from demo.server import DemoApi

TABLES = (
    *("silver_breweries", "rejected_breweries", "suspect_breweries"),
    *("gold_brewery_counts", "gold_brewery_changes"),
)
LAYERS = ("bronze_breweries", *TABLES)
KILLS = 5  # attempts: a run may publish before the signal arrives
SETTINGS = {name.upper() for name in Settings.model_fields}


# A script's background process ignores Ctrl-C, and so do its children, such as the daemon.
signal.signal(signal.SIGINT, signal.default_int_handler)

# definitions.py keeps objects from Python's garbage collector to the end. DuckDB, which only the
# tests import, prints pages of warnings about that.
atexit.unregister(gc.freeze)
atexit.register(gc.unfreeze)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Orders a parallel run: slow tests first, files mixed, since some compute and others wait."""
    if not hasattr(config, "workerinput"):
        return
    total, before = Counter(item.path for item in items), Counter[Path]()
    share: dict[pytest.Item, float] = {}
    for item in items:
        share[item] = before[item.path] / total[item.path]
        before[item.path] += 1
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, share[item]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Checks that a parallel run keeps each group in one process, with its servers and ports."""
    if hasattr(session.config, "workerinput"):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in item.nodeid for item in grouped), "use --dist loadgroup"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes the developer's settings and credentials; relative paths are below tmp_path."""
    for name in [*os.environ]:
        if name in SETTINGS or name.startswith(("AWS_", "DAGSTER_HOME", TOKEN)):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no-such-file"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that is deleted after the test."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an empty lake; it does not exist yet."""
    return tmp_path / "lake"


@pytest.fixture(scope="session")
def real_rows() -> list[Row]:
    """The 11,822 breweries of the bundled data, as the API serves them."""
    return load()


@pytest.fixture
def api() -> Iterator[DemoApi]:
    """An API that serves the rows of scenario.py."""
    with DemoApi(ROWS, requests_per_minute=None) as server:
        yield server


@pytest.fixture(scope="session")
def api_of_1050(real_rows: list[Row]) -> Iterator[DemoApi]:
    with DemoApi(real_rows[:1050], requests_per_minute=None) as api:
        yield api


@pytest.fixture
def of_1050(api_of_1050: DemoApi) -> Iterator[DemoApi]:
    """An API with six pages of real rows."""
    rows = list(api_of_1050.rows)
    api_of_1050.requests.clear()
    yield api_of_1050
    api_of_1050.faults = Faults()
    api_of_1050.rows[:] = rows


@dataclass
class Pipeline:
    """The pipeline over one API and one lake, run in this process.

    Attributes:
        source: overrides the client's retries and timeouts, so that failures are quick.
    """

    api: DemoApi
    uri: str
    instance: dg.DagsterInstance
    source: dict[str, Any] = field(
        default_factory=lambda: {"backoff": 0.01, "attempts": 4, "timeout": 60.0, "patience": 300.0}
    )
    snapshots_kept: int = 30
    missing_rows_allowed: int = 0
    # 100 turns a limit off: most tests change the source freely.
    rows_lost_percent: int = 100
    rejected_percent: int = 100
    filled_lost_percent: int = 100
    accept_checks: str | None = None
    spark_remote: str | None = None

    def resources(self) -> dict[str, Any]:
        settings = Settings(
            brewery_api_url=self.api.url,
            lake_uri=self.uri,
            snapshots_kept=self.snapshots_kept,
            spark_remote=self.spark_remote,
            rows_lost_percent=self.rows_lost_percent,
            rejected_percent=self.rejected_percent,
            filled_lost_percent=self.filled_lost_percent,
            accept_checks=self.accept_checks,
        )
        client = OpenBreweryDB(
            url=self.api.url, missing_rows_allowed=self.missing_rows_allowed, **self.source
        )
        return {**resources_of(settings), "open_brewery_db": client}

    def run(
        self,
        *assets: str,
        fails: bool = False,
        read_snapshot: dict[str, str] | None = None,
        config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Runs the named assets with their checks; without names, all assets except reports.

        Args:
            config: configuration of resources, for this run only.
        """
        managers = {
            name: {"config": {"read_snapshot": snapshot}}
            for name, snapshot in (read_snapshot or {}).items()
        }
        result = dg.materialize(
            ASSETS,
            selection=dg.AssetSelection.assets(*assets)
            if assets
            else dg.AssetSelection.groups("breweries"),
            resources=self.resources(),
            instance=self.instance,
            raise_on_error=False,
            run_config={"resources": {**managers, **(config or {})}},
        )
        assert result.success is not fails, failure_of(result)
        return result

    @property
    def lake(self) -> Lake:
        """The lake as a reader outside of a run sees it."""
        lake: Lake = self.resources()["lake"]
        return lake

    def newest(self, layer: str) -> Manifest:
        manifest = self.lake.newest(layer)
        assert manifest is not None
        return manifest

    def rows(self, layer: str, manifest: Manifest | None = None) -> list[dict[str, Any]]:
        """The rows of a published Parquet snapshot, by default the newest, as DuckDB reads them."""
        manifest = manifest or self.newest(layer)
        if not manifest.files:
            return []
        files = [f"{self.uri}/{manifest.folder}/{file.path}" for file in manifest.files]
        if self.uri.startswith("s3://"):
            return _rows_on_s3(files)
        with duckdb.connect() as connection:
            found = connection.execute(
                "select * from read_parquet($files, hive_partitioning=true, "
                "hive_types_autocast=false)",
                {"files": files},
            )
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def lines(self) -> list[str]:
        """The lines of the newest bronze snapshot."""
        path = f"{self.newest('bronze_breweries').folder}/breweries.json"
        return self.lake.storage.read(path).decode().split("\n")[:-1]


def _rows_on_s3(files: list[str]) -> list[dict[str, Any]]:
    """The same on S3, as pyarrow reads it with the AWS settings of the environment."""
    text = ("country", "state")
    names = [part.partition("=")[0] for part in files[0].split("/") if "=" in part]
    table = pads.dataset(
        [file.removeprefix("s3://") for file in files],
        filesystem=S3FileSystem(
            endpoint_override=os.environ["AWS_ENDPOINT_URL"], region=os.environ["AWS_REGION"]
        ),
        partitioning=HivePartitioning(
            pa.schema([(name, pa.string()) for name in text if name in names])
        ),
    ).to_table()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The error messages of a run's failures, including their causes."""
    found = []
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        while error is not None:
            found.append(error.message)
            error = error.cause
    return "\n".join(found)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server with a bucket `lake`."""
    with S3Server("lake") as server:
        yield server


@pytest.fixture(scope="session")
def spark_server(s3_server: S3Server) -> Iterator[SparkServer]:
    """An Apache Spark 4.1 server that can also read and write on the S3 server."""
    server = SparkServer(s3_server.environment())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def apache_spark(spark_server: SparkServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's address, also in SPARK_REMOTE, where Dagster reads an address with a token."""
    monkeypatch.setenv("SPARK_REMOTE", spark_server.remote)
    return spark_server.remote


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium for one module: its event loop runs until it is closed."""
    with chromium() as found:
        yield found


def use(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the server's address and credentials in the environment."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, with its address and credentials in the environment."""
    use(s3_server, monkeypatch)
    return s3_server


@pytest.fixture
def mortal_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A separate S3 server, which a test may kill."""
    with S3Server("lake") as server:
        use(server, monkeypatch)
        yield server


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A new prefix for each test, in the bucket `lake`."""
    return f"{tmp_path.name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def pipeline_on_s3(pipeline: Pipeline, s3: S3Server, prefix: str) -> Pipeline:
    """The pipeline over scenario.py's rows and an empty lake in a bucket."""
    pipeline.uri = f"s3://lake/{prefix}"
    return pipeline


def lake_after_a_run(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new lake after one run over the rows."""
    lake = tmp_path_factory.mktemp("published") / "lake"
    with (
        DemoApi(rows, requests_per_minute=None) as api,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        Pipeline(api, str(lake), instance).run()
    return lake


@pytest.fixture(scope="session")
def published_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after one run over scenario.py's rows, to be copied."""
    return lake_after_a_run(ROWS, tmp_path_factory)


@pytest.fixture(scope="session")
def real_lake(tmp_path_factory: pytest.TempPathFactory, real_rows: list[Row]) -> Path:
    """A lake after one run over the real data, to be copied."""
    return lake_after_a_run(real_rows, tmp_path_factory)


@pytest.fixture
def published(pipeline: Pipeline, published_lake: Path) -> None:
    """Copies a snapshot of each layer into the pipeline's lake, as after one run."""
    shutil.copytree(published_lake, pipeline.uri)


@pytest.fixture
def pipeline(api: DemoApi, tmp_path: Path) -> Iterator[Pipeline]:
    """The pipeline over scenario.py's rows and an empty lake."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(api, str(tmp_path / "lake"), instance)
