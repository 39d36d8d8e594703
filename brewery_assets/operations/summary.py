"""The summary of a lake, for a terminal."""

import os
import textwrap
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.rows import parquet_files, table_of
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.suspects.table import SUSPECTS
from brewery_assets.operations.platform import LAYERS, layer_line
from brewery_assets.presentation import visible

PLACES = 10


def summary_of(lake: Lake) -> str:
    """The newest snapshot of each layer, the largest places and the types."""
    newest = {layer: manifest for layer in LAYERS if (manifest := lake.newest(layer))}
    places: Counter[str] = Counter()
    types: Counter[str] = Counter()
    gold = newest[GOLD.name]
    for file in parquet_files(lake, gold):
        for row in table_of(file).to_pylist():
            place = f"{row['country_name'] or 'no country'} / {row['state_name'] or 'no state'}"
            places[visible(place)] += row["brewery_count"]
            types[visible(row["brewery_type"])] += row["brewery_count"]
    left = _ranking(f"The {PLACES} largest places", places.most_common(PLACES))
    right = _ranking("By type", types.most_common())
    width = max(map(len, left)) + 4
    return "\n".join(
        [
            "",
            f"Published as snapshot {gold.snapshot}:",
            "",
            *(
                f"  {layer_line(manifest)} {location(lake, manifest.folder)}/"
                for manifest in newest.values()
            ),
            *_suspicions(newest.get(SUSPECTS.name)),
            "",
            *(f"  {a:{width}}{b}".rstrip() for a, b in zip_longest(left, right, fillvalue="")),
        ]
    )


def next_steps(*first: str) -> str:
    """The commands to type after a run.

    Args:
        first: lines, each with a command and what it does. They come first.
    """
    return "\n".join(
        [
            "",
            "What next:",
            *(f"  {line}" for line in first),
            "  make dev             the lineage, the checks and the runs in the Dagster UI",
            "  make help            the other commands; docs/reading.md has queries to start from",
        ]
    )


def _suspicions(suspects: Manifest | None) -> list[str]:
    """The number of suspicions by rule, as lines of text."""
    if suspects is None:
        return []
    found = suspects.check("no_more_suspicions_than_before")["by_rule"]
    rules = sorted(found.items(), key=lambda it: (-it[1], it[0]))
    # A tilde keeps a number and its rule on one line.
    lines = textwrap.wrap(", ".join(f"{number:,}~{rule}" for rule, number in rules), width=92)
    return [
        "",
        f"  {suspects.rows:,} suspicions about records of the source (docs/data-quality.md):",
        *(f"    {line.replace('~', ' ')}" for line in lines),
    ]


def location(lake: Lake, name: str) -> str:
    """A file or folder of the lake: its URI, or its path from the current folder."""
    return lake.storage.uri(name).removeprefix(f"{Path.cwd()}{os.sep}")


def _ranking(title: str, counts: Iterable[tuple[str, int]]) -> list[str]:
    found = list(counts)
    width = max((len(name) for name, _ in found), default=0)
    return [title, *(f"{name:{width}}{count:>8,}" for name, count in found)]
