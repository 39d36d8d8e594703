"""The report's page, which is self-contained, and the other files of the report."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from brewery_assets.checks.rule import format_numbers
from brewery_assets.lake.manifest import time_of
from brewery_assets.layers.changes import NOT_OPEN
from brewery_assets.layers.gold import GOLD
from brewery_assets.presentation import visible
from brewery_assets.redaction import redacted
from brewery_assets.report.charts import STATES_SHOWN, charts, picture
from brewery_assets.report.facts import Facts
from brewery_assets.report.files import CSV, PAGE, PICTURE, Report, table
from brewery_assets.report.suspects_csv import SUSPECTS_COLUMNS, SUSPECTS_CSV

SUSPECTS_SHOWN = 1000  # the CSV has all


def report_of(facts: Facts, suspects: Sequence[Mapping[str, Any]]) -> Report:
    """The files that show the facts and the suspicions.

    Args:
        facts: what the page shows.
        suspects: the rows of `suspects_of`.
    """
    tables = {
        CSV: table(GOLD.columns, facts.counts),
        SUSPECTS_CSV: table(SUSPECTS_COLUMNS, suspects),
    }
    shown = page(facts, suspects, tables).encode()
    return Report({PICTURE: picture(facts), **tables, PAGE: shown}, len(facts.counts))


def page(facts: Facts, suspects: Sequence[Mapping[str, Any]], tables: Mapping[str, bytes]) -> str:
    """The page: HTML with its styles, its data and the scripts that draw it.

    Args:
        facts: what it shows.
        suspects: the suspicions.
        tables: CSV files by name. They are embedded in the page, so that it never links to files
            of another snapshot.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brewery_assets", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = lambda number: f"{number:,}"
    environment.filters["redacted"] = redacted  # an older version stored the URL whole
    environment.filters["moment"] = _moment
    environment.filters["visible"] = lambda text: visible(text or "")
    return environment.get_template("page.html").render(
        facts=facts,
        totals=_totals(facts),
        countries=sorted({(row["country_name"], row["country"]) for row in facts.counts}, key=str),
        types=sorted({row["brewery_type"] for row in facts.counts}),
        checks=[(check, visible(format_numbers(check.numbers))) for check in facts.checks],
        source=facts.origins[-1].source,
        as_of=time_of(facts.origins[0].snapshot),
        made_at=datetime.now(timezone.utc),
        charts=charts(facts),
        states_shown=STATES_SHOWN,
        suspects=suspects[:SUSPECTS_SHOWN],
        suspects_found=len(suspects),
        counts_csv=CSV,
        suspects_csv=SUSPECTS_CSV,
        tables={
            name: f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content).decode()}"
            for name, content in tables.items()
        },
        script=_vega(),
    )


@cache
def _vega() -> str:
    """Vega as one script, which vl_convert takes seconds to make."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script


def _moment(time: datetime) -> Markup:
    """A time in UTC, which the page's script converts to the reader's time zone."""
    utc = f"{time.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    machine = f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, utc, utc)


def _totals(facts: Facts) -> dict[str, int]:
    types: Counter[str] = Counter()
    for row in facts.counts:
        types[row["brewery_type"]] += row["brewery_count"]
    return {
        "breweries": types.total(),
        **{name: types[name] for name in NOT_OPEN},
        "countries": len({row["country"] for row in facts.counts}),
        "states": len({(row["country"], row["state"]) for row in facts.counts}),
        "on the map": sum(point["breweries"] for point in facts.points),
    }
