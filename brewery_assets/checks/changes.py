"""What is checked of the changes: that they lead from the older silver to the newer."""

from collections.abc import Mapping

from pyspark.sql import functions as F

from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.manifest import Manifest

KINDS = ("added", "removed", "changed")
RULES = {
    "changes_add_up": Rule(
        "The rows of the older silver, minus the removed, plus the added, are those of the newer.",
        columns=("change",),
    ),
    "one_row_per_brewery": Rule("Each brewery has one row at most.", columns=("id",)),
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


def outcomes(changes: Candidate, now: Manifest, before: Manifest | None) -> dict[str, Outcome]:
    """The outcome of each rule, from one aggregation.

    Args:
        changes: their rows.
        now: silver.
        before: the older silver; None when there was none to compare with.
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
