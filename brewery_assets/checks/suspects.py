"""Checks of the suspicions: no rule has more of them than before."""

from collections.abc import Mapping

from pyspark.sql import DataFrame

from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.manifest import Manifest, number_before

RULES = {
    "no_more_suspicions_than_before": Rule(
        "No rule has more suspicions than in the previous snapshot.",
        blocking=False,
        columns=("rule",),
    ),
}


def no_more_suspicions_than_before(
    now: Mapping[str, int], before: Mapping[str, int] | None
) -> Outcome:
    """Whether no rule has more suspicions than before; the first snapshot always passes.

    Args:
        now: suspicions by rule.
        before: the same for the previous snapshot; None for the first.
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


def outcomes(suspects: DataFrame, previous: Manifest | None) -> dict[str, Outcome]:
    """The outcome of each rule, from one aggregation.

    Args:
        suspects: the rows.
        previous: the previous snapshot; None for the first.
    """
    counted = suspects.groupBy("rule").count().orderBy("rule").collect()
    return {
        "no_more_suspicions_than_before": no_more_suspicions_than_before(
            {row.rule: row["count"] for row in counted},
            number_before(previous, "no_more_suspicions_than_before", "by_rule"),
        ),
    }
