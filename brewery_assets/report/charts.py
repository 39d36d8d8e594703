"""The report's charts in Vega-Lite, for the page and for a PNG without a browser."""

from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert

from brewery_assets.checks.changes import KINDS
from brewery_assets.report.facts import Facts, Moment
from brewery_assets.report.map import (
    ACCENT,
    ALL,
    BREWERIES,
    CHOSEN,
    OF_COUNTRY,
    OF_TYPE,
    OTHER,
    Chart,
    frames,
    map_of,
)

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # an identifier, never fetched
GONE = "#4f8fba"  # readable on white and on black
STATES_SHOWN = 30
PICTURE_SIZE = {"width": 720, "height": 360}
COUNTRY, TYPE = ({"name": name, "value": ALL} for name in ("country", "brewery_type"))
WIDE = 1000  # breweries; an axis with a wider range has the label 11.5k, not 11,500
CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "axis": {
        "domain": False,
        "ticks": False,
        "grid": False,
        "labelLimit": 230,
        "labelPadding": 6,
        "title": None,
    },
    "text": {"fontSize": 12},
    "axisY": {"labelFontSize": 12},
    "view": {"stroke": None},
}


def charts(facts: Facts) -> dict[str, Chart]:
    """The charts in Vega, by the id of the page's element that shows them.

    Charts with the signals `country` and `brewery_type` show everything until these are set to a
    slug and a type.
    """
    counts = _counts(facts)
    params = [COUNTRY, TYPE]
    drawn = {
        "map": _alone(map_of(facts.points), [*params, *frames(facts.points)]),
        "states": _alone(_ranking(counts, "state", CHOSEN, most=STATES_SHOWN), params),
        # Other bars are faint, not hidden, so that the chosen one can be compared with them.
        "types": _alone(_ranking(counts, "type", OF_COUNTRY, bright=OF_TYPE), params),
        "countries": _alone(_ranking(counts, "nation", OF_TYPE, bright=OF_COUNTRY), params),
    }
    if len(facts.history) > 1:
        drawn["totals"] = _alone(_totals(facts.history))
        drawn["changes"] = _alone(_changes(facts.history))
    return {name: vl_convert.vegalite_to_vega(chart) for name, chart in drawn.items()}


def picture(facts: Facts) -> bytes:
    """The map as a PNG on white."""
    chart = _alone(map_of(facts.points), [COUNTRY, TYPE, *frames(facts.points)])
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


def _ranking(
    counts: Sequence[Mapping[str, Any]],
    of: str,
    where: str,
    *,
    most: int | None = None,
    bright: str = "true",
) -> Chart:
    """Bars, the longest first, with their numbers.

    Args:
        counts: rows to add up.
        of: the field with one bar per value.
        where: an expression for the rows to count.
        most: the largest number of bars; None for all.
        bright: an expression for the bars that are not faint.
    """
    steps: list[Chart] = [
        {"filter": where},
        {
            "aggregate": [{"op": "sum", "field": "breweries", "as": "breweries"}],
            "groupby": [of, "country"] if of == "nation" else [of],
        },
    ]
    if most:
        longest = [{"field": "breweries", "order": "descending"}, {"field": of}]
        steps += [
            {"window": [{"op": "row_number", "as": "rank"}], "sort": longest},
            {"filter": f"datum.rank <= {most}"},
        ]
    return {
        "description": f"Bars: breweries by {'country' if of == 'nation' else of}.",
        "height": {"step": 19},
        "data": {"values": [*counts]},
        "transform": steps,
        "encoding": {
            "x": {
                "field": "breweries",
                "type": "quantitative",
                "axis": None,
                "scale": {"range": [0, {"expr": "max(width - 45, 1)"}]},  # room for the number
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
                "encoding": {"opacity": {"condition": {"test": bright, "value": 1}, "value": 0.35}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "aria": False},
                "encoding": {"text": BREWERIES},
            },
        ],
    }


def _totals(history: Sequence[Moment]) -> Chart:
    totals = [moment.breweries for moment in history]
    wide = max(totals) - min(totals) >= WIDE
    return {
        "description": "A line: how many breweries each snapshot has.",
        "height": 150,
        "data": {
            "values": [
                {"snapshot": _when(moment), "breweries": moment.breweries} for moment in history
            ]
        },
        "transform": [_LOCAL],
        "mark": {"type": "line", "color": ACCENT, "point": {"color": ACCENT, "size": 45}},
        "encoding": {
            "x": _TIME,
            "y": {
                "field": "breweries",
                "type": "quantitative",
                "scale": {"zero": False},
                "axis": {
                    "tickMinStep": 1,
                    "tickCount": 4,
                    "format": "~s" if wide else ",d",
                    **_ZERO,
                },
            },
            "tooltip": [_WHEN, BREWERIES],
        },
    }


def _changes(history: Sequence[Moment]) -> Chart:
    changes = [sum(filter(None, moment.changes.values())) for moment in history]
    return {
        "description": "Bars: how many breweries were added, removed and changed in each snapshot.",
        "height": 110,
        "data": {
            "values": [
                {"snapshot": _when(moment), "change": kind, "breweries": number}
                for moment in history
                for kind, number in moment.changes.items()
            ]
        },
        "transform": [_LOCAL],
        "mark": {"type": "bar", "width": {"band": 0.6}},
        "encoding": {
            "x": _TIME,
            "y": {
                "field": "breweries",
                "type": "quantitative",
                "axis": {
                    "tickMinStep": 1,
                    "tickCount": 3,
                    "format": "~s" if max(changes) >= WIDE else ",d",
                    **_ZERO,
                },
            },
            "color": {
                "field": "change",
                "scale": {"domain": [*KINDS], "range": [ACCENT, GONE, OTHER]},
                "legend": {"orient": "top", "title": None},
            },
            "tooltip": [_WHEN, {"field": "change"}, BREWERIES],
        },
    }


def _when(moment: Moment) -> str:
    return f"{moment.time:%Y-%m-%dT%H:%M:%SZ}"


_ZERO = {"labelExpr": "datum.value ? datum.label : '0'"}  # not 0k
_LOCAL = {"calculate": "timeFormat(toDate(datum.snapshot), '%b %-d, %Y, %H:%M')", "as": "when"}
_WHEN = {"field": "when", "title": "snapshot"}
_TIME = {
    "field": "snapshot",
    "type": "ordinal",
    "axis": {
        "labelAngle": 0,
        "labelExpr": "timeFormat(toDate(datum.label), '%b %-d, %Y')",
        "labelOverlap": "greedy",
        "labelSeparation": 12,
    },
}
