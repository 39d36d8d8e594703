"""Points on the earth, and whether a point is near others."""

from collections import Counter
from collections.abc import Iterable
from math import asin, cos, floor, inf, radians, sin, sqrt
from statistics import median
from typing import NamedTuple

EARTH = 6371.0  # km, its mean radius
A_DEGREE = 111.0  # km, of latitude
SEVERAL = 3  # points that must agree before another point is judged by them
NEAR = 100.0  # km


class Point(NamedTuple):
    """A place, in degrees."""

    longitude: float
    latitude: float

    def __str__(self) -> str:
        return f"{self.longitude!r}, {self.latitude!r}"


def kilometers(one: Point, other: Point) -> float:
    """The distance on a sphere; the error is at most half a percent."""
    here, there = radians(one.latitude), radians(other.latitude)
    across = radians(other.longitude - one.longitude)
    # The haversine formula: it holds for small distances too.
    half = sin((there - here) / 2) ** 2 + cos(here) * cos(there) * sin(across / 2) ** 2
    return 2 * EARTH * asin(min(1.0, sqrt(half)))


class Others:
    """The points of the breweries of a place; there is at least one.

    Attributes:
        name: the name of the place, for people.
        middle: the median of each axis, which a few wrong points do not move.
    """

    def __init__(self, name: str, points: Iterable[Point]) -> None:
        self.name = name
        self._points = list(points)
        longitudes, latitudes = zip(*self._points, strict=True)
        self.middle = Point(median(longitudes), median(latitudes))
        self._cells = Counter(map(_cell, self._points))

    def surround(self, own: Point) -> bool:
        """Whether several others lie in the square of three degrees around one of these points.

        This is fast, and enough to prove that a point is not far from all others.
        """
        x, y = _cell(own)
        around = (self._cells[a, b] for a in (x - 1, x, x + 1) for b in (y - 1, y, y + 1))
        return sum(around) > SEVERAL

    def distance_of(self, own: Point) -> float:
        """The distance in kilometers within which one of these points has several others."""
        distances = sorted(kilometers(own, other) for other in self._points)
        # The nearest is the point itself.
        return distances[SEVERAL] if len(distances) > SEVERAL else inf

    def are_near(self, foreign: Point) -> bool:
        """Whether several of these points are near one that is not among them."""
        near = sum(
            kilometers(foreign, other) <= NEAR
            for other in self._points
            if abs(other.latitude - foreign.latitude) * A_DEGREE <= NEAR  # a fast check first
        )
        return near >= SEVERAL


def _cell(point: Point) -> tuple[int, int]:
    return floor(point.longitude), floor(point.latitude)
