"""Splits a page of the API into records: the unchanged text and the identity of each."""

import json
import re
from collections import Counter
from typing import Any, NamedTuple

from brewery_assets.source.profile import Facts, facts_of

_SPACE = re.compile(r"[ \t\n\r]*")
_LINE_BREAKS = str.maketrans("\r\n", "  ")  # between tokens only: JSON escapes them inside text
_ESCAPE = re.compile(
    r"\\(?:[uU][dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<lone>u[dD][89a-fA-F]\w\w)|.)"
)


class Record(NamedTuple):
    """One element of a page.

    Attributes:
        identity: the id and 0. Without an id, the whole text and its number among equal texts on
            the page, which are different records.
        line: its JSON text as served, in one line.
        facts: what the checks need to know about it.
    """

    identity: tuple[str, int]
    line: str
    facts: Facts


def split_page(text: str) -> list[Record]:
    """The records of a page, `[{…}, …]`.

    The text of each record is cut out, not serialized again: 1.10 stays 1.10, and duplicate keys
    stay. Only half of a surrogate pair, which UTF-8 cannot encode, becomes U+FFFD.

    Raises:
        ValueError: when the text is not a JSON array; NaN and Infinity are not JSON.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at = _skip(text, 0)
    if not text.startswith("[", at):
        raise ValueError("no JSON array")
    at = _skip(text, at + 1)
    records: list[Record] = []
    anonymous: Counter[str] = Counter()
    known: dict[Facts, Facts] = {}  # most records of a page have the same fields
    while not text.startswith("]", at):
        if records:
            if not text.startswith(",", at):
                raise ValueError(f"incomplete or invalid JSON at character {at}")
            at = _skip(text, at + 1)
        value, end = decoder.raw_decode(text, at)
        line = _ESCAPE.sub(_whole, text[at:end].translate(_LINE_BREAKS))
        facts = facts_of(value)
        facts = known.setdefault(facts, facts)
        if found := id_of(value):
            records.append(Record((found, 0), line, facts))
        else:
            anonymous[line] += 1
            records.append(Record((line, anonymous[line]), line, facts))
        at = _skip(text, end)
    if _skip(text, at + 1) != len(text):
        raise ValueError("text after the JSON array")
    return records


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # always matches


def id_of(value: Any) -> str:
    """The id as silver reads it: text, trimmed; empty if there is none."""
    found = value.get("id") if isinstance(value, dict) else None
    if found is None:
        return ""
    return found.strip() if isinstance(found, str) else json.dumps(found)


def _whole(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape["lone"] else escape[0]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
