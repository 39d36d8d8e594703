"""What is checked of the suspicions: that there are no more of them than before, by rule."""

from collections.abc import Mapping
from typing import Any

from brewery_assets.checks.audit import Outcome, Rule
from brewery_assets.checks.columns import COLUMNS_AS_BEFORE, columns_as_before
from brewery_assets.lake.manifest import Manifest

RULES = {
    "no_more_suspicions_than_before": Rule(
        "No rule has more suspicions than in the snapshot before.",
        blocking=False,
        columns=("rule",),
    ),
    "columns_as_before": COLUMNS_AS_BEFORE,
}


def no_more_suspicions_than_before(
    now: Mapping[str, int], before: Mapping[str, int] | None
) -> Outcome:
    """Whether no rule has more suspicions than before; the first snapshot has nothing to compare.

    Args:
        now: suspicions by rule.
        before: the same of the snapshot before; None for the first.
    """
    more = {
        rule: {"before": before.get(rule, 0), "now": rows}
        for rule, rows in now.items()
        if before is not None and rows > before.get(rule, 0)
    }
    numbers = {"suspicions": sum(now.values()), "by_rule": dict(now)}
    if more:
        numbers["more"] = more
    return Outcome(not more, numbers)


def look(resources: Any, suspects: Manifest) -> dict[str, Outcome]:
    """The outcomes, from one aggregation."""
    counted = resources.parquet_snapshots.read(suspects).groupBy("rule").count()
    now = {row.rule: row["count"] for row in counted.orderBy("rule").collect()}
    previous = resources.lake.previous(suspects)
    return {
        "no_more_suspicions_than_before": no_more_suspicions_than_before(
            now,
            previous and previous.check("no_more_suspicions_than_before").get("by_rule"),
        ),
        "columns_as_before": columns_as_before(suspects, previous),
    }
