"""Checks of the changes: they explain the difference between two snapshots of silver."""

from collections.abc import Mapping

from pyspark.sql import functions as F

from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.manifest import Manifest

KINDS = ("added", "removed", "changed")
RULES = {
    "changes_add_up": Rule(
        "The older silver's row count, minus removed, plus added, equals the newer silver's.",
        columns=("change",),
    ),
    "one_row_per_brewery": Rule("Each brewery has at most one row.", columns=("id",)),
}


def changes_add_up(before: int | None, now: int, found: Mapping[str, int]) -> Outcome:
    """Whether the added and removed rows explain the number of breweries.

    Args:
        before: rows of the older silver; None if there was none to compare with.
        now: rows of the newer.
        found: rows by kind of change.
    """
    numbers = {"before": before, **found, "now": now}
    if before is None:
        return Outcome(not any(found.values()), numbers)
    return Outcome(before - found["removed"] + found["added"] == now, numbers)


def one_row_per_brewery(rows: int, ids: int) -> Outcome:
    """Whether each id occurs once."""
    return Outcome(rows == ids, {"rows": rows, "distinct_ids": ids})


def outcomes(changes: Candidate, now: Manifest, before: Manifest | None) -> dict[str, Outcome]:
    """The outcome of each rule, from one aggregation.

    Args:
        changes: their rows.
        now: silver.
        before: the older silver; None if there was none to compare with.
    """
    found = changes.value.agg(
        F.count_distinct("id").alias("ids"),
        *(F.count_if(F.col("change") == kind).alias(kind) for kind in KINDS),
    ).collect()[0]
    return {
        "changes_add_up": changes_add_up(
            before.rows if before else None, now.rows, {kind: found[kind] for kind in KINDS}
        ),
        "one_row_per_brewery": one_row_per_brewery(changes.rows, found.ids),
    }
