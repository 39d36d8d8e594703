"""The postcodes of the United States: which exist, and where each is."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from brewery_assets.layers.suspects.points import Point
from brewery_assets.layers.suspects.suspicion import Brewery, Suspicion


class Postcode(NamedTuple):
    """A postcode: its center, and the names of its city, in lower case."""

    center: Point
    cities: frozenset[str]


def postcode_of(brewery: Brewery) -> str | None:
    """The first five digits of a postcode of the United States."""
    found = re.match(r"[0-9]{5}(?![0-9])", brewery.postal_code or "")
    return found[0] if found and brewery.country == "united_states" else None


def postcodes_of(breweries: Iterable[Brewery]) -> dict[str, Postcode]:
    """The breweries' postcodes that exist, by their five digits."""
    import zipcodes

    wanted = {code for brewery in breweries if (code := postcode_of(brewery))}
    return {
        found["zip_code"]: Postcode(
            Point(float(found["long"]), float(found["lat"])),
            frozenset(map(str.casefold, (found["city"], *found["acceptable_cities"]))),
        )
        # In parts: all 42,789 at once, as dictionaries, take 60 MB.
        for start in sorted({code[:2] for code in wanted})
        for found in zipcodes.similar_to(start)
        if found["zip_code"] in wanted
    }


def postcodes_that_do_not_exist(
    breweries: Iterable[Brewery], postcodes: Mapping[str, Postcode]
) -> Iterator[Suspicion]:
    """Postcodes that have the form of the United States, but are not assigned.

    Args:
        breweries: the breweries to check.
        postcodes: as returned by `postcodes_of`.
    """
    for brewery in breweries:
        code = postcode_of(brewery)
        if code and code not in postcodes:
            yield Suspicion(
                brewery,
                "postcode_does_not_exist",
                "postal_code",
                brewery.postal_code,
                None,
                f"There is no postcode {code} in the United States.",
            )
