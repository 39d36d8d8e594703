"""Checks of silver: no row is lost or duplicated, and the values are plausible."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructType

from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.manifest import Manifest, number_before
from brewery_assets.lake.tables import column, small, text
from brewery_assets.layers.places import UNKNOWN, alias_slugs
from brewery_assets.layers.silver import (
    BREWERY_TYPES,
    EXAMPLES,
    OLDER_NAMES,
    REJECTED,
    SCHEMA,
    SERVED_NUMBERS,
    SERVED_TEXT,
    Refined,
)

REQUIRED = ("id", "name", "country", "state")
# Columns in which `unknown` means a missing value.
UNKNOWN_IS_EMPTY = ("brewery_type", "country", "state")
# Without the names, which are missing in the same rows as their slugs.
FILLED = [name for name in SCHEMA.fieldNames() if name not in ("country_name", "state_name")]
# The first snapshot is compared with these. With the default limit of 10 points, 80 % is enough.
FILLED_AT_FIRST = dict.fromkeys(("id", "name", *UNKNOWN_IS_EMPTY), 90.0)
AXES = ("longitude", "latitude")
# In the real data five breweries are farther than this from their country's mean, and all five are
# wrong: four have swapped coordinates, one lacks its minus sign. Alaska is at 4.3, Hawaii at 3.
FAR = 5.0  # standard deviations
LEAST_DEVIATION = 0.02  # degrees: so that less than 10 km is never far
BOUNDS = StructType(
    [
        text("country", "The country's slug."),
        *(
            column(f"{side}_{axis}", DoubleType(), "Degrees.")
            for axis in AXES
            for side in ("least", "most")
        ),
    ]
)
RULES = {
    "rows_are_conserved": Rule("Each line of bronze is in silver or in rejected_breweries."),
    "ids_are_unique": Rule("No two rows have the same id.", columns=("id",)),
    "required_columns_are_filled": Rule(
        "id, name, country and state are never null.", columns=REQUIRED
    ),
    "rejections_are_few": Rule(
        "At most REJECTED_PERCENT of the lines of bronze are rejected.", acceptable=True
    ),
    "columns_are_as_full_as_before": Rule(
        "No column's share of filled values fell by more than FILLED_LOST_PERCENT points.",
        columns=tuple(FILLED),
        acceptable=True,
    ),
    "brewery_types_are_known": Rule(
        "Each brewery has a known type.", blocking=False, columns=("brewery_type",)
    ),
    "places_are_known": Rule(
        "Each country and state is in the previous snapshot or in place_aliases.csv.",
        blocking=False,
        columns=("country", "state"),
    ),
    "coordinates_are_plausible": Rule(
        "Coordinates come in valid pairs, are not 0, 0 and lie near the country's other breweries.",
        blocking=False,
        columns=AXES,
    ),
    "nothing_was_rejected": Rule("No line of bronze is rejected.", blocking=False),
}


class Spread(NamedTuple):
    """The mean and standard deviation of a country's coordinates, in degrees."""

    longitude: tuple[float, float]
    latitude: tuple[float, float]


def totals(silver: DataFrame) -> Row:
    """One row: `rows`, distinct `ids`, and for each column how many values are filled.

    Columns such as `null_country` count the nulls of the required columns.
    """
    return silver.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_distinct("id").alias("ids"),
        *(F.count_if(F.col(name).isNull()).alias(f"null_{name}") for name in REQUIRED),
        *(F.count_if(is_filled(name)).alias(name) for name in FILLED),
    ).collect()[0]


def is_filled(name: str) -> Column:
    """Whether a column has a value; `unknown` does not count where it means a missing one."""
    value = F.col(name)
    return value.isNotNull() & (value != UNKNOWN) if name in UNKNOWN_IS_EMPTY else value.isNotNull()


def groups(silver: DataFrame) -> list[Row]:
    """One row per country, state and brewery type: `rows`, and sums of their coordinates."""
    return (
        silver.groupBy("country", "state", "brewery_type")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.count_if(both()).alias("located"),
            F.count_if(at_0_0()).alias("at_0_0"),
            *(F.sum(F.when(both(), F.col(axis))).alias(axis) for axis in AXES),
            *(F.sum(F.when(both(), F.col(axis) ** 2)).alias(f"{axis}_squared") for axis in AXES),
        )
        .collect()
    )


def both() -> Column:
    """Whether a row has coordinates; silver has both or neither."""
    return F.col("longitude").isNotNull() & F.col("latitude").isNotNull()


def at_0_0() -> Column:
    """Whether both coordinates are 0. Never null."""
    return both() & (F.col("longitude") == 0) & (F.col("latitude") == 0)


def spreads(found: Iterable[Row]) -> dict[str, Spread]:
    """By country, if it can have outliers: n values are within sqrt(n) standard deviations."""
    sums: dict[str, Counter[str]] = {}
    for row in found:
        into = sums.setdefault(row.country, Counter())
        into["located"] += row.located
        for axis in AXES:
            for name in (axis, f"{axis}_squared"):
                into[name] += row[name] or 0
    return {
        country: Spread(*(_spread(into, axis) for axis in AXES))
        for country, into in sums.items()
        if into["located"] > FAR**2
    }


def _spread(sums: Mapping[str, float], axis: str) -> tuple[float, float]:
    mean = sums[axis] / sums["located"]
    variance = sums[f"{axis}_squared"] / sums["located"] - mean**2
    return mean, max(sqrt(max(variance, 0.0)), LEAST_DEVIATION)


def far_off(silver: DataFrame, known: Mapping[str, Spread]) -> DataFrame:
    """The `id`s of breweries that are far from the others of their country."""
    # A join, because one condition for a hundred countries is nested too deep for Spark Connect.
    bounds = [
        {
            "country": country,
            **{
                f"{side}_{axis}": mean + sign * FAR * deviation
                for axis, (mean, deviation) in spread._asdict().items()
                for side, sign in (("least", -1), ("most", 1))
            },
        }
        for country, spread in known.items()
    ]
    near = F.lit(True)
    for axis in AXES:
        near &= F.col(axis).between(F.col(f"least_{axis}"), F.col(f"most_{axis}"))
    located = silver.where(both()).select("id", "country", *AXES)
    table = small(silver.sparkSession, bounds, BOUNDS)
    return located.join(table, "country", "inner").where(~near).select("id")


def rows_are_conserved(bronze: int, silver: int, rejected: int) -> Outcome:
    """Whether each row of bronze is either in silver or rejected."""
    numbers = {"bronze": bronze, "silver": silver, "rejected": rejected}
    return Outcome(bronze == silver + rejected, numbers)


def ids_are_unique(silver: DataFrame, rows: int, distinct: int) -> Outcome:
    """Whether no two breweries have the same id; names a few that do."""
    if rows == distinct:
        return Outcome(True, {"rows": rows, "distinct_ids": distinct})
    doubled = silver.groupBy("id").count().where("count > 1").orderBy("id").limit(EXAMPLES)
    ids = [row.id for row in doubled.collect()]
    return Outcome(False, {"rows": rows, "distinct_ids": distinct, "examples": ids})


def required_columns_are_filled(missing: Mapping[str, int]) -> Outcome:
    """Whether no required column has a null.

    Args:
        missing: nulls by column.
    """
    return Outcome(not any(missing.values()), {"missing": dict(missing)})


def rejections_are_few(
    rejected: int, bronze: int, allowed: float, without_values: list[str]
) -> Outcome:
    """Whether the share of rejected lines is within the limit.

    Args:
        rejected: lines.
        bronze: lines.
        allowed: percent.
        without_values: fields without a value in any record; one may have been renamed.
    """
    numbers: dict[str, Any] = {
        "rejected": rejected,
        "bronze": bronze,
        "rejected_percent": _percent(rejected, bronze),
        "allowed_percent": allowed,
    }
    if without_values:
        numbers["fields_without_a_value"] = without_values
    return Outcome(100 * rejected <= allowed * bronze, numbers)


def columns_are_as_full_as_before(
    filled: Mapping[str, float],
    before: Mapping[str, float] | None,
    allowed: float,
    without_values: list[str],
) -> Outcome:
    """Whether no column's share of filled values fell by more than the limit.

    Args:
        filled: percent by column.
        before: the same for the previous snapshot; None for the first.
        allowed: percentage points.
        without_values: fields without a value in any record; one may have been renamed.
    """
    emptier = {
        name: {"before": share, "now": filled[name]}
        for name, share in (FILLED_AT_FIRST if before is None else before).items()
        if name in filled and round(share - filled[name], 3) > allowed
    }
    numbers = {
        "emptier": emptier,
        "allowed_points": allowed,
        "filled_percent": dict(filled),
        "compared_with": "90 % for the first snapshot"
        if before is None
        else "the previous snapshot",
    }
    if without_values:
        numbers["fields_without_a_value"] = without_values
    return Outcome(not emptier, numbers)


def fields_without_a_value(bronze: Manifest) -> list[str]:
    """The fields that have no value in any record, under any of their names."""
    served = {
        name
        for name, kinds in (bronze.source or {})["fields"].items()
        if any(records for kind, records in kinds.items() if kind != "null")
    }
    return [
        name
        for name in (*SERVED_TEXT, *SERVED_NUMBERS)
        if not served & {name, *OLDER_NAMES.get(name, ())}
    ]


def brewery_types_are_known(silver: DataFrame, types: Counter[str | None]) -> Outcome:
    """Whether each type is one of BREWERY_TYPES; names a few breweries with another type.

    Args:
        types: rows by type.
    """
    unknown: Counter[str] = Counter()
    for kind, rows in types.items():
        if kind not in BREWERY_TYPES:
            unknown[kind or "none"] += rows  # a type may also be called none
    numbers: dict[str, Any] = _share(unknown.total(), types.total())
    if unknown:
        is_known = F.coalesce(F.col("brewery_type").isin(*BREWERY_TYPES), F.lit(False))
        numbers |= {"types": dict(unknown), "examples": _ids(silver, ~is_known)}
    return Outcome(not unknown, numbers | {"expected": list(BREWERY_TYPES)})


def places_are_known(
    places: Mapping[tuple[str, str], int], previous: set[tuple[str, str]] | None
) -> Outcome:
    """Whether each (country, state) is in the previous snapshot or in the aliases.

    Args:
        places: rows by place.
        previous: the places of the previous snapshot; None for the first.
    """
    if previous is None:
        return Outcome(
            True, {"places": len(places), "compared_with": "nothing: the first snapshot"}
        )
    known = previous | alias_slugs()
    new = {"/".join(place): rows for place, rows in sorted(places.items()) if place not in known}
    gone = ["/".join(place) for place in sorted(previous - set(places))]
    return Outcome(not new, {"places": len(places), "new": new, "gone": gone})


def coordinates_are_plausible(
    silver: DataFrame, found: list[Row], no_pair: int, no_pair_ids: list[str]
) -> Outcome:
    """Whether coordinates are valid pairs, not 0, 0 and near their country's others.

    Args:
        found: the rows of `groups`.
        no_pair: breweries with a coordinate that is missing, not a number or out of range. In
            silver both of their coordinates are null.
        no_pair_ids: some of their ids.
    """
    total = sum(row.rows for row in found)
    zero = sum(row.at_0_0 for row in found)
    known = spreads(found)
    far = _counted(far_off(silver.where(~at_0_0()), known)) if known else (0, [])
    numbers: dict[str, Any] = {
        **_share(no_pair + zero + far[0], total),
        "without_a_valid_pair": no_pair,
        "at_0_0": zero,
        "far_from_their_country": far[0],
        "far_means": f"{FAR:g} standard deviations from the country's mean",
    }
    examples = [*far[1], *no_pair_ids, *(_ids(silver, at_0_0()) if zero else [])]
    if examples:
        numbers["examples"] = sorted(examples)[:EXAMPLES]
    return Outcome(not examples, numbers)


def nothing_was_rejected(rejected: int, bronze: int) -> Outcome:
    """Whether no line of bronze is rejected."""
    return Outcome(rejected == 0, {**_share(rejected, bronze), "see": REJECTED.name})


def outcomes(  # noqa: PLR0913  # each is an input of a rule
    silver: Candidate,
    refined: Refined,
    rejected: int,
    bronze: Manifest,
    previous: Manifest | None,
    *,
    rejected_percent: float,
    filled_lost_percent: float,
) -> dict[str, Outcome]:
    """The outcome of each rule, from two aggregations, plus queries for examples.

    Args:
        silver: its rows.
        refined: what was found when bronze was refined.
        rejected: lines.
        bronze: the snapshot that silver was made from.
        previous: the previous snapshot; None for the first.
        rejected_percent: the largest share of lines that may be rejected.
        filled_lost_percent: how many points a column's share of filled values may fall.
    """
    frame: DataFrame = silver.value
    all_of_it, found = totals(frame), groups(frame)
    types: Counter[str | None] = Counter()
    places: Counter[tuple[str, str]] = Counter()
    for row in found:
        types[row.brewery_type] += row.rows
        places[row.country, row.state] += row.rows
    without_values = fields_without_a_value(bronze)
    return {
        "rows_are_conserved": rows_are_conserved(bronze.rows, all_of_it.rows, rejected),
        "ids_are_unique": ids_are_unique(frame, all_of_it.rows, all_of_it.ids),
        "required_columns_are_filled": required_columns_are_filled(
            {name: all_of_it[f"null_{name}"] for name in REQUIRED}
        ),
        "rejections_are_few": rejections_are_few(
            rejected, bronze.rows, rejected_percent, without_values
        ),
        "columns_are_as_full_as_before": columns_are_as_full_as_before(
            {name: _percent(all_of_it[name], all_of_it.rows) for name in FILLED},
            number_before(previous, "columns_are_as_full_as_before", "filled_percent"),
            filled_lost_percent,
            without_values,
        ),
        "brewery_types_are_known": brewery_types_are_known(frame, types),
        "places_are_known": places_are_known(
            places, set(places_of(previous)) if previous else None
        ),
        "coordinates_are_plausible": coordinates_are_plausible(
            frame, found, refined.without_a_pair, refined.without_a_pair_ids
        ),
        "nothing_was_rejected": nothing_was_rejected(rejected, bronze.rows),
    }


def places_of(silver: Manifest) -> Iterable[tuple[str, str]]:
    """The (country, state) slugs of a snapshot, from the names of its folders."""
    for file in silver.files:
        country, state, _ = file.path.split("/")
        yield country.removeprefix("country="), state.removeprefix("state=")


def _counted(rows: DataFrame) -> tuple[int, list[str]]:
    """The number of rows and their first ids, from one pass."""
    first = F.slice(F.sort_array(F.collect_list("id")), 1, EXAMPLES)
    found = rows.agg(F.count(F.lit(1)).alias("rows"), first.alias("ids")).collect()[0]
    return found.rows, found.ids or []


def _ids(silver: DataFrame, wrong: Column) -> list[str]:
    found = silver.where(wrong).select("id").orderBy("id").limit(EXAMPLES)
    return [row.id for row in found.collect()]


def _share(wrong: int, rows: int) -> dict[str, float]:
    """As separate numbers, because Dagster plots numbers over time."""
    return {"wrong": wrong, "rows": rows, "percent": _percent(wrong, rows)}


def _percent(part: int, rows: int) -> float:
    return round(100 * part / rows, 3) if rows else 0.0
