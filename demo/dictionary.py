"""Builds the data dictionary from the schemas, the checks and the real data."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.checks.rule import Rule
from brewery_assets.checks.rules import RULES
from brewery_assets.definitions import ASSETS
from brewery_assets.engine.spark import Spark
from brewery_assets.lake.tables import Table, small
from brewery_assets.layers.bronze import FIELDS
from brewery_assets.layers.changes import CHANGES
from brewery_assets.layers.gold import GOLD, counts
from brewery_assets.layers.silver import REJECTED, SILVER, parse, refine
from brewery_assets.layers.suspects.table import (
    SUSPECTS,
    breweries_of,
    frame,
    points_of,
    suspicions,
)
from brewery_assets.source.profile import profile_of
from brewery_assets.source.records import split_page
from demo.data import load

PAGE = Path(__file__).parents[1] / "docs" / "data-dictionary.md"
HEAD = """# Data dictionary

Every column of every layer. `make data_dictionary` makes this page from the schemas, the checks and
the bundled real data ({rows:,} breweries of 2026-08-02), and a test compares it with them.

*Null* is the share of the real rows that have no value. A rule in bold blocks: if it fails, the
layer is not published. The others warn.

The tables have the source's text, trimmed. The report and its CSV files leave out control and bidi
characters. A cell of a CSV file that begins with `=`, `+`, `-`, `@`, a tab or a carriage return has
a leading apostrophe, because a spreadsheet would run it as a formula; numbers are not changed.
"""


class Column(NamedTuple):
    """A column of a layer, from its schema."""

    name: str
    kind: str
    meaning: str


def page() -> str:
    """The page, in Markdown; starts an engine and stops it."""
    rows = load()
    spark = Spark()
    try:
        nulls = dict(_nulls(spark, [json.dumps(row) for row in rows]))
    finally:
        spark.stop()
    descriptions = {spec.key.path[-1]: spec.description for made in ASSETS for spec in made.specs}
    sections = [
        _section(name, descriptions[name] or "", columns, nulls.get(name, {}))
        for name, columns in _layers()
    ]
    return "\n\n".join([HEAD.format(rows=len(rows)).rstrip(), *sections]) + "\n"


def _layers() -> Iterator[tuple[str, list[Column]]]:
    yield "bronze_breweries", [Column(name, *about) for name, about in FIELDS.items()]
    for table in (SILVER, REJECTED, SUSPECTS, GOLD, CHANGES):
        comments = {field.name: field.metadata["comment"] for field in table.schema.fields}
        yield table.name, [Column(*column, comments[column[0]]) for column in table.types.items()]


def _nulls(spark: Spark, lines: Sequence[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """For each layer that has rows, the share of nulls by column."""
    fields = profile_of(record.facts for record in split_page(f"[{','.join(lines)}]")).fields
    yield "bronze_breweries", {name: kinds["null"] / len(lines) for name, kinds in fields.items()}
    session = spark.spark_session
    bronze = small(session, [{"line": line} for line in lines], REJECTED.schema).select("line")
    refined = refine(spark.hold(parse(bronze)))
    silver = spark.hold(refined.breweries)
    points = spark.hold(points_of(bronze))
    suspects = frame(silver, suspicions(breweries_of(silver, points)))
    for table, rows in (
        (SILVER, silver),
        (REJECTED, refined.rejected),
        (SUSPECTS, suspects),
        (GOLD, counts(silver)),
    ):
        if shares := _shares(table, rows):
            yield table.name, shares


def _shares(table: Table, frame: DataFrame) -> dict[str, float]:
    found = frame.agg(
        F.count(F.lit(1)).alias("rows"),
        *(F.count_if(F.col(name).isNull()).alias(name) for name in table.columns),
    ).collect()[0]
    return {name: found[name] / found.rows for name in table.columns} if found.rows else {}


def _section(
    name: str, description: str, columns: Sequence[Column], nulls: Mapping[str, float]
) -> str:
    rules = RULES.get(name, {})
    rows = [("column", "type", "meaning", "null", "rules"), ("---",) * 5]
    for column in columns:
        on_it = [_shown(rule, it) for rule, it in rules.items() if column.name in it.columns]
        share = _percent(nulls[column.name]) if nulls else "no rows"
        kind = f"`{column.kind}`"
        rows.append((f"`{column.name}`", kind, column.meaning, share, ", ".join(on_it)))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    said = [f"- {_shown(rule, it)}: {it.description}" for rule, it in rules.items()]
    return "\n\n".join(filter(None, [f"## {name}", description, table, "\n".join(said)]))


def _percent(share: float) -> str:
    return f"{share:.2%}" if share else "none"


def _shown(name: str, rule: Rule) -> str:
    return f"**{name}**" if rule.blocking else name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
