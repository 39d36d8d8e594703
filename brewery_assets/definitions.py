"""Everything wired together; `dagster -m brewery_assets.definitions` starts here."""

import atexit
import gc
from typing import Any

import dagster as dg

from brewery_assets.assets import (
    TABLES,
    bronze_breweries,
    gold_brewery_changes,
    gold_brewery_counts,
    silver_and_rejected_breweries,
    suspect_breweries,
)
from brewery_assets.automation.alerts import Alerts
from brewery_assets.automation.jobs import (
    alerts_sensor,
    audit_silver,
    daily_pipeline,
    gold_updated,
    publish_report,
    run_pipeline_brewery,
)
from brewery_assets.aws import Aws
from brewery_assets.checks.expectations import silver_data_docs
from brewery_assets.checks.limits import Limits
from brewery_assets.engine.spark import Emr, Spark
from brewery_assets.lake.io_managers import json_lines_snapshots, parquet_snapshots
from brewery_assets.lake.lake import Lake
from brewery_assets.redaction import holds_secret
from brewery_assets.report.asset import brewery_report
from brewery_assets.report.io_manager import report_snapshots
from brewery_assets.settings import Settings
from brewery_assets.source.client import OpenBreweryDB

ASSETS = [
    bronze_breweries,
    silver_and_rejected_breweries,
    suspect_breweries,
    gold_brewery_counts,
    gold_brewery_changes,
    brewery_report,
    silver_data_docs,
]


def resources_of(settings: Settings) -> dict[str, Any]:
    """The resources of a run under the given settings; none of them connects yet."""
    aws = Aws(region=settings.aws_region)
    emr = None
    if settings.emr_serverless_application_id and settings.emr_execution_role_arn:
        emr = Emr(
            application_id=settings.emr_serverless_application_id,
            execution_role_arn=settings.emr_execution_role_arn,
        )
    return {
        "open_brewery_db": OpenBreweryDB(
            url=_stored("BREWERY_API_URL", settings.brewery_api_url),
            missing_rows_allowed=settings.missing_rows_allowed,
        ),
        "lake": Lake.of(settings),
        "spark": Spark(
            remote=_stored("SPARK_REMOTE", settings.spark_remote or "") or None,
            emr=emr,
            s3=aws if settings.lake_on_s3 else None,
        ),
        "alerts": Alerts(
            # The whole address of an alert is a secret.
            urls=dg.EnvVar("ALERT_URLS") if settings.alert_urls else "",
            webserver_url=settings.dagster_webserver_url,
        ),
        "limits": Limits(**settings.limits),
        "json_lines_snapshots": json_lines_snapshots,
        "parquet_snapshots": parquet_snapshots(*TABLES),
        "report_snapshots": report_snapshots,
    }


def _stored(name: str, url: str) -> str:
    """A URL as Dagster stores and shows it: if it holds a secret, only the variable's name."""
    return dg.EnvVar(name) if holds_secret(url) else url


def definitions_of(settings: Settings) -> dg.Definitions:
    """All definitions, under the given settings."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=[run_pipeline_brewery, audit_silver, publish_report],
        schedules=[daily_pipeline(settings.pipeline_cron, settings.pipeline_timezone)],
        sensors=[gold_updated, alerts_sensor],
        resources=resources_of(settings),
        # One process for all steps: one interpreter and engine per step would take most of a run.
        executor=dg.in_process_executor,
    )


defs = definitions_of(Settings.from_environment())

# Imported objects live as long as the process. Without freeze(), Python's garbage collector scans
# them again and again, and at the end: a tenth of a run's time (benchmarks/README.md).
gc.freeze()
atexit.register(gc.freeze)
