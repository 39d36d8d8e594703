"""The report's files: one page that needs nothing but itself, its tables as CSV, a picture."""

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import jinja2
import vl_convert

from brewery_assets.checks.rule import format_numbers
from brewery_assets.lake.manifest import time_of
from brewery_assets.layers.changes import NOT_OPEN
from brewery_assets.layers.gold import GOLD
from brewery_assets.presentation import csv_cell, visible
from brewery_assets.redaction import redacted
from brewery_assets.report.charts import STATES_SHOWN, charts, picture
from brewery_assets.report.facts import Facts
from brewery_assets.report.suspects_csv import SUSPECTS_COLUMNS, SUSPECTS_CSV

PAGE, CSV, PICTURE = "index.html", "brewery_counts.csv", "breweries.png"


class Report(NamedTuple):
    """The files of a report, by their names, and how many counts they show."""

    files: dict[str, bytes]
    rows: int


def report_of(facts: Facts, suspects: Iterable[Mapping[str, Any]]) -> Report:
    """The files that show the facts and the suspicions.

    Args:
        facts: of the page.
        suspects: rows of the suspicions' CSV.
    """
    tables = {
        CSV: table(GOLD.columns, facts.counts),
        SUSPECTS_CSV: table(SUSPECTS_COLUMNS, suspects),
    }
    files = {PICTURE: picture(facts), **tables, PAGE: page(facts, tables).encode()}
    return Report(files, len(facts.counts))


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as CSV that a spreadsheet may open, in UTF-8; a null is blank."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row[name]) for name in columns] for row in rows)
    return written.getvalue().encode()


def page(facts: Facts, tables: Mapping[str, bytes]) -> str:
    """The page: HTML with its styles, its data and the scripts that draw it.

    Args:
        facts: what it shows.
        tables: CSV files by their names. They are inside the page, so that it never leads to the
            files of another snapshot.
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
    environment.filters["moment"] = lambda time: f"{time:%Y-%m-%d %H:%M} UTC"
    return environment.get_template("page.html").render(
        facts=facts,
        totals=_totals(facts),
        countries=sorted({(row["country_name"], row["country"]) for row in facts.counts}, key=str),
        checks=[(check, visible(format_numbers(check.numbers))) for check in facts.checks],
        source=facts.origins[-1].source,
        as_of=time_of(facts.origins[0].snapshot),
        made_at=datetime.now(timezone.utc),
        charts=charts(facts),
        states_shown=STATES_SHOWN,
        tables={name: base64.b64encode(content).decode() for name, content in tables.items()},
        script=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
    )


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
