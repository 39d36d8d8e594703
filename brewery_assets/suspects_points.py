"""Points on the earth, and whether one lies among others."""

from collections import Counter
from collections.abc import Iterable
from math import asin, cos, floor, inf, radians, sin, sqrt
from statistics import median
from typing import NamedTuple

EARTH = 6371.0  # km, its mean radius
SEVERAL = 3  # points that must agree before they say anything about another one


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
        return self._nearest(own, SEVERAL + 1)  # the nearest is the point itself

    def distance_to(self, foreign: Point) -> float:
        """Kilometers within which several of these points lie of one that is not among them."""
        return self._nearest(foreign, SEVERAL)

    def _nearest(self, point: Point, rank: int) -> float:
        distances = sorted(kilometers(point, other) for other in self._points)
        return distances[rank - 1] if len(distances) >= rank else inf


def _cell(point: Point) -> tuple[int, int]:
    return floor(point.longitude), floor(point.latitude)
