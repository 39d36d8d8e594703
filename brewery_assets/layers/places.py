"""The names of places: one slug and one spelling for each country and state."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from anyascii import anyascii

UNKNOWN = "unknown"
LONGEST_SLUG = 80  # a folder's name may have 255 bytes on common file systems


class Spelling(NamedTuple):
    """A (country, state) pair as the source spells it, and the number of records with it."""

    country: str | None
    state: str | None
    records: int


class Place(NamedTuple):
    """A spelling and the place that it means; the slugs are never null, the names may be."""

    country_spelling: str | None
    state_spelling: str | None
    country: str
    state: str
    country_name: str | None
    state_name: str | None


def slug(name: str | None) -> str:
    """The name as Open Brewery DB writes it in `by_state=new_york`: a to z, 0 to 9 and `_`.

    A name that is null or blank, or that has no letter or digit, is `unknown`.
    """
    ascii_name = anyascii(name or "").lower()
    found = re.sub(r"[^a-z0-9]+", "_", ascii_name).strip("_")
    if len(found) > LONGEST_SLUG:
        digest = hashlib.sha256(found.encode()).hexdigest()[:8]
        found = f"{found[:LONGEST_SLUG]}_{digest}"
    return found or UNKNOWN


def conform(spellings: Iterable[Spelling]) -> list[Place]:
    """One place for each spelling, in order.

    place_aliases.csv is applied first. Then spellings with the same slug are one place; its name is
    the most frequent one (on a tie, the first in order). A missing country or state has no name.
    """
    pairs = sorted(spellings, key=lambda pair: (pair.country or "", pair.state or ""))
    resolved = [_resolved(pair) for pair in pairs]
    countries: Counter[tuple[str, str]] = Counter()
    states: Counter[tuple[str, str, str]] = Counter()
    for (country_name, state_name), pair in zip(resolved, pairs, strict=True):
        countries[slug(country_name), country_name] += pair.records
        states[slug(country_name), slug(state_name), state_name] += pair.records
    # most_common keeps the order of ties; reversed, the first of them comes last and is kept.
    country_names = {key: name for (key, name), _ in reversed(countries.most_common())}
    state_names = {(c, key): name for (c, key, name), _ in reversed(states.most_common())}
    places = []
    for (country_name, state_name), pair in zip(resolved, pairs, strict=True):
        country, state = slug(country_name), slug(state_name)
        places.append(
            Place(
                country_spelling=pair.country,
                state_spelling=pair.state,
                country=country,
                state=state,
                country_name=None if country == UNKNOWN else country_names[country],
                state_name=None if state == UNKNOWN else state_names[country, state],
            )
        )
    return places


def _resolved(pair: Spelling) -> tuple[str, str]:
    country, state = pair.country or "", pair.state or ""
    return country, aliases().get((slug(country), slug(state)), state)


def alias_slugs() -> set[tuple[str, str]]:
    """The (country, state) slugs of the correct names in place_aliases.csv."""
    return {(country, slug(name)) for (country, _), name in aliases().items()}


@cache
def aliases() -> dict[tuple[str, str], str]:
    """The state's name for each (country slug, slug of a spelling) of place_aliases.csv."""
    return {_key(row): row["state_name"] for row in _alias_rows()}


@cache
def misspellings() -> dict[tuple[str, str], str]:
    """The reason why an alias is wrong, for each that is not a name in another language."""
    return {_key(row): row["why"] for row in _alias_rows() if row["misspelled"] == "yes"}


def _alias_rows() -> list[dict[str, str]]:
    content = files(__package__).joinpath("place_aliases.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(content.splitlines()))


def _key(row: dict[str, str]) -> tuple[str, str]:
    return slug(row["country"]), slug(row["spelling"])
