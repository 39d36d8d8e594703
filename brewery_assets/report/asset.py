"""The asset brewery_report: gold as a page and CSV files."""

import dagster as dg
from pyspark.sql import DataFrame

from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.lake import Lake
from brewery_assets.layers.changes import CHANGES
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.layers.suspects.table import SUSPECTS
from brewery_assets.report.facts import facts_of
from brewery_assets.report.files import Report
from brewery_assets.report.suspects_csv import suspects_of

REPORT = "brewery_report"


@dg.asset(
    name=REPORT,
    deps=[SILVER.name, CHANGES.name, SUSPECTS.name],
    io_manager_key="report_snapshots",
    required_resource_keys={"lake", "parquet_snapshots"},
    group_name="reports",
    kinds={"html", "csv"},
    owners=["team:data-engineering"],
    code_version="3",
)
def brewery_report(
    context: dg.AssetExecutionContext, gold_brewery_counts: DataFrame
) -> dg.MaterializeResult[Candidate]:
    """One page of the newest published counts and suspicions, at the same address every time."""
    from brewery_assets.report.page import report_of  # slow imports: jinja2 and vl_convert

    lake: Lake = context.resources.lake
    tables = context.resources.parquet_snapshots
    gold = lake.reading(GOLD.name)
    silver = lake.verified(lake.manifest(SILVER.name, gold.made_from[SILVER.name]))
    suspects = lake.newest(SUSPECTS.name)  # optional for the page, like the changes

    def report() -> Report:
        breweries = tables.read(silver)
        found = suspects_of(tables.read(suspects), breweries) if suspects else []
        return report_of(facts_of(lake, gold_brewery_counts, breweries, tables.read), found)

    page = lake.through_outages(report)
    origins = {origin.layer: origin.snapshot for origin in (gold, silver)}
    return dg.MaterializeResult(value=Candidate(REPORT, page, page.rows, made_from=origins))
