"""Checks of gold: it counts every row of silver exactly once."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.checks.bronze import counts_match_source
from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.manifest import Manifest, number_before
from brewery_assets.layers.gold import KEY
from brewery_assets.layers.places import UNKNOWN

RULES = {
    "counts_add_up": Rule(
        "The counts add up to the rows of silver: in total, by country and by type.",
        columns=("brewery_count",),
    ),
    "one_row_per_key": Rule("Each country, state and brewery type has one row.", columns=KEY),
    "gold_is_not_empty": Rule("There is at least one row."),
    "countries_and_types_are_still_there": Rule(
        "No country and no type that had 50 breweries or more has lost more than half of them.",
        columns=("country", "brewery_type", "brewery_count"),
        acceptable=True,
    ),
    "counts_match_source": Rule(
        "Gold counts as many breweries of each type and country as the source.",
        blocking=False,
        columns=("country_name", "brewery_type", "brewery_count"),
    ),
}
Counts = dict[str, Counter[str]]
# Between monthly versions of the data set (2023-04 to 2026-08), no country or type of this size
# lost more than a fifth of its breweries.
LARGE = 50
LOST_PERCENT = 50.0


def counts_add_up(gold: Counts, silver: Counts, rows: int) -> Outcome:
    """Whether gold's counts add up to silver's rows.

    Args:
        gold: breweries by value, for `country` and `brewery_type`.
        silver: the same, counted in silver's rows.
        rows: of silver, from its manifest.
    """
    differences = {
        f"{column}: {value}": {"gold": gold[column][value], "silver": silver[column][value]}
        for column in silver
        for value in sorted({*gold[column], *silver[column]})
        if gold[column][value] != silver[column][value]
    }
    numbers = {
        "gold": gold["country"].total(),
        "silver": rows,
        "differences": differences,
    }
    return Outcome(numbers["gold"] == rows and not differences, numbers)


def one_row_per_key(rows: int, keys: int) -> Outcome:
    """Whether each key has one row."""
    return Outcome(rows == keys, {"rows": rows, "keys": keys})


def gold_is_not_empty(rows: int) -> Outcome:
    """Whether there is at least one row."""
    return Outcome(rows > 0, {"rows": rows})


def countries_and_types_are_still_there(
    gold: Counts, before: Mapping[str, Mapping[str, int]] | None
) -> Outcome:
    """Whether no large country or type has lost more than LOST_PERCENT of its breweries.

    Args:
        gold: breweries by value, for `country` and `brewery_type`.
        before: the number `large` of the previous snapshot; None for the first.
    """
    shrunk = {
        f"{column}: {value}": {"before": breweries, "now": gold[column][value]}
        for column, values in (before or {}).items()
        for value, breweries in values.items()
        if gold[column][value] < breweries * (1 - LOST_PERCENT / 100)
    }
    large = {
        column: {
            value: breweries
            for value, breweries in sorted(values.items())
            if breweries >= LARGE and value != UNKNOWN  # fewer unknown values are an improvement
        }
        for column, values in gold.items()
    }
    numbers = {
        "shrunk": shrunk,
        "allowed_percent": LOST_PERCENT,
        "large": large,
        "compared_with": "nothing: the first snapshot"
        if before is None
        else "the previous snapshot",
    }
    return Outcome(not shrunk, numbers)


def counted(rows: DataFrame, count: str) -> tuple[Counts, Counter[str]]:
    """Breweries by country and by type, and breweries by country name.

    Args:
        rows: with country, country_name and brewery_type.
        count: an SQL expression for the number of breweries in one row.
    """
    kind = F.coalesce("brewery_type", F.lit("unknown")).alias("kind")
    found = rows.groupBy("country", "country_name", kind).agg(F.sum(F.expr(count)).alias("counted"))
    counts: Counts = {"country": Counter(), "brewery_type": Counter()}
    names: Counter[str] = Counter()
    for row in found.collect():
        counts["country"][row.country] += row.counted
        counts["brewery_type"][row.kind] += row.counted
        if row.country_name is not None:
            names[row.country_name] += row.counted
    return counts, names


def outcomes(
    gold: Candidate,
    silver: DataFrame,
    silver_rows: int,
    source: Mapping[str, Any] | None,
    previous: Manifest | None,
) -> dict[str, Outcome]:
    """The outcome of each rule, from an aggregation over gold and one over silver.

    Args:
        gold: its rows.
        silver: the rows that it counts.
        silver_rows: from silver's manifest.
        source: the answer of /meta when bronze was read.
        previous: the previous snapshot; None for the first.
    """
    counts, names = counted(gold.value, "brewery_count")
    keys = gold.value.select(*KEY).distinct().count()
    found = {"by_type": counts["brewery_type"], "by_country": names}
    return {
        "counts_add_up": counts_add_up(counts, counted(silver, "1")[0], silver_rows),
        "one_row_per_key": one_row_per_key(gold.rows, keys),
        "counts_match_source": counts_match_source(found, source),
        "gold_is_not_empty": gold_is_not_empty(gold.rows),
        "countries_and_types_are_still_there": countries_and_types_are_still_there(
            counts,
            number_before(previous, "countries_and_types_are_still_there", "large"),
        ),
    }
