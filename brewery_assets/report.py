"""brewery_report: gold for people who would rather look than query, as a page and a CSV."""

import dagster as dg
from pyspark.sql import DataFrame

from brewery_assets.changes import CHANGES
from brewery_assets.gold import GOLD
from brewery_assets.report_facts import facts_of
from brewery_assets.report_page import Report, report_of
from brewery_assets.silver import SILVER
from brewery_assets.suspects import SCHEMA as SUSPICIONS
from brewery_assets.suspects import SUSPECTS
from brewery_assets.suspects_csv import SUSPECTS_CSV, suspects_csv
from brewery_assets.tables import empty

REPORT = "brewery_report"


@dg.asset(
    name=REPORT,
    ins={SILVER.name: dg.AssetIn(metadata={"behind": GOLD.name})},
    deps=[CHANGES.name, SUSPECTS.name],
    io_manager_key="report_snapshots",
    required_resource_keys={"lake", "parquet_snapshots"},
    group_name="reports",
    kinds={"html", "csv"},
    owners=["team:data-engineering"],
    code_version="1",
)
def brewery_report(
    context: dg.AssetExecutionContext,
    gold_brewery_counts: DataFrame,
    silver_breweries: DataFrame,
) -> Report:
    """One page and CSVs of the newest published counts and suspicions, at the same address."""
    resources = context.resources
    report = report_of(facts_of(resources.lake, gold_brewery_counts, silver_breweries))
    # Of the suspicions, as of the changes, it shows what there is.
    newest = resources.lake.newest(SUSPECTS.name)
    session = silver_breweries.sparkSession
    suspects = resources.parquet_snapshots.read(newest) if newest else empty(session, SUSPICIONS)
    files = {**report.files, SUSPECTS_CSV: suspects_csv(suspects, silver_breweries)}
    return report._replace(files=files)
