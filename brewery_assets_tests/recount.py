"""What each check must report: its result and numbers, counted from plain rows."""

from collections import Counter
from collections.abc import Callable, Iterable
from statistics import fmean, pstdev
from typing import Any

from brewery_assets_tests.plain_rows import AXES, OLDER, TEXTS, Read, Row, aliases, percent, slug

Found = tuple[bool, dict[str, Any]]

TYPES = (
    *("bar", "beergarden", "brewpub", "cidery", "closed", "contract", "large", "location"),
    *("micro", "nano", "planning", "proprietor", "regional", "taproom", "unknown"),
)
# The defaults of the settings, and the limits that README.md states.
ROWS_LOST_PERCENT, REJECTED_PERCENT, FILLED_LOST_PERCENT = 10, 5, 10
FILLED_AT_FIRST = dict.fromkeys(("id", "name", "brewery_type", "country", "state"), 90.0)
LARGE, SHRUNK_PERCENT = 50, 50
FAR, LEAST_DEVIATION = 5, 0.02  # standard deviations, degrees
EXAMPLES = 10
NOTHING = "nothing: the first snapshot"


def outliers(rows: list[Row]) -> list[str]:
    """Ids of breweries far from the others in their country, for countries with enough rows."""
    by_country: dict[str, list[Row]] = {}
    for row in rows:
        if row["longitude"] is not None:
            by_country.setdefault(row["country"], []).append(row)
    far: set[str] = set()
    for located in by_country.values():
        if len(located) <= FAR**2:
            continue
        for axis in AXES:
            values = [row[axis] for row in located]
            middle, reach = fmean(values), FAR * max(pstdev(values), LEAST_DEVIATION)
            far |= {row["id"] for row in located if abs(row[axis] - middle) > reach}
    return sorted(far - set(at_0_0(rows)))


def at_0_0(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows if row["longitude"] == row["latitude"] == 0]


def share(wrong: int, rows: int) -> dict[str, float]:
    return {"wrong": wrong, "rows": rows, "percent": percent(wrong, rows)}


def examples(ids: Iterable[str]) -> dict[str, list[str]]:
    found = sorted(ids)[:EXAMPLES]
    return {"examples": found} if found else {}


def complete(read: Read) -> Found:
    total, records = len(read.served), len(read.bronze)
    allowed = f"MISSING_ROWS_ALLOWED={read.missing_allowed}"
    doubt = f"{records:,} distinct ids where /meta says {total:,}; {allowed}"
    return True, {
        "rows": records,
        "distinct_records": records,
        "meta_before": total,
        "meta_after": total,
        "verified": records == total,
        "doubt": None if records == total else doubt,
    }


def row_count(read: Read) -> Found:
    rows, previous = len(read.bronze), read.before and len(read.before.bronze)
    lost = 100 * (previous - rows) / previous if previous else 0
    numbers = {"rows": rows, "previous": previous, "lost_percent": round(lost, 2)}
    return lost <= ROWS_LOST_PERCENT, {**numbers, "allowed_percent": ROWS_LOST_PERCENT}


def fields(read: Read) -> Found:
    known = {*TEXTS, *AXES, "state", "street"}
    other: dict[str, dict[str, int]] = {}
    for name in sorted(known & read.fields.keys()):
        expected = ("null", "string", *(["number"] if name in AXES else []))
        if found := {kind: n for kind, n in read.fields[name].items() if kind not in expected}:
            other[name] = found
    new = {name: read.fields[name].total() for name in read.fields if name not in known}
    missing = sorted(known - read.fields.keys())
    numbers = {"new": new, "missing": missing, "of_another_type": other}
    return not (new or missing or other), numbers


def source_counts(by_type: Counter[str], by_country: Counter[str], read: Read) -> Found:
    differences: dict[str, dict[str, int]] = {}
    for group, found, field in (
        ("by_type", by_type, "brewery_type"),
        ("by_country", by_country, "country"),
    ):
        expected = read.meta_counts(field)
        for value in {*found, *expected}:
            if found[value] != expected[value]:
                differences[f"{group}: {value}"] = {
                    "found": found[value],
                    "expected": expected[value],
                }
    return not differences, {"compared": ["by_type", "by_country"], "differences": differences}


def bronze_source_counts(read: Read) -> Found:
    records = Read(read.bronze)
    return source_counts(records.meta_counts("brewery_type"), records.meta_counts("country"), read)


def gold_source_counts(read: Read) -> Found:
    by_type = Counter(row["brewery_type"] or "unknown" for row in read.silver)
    by_country = Counter(row["country_name"] for row in read.silver if row["country_name"])
    return source_counts(by_type, by_country, read)


def bronze_columns(read: Read) -> Found:
    if read.before is None:
        return True, {"columns": len(read.columns), "compared_with": None}
    now, before = read.columns, read.before.columns
    retyped = {
        name: {"before": before[name], "now": now[name]}
        for name in now.keys() & before.keys()
        if now[name] != before[name] and "null" not in (now[name], before[name])
    }
    numbers = {
        "columns": len(now),
        "compared_with": None,
        "new": {name: now[name] for name in now.keys() - before.keys()},
        "missing": {name: before[name] for name in before.keys() - now.keys()},
        "of_another_type": retyped,
    }
    return not (numbers["new"] or numbers["missing"] or retyped), numbers


def rows_conserved(read: Read) -> Found:
    numbers = {"bronze": len(read.bronze), "silver": len(read.silver), "rejected": read.rejected}
    return True, numbers


def ids_unique(read: Read) -> Found:
    ids = {row["id"] for row in read.silver}
    return True, {"rows": len(read.silver), "distinct_ids": len(ids)}


def required_filled(read: Read) -> Found:
    required = ("id", "name", "country", "state")
    missing = {name: sum(row[name] is None for row in read.silver) for name in required}
    return not any(missing.values()), {"missing": missing}


def without_a_value(read: Read) -> dict[str, list[str]]:
    found = [
        name
        for name in (*TEXTS, *AXES)
        if all(
            record.get(each) is None
            for record in read.objects
            for each in (name, *OLDER.get(name, ()))
        )
    ]
    return {"fields_without_a_value": found} if found else {}


def rejections(read: Read) -> Found:
    rejected, lines = read.rejected, len(read.bronze)
    return rejected / lines * 100 <= REJECTED_PERCENT, {
        "rejected": rejected,
        "bronze": lines,
        "rejected_percent": percent(rejected, lines),
        "allowed_percent": REJECTED_PERCENT,
        **without_a_value(read),
    }


def columns_full(read: Read) -> Found:
    before = read.before.filled if read.before else FILLED_AT_FIRST
    emptier = {
        name: {"before": before[name], "now": read.filled[name]}
        for name in before
        if before[name] - read.filled[name] > FILLED_LOST_PERCENT
    }
    return not emptier, {
        "emptier": emptier,
        "allowed_points": FILLED_LOST_PERCENT,
        "filled_percent": read.filled,
        "compared_with": "the previous snapshot" if read.before else "90 % for the first snapshot",
        **without_a_value(read),
    }


def types_known(read: Read) -> Found:
    wrong = [row for row in read.silver if row["brewery_type"] not in TYPES]
    types = dict(Counter(row["brewery_type"] or "none" for row in wrong))
    return not wrong, {
        **share(len(wrong), len(read.silver)),
        **({"types": types} if types else {}),
        **examples(row["id"] for row in wrong),
        "expected": list(TYPES),
    }


def places_known(read: Read) -> Found:
    if read.before is None:
        return True, {"places": len(read.places), "compared_with": NOTHING}
    known = {
        *read.before.places,
        *((country, slug(name)) for (country, _), name in aliases().items()),
    }
    new = {"/".join(place): rows for place, rows in read.places.items() if place not in known}
    gone = sorted("/".join(place) for place in {*read.before.places} - {*read.places})
    return not new, {"places": len(read.places), "new": new, "gone": gone}


def coordinates(read: Read) -> Found:
    far, zero = outliers(read.silver), at_0_0(read.silver)
    wrong = [*far, *zero, *read.unpaired]
    return not wrong, {
        **share(len(wrong), len(read.silver)),
        "without_a_valid_pair": len(read.unpaired),
        "at_0_0": len(zero),
        "far_from_their_country": len(far),
        "far_means": f"{FAR} standard deviations from the country's mean",
        **examples(wrong),
    }


def none_rejected(read: Read) -> Found:
    numbers = share(read.rejected, len(read.bronze))
    return not read.rejected, {**numbers, "see": "rejected_breweries"}


def add_up(read: Read) -> Found:
    return True, {"gold": read.gold.total(), "silver": len(read.silver), "differences": {}}


def one_per_key(read: Read) -> Found:
    return True, {"rows": len(read.gold), "keys": len(read.gold)}


def not_empty(read: Read) -> Found:
    return bool(read.gold), {"rows": len(read.gold)}


def counted(read: Read) -> dict[str, Counter[str]]:
    """The number of breweries by country and by type, except unknown ones."""
    return {
        column: Counter(row[column] for row in read.silver if row[column] not in (None, "unknown"))
        for column in ("country", "brewery_type")
    }


def still_there(read: Read) -> Found:
    now, before = counted(read), counted(read.before) if read.before else {}
    shrunk = {
        f"{column}: {value}": {"before": rows, "now": now[column][value]}
        for column, found in before.items()
        for value, rows in found.items()
        if rows >= LARGE and 100 * (rows - now[column][value]) > SHRUNK_PERCENT * rows
    }
    large = {
        column: {value: rows for value, rows in found.items() if rows >= LARGE}
        for column, found in now.items()
    }
    return not shrunk, {
        "shrunk": shrunk,
        "allowed_percent": SHRUNK_PERCENT,
        "large": large,
        "compared_with": "the previous snapshot" if read.before else NOTHING,
    }


def changes(read: Read) -> Counter[str]:
    """The number of breweries added, removed and changed since the previous read."""
    if read.before is None:
        return Counter()
    names = [name for name in read.silver[0] if name not in ("country", "state", "unpaired")]
    now, before = (
        {row["id"]: [row[name] for name in names] for row in each.silver}
        for each in (read, read.before)
    )
    return Counter(
        added=len(now.keys() - before.keys()),
        removed=len(before.keys() - now.keys()),
        changed=sum(now[each] != before[each] for each in now.keys() & before.keys()),
    )


def changes_add_up(read: Read) -> Found:
    found = changes(read)
    kinds = {kind: found[kind] for kind in ("added", "removed", "changed")}
    before = read.before and len(read.before.silver)
    return True, {"before": before, **kinds, "now": len(read.silver)}


def one_per_brewery(read: Read) -> Found:
    rows = changes(read).total()
    return True, {"rows": rows, "distinct_ids": rows}


RECOUNT: dict[str, dict[str, Callable[[Read], Found]]] = {
    "bronze_breweries": {
        "complete_against_source": complete,
        "row_count_is_plausible": row_count,
        "counts_match_source": bronze_source_counts,
        "fields_as_expected": fields,
        "columns_as_before": bronze_columns,
    },
    "silver_breweries": {
        "rows_are_conserved": rows_conserved,
        "ids_are_unique": ids_unique,
        "required_columns_are_filled": required_filled,
        "rejections_are_few": rejections,
        "columns_are_as_full_as_before": columns_full,
        "brewery_types_are_known": types_known,
        "places_are_known": places_known,
        "coordinates_are_plausible": coordinates,
        "nothing_was_rejected": none_rejected,
    },
    "gold_brewery_counts": {
        "counts_add_up": add_up,
        "one_row_per_key": one_per_key,
        "gold_is_not_empty": not_empty,
        "countries_and_types_are_still_there": still_there,
        "counts_match_source": gold_source_counts,
    },
    "gold_brewery_changes": {
        "changes_add_up": changes_add_up,
        "one_row_per_brewery": one_per_brewery,
    },
}
