"""The assets: each calls its layer's functions, then checks and publishes their results."""

import time
from collections.abc import Sequence
from typing import TypedDict

import dagster as dg
from pyspark.sql import DataFrame

from brewery_assets.checks import bronze as bronze_checks
from brewery_assets.checks import changes as changes_checks
from brewery_assets.checks import gold as gold_checks
from brewery_assets.checks import silver as silver_checks
from brewery_assets.checks import suspects as suspects_checks
from brewery_assets.lake.differences import changed_folders
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.layers.bronze import BRONZE, FIELDS, preview
from brewery_assets.layers.changes import CHANGES, changes, no_changes
from brewery_assets.layers.gold import FRESH, GOLD, counts
from brewery_assets.layers.silver import REJECTED, SILVER, parse, refine
from brewery_assets.layers.suspects.table import (
    SUSPECTS,
    breweries_of,
    frame,
    points_of,
    suspicions,
)
from brewery_assets.memory import require_memory_in_python
from brewery_assets.source.client import OpenBreweryDB
from brewery_assets.step import RESOURCES, Results, Step, check_specs


class About(TypedDict):
    """What all assets have in common."""

    group_name: str
    owners: Sequence[str]
    code_version: str


TABLES = (SILVER, REJECTED, SUSPECTS, GOLD, CHANGES)  # in the order of the pipeline
ABOUT = About(group_name="breweries", owners=["team:data-engineering"], code_version="1")


@dg.asset(
    **ABOUT,
    io_manager_key="json_lines_snapshots",
    kinds={"python", "json", "bronze"},
    check_specs=check_specs(BRONZE),
    required_resource_keys={"open_brewery_db", "lake", "limits", "json_lines_snapshots"},
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(name, kind, about) for name, (kind, about) in FIELDS.items()]
        )
    },
)
def bronze_breweries(context: dg.AssetExecutionContext) -> Results:
    """One line per brewery id: the record as the API served it, every field, known or not."""
    step, started = Step(context), time.monotonic()
    api: OpenBreweryDB = context.resources.open_brewery_db
    reading = api.read(context.log)
    source = ("verified", "requests", "retries", "duplicates_dropped")
    shown = {
        "seconds_to_read": round(time.monotonic() - started, 2),
        "preview": dg.MetadataValue.md(preview(reading.lines)),
        **{f"source/{name}": reading.facts[name] for name in source},
        "source/sha256": reading.sha256,
    }
    yield from step.publish(
        Candidate(BRONZE, reading, len(reading.lines), shown=shown),
        lambda: bronze_checks.outcomes(
            reading,
            # A bronze whose silver was refused may be wrong, so it is no basis for comparison.
            step.lake.last_used(BRONZE, SILVER.name, before=step.lake.name),
            step.limits.rows_lost_percent,
        ),
        data_version=reading.sha256,
        io_manager="json_lines_snapshots",
    )


@dg.multi_asset(
    outs={
        SILVER.name: dg.AssetOut(
            description="One row per brewery id, by country and state.",
            **ABOUT,
            io_manager_key="parquet_snapshots",
            kinds={"pyspark", "parquet", "silver"},
        ),
        REJECTED.name: dg.AssetOut(
            description="One row per line of bronze that silver refused, with the reason.",
            **ABOUT,
            io_manager_key="parquet_snapshots",
            kinds={"pyspark", "parquet", "silver"},
        ),
    },
    check_specs=check_specs(SILVER.name),
    required_resource_keys=RESOURCES,
)
def silver_and_rejected_breweries(
    context: dg.AssetExecutionContext, bronze_breweries: DataFrame
) -> Results:
    """Every line of bronze, as a brewery or as a rejected line."""
    step = Step(context)
    bronze = step.lake.reading(BRONZE)
    refined = step.computed(SILVER.name, lambda: refine(step.spark.hold(parse(bronze_breweries))))
    rejected = step.hold(REJECTED, lambda: refined.rejected, [bronze])
    silver = step.hold(SILVER, lambda: refined.breweries, [bronze])
    yield from step.publish(
        silver,
        lambda: silver_checks.outcomes(
            silver,
            refined,
            rejected.rows,
            bronze,
            step.lake.previous(SILVER.name),
            rejected_percent=step.limits.rejected_percent,
            filled_lost_percent=step.limits.filled_lost_percent,
        ),
        with_it=rejected,
    )


@dg.asset(
    **ABOUT,
    io_manager_key="parquet_snapshots",
    kinds={"python", "parquet", "silver"},
    deps=[BRONZE],
    check_specs=check_specs(SUSPECTS.name),
    required_resource_keys=RESOURCES | {"json_lines_snapshots"},
)
def suspect_breweries(context: dg.AssetExecutionContext, silver_breweries: DataFrame) -> Results:
    """One row per suspicion about one brewery: the value, a suggested value, and the reason."""
    step = Step(context)
    silver = step.lake.reading(SILVER.name)
    bronze = step.lake.verified(step.lake.manifest(BRONZE, silver.made_from[BRONZE]))
    require_memory_in_python(silver.rows)
    points = points_of(context.resources.json_lines_snapshots.read(bronze))
    breweries = step.computed(
        SUSPECTS.name, lambda: breweries_of(silver_breweries, step.spark.hold(points))
    )
    found = frame(silver_breweries, suspicions(breweries))
    suspects = step.hold(SUSPECTS, lambda: found, [silver, bronze])
    previous = step.lake.previous(SUSPECTS.name)
    yield from step.publish(suspects, lambda: suspects_checks.outcomes(suspects.value, previous))


@dg.asset(
    **ABOUT,
    io_manager_key="parquet_snapshots",
    kinds={"pyspark", "parquet", "gold"},
    check_specs=check_specs(GOLD.name),
    required_resource_keys=RESOURCES,
    freshness_policy=FRESH,
)
def gold_brewery_counts(context: dg.AssetExecutionContext, silver_breweries: DataFrame) -> Results:
    """One row per country, state and brewery type: how many breweries."""
    step = Step(context)
    silver = step.lake.reading(SILVER.name)
    source = step.lake.manifest(BRONZE, silver.made_from[BRONZE]).source or {}
    gold = step.hold(GOLD, lambda: counts(silver_breweries), [silver])
    previous = step.lake.previous(GOLD.name)
    yield from step.publish(
        gold,
        lambda: gold_checks.outcomes(
            gold, silver_breweries, silver.rows, source["meta_after"], previous
        ),
    )


@dg.asset(
    **ABOUT,
    io_manager_key="parquet_snapshots",
    kinds={"pyspark", "parquet", "gold"},
    check_specs=check_specs(CHANGES.name),
    required_resource_keys=RESOURCES,
)
def gold_brewery_changes(context: dg.AssetExecutionContext, silver_breweries: DataFrame) -> Results:
    """One row per brewery id that was added, removed or changed since the last snapshot."""
    step = Step(context)
    now = step.lake.reading(SILVER.name)
    older = step.lake.compared_last(SILVER.name, CHANGES.name)
    # Folders with equal files have equal rows.
    folders = changed_folders(now.files, older.files) if older else []

    def differences() -> DataFrame:
        if not (older and folders):
            return no_changes(silver_breweries.sparkSession)
        before = SILVER.rows_in(step.tables.read(older), folders)
        return changes(SILVER.rows_in(silver_breweries, folders), before)

    found = step.hold(CHANGES, differences, [now], [older] if older else [])
    yield from step.publish(found, lambda: changes_checks.outcomes(found, now, older))
