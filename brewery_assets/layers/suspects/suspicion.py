"""The input and output of the rules about suspects: a brewery, and a suspicion about it."""

from typing import NamedTuple

POINT = "longitude, latitude"  # the column of a suspicion about both


class Brewery(NamedTuple):
    """A row of silver, with what the source served in place of a pair of coordinates.

    Attributes:
        served: longitude and latitude as text, trimmed, if silver has none for the brewery because
            they are not a valid pair; one of them may be missing. Otherwise None.
    """

    id: str
    name: str
    brewery_type: str | None = None
    address_1: str | None = None
    address_2: str | None = None
    address_3: str | None = None
    city: str | None = None
    state_province: str | None = None
    postal_code: str | None = None
    country_name: str | None = None
    state_name: str | None = None
    phone: str | None = None
    website_url: str | None = None
    longitude: float | None = None
    latitude: float | None = None
    country: str = "unknown"
    state: str = "unknown"
    served: tuple[str | None, str | None] | None = None

    @property
    def filled(self) -> int:
        """How many fields have a value."""
        return sum(value is not None for value in self)


class Suspicion(NamedTuple):
    """A suspicion about one brewery.

    Attributes:
        rule: the name of the rule, which docs/data-quality.md explains.
        column: a column of silver, or `POINT`.
        found: the column's value; for a point, longitude and latitude.
        suggested: the value that would be right; None when nothing can be suggested.
        why: a sentence.
    """

    brewery: Brewery
    rule: str
    column: str
    found: str | None
    suggested: str | None
    why: str
