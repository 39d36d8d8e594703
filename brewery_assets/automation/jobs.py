"""The jobs, the schedule and the sensors."""

from datetime import datetime, timezone

import dagster as dg

from brewery_assets.automation.alerts import Alerts
from brewery_assets.automation.delivery import deliver
from brewery_assets.automation.retention import RUNS_KEPT, delete_old_runs
from brewery_assets.checks.expectations import silver_data_docs
from brewery_assets.lake.lake import Lake
from brewery_assets.layers.gold import GOLD
from brewery_assets.report.asset import REPORT

# The terminal shows INFO and above; the event log keeps everything.
CONSOLE = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}
# OF_MACHINES retries after a crash only: a source that is refused would be refused again.
OF_MACHINES = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "false"}
OF_ANYTHING = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "true"}
DAILY = "daily_pipeline"
EVERY = 20  # seconds between two ticks of a sensor

run_pipeline_brewery = dg.define_asset_job(
    "run_pipeline_brewery",
    selection=dg.AssetSelection.groups("breweries"),
    config=CONSOLE,
    description="Reads the whole source and publishes bronze, silver and gold.",
)
audit_silver = dg.define_asset_job(
    "audit_silver",
    selection=dg.AssetSelection.assets(silver_data_docs),
    config=CONSOLE,
    description="Validates the newest silver with Great Expectations and publishes the Data Docs.",
)
publish_report = dg.define_asset_job(
    "publish_report",
    selection=dg.AssetSelection.assets(REPORT),
    config=CONSOLE,
    description="Publishes the newest counts as a page, with the CSV inside.",
)


def daily_pipeline(cron: str, time_zone: str) -> dg.ScheduleDefinition:
    """The schedule of the pipeline. Each tick also deletes old runs from Dagster's storage."""

    @dg.schedule(
        name=DAILY,
        job=run_pipeline_brewery,
        cron_schedule=cron,
        execution_timezone=time_zone,
        description="The pipeline, once a day.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        try:
            deleted = delete_old_runs(context.instance, datetime.now(timezone.utc))
            context.log.info(f"{deleted} runs older than {RUNS_KEPT.days} days were deleted")
        except Exception as error:  # the day's run is more important
            context.log.warning(f"old runs were not deleted: {error}")
        return dg.RunRequest(tags=OF_MACHINES)

    return tick


@dg.sensor(
    job=publish_report,
    minimum_interval_seconds=EVERY,
    description="Publishes the report when new counts are published.",
)
def gold_updated(context: dg.SensorEvaluationContext, lake: Lake) -> dg.RunRequest | dg.SkipReason:
    """Publishes the report of a new gold_brewery_counts.

    It compares published snapshots. An asset sensor would fire during the run, before the
    suspicions are published, and would miss runs under another DAGSTER_HOME.
    """
    gold, report = lake.newest(GOLD.name), next(lake.undamaged(REPORT), None)
    if gold is None:
        return dg.SkipReason(f"{lake.uri} has no published {GOLD.name} yet")
    if report and report.made_from.get(GOLD.name) == gold.snapshot:
        return dg.SkipReason(f"the report shows the newest counts, {gold.snapshot}")
    run = context.instance.get_run_by_id(gold.run_id)
    if run and not run.is_finished:  # it may make the report itself
        return dg.SkipReason(f"the run that made {gold.snapshot} is still active")
    return dg.RunRequest(run_key=gold.snapshot, tags=OF_ANYTHING)


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=EVERY,
    description="Sends failures, warnings and recoveries to every address in ALERT_URLS.",
)
def alerts_sensor(
    context: dg.SensorEvaluationContext, lake: Lake, alerts: Alerts
) -> dg.SensorResult | dg.SkipReason:
    """Sends failures, warnings and recoveries to every address in ALERT_URLS."""
    if not alerts.targets():
        return dg.SkipReason("ALERT_URLS is not set")
    gold = None
    try:
        gold = lake.newest(GOLD.name)
    except Exception as error:  # alerts about an unreachable lake must not depend on the lake
        context.log.warning(f"the age of {GOLD.name} is not known: {error}")
    now = datetime.now(timezone.utc)
    found = deliver(context.instance, alerts, gold, context.cursor, now=now)
    for problem in found.problems:
        context.log.error(f"not delivered, will be retried: {problem}")
    said = [f"sent {found.sent}", *(f"not delivered: {problem}" for problem in found.problems)]
    return dg.SensorResult(skip_reason="; ".join(said), cursor=found.cursor)
