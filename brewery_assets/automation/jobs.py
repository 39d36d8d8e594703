"""What runs by itself or by one name: the jobs, the schedule and the sensors."""

from datetime import datetime, timezone

import dagster as dg

from brewery_assets.automation.alerts import Alerts
from brewery_assets.automation.delivery import deliver
from brewery_assets.checks.expectations import silver_data_docs
from brewery_assets.lake.lake import Lake
from brewery_assets.layers.gold import GOLD
from brewery_assets.report.asset import REPORT

# The terminal shows what a person wants to know; the event log keeps everything.
CONSOLE = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}
# A process or a machine that dies is tried again; a source that is refused would be refused again.
OF_MACHINES = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "false"}
OF_ANYTHING = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "true"}
DAILY = "daily_pipeline"
EVERY = 20  # seconds between two looks of a sensor

run_pipeline_brewery = dg.define_asset_job(
    "run_pipeline_brewery",
    selection=dg.AssetSelection.groups("breweries"),
    config=CONSOLE,
    description="The source read whole, refined and counted: bronze, silver and gold.",
)
audit_silver = dg.define_asset_job(
    "audit_silver",
    selection=dg.AssetSelection.assets(silver_data_docs),
    config=CONSOLE,
    description="The newest silver against its Great Expectations; publishes their Data Docs.",
)
publish_report = dg.define_asset_job(
    "publish_report",
    selection=dg.AssetSelection.assets(REPORT),
    config=CONSOLE,
    description="The newest published counts as a page, with the CSV inside.",
)


def daily_pipeline(cron: str, time_zone: str) -> dg.ScheduleDefinition:
    """The schedule of the pipeline."""
    return dg.ScheduleDefinition(
        name=DAILY,
        job=run_pipeline_brewery,
        cron_schedule=cron,
        execution_timezone=time_zone,
        tags=OF_MACHINES,
        description="The pipeline, once a day.",
    )


@dg.sensor(
    job=publish_report,
    minimum_interval_seconds=EVERY,
    description="Publishes the report when new counts are published.",
)
def gold_updated(context: dg.SensorEvaluationContext, lake: Lake) -> dg.RunRequest | dg.SkipReason:
    """Publishes the report of a new gold_brewery_counts.

    It looks at what is published. An asset sensor would fire in the middle of the run, before the
    suspicions that the report shows, and not for a run under another DAGSTER_HOME.
    """
    gold, report = lake.newest(GOLD.name), next(lake.undamaged(REPORT), None)
    if gold is None:
        return dg.SkipReason(f"{lake.uri} has no published {GOLD.name} yet")
    if report and report.made_from.get(GOLD.name) == gold.snapshot:
        return dg.SkipReason(f"the report shows the newest counts, {gold.snapshot}")
    run = context.instance.get_run_by_id(gold.run_id)
    if run and not run.is_finished:  # it may make the report itself
        return dg.SkipReason(f"the run that made {gold.snapshot} goes on")
    return dg.RunRequest(run_key=gold.snapshot, tags=OF_ANYTHING)


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=EVERY,
    description="Tells every address in ALERT_URLS of failures, warnings and recoveries.",
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
    except Exception as error:  # an alert about a lake that is away must not need the lake
        context.log.warning(f"the age of {GOLD.name} is not known: {error}")
    now = datetime.now(timezone.utc)
    found = deliver(context.instance, alerts, gold, context.cursor, now=now)
    for problem in found.problems:
        context.log.error(f"not delivered, to be tried again: {problem}")
    said = [f"sent {found.sent}", *(f"not delivered: {problem}" for problem in found.problems)]
    return dg.SensorResult(skip_reason="; ".join(said), cursor=found.cursor)
