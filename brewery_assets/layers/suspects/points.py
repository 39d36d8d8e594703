"""Points on the earth, and whether one is among others."""

from collections import Counter
from collections.abc import Iterable
from math import asin, cos, floor, inf, radians, sin, sqrt
from statistics import median
from typing import NamedTuple

EARTH = 6371.0  # km, its mean radius
A_DEGREE = 111.0  # km, of latitude
SEVERAL = 3  # points that must agree before they say anything about another one
NEAR = 100.0  # km


class Point(NamedTuple):
    """A place, in degrees."""

    longitude: float
    latitude: float

    def __str__(self) -> str:
        return f"{self.longitude!r}, {self.latitude!r}"


def kilometers(one: Point, other: Point) -> float:
    """The distance on a sphere; half a percent off at most."""
    here, there = radians(one.latitude), radians(other.latitude)
    across = radians(other.longitude - one.longitude)
    # The haversine formula: it holds for small distances too.
    half = sin((there - here) / 2) ** 2 + cos(here) * cos(there) * sin(across / 2) ** 2
    return 2 * EARTH * asin(min(1.0, sqrt(half)))


class Others:
    """The points of the breweries of a place; there is at least one.

    Attributes:
        name: of the place, for people.
        middle: of each axis the median, which a few wrong points do not move.
    """

    def __init__(self, name: str, points: Iterable[Point]) -> None:
        self.name = name
        self._points = list(points)
        longitudes, latitudes = zip(*self._points, strict=True)
        self.middle = Point(median(longitudes), median(latitudes))
        self._cells = Counter(map(_cell, self._points))

    def surround(self, own: Point) -> bool:
        """Whether several others lie in the square of three degrees around one of these points.

        It is quick, and enough to tell that a point is not far from all others.
        """
        x, y = _cell(own)
        around = (self._cells[a, b] for a in (x - 1, x, x + 1) for b in (y - 1, y, y + 1))
        return sum(around) > SEVERAL

    def distance_of(self, own: Point) -> float:
        """Kilometers within which several others lie of one of these points."""
        distances = sorted(kilometers(own, other) for other in self._points)
        # The nearest is the point itself.
        return distances[SEVERAL] if len(distances) > SEVERAL else inf

    def are_near(self, foreign: Point) -> bool:
        """Whether several of these points are near one that is not among them."""
        near = sum(
            kilometers(foreign, other) <= NEAR
            for other in self._points
            if abs(other.latitude - foreign.latitude) * A_DEGREE <= NEAR  # quicker, for most
        )
        return near >= SEVERAL


def _cell(point: Point) -> tuple[int, int]:
    return floor(point.longitude), floor(point.latitude)
