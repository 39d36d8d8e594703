"""The report's charts, in Vega-Lite: the page draws them, and a picture needs no browser."""

from collections.abc import Mapping, Sequence
from math import asinh, atan, degrees, radians, sinh, tan
from statistics import mean, pstdev
from typing import Any

import vl_convert

from brewery_assets.checks.changes import KINDS
from brewery_assets.checks.silver import FAR, LEAST_DEVIATION
from brewery_assets.report.facts import Facts, Moment

Chart = dict[str, Any]
Point = Mapping[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, which is not fetched
ACCENT, GONE, OTHER = "#c2740a", "#4f8fba", "#8a8a8a"  # readable on white and on black
STATES_SHOWN = 30
CHOSEN = {"filter": "country == '' || datum.country == country"}
WORLD = ((-170.0, -55.0), (180.0, 70.0))  # for a map without a point
PICTURE_SIZE = {"width": 720, "height": 360}
MARGIN = 0.5  # degrees around a country's breweries
COUNTRY = {"name": "country", "value": ""}  # a slug; blank for all
BREWERIES = {"field": "breweries", "type": "quantitative", "format": ","}
CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "axis": {"domain": False, "ticks": False, "grid": False, "labelLimit": 230, "title": None},
    "text": {"fontSize": 12},
    "axisY": {"labelFontSize": 12},
    "view": {"stroke": None},
}


def charts(facts: Facts) -> dict[str, Chart]:
    """For each element of the page, by its id, the Vega that is drawn there, as wide as it is.

    Those with the signal `country` show all countries until it is a country's slug.
    """
    counts = _counts(facts)
    drawn = {
        "map": _alone(_map(facts.points), [COUNTRY, *_frames(facts.points)]),
        "states": _alone(_ranking(counts, "state", [CHOSEN], STATES_SHOWN), [COUNTRY]),
        "types": _alone(_ranking(counts, "type", [CHOSEN]), [COUNTRY]),
        "countries": _alone(_ranking(counts, "nation", [])),
    }
    if len(facts.history) > 1:
        drawn["totals"] = _alone(_totals(facts.history))
        drawn["changes"] = _alone(_changes(facts.history))
    return {name: vl_convert.vegalite_to_vega(chart) for name, chart in drawn.items()}


def picture(facts: Facts) -> bytes:
    """The map as a PNG on white."""
    chart = _alone(_map(facts.points), [COUNTRY, *_frames(facts.points)])
    png: bytes = vl_convert.vegalite_to_png({**chart, **PICTURE_SIZE, "background": "white"})
    return png


def _alone(chart: Chart, params: Sequence[Chart] = ()) -> Chart:
    return {
        "$schema": SCHEMA,
        "width": "container",
        "params": [*params],
        "config": CONFIG,
        **chart,
    }


def _counts(facts: Facts) -> list[dict[str, Any]]:
    return [
        {
            "country": row["country"],
            "nation": row["country_name"] or "no country",
            "state": f"{row['state_name'] or 'no state'}, {row['country_name'] or 'no country'}",
            "type": row["brewery_type"],
            "breweries": row["brewery_count"],
        }
        for row in facts.counts
    ]


def _map(points: Sequence[Point]) -> Chart:
    return {
        "height": "container",
        "projection": {
            "type": "mercator",
            "center": {"expr": "frame.center"},
            "scale": {"expr": "min(width / frame.wide, height / frame.high)"},
            "translate": {"expr": "[width / 2, height / 2]"},
        },
        "layer": [
            {
                "data": {"graticule": {"step": [10, 10]}},
                "mark": {
                    "type": "geoshape",
                    "filled": False,
                    "stroke": OTHER,
                    "strokeOpacity": 0.25,
                    "strokeWidth": 0.6,
                    "clip": True,
                },
            },
            {
                "data": {"values": [*points]},
                "transform": [CHOSEN],
                "mark": {"type": "circle", "color": ACCENT, "opacity": 0.5, "clip": True},
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
                    "tooltip": [BREWERIES, {"field": "country"}],
                },
            },
        ],
    }


def _frames(points: Sequence[Point]) -> list[Chart]:
    """The parameters `frame`, what part of the world the map shows, and `close`, how close."""
    by_country: dict[str, list[Point]] = {}
    for point in points:
        by_country.setdefault(point["country"], []).append(point)
    edges = {country: _edges(found) for country, found in by_country.items()}
    low, high = zip(*edges.values(), strict=True) if edges else ((WORLD[0],), (WORLD[1],))
    edges[COUNTRY["value"]] = (
        (min(lon for lon, _ in low), min(lat for _, lat in low)),
        (max(lon for lon, _ in high), max(lat for _, lat in high)),
    )
    frames = {country: _frame(*of) for country, of in edges.items()}
    return [
        {"name": "frames", "value": frames},
        {"name": "frame", "expr": "frames[country] || frames['']"},
        {"name": "close", "expr": "country ? 4 : 1"},
    ]


def _edges(points: Sequence[Point]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The south-western and north-eastern corners, but for coordinates that are far off."""
    spans = []
    for axis in ("longitude", "latitude"):
        values = [point[axis] for point in points for _ in range(point["breweries"])]
        middle, reach = mean(values), FAR * max(pstdev(values), LEAST_DEVIATION)
        near = [value for value in values if abs(value - middle) <= reach]
        spans.append((min(near) - MARGIN, max(near) + MARGIN))
    (west, east), (south, north) = spans
    return (west, south), (east, north)


def _frame(low: tuple[float, float], high: tuple[float, float]) -> Chart:
    """In the terms of Mercator's projection, whose unit is the radian at the equator."""
    (west, south), (east, north) = low, high
    bottom, top = (asinh(tan(radians(max(-80, min(80, lat))))) for lat in (south, north))
    middle = degrees(atan(sinh((bottom + top) / 2)))
    return {
        "center": [(west + east) / 2, middle],
        "wide": radians(east - west),
        "high": top - bottom,
    }


def _ranking(
    counts: Sequence[Mapping[str, Any]],
    of: str,
    transform: Sequence[Chart],
    most: int | None = None,
) -> Chart:
    """Bars, the longest first, with their numbers."""
    steps: list[Chart] = [
        *transform,
        {
            "aggregate": [{"op": "sum", "field": "breweries", "as": "breweries"}],
            "groupby": [of],
        },
    ]
    if most:
        longest = [{"field": "breweries", "order": "descending"}, {"field": of}]
        steps += [
            {"window": [{"op": "row_number", "as": "rank"}], "sort": longest},
            {"filter": f"datum.rank <= {most}"},
        ]
    return {
        "height": {"step": 19},
        "data": {"values": [*counts]},
        "transform": steps,
        "encoding": {
            "x": {
                "field": "breweries",
                "type": "quantitative",
                "axis": None,
                "scale": {"range": [0, {"expr": "max(width - 45, 1)"}]},  # the longest's number
            },
            "y": {"field": of, "sort": {"field": "breweries", "op": "max", "order": "descending"}},
            "tooltip": [{"field": of}, BREWERIES],
        },
        "layer": [
            {
                "mark": {
                    "type": "bar",
                    "color": ACCENT,
                    "cornerRadiusEnd": 2,
                    "height": {"band": 0.75},
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 4},
                "encoding": {"text": BREWERIES},
            },
        ],
    }


def _totals(history: Sequence[Moment]) -> Chart:
    return {
        "height": 150,
        "data": {
            "values": [
                {"snapshot": _when(moment), "breweries": moment.breweries} for moment in history
            ]
        },
        "mark": {"type": "line", "color": ACCENT, "point": {"color": ACCENT, "size": 45}},
        "encoding": {
            "x": _TIME,
            "y": {
                "field": "breweries",
                "type": "quantitative",
                "scale": {"zero": False},
                "axis": {"tickMinStep": 1, "tickCount": 4, "format": ","},
            },
            "tooltip": [{"field": "snapshot"}, BREWERIES],
        },
    }


def _changes(history: Sequence[Moment]) -> Chart:
    return {
        "height": 110,
        "data": {
            "values": [
                {"snapshot": _when(moment), "change": kind, "breweries": number}
                for moment in history
                for kind, number in moment.changes.items()
            ]
        },
        "mark": {"type": "bar", "width": {"band": 0.6}},
        "encoding": {
            "x": _TIME,
            "y": {
                "field": "breweries",
                "type": "quantitative",
                "axis": {"tickMinStep": 1, "tickCount": 3, "format": ","},
            },
            "color": {
                "field": "change",
                "scale": {"domain": [*KINDS], "range": [ACCENT, GONE, OTHER]},
                "legend": {"orient": "top", "title": None},
            },
            "tooltip": [{"field": "snapshot"}, {"field": "change"}, BREWERIES],
        },
    }


def _when(moment: Moment) -> str:
    return f"{moment.time:%Y-%m-%d %H:%M:%S}"


_TIME = {
    "field": "snapshot",
    "type": "ordinal",
    "axis": {
        "labelAngle": 0,
        "labelExpr": "slice(datum.label, 0, 10)",
        "labelOverlap": "greedy",
        "labelSeparation": 12,
    },
}
