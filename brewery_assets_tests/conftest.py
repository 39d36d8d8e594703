"""What the tests share: the demo API, a lake in a temporary folder, and a run of the pipeline."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from brewery_assets.checks import AUDITS
from brewery_assets.definitions import ASSETS, resources_of
from brewery_assets.lake import Lake
from brewery_assets.lake_manifest import Manifest
from brewery_assets.settings import Settings
from brewery_assets.source import OpenBreweryDB
from brewery_assets_tests.scenario import ROWS
from demo.data import Row, load
from demo.faults import Faults
from demo.server import DemoApi

LAYERS = ("bronze_breweries", "silver_breweries", "rejected_breweries", "gold_brewery_counts")
SETTINGS = ("BREWERY_API_URL", "LAKE_URI", "SPARK_REMOTE", "SNAPSHOTS_KEPT", "MISSING_ROWS_ALLOWED")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the developer's, and no file but below tmp_path."""
    for name in (*SETTINGS, "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")


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
        source: overrides of the client's patience, so that failures are quick.
    """

    api: DemoApi
    uri: str
    instance: dg.DagsterInstance
    source: dict[str, Any] = field(
        default_factory=lambda: {"backoff": 0.01, "attempts": 4, "timeout": 5.0, "patience": 30.0}
    )
    snapshots_kept: int = 30
    missing_rows_allowed: int = 0
    spark_remote: str | None = None

    def resources(self) -> dict[str, Any]:
        settings = Settings(
            brewery_api_url=self.api.url,
            lake_uri=self.uri,
            snapshots_kept=self.snapshots_kept,
            spark_remote=self.spark_remote,
        )
        client = OpenBreweryDB(
            url=self.api.url, missing_rows_allowed=self.missing_rows_allowed, **self.source
        )
        return {**resources_of(settings), "open_brewery_db": client}

    def run(
        self, *assets: str, fails: bool = False, read_snapshot: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """One run of the named assets (all, when none is) with their checks."""
        managers = {
            name: {"config": {"read_snapshot": snapshot}}
            for name, snapshot in (read_snapshot or {}).items()
        }
        result = dg.materialize(
            [*ASSETS, *AUDITS],
            selection=dg.AssetSelection.assets(*assets) if assets else None,
            resources=self.resources(),
            instance=self.instance,
            raise_on_error=False,
            run_config={"resources": managers},
        )
        assert result.success is not fails, failure_of(result)
        return result

    @property
    def lake(self) -> Lake:
        """The lake as a reader outside of runs sees it."""
        return Lake(uri=self.uri)

    def newest(self, layer: str) -> Manifest:
        manifest = self.lake.newest(layer)
        assert manifest is not None
        return manifest

    def rows(self, layer: str, manifest: Manifest | None = None) -> list[dict[str, Any]]:
        """A published Parquet snapshot as DuckDB reads it: the newest, unless one is named."""
        manifest = manifest or self.newest(layer)
        if not manifest.files:
            return []
        files = [f"{self.uri}/{manifest.folder}/{file.path}" for file in manifest.files]
        with duckdb.connect() as connection:
            found = connection.execute(
                "select * exclude (snapshot) from read_parquet($files, hive_partitioning=true, "
                "hive_types_autocast=false)",
                {"files": files},
            )
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def lines(self) -> list[str]:
        """The newest bronze, line by line."""
        path = Path(self.uri) / self.newest("bronze_breweries").folder / "breweries.json"
        return path.read_text(encoding="utf-8").split("\n")[:-1]


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The messages of a run's failures, causes included."""
    found = []
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        while error is not None:
            found.append(error.message)
            error = error.cause
    return "\n".join(found)


@pytest.fixture
def pipeline(api: DemoApi, tmp_path: Path) -> Iterator[Pipeline]:
    """The pipeline over scenario.py's rows and an empty lake."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(api, str(tmp_path / "lake"), instance)
