"""What is checked of bronze: that it is the whole source, as it was, in the form it had."""

import json
from collections import Counter
from typing import Any, NamedTuple

from brewery_assets.audit import Outcome, Rule
from brewery_assets.bronze import FIELDS
from brewery_assets.io_managers import JsonLinesSnapshots
from brewery_assets.lake_manifest import Manifest
from brewery_assets.source_records import id_of

EXAMPLES = 10
JSON_TYPES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
COORDINATES = ("longitude", "latitude")  # numbers or text, by version of the API
RULES = {
    "complete_against_source": Rule("There are as many breweries as the source says it has."),
    "row_count_is_plausible": Rule("There are not far fewer breweries than the last time."),
    "counts_match_source": Rule(
        "There are as many breweries of each type and country as the source says.", blocking=False
    ),
    "fields_as_expected": Rule(
        "Each brewery has the fields that the source is known to serve, of their known types.",
        blocking=False,
    ),
}


class Profile(NamedTuple):
    """What the lines hold, from one pass over them.

    Attributes:
        rows: lines.
        distinct: different records: by id, and every one that has none.
        doubled: a few ids that stand in more than one line.
        counts: for `by_type` and `by_country`, records by value as served; nulls are left out.
        fields: (field, JSON type) pairs and in how many records they are.
    """

    rows: int
    distinct: int
    doubled: list[str]
    counts: dict[str, Counter[str]]
    fields: Counter[tuple[str, str]]


def profile(content: bytes) -> Profile:
    """Reads JSON Lines once."""
    ids: Counter[str] = Counter()
    shapes: Counter[tuple[tuple[str, type], ...]] = Counter()
    counts: dict[str, Counter[str]] = {"by_type": Counter(), "by_country": Counter()}
    for line in content.split(b"\n")[:-1]:
        record = json.loads(line)
        ids[id_of(record)] += 1
        if isinstance(record, dict):
            shapes[tuple((name, type(value)) for name, value in record.items())] += 1
            for group, field in (("by_type", "brewery_type"), ("by_country", "country")):
                if isinstance(value := record.get(field), str):
                    counts[group][value] += 1
    anonymous = ids.pop("", 0)
    fields: Counter[tuple[str, str]] = Counter()
    for shape, records in shapes.items():
        for name, kind in shape:
            fields[name, JSON_TYPES[kind]] += records
    return Profile(
        rows=ids.total() + anonymous,
        distinct=len(ids) + anonymous,
        doubled=sorted(found for found, times in ids.items() if times > 1)[:EXAMPLES],
        counts=counts,
        fields=fields,
    )


def complete_against_source(found: Profile, source: dict[str, Any]) -> Outcome:
    """Whether bronze has as many distinct records as both metas say.

    Args:
        found: of bronze's file.
        source: what the source said, as in bronze's manifest. Where it said nothing that could be
            counted, or rows are allowed to be missing, `doubt` says so and `verified` is false.
    """
    before, after = (
        meta and meta["total"] for meta in (source["meta_before"], source["meta_after"])
    )
    numbers = {
        "rows": found.rows,
        "distinct_ids": found.distinct,
        "meta_before": before,
        "meta_after": after,
        "verified": source["verified"],
        "doubt": source["doubt"],
        "examples": found.doubled,
    }
    as_counted = found.distinct == before == after
    in_doubt = bool(source["doubt"]) and (before or 0) - found.distinct <= source["missing_allowed"]
    return Outcome(found.distinct == found.rows and (as_counted or in_doubt), numbers)


def counts_match_source(counts: dict[str, Counter[str]], meta: dict[str, Any] | None) -> Outcome:
    """Whether the records by type and by country are those that /meta counts.

    Args:
        counts: for `by_type` and `by_country`, rows by value.
        meta: what the source said; an older API says nothing of countries.
    """
    compared = [group for group in counts if meta and group in meta]
    differences = {}
    for group in compared:
        said: Counter[str] = Counter(meta[group] if meta else {})
        for value in sorted({*counts[group], *said} - {"null"}):
            if counts[group][value] != said[value]:
                found = {"found": counts[group][value], "expected": said[value]}
                differences[f"{group}: {value}"] = found
    return Outcome(not differences, {"compared": compared, "differences": differences})


def fields_as_expected(fields: Counter[tuple[str, str]]) -> Outcome:
    """Whether the records have the known fields, of their known types, and no others."""
    names = {name for name, _ in fields}
    new = {name: sum(fields[f, k] for f, k in fields if f == name) for name in names - set(FIELDS)}
    missing = sorted(set(FIELDS) - names) if fields else []
    other = {
        name: {kind: fields[name, kind]}
        for name, kind in sorted(fields)
        if name in FIELDS and kind not in _expected(name)
    }
    numbers = {"new": new, "missing": missing, "of_another_type": other}
    return Outcome(not (new or missing or other), numbers)


def _expected(field: str) -> set[str]:
    return {FIELDS[field][0], "null", *(("string",) if field in COORDINATES else ())}


def row_count_is_plausible(rows: int, previous: int | None, lost_allowed: float) -> Outcome:
    """Whether not too large a share of the previous snapshot's rows is gone.

    Args:
        rows: of this snapshot.
        previous: of the one published before it; None for the first.
        lost_allowed: per cent.
    """
    lost = 100 * (1 - rows / previous) if previous else 0.0
    numbers = {
        "rows": rows,
        "previous": previous,
        "lost_percent": round(lost, 2),
        "allowed_percent": lost_allowed,
    }
    return Outcome(lost <= lost_allowed, numbers)


def look(resources: Any, bronze: Manifest) -> dict[str, Outcome]:
    """The outcomes, from one pass over the file."""
    lake = resources.lake
    found = profile(lake.storage.read(f"{bronze.folder}/{JsonLinesSnapshots.FILE}"))
    source = bronze.source or {}
    previous = lake.previous(bronze)
    return {
        "complete_against_source": complete_against_source(found, source),
        "row_count_is_plausible": row_count_is_plausible(
            found.rows, previous and previous.rows, resources.limits.rows_lost_percent
        ),
        "counts_match_source": counts_match_source(found.counts, source["meta_after"]),
        "fields_as_expected": fields_as_expected(found.fields),
    }
