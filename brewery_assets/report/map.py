"""The report's map: land, and one point per grid cell of 0.01 degrees."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import asinh, atan, degrees, radians, sinh, tan
from statistics import mean, pstdev
from typing import Any

from brewery_assets.checks.silver import FAR, LEAST_DEVIATION

Chart = dict[str, Any]
Point = Mapping[str, Any]

ACCENT, OTHER = "#c2740a", "#8a8a8a"  # readable on white and on black
OF_COUNTRY = "country == '' || datum.country == country"
OF_TYPE = "brewery_type == '' || datum.type == brewery_type"
CHOSEN = f"({OF_COUNTRY}) && ({OF_TYPE})"
ALL = ""  # the value of `country` and `brewery_type` when nothing is chosen
BREWERIES = {"field": "breweries", "type": "quantitative", "format": ",d"}
AXES = ("longitude", "latitude")
WORLD = ((-170.0, -55.0), (180.0, 70.0))  # for a map without points
MARGIN = 0.5  # degrees around a country's breweries


def map_of(points: Sequence[Point]) -> Chart:
    """The map, controlled by the parameters `country`, `brewery_type`, `frame` and `close`."""
    return {
        "description": "A map of the world with a point for the breweries of each place.",
        "height": "container",
        "projection": {
            "type": "mercator",
            "center": {"expr": "frame.center"},
            "scale": {"expr": "max(1, min(width / frame.wide, height / frame.high))"},
            "translate": {"expr": "[width / 2, height / 2]"},
        },
        "layer": [
            {
                "data": {"values": _land(), "format": {"type": "topojson", "feature": "land"}},
                "mark": {
                    "type": "geoshape",
                    "fill": OTHER,
                    "fillOpacity": 0.22,
                    "clip": True,
                    "aria": False,
                },
            },
            {
                "data": {"values": _grouped(points)},
                "transform": [{"filter": CHOSEN}, {"flatten": [*AXES, "breweries"]}],
                # Hidden from screen readers, which have the table instead of thousands of points.
                "mark": {
                    "type": "circle",
                    "color": ACCENT,
                    "opacity": 0.5,
                    "clip": True,
                    "aria": False,
                },
                "encoding": {
                    "longitude": {"field": "longitude", "type": "quantitative"},
                    "latitude": {"field": "latitude", "type": "quantitative"},
                    "size": {
                        "field": "breweries",
                        "type": "quantitative",
                        "scale": {
                            "domain": [1, max((point["breweries"] for point in points), default=1)],
                            "range": [
                                {"expr": "width / 180 * close"},
                                {"expr": "width / 6 * close"},
                            ],
                        },
                        "legend": None,
                    },
                    "tooltip": [
                        BREWERIES,
                        {"field": "type"},
                        {"field": "country"},
                    ],
                },
            },
        ],
    }


def _land() -> Any:
    return json.loads(files(__package__).joinpath("land/land-110m.json").read_text())


def _grouped(points: Sequence[Point]) -> list[Chart]:
    """One item per country and type, with lists: a third of the bytes of one item per point."""
    groups: dict[tuple[str, str], Chart] = {}
    for point in points:
        country, kind = point["country"], point["type"]
        group = groups.setdefault((country, kind), {"country": country, "type": kind})
        for name in (*AXES, "breweries"):
            group.setdefault(name, []).append(point[name])
    return [*groups.values()]


def frames(points: Sequence[Point]) -> list[Chart]:
    """The parameters `frame`, the part of the world that is shown, and `close`, the zoom."""
    by_country: dict[str, list[Point]] = {}
    for point in points:
        by_country.setdefault(point["country"], []).append(point)
    edges = {country: _edges(found) for country, found in by_country.items()}
    low, high = zip(*edges.values(), strict=True) if edges else ((WORLD[0],), (WORLD[1],))
    edges[ALL] = (
        (min(lon for lon, _ in low), min(lat for _, lat in low)),
        (max(lon for lon, _ in high), max(lat for _, lat in high)),
    )
    found = {country: _frame(*of) for country, of in edges.items()}
    return [
        {"name": "frames", "value": found},
        {"name": "frame", "expr": "frames[country] || frames['']"},
        {"name": "close", "expr": "country ? 4 : 1"},
    ]


def _edges(points: Sequence[Point]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The southwestern and northeastern corners, without outliers."""
    spans = []
    for axis in AXES:
        values = [point[axis] for point in points for _ in range(point["breweries"])]
        middle, reach = mean(values), FAR * max(pstdev(values), LEAST_DEVIATION)
        near = [value for value in values if abs(value - middle) <= reach]
        spans.append((min(near) - MARGIN, max(near) + MARGIN))
    (west, east), (south, north) = spans
    return (west, south), (east, north)


def _frame(low: tuple[float, float], high: tuple[float, float]) -> Chart:
    """Center and size in the Mercator projection, whose unit is the radian at the equator."""
    (west, south), (east, north) = low, high
    bottom, top = (asinh(tan(radians(max(-80, min(80, lat))))) for lat in (south, north))
    middle = degrees(atan(sinh((bottom + top) / 2)))
    return {
        "center": [(west + east) / 2, middle],
        "wide": radians(east - west),
        "high": top - bottom,
    }
