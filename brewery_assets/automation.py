"""What runs by itself or by one name: the job."""

import dagster as dg

run_pipeline_brewery = dg.define_asset_job(
    "run_pipeline_brewery",
    selection=dg.AssetSelection.groups("breweries"),
    description="The source read whole, refined and counted: bronze, silver and gold.",
)
