"""What runs by itself or by one name: the jobs."""

import dagster as dg

from brewery_assets.expectations import meets_expectations

# The terminal shows what a person wants to know; the event log keeps everything.
CONSOLE = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}

run_pipeline_brewery = dg.define_asset_job(
    "run_pipeline_brewery",
    selection=dg.AssetSelection.groups("breweries") - dg.AssetSelection.checks(meets_expectations),
    config=CONSOLE,
    description="The source read whole, refined and counted: bronze, silver and gold.",
)
audit_silver = dg.define_asset_job(
    "audit_silver",
    selection=dg.AssetSelection.checks(meets_expectations),
    config=CONSOLE,
    description="The newest silver against its Great Expectations; publishes their Data Docs.",
)
