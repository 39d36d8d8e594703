"""Facts about the records that the checks need, collected while a page is split."""

import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

JSON_TYPES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
_HALF = re.compile("[\ud800-\udfff]")
GROUPS = {"by_type": "brewery_type", "by_country": "country"}  # as /meta names them


class Facts(NamedTuple):
    """The facts of one record.

    Attributes:
        groups: the values that `/meta` counts by, as served; None for a value that is not text.
        names: the names of its fields.
        types: the Python types of its fields.
    """

    groups: tuple[str | None, ...]
    names: tuple[str, ...]
    types: tuple[type, ...]


def facts_of(value: Any) -> Facts:
    """The facts of a decoded record; one that is not an object has no fields."""
    if not isinstance(value, dict):
        return Facts((None,) * len(GROUPS), (), ())
    found = (value.get(field) for field in GROUPS.values())
    return Facts(
        # A few values occur very often: one copy of each is kept, not one per record.
        tuple(sys.intern(text) if isinstance(text, str) else None for text in found),
        tuple(value),
        tuple(map(type, value.values())),
    )


class Profile(NamedTuple):
    """The facts of many records, counted.

    Attributes:
        counts: for `by_type` and `by_country`, records by value as served, without nulls.
        fields: for each field, records by JSON type of the value.
    """

    counts: dict[str, Counter[str]]
    fields: dict[str, Counter[str]]


def profile_of(records: Iterable[Facts]) -> Profile:
    """The facts of all records, added up."""
    counts: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    fields: dict[str, Counter[str]] = {}
    for facts, times in Counter(records).items():
        for group, value in zip(GROUPS, facts.groups, strict=True):
            if value is not None:
                counts[group][whole(value)] += times
        for name, kind in zip(facts.names, facts.types, strict=True):
            fields.setdefault(whole(name), Counter())[JSON_TYPES[kind]] += times
    return Profile(counts, fields)


def whole(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which UTF-8 cannot encode."""
    return _HALF.sub("\ufffd", text)
