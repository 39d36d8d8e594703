"""Checks of bronze: it is complete, and its fields and types are the known ones."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.bronze import FIELDS
from brewery_assets.source.reader import Reading

UNTYPED = "null"  # the type of a field that is null in every record; it is not compared
COORDINATES = ("longitude", "latitude")  # numbers or text, depending on the API's version
RULES = {
    "complete_against_source": Rule(
        "Bronze has as many distinct records as the source's total, before and after the read.",
        columns=("id",),
    ),
    "row_count_is_plausible": Rule(
        "There are rows, and at most ROWS_LOST_PERCENT fewer than in the snapshot that the newest "
        "silver was made from.",
        acceptable=True,
    ),
    "counts_match_source": Rule(
        "Bronze has as many records of each type and country as the source counts.",
        blocking=False,
        columns=("brewery_type", "country"),
    ),
    "fields_as_expected": Rule(
        "No known field is missing from all records, no field is new, and all have known types.",
        blocking=False,
    ),
    "columns_as_before": Rule(
        "The columns and their types are those of the snapshot that the newest silver was made "
        "from.",
        blocking=False,
    ),
}


def complete_against_source(content: bytes, source: Mapping[str, Any]) -> Outcome:
    """Whether bronze has one line per record, and both totals of /meta equal the records.

    Args:
        content: the bytes of bronze's file.
        source: what the source reported and how it was read, as in bronze's manifest. If there is
            no usable total, or missing rows are allowed, `doubt` says why; `verified` is false.
    """
    before, after = (
        meta and meta["total"] for meta in (source["meta_before"], source["meta_after"])
    )
    distinct, rows = source["distinct"], content.count(b"\n")
    numbers = {
        "rows": rows,
        "distinct_records": distinct,
        "meta_before": before,
        "meta_after": after,
        "verified": source["verified"],
        "doubt": source["doubt"],
    }
    as_counted = distinct == before == after
    in_doubt = bool(source["doubt"]) and (before or 0) - distinct <= source["missing_allowed"]
    return Outcome(distinct == rows and (as_counted or in_doubt), numbers)


def counts_match_source(
    counts: Mapping[str, Mapping[str, int]], meta: Mapping[str, Any] | None
) -> Outcome:
    """Whether the counts of records by type and by country match those of /meta.

    Args:
        counts: rows by value, for `by_type` and `by_country`.
        meta: the answer of /meta; an older API has no `by_country`.
    """
    compared = [group for group in counts if meta and group in meta]
    differences = {}
    for group in compared:
        found, said = Counter(counts[group]), Counter(meta[group] if meta else {})
        for value in sorted({*found, *said} - {"null"}):
            if found[value] != said[value]:
                numbers = {"found": found[value], "expected": said[value]}
                differences[f"{group}: {value}"] = numbers
    return Outcome(not differences, {"compared": compared, "differences": differences})


def fields_as_expected(fields: Mapping[str, Mapping[str, int]]) -> Outcome:
    """Whether the records have the known fields, of their known types, and no others.

    Args:
        fields: for each field, the number of records by JSON type.
    """
    new = {name: sum(kinds.values()) for name, kinds in fields.items() if name not in FIELDS}
    missing = sorted(set(FIELDS) - set(fields)) if fields else []
    other = {}
    for name in sorted(set(FIELDS) & set(fields)):
        if unexpected := {k: n for k, n in fields[name].items() if k not in _expected(name)}:
            other[name] = unexpected
    numbers = {"new": new, "missing": missing, "of_another_type": other}
    return Outcome(not (new or missing or other), numbers)


def _expected(field: str) -> set[str]:
    return {FIELDS[field][0], "null", *(("string",) if field in COORDINATES else ())}


def row_count_is_plausible(rows: int, previous: int | None, lost_allowed: float) -> Outcome:
    """Whether there are rows, and the share of lost rows is within the limit.

    Args:
        rows: of this snapshot.
        previous: rows of the snapshot to compare with; None for the first.
        lost_allowed: percent.
    """
    lost = 100 * (previous - rows) / previous if previous else 0.0
    numbers = {
        "rows": rows,
        "previous": previous,
        "lost_percent": round(lost, 2),
        "allowed_percent": lost_allowed,
    }
    return Outcome(rows > 0 and lost <= lost_allowed, numbers)


def columns_as_before(now: Mapping[str, str], before: Manifest | None) -> Outcome:
    """Whether the columns and their types are those of an older snapshot.

    Args:
        now: types by column.
        before: the snapshot to compare with; None for the first.
    """
    if before is None or not (before.columns and now):
        return Outcome(True, {"columns": len(now), "compared_with": "nothing"})
    types = {name: (before.columns[name], now[name]) for name in now if name in before.columns}
    numbers = {
        "columns": len(now),
        "compared_with": before.snapshot,
        "new": {name: now[name] for name in now if name not in types},
        "missing": {name: before.columns[name] for name in before.columns if name not in types},
        "of_another_type": {
            name: {"before": old, "now": new}
            for name, (old, new) in sorted(types.items())
            if old != new and UNTYPED not in (old, new)
        },
    }
    changed = numbers["new"] or numbers["missing"] or numbers["of_another_type"]
    return Outcome(not changed, numbers)


def outcomes(
    reading: Reading, previous: Manifest | None, rows_lost_percent: float
) -> dict[str, Outcome]:
    """The outcome of each rule.

    Args:
        reading: what was read from the source.
        previous: the bronze that the newest silver was made from; None for the first.
        rows_lost_percent: the largest share of rows that may be lost.
    """
    source = reading.facts
    return {
        "complete_against_source": complete_against_source(reading.content, source),
        "row_count_is_plausible": row_count_is_plausible(
            len(reading.lines), previous.rows if previous else None, rows_lost_percent
        ),
        "counts_match_source": counts_match_source(source["counts"], source["meta_after"]),
        "fields_as_expected": fields_as_expected(source["fields"]),
        "columns_as_before": columns_as_before(reading.columns, previous),
    }
