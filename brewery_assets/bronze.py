"""bronze_breweries: the source read whole, as served."""

import time

import dagster as dg

from brewery_assets.source import OpenBreweryDB
from brewery_assets.source_reader import Reading


@dg.asset(
    io_manager_key="json_lines_snapshots",
    group_name="breweries",
    kinds={"python", "json", "bronze"},
    owners=["team:data-engineering"],
    code_version="1",
)
def bronze_breweries(
    context: dg.AssetExecutionContext, open_brewery_db: OpenBreweryDB
) -> dg.MaterializeResult[Reading]:
    """One line per brewery id: the record as the API served it, every field, known or not."""
    started = time.monotonic()
    reading = open_brewery_db.read(context.log)
    return dg.MaterializeResult(
        value=reading,
        data_version=dg.DataVersion(reading.sha256),
        metadata={"seconds_to_read": round(time.monotonic() - started, 2)},
    )
