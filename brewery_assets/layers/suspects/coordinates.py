"""Suspicions about the coordinates of a brewery.

A point is judged by other breweries only if several of them agree, so that two wrong points never
confirm each other. A record gets one suspicion, from the first rule that matches.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from brewery_assets.layers.places import UNKNOWN
from brewery_assets.layers.suspects.points import Others, Point, kilometers
from brewery_assets.layers.suspects.postcodes import Postcode, postcode_of
from brewery_assets.layers.suspects.suspicion import POINT, Brewery, Suspicion

ENOUGH = 10  # points of a country or state; with fewer, its extent is not known
FAR = 500.0  # km; a point is far from others if at most two of them are within this distance
VERY_FAR = 3000.0  # km: farther than the Azores from the rest of Portugal
FAR_FROM_POSTCODE = 40.0  # km, from its center
FAR_FROM_POSTCODE_IN = {"alaska": 200.0}  # where a postcode is as large as a country
OUT_OF_RANGE = "A longitude is a number from -180 to 180, a latitude one from -90 to 90."


def wrong_coordinates(
    breweries: Sequence[Brewery], postcodes: Mapping[str, Postcode]
) -> Iterator[Suspicion]:
    """Coordinates that are not a pair, swapped, mirrored, at 0, 0, or far from where they belong.

    Args:
        breweries: all of them, since they are compared with each other.
        postcodes: of the United States, by their five digits.
    """
    countries, states = _places(breweries)
    for brewery in breweries:
        point, country = point_of(brewery), countries.get(brewery.country)
        found: Suspicion | None = None
        if brewery.served:
            found = no_pair(brewery, brewery.served, country)
        elif point:
            found = at_0_0(brewery, point) or reflected(brewery, point, country)
            if postcode := postcodes.get(postcode_of(brewery) or ""):
                found = found or far_from_postcode(brewery, point, postcode)
            else:  # a known postcode would confirm the point
                found = (
                    found
                    or outside_country(brewery, point, countries)
                    or far_from_state(brewery, point, states[brewery.country])
                )
        if found:
            yield found


def point_of(brewery: Brewery) -> Point | None:
    """The brewery's point in silver, if it has one."""
    if brewery.longitude is None or brewery.latitude is None:
        return None
    return Point(brewery.longitude, brewery.latitude)


def swapped(served: tuple[str | None, str | None]) -> Point | None:
    """The served values in the opposite order; None if that is not a valid point either."""
    try:
        latitude, longitude = (float(half or "") for half in served)
    except ValueError:
        return None
    fits = abs(longitude) <= 180 and abs(latitude) <= 90  # false for NaN
    return Point(longitude, latitude) if fits else None


def no_pair(
    brewery: Brewery, served: tuple[str | None, str | None], country: Others | None
) -> Suspicion:
    """A suspicion about coordinates that are not a valid pair, but may be one when swapped."""
    found = ", ".join(half or "nothing" for half in served)
    point = swapped(served)
    if point and country and country.are_near(point):
        why = f"Swapped, they lie among the other breweries of {country.name}. {OUT_OF_RANGE}"
        return Suspicion(brewery, "coordinates_swapped", POINT, found, str(point), why)
    why = "One of the two is missing." if None in served else OUT_OF_RANGE
    return Suspicion(brewery, "coordinates_no_pair", POINT, found, None, why)


def at_0_0(brewery: Brewery, point: Point) -> Suspicion | None:
    """A suspicion about a brewery at 0, 0, which means that the point is missing."""
    if point != (0, 0):
        return None
    why = "0, 0 lies in the Atlantic Ocean."
    return Suspicion(brewery, "coordinates_0_0", POINT, str(point), None, why)


def reflected(brewery: Brewery, point: Point, country: Others | None) -> Suspicion | None:
    """A suspicion about a point far from its country that is in it when swapped or mirrored."""
    if country is None or (away := kilometers(point, country.middle)) <= FAR:
        return None
    x, y = point
    for rule, how, other in (
        ("coordinates_swapped", "swapped", Point(y, x)),
        ("coordinates_mirrored", "with the longitude's sign changed", Point(-x, y)),
        ("coordinates_mirrored", "with the latitude's sign changed", Point(x, -y)),
        ("coordinates_mirrored", "with both signs changed", Point(-x, -y)),
    ):
        if (
            abs(other.latitude) <= 90
            # The middle is where most breweries are, so many swapped points do not hide one.
            and kilometers(other, country.middle) < away / 2
            and country.are_near(other)
        ):
            why = (
                f"The point lies {away:,.0f} km from the middle of the breweries of "
                f"{country.name}; {how}, it lies among them."
            )
            return Suspicion(brewery, rule, POINT, str(point), str(other), why)
    return None


def far_from_postcode(brewery: Brewery, point: Point, postcode: Postcode) -> Suspicion | None:
    """A suspicion about a US brewery far from the center of its postcode."""
    away = kilometers(point, postcode.center)
    if away <= FAR_FROM_POSTCODE_IN.get(brewery.state, FAR_FROM_POSTCODE):
        return None
    distance = f"{away:,.0f} km from the center of its postcode"
    if (brewery.city or "").casefold() in postcode.cities:
        why = f"The point lies {distance}, {brewery.postal_code}, which is one of {brewery.city}."
        return Suspicion(brewery, "far_from_postcode", POINT, str(point), None, why)
    why = f"This is no postcode of {brewery.city}, and the point {point} lies {distance}."
    return Suspicion(brewery, "far_from_postcode", "postal_code", brewery.postal_code, None, why)


def outside_country(
    brewery: Brewery, point: Point, countries: Mapping[str, Others]
) -> Suspicion | None:
    """A suspicion about a brewery far from its country's others: near another's, or very far."""
    own = countries.get(brewery.country)
    if own is None or own.surround(point) or (away := own.distance_of(point)) <= FAR:
        return None
    there = _among(point, countries, brewery.country)
    if there is None and away <= VERY_FAR:
        return None
    why = f"Almost all breweries of {own.name} are {away:,.0f} km away or more"
    why += f", and several of {there} are near." if there else "."
    return Suspicion(brewery, "outside_country", POINT, str(point), None, why)


def far_from_state(
    brewery: Brewery, point: Point, states: Mapping[str, Others]
) -> Suspicion | None:
    """A suspicion about a brewery far from its state's others and near those of another state."""
    own = states.get(brewery.state)
    if own is None or own.surround(point) or (away := own.distance_of(point)) <= FAR:
        return None
    there = _among(point, states, brewery.state)
    if there is None:
        return None
    why = (
        f"Almost all breweries of {own.name} are {away:,.0f} km away or more, and several of "
        f"{there} are near: the point or the state is wrong."
    )
    return Suspicion(brewery, "far_from_state", POINT, str(point), None, why)


def _among(point: Point, places: Mapping[str, Others], but: str) -> str | None:
    """The name of another place that has several breweries near the point."""
    for place, others in places.items():
        if place != but and others.are_near(point):
            return others.name
    return None


def _places(
    breweries: Sequence[Brewery],
) -> tuple[dict[str, Others], dict[str, dict[str, Others]]]:
    """The points of the breweries of each country, and by country those of each of its states.

    If a country has too few points because all are swapped, it has the corrected points.
    """
    by_country: dict[str, list[Point]] = defaultdict(list)
    by_state: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    turned: dict[str, list[Point]] = defaultdict(list)
    names: dict[str, str | None] = {}
    state_names: dict[tuple[str, str], str | None] = {}
    for brewery in breweries:
        country, state = brewery.country, brewery.state
        names[country], state_names[country, state] = brewery.country_name, brewery.state_name
        if point := point_of(brewery):
            by_country[country].append(point)
            by_state[country][state].append(point)
        elif brewery.served and (point := swapped(brewery.served)):
            turned[country].append(point)
    countries = {
        country: Others(names[country] or country, points)
        for found in (turned, by_country)
        for country, points in found.items()
        if len(points) >= ENOUGH and country != UNKNOWN
    }
    return countries, {
        country: {
            state: Others(state_names[country, state] or state, points)
            for state, points in states.items()
            if len(points) >= ENOUGH and state != UNKNOWN
        }
        for country, states in by_state.items()
    }
