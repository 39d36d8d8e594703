"""What is checked: pure rules, and for each layer the audit that gathers their numbers."""

import json
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.audit import Outcome, audit_of
from brewery_assets.gold import GOLD
from brewery_assets.io_managers import JsonLinesSnapshots
from brewery_assets.lake_manifest import Manifest
from brewery_assets.silver import REJECTED, SILVER
from brewery_assets.source_records import id_of

EXAMPLES = 10


def complete_against_source(content: bytes, source: dict[str, Any]) -> Outcome:
    """Whether bronze's file has as many distinct records as both metas say.

    Args:
        content: JSON Lines.
        source: what the source said, as in bronze's manifest. Where it said nothing that could be
            counted, or rows are allowed to be missing, `doubt` says so and `verified` is false.
    """
    ids = [id_of(json.loads(line)) for line in content.decode().split("\n")[:-1]]
    distinct = len(set(filter(None, ids))) + ids.count("")
    before, after = (
        meta and meta["total"] for meta in (source["meta_before"], source["meta_after"])
    )
    numbers = {
        "rows": len(ids),
        "distinct_ids": distinct,
        "meta_before": before,
        "meta_after": after,
        "verified": source["verified"],
        "doubt": source["doubt"],
    }
    as_counted = distinct == before == after
    in_doubt = bool(source["doubt"]) and (before or 0) - distinct <= source["missing_allowed"]
    return Outcome(distinct == len(ids) and (as_counted or in_doubt), numbers)


def rows_are_conserved(bronze: int, silver: int, rejected: int) -> Outcome:
    """Whether each row of bronze is in silver or among the rejected."""
    numbers = {"bronze": bronze, "silver": silver, "rejected": rejected}
    return Outcome(bronze == silver + rejected, numbers)


def ids_are_unique(silver: DataFrame, rows: int, distinct: int) -> Outcome:
    """Whether no two breweries have one id; names a few that do."""
    if rows == distinct:
        return Outcome(True, {"rows": rows, "distinct_ids": distinct})
    doubled = silver.groupBy("id").count().where("count > 1").orderBy("id").limit(EXAMPLES)
    ids = [row.id for row in doubled.collect()]
    return Outcome(False, {"rows": rows, "distinct_ids": distinct, "examples": ids})


def counts_add_up(counted: int, silver: int) -> Outcome:
    """Whether gold's counts are silver's rows."""
    return Outcome(counted == silver, {"gold": counted, "silver": silver})


def _bronze(resources: Any, bronze: Manifest) -> dict[str, Outcome]:
    content = resources.lake.storage.read(f"{bronze.folder}/{JsonLinesSnapshots.FILE}")
    return {"complete_against_source": complete_against_source(content, bronze.source or {})}


def _silver(resources: Any, silver: Manifest) -> dict[str, Outcome]:
    frame = resources.parquet_snapshots.read(silver)
    rows, distinct = frame.agg(F.count(F.lit(1)), F.count_distinct("id")).collect()[0]
    bronze = resources.lake.manifest("bronze_breweries", silver.made_from["bronze_breweries"])
    rejected = resources.lake.written(REJECTED.name, silver.snapshot)
    return {
        "rows_are_conserved": rows_are_conserved(bronze.rows, rows, rejected.rows),
        "ids_are_unique": ids_are_unique(frame, rows, distinct),
    }


def _gold(resources: Any, gold: Manifest) -> dict[str, Outcome]:
    counted = resources.parquet_snapshots.read(gold).agg(F.sum("brewery_count")).collect()[0][0]
    silver = resources.lake.manifest(SILVER.name, gold.made_from[SILVER.name])
    return {"counts_add_up": counts_add_up(counted or 0, silver.rows)}


AUDITS = [
    audit_of(
        "bronze_breweries",
        {"complete_against_source": "There are as many breweries as the source says it has."},
        _bronze,
    ),
    audit_of(
        SILVER.name,
        {
            "rows_are_conserved": "Each row of bronze is in silver or among the rejected.",
            "ids_are_unique": "No two rows have the same id.",
        },
        _silver,
        reads="parquet_snapshots",
        published_with_it=[REJECTED.name],
    ),
    audit_of(
        GOLD.name,
        {"counts_add_up": "The counts add up to the rows of silver."},
        _gold,
        reads="parquet_snapshots",
    ),
]
