"""What runs by itself or by one name: the job."""

import dagster as dg

run_pipeline_brewery = dg.define_asset_job(
    "run_pipeline_brewery",
    selection=dg.AssetSelection.groups("breweries"),
    # The terminal shows what a person wants to know; the event log keeps everything.
    config={"loggers": {"console": {"config": {"log_level": "INFO"}}}},
    description="The source read whole, refined and counted: bronze, silver and gold.",
)
