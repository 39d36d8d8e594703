"""The audit of silver by Great Expectations: what it finds, and that it is optional."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brewery_assets.definitions import ASSETS, defs
from brewery_assets_tests.conftest import Pipeline, failure_of
from brewery_assets_tests.scenario import GOOD, NOWHERE, UNKNOWN_FIELDS
from brewery_assets_tests.spark_servers import missing
from demo.data import Row
from demo.s3 import S3Server

DOCS = "data_docs/silver_breweries"
# One process for all tests: importing the library takes ten seconds.
pytestmark = pytest.mark.xdist_group("spark")
EXPECTATIONS = pytest.mark.slow("needs Great Expectations")
AUDIT = "silver_data_docs"


@pytest.fixture
def installed() -> None:
    """Requires Great Expectations, an optional dependency group."""
    if importlib.util.find_spec("great_expectations") is None:
        missing("Great Expectations is not installed; run `make audit_silver`")


def audit(pipeline: Pipeline, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    result = dg.materialize(
        ASSETS,
        selection=dg.AssetSelection.assets(AUDIT),
        resources=pipeline.resources(),
        instance=pipeline.instance,
        raise_on_error=False,
    )
    assert result.success is not fails, failure_of(result)
    return result


def materialized(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    return [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
    ]


def found(result: dg.ExecuteInProcessResult) -> tuple[bool, dict[str, Any]]:
    (check,) = result.get_asset_check_evaluations()
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.asset_key.to_user_string() == AUDIT
    (docs,) = materialized(result)
    assert docs.metadata["data_docs"] == check.metadata["data_docs"]
    return check.passed, {name: value.value for name, value in check.metadata.items()}


@EXPECTATIONS
def test_the_real_data_meets_every_expectation(
    installed: None, pipeline: Pipeline, real_rows: list[Row]
) -> None:
    pipeline.api.rows[:] = real_rows
    pipeline.run()
    passed, numbers = found(audit(pipeline))
    assert passed
    assert (numbers["expectations"], numbers["unmet"]) == (21, 0)
    assert "| column_values_to_not_be_null | longitude | met | 2,435 |" in numbers["verdicts"]
    assert numbers["snapshot"] == pipeline.newest("silver_breweries").snapshot


@EXPECTATIONS
@pytest.mark.parametrize("engine", ["Sail", "Apache Spark"])
def test_unmet_expectations_are_named_with_numbers_and_published_as_html(
    request: pytest.FixtureRequest, installed: None, pipeline: Pipeline, engine: str
) -> None:
    pipeline.api.rows[:] = [*GOOD, {**GOOD[0], "id": "no-uuid", "phone": "1"}]
    pipeline.run()
    if engine == "Apache Spark":
        pipeline.spark_remote = request.getfixturevalue("apache_spark")
    passed, numbers = found(audit(pipeline))
    assert not passed
    unmet = re.findall(r"\| (\w+) \| (\w*) \| not met \| (\d+) \| (.*) \|", numbers["verdicts"])
    assert {(what, column): (int(rows), ids) for what, column, rows, ids in unmet} == {
        ("column_values_to_match_regex", "id"): (1, "no-uuid"),
        ("column_values_to_be_in_set", "brewery_type"): (1, UNKNOWN_FIELDS["id"]),
        ("column_values_to_not_be_null", "brewery_type"): (1, NOWHERE["id"]),
        ("column_value_lengths_to_be_between", "phone"): (1, "no-uuid"),
        ("column_values_to_not_be_null", "longitude"): (6, NO_PAIR),
        ("column_values_to_not_be_null", "latitude"): (6, NO_PAIR),
    }
    assert numbers["unmet"] == 6
    index = Path(pipeline.uri) / DOCS / "index.html"
    assert numbers["data_docs"] == index.as_uri()
    (page,) = index.parent.glob("validations/**/*.html")
    assert "no-uuid" in page.read_text(encoding="utf-8")
    assert page.name in index.read_text(encoding="utf-8")


NO_PAIR = ", ".join(
    sorted(row["id"] for row in GOOD if row["latitude"] in (None, "somewhere", 951.9))
)


@EXPECTATIONS
def test_the_pages_of_an_older_audit_are_deleted(installed: None, pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = GOOD
    for _ in range(2):
        pipeline.run()
        audit(pipeline)
    (page,) = (Path(pipeline.uri) / DOCS).glob("validations/**/*.html")
    assert pipeline.newest("silver_breweries").snapshot in str(page)


@EXPECTATIONS
def test_on_s3_the_pages_have_the_content_type_of_html(
    installed: None, pipeline_on_s3: Pipeline, s3: S3Server, prefix: str
) -> None:
    pipeline_on_s3.run()
    _, numbers = found(audit(pipeline_on_s3))
    assert numbers["data_docs"] == f"s3://lake/{prefix}/{DOCS}/index.html"
    client: Any = getattr(pipeline_on_s3.lake.storage, "client")  # noqa: B009
    head = client.head_object(Bucket="lake", Key=f"{prefix}/{DOCS}/index.html")
    assert head["ContentType"] == "text/html"


def test_without_great_expectations_the_audit_says_how_to_install_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run()
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    assert "`make audit_silver` installs it" in failure_of(audit(pipeline, fails=True))


def test_the_pipeline_neither_runs_the_audit_nor_imports_great_expectations(
    pipeline: Pipeline,
) -> None:
    steps = {
        job: {node.name for node in defs.resolve_job_def(job).nodes}
        for job in ("run_pipeline_brewery", "audit_silver")
    }
    assert "silver_and_rejected_breweries" in steps["run_pipeline_brewery"]
    assert AUDIT not in steps["run_pipeline_brewery"]
    assert steps["audit_silver"] == {AUDIT}
    imported = (
        "import sys, brewery_assets.definitions; sys.exit('great_expectations' in sys.modules)"
    )
    folder = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", imported], cwd=folder, check=False).returncode == 0


def test_a_run_of_all_assets_does_not_run_the_audit(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    everything = dg.materialize(
        ASSETS,
        resources=pipeline.resources(),
        instance=pipeline.instance,
        raise_on_error=False,
    )
    assert everything.success, failure_of(everything)
    names = {check.check_name for check in everything.get_asset_check_evaluations()}
    assert "ids_are_unique" in names
    assert "meets_expectations" not in names
    assert AUDIT not in {made.asset_key.to_user_string() for made in materialized(everything)}
