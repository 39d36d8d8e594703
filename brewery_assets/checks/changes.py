"""What is checked of the changes: that they lead from the older silver to the newer."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import functions as F

from brewery_assets.checks.audit import Outcome, Rule
from brewery_assets.checks.columns import COLUMNS_AS_BEFORE, columns_as_before
from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.silver import SILVER

KINDS = ("added", "removed", "changed")
RULES = {
    "changes_add_up": Rule(
        "The rows of the older silver, minus the removed, plus the added, are those of the newer.",
        columns=("change",),
    ),
    "one_row_per_brewery": Rule("Each brewery has one row at most.", columns=("id",)),
    "columns_as_before": COLUMNS_AS_BEFORE,
}


def changes_add_up(before: int | None, now: int, found: Mapping[str, int]) -> Outcome:
    """Whether what was added and removed explains how many breweries there are.

    Args:
        before: rows of the older silver; None when there was none to compare with.
        now: rows of the newer.
        found: rows by the kind of change.
    """
    numbers = {"before": before, **found, "now": now}
    if before is None:
        return Outcome(not any(found.values()), numbers)
    return Outcome(before - found["removed"] + found["added"] == now, numbers)


def one_row_per_brewery(rows: int, ids: int) -> Outcome:
    """Whether each id is there once."""
    return Outcome(rows == ids, {"rows": rows, "distinct_ids": ids})


def look(resources: Any, changes: Manifest) -> dict[str, Outcome]:
    """The outcomes, from one aggregation."""
    lake = resources.lake
    now = lake.manifest(SILVER.name, changes.made_from[SILVER.name])
    older = changes.compared_with.get(SILVER.name)
    before = lake.manifest(SILVER.name, older) if older else None
    found = (
        resources.parquet_snapshots.read(changes)
        .agg(
            F.count_distinct("id").alias("ids"),
            *(F.count_if(F.col("change") == kind).alias(kind) for kind in KINDS),
        )
        .collect()[0]
    )
    return {
        "changes_add_up": changes_add_up(
            before and before.rows, now.rows, {kind: found[kind] for kind in KINDS}
        ),
        "one_row_per_brewery": one_row_per_brewery(changes.rows, found.ids),
        "columns_as_before": columns_as_before(changes, lake.previous(changes)),
    }
