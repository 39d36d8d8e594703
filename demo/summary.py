"""What a lake has, for a person at a terminal."""

import os
import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.rows import parquet_files, table_of
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.suspects.table import SUSPECTS
from brewery_assets.operations.platform import LAYERS, layer_line

PLACES = 10


def summary_of(lake: Lake) -> str:
    """The newest snapshot of each layer, the largest places, the types, and what to type next."""
    newest = {layer: manifest for layer in LAYERS if (manifest := lake.newest(layer))}
    places: Counter[str] = Counter()
    types: Counter[str] = Counter()
    gold = newest[GOLD.name]
    for file in parquet_files(lake, gold):
        for row in table_of(file).to_pylist():
            place = f"{row['country_name'] or 'no country'} / {row['state_name'] or 'no state'}"
            places[place] += row["brewery_count"]
            types[row["brewery_type"]] += row["brewery_count"]
    left = _ranking(f"The {PLACES} largest places", places.most_common(PLACES))
    right = _ranking("By type", types.most_common())
    width = max(map(len, left)) + 4
    left += [""] * (len(right) - len(left))
    return "\n".join(
        [
            "",
            f"Published as snapshot {gold.snapshot}:",
            "",
            *(
                f"  {layer_line(manifest)} {_where(lake, manifest)}/"
                for manifest in newest.values()
            ),
            *_suspicions(newest.get(SUSPECTS.name)),
            "",
            *(f"  {a:{width}}{b}".rstrip() for a, b in zip(left, right, strict=True)),
            "",
            "What next:",
            "  make dev            the lineage, the checks and the runs in the Dagster UI",
            "  make publish_report a page of the counts, with its CSV inside, in brewery_report/",
            "  make run_pipeline   the same from the live API, into the same lake",
            "  make help           the other commands; README.md has queries to start from",
        ]
    )


def _suspicions(suspects: Manifest | None) -> list[str]:
    """How many there are, by rule."""
    if suspects is None:
        return []
    found = suspects.check("no_more_suspicions_than_before")["by_rule"]
    rules = sorted(found.items(), key=lambda it: (-it[1], it[0]))
    return [
        "",
        f"  {suspects.rows:,} suspicions about records of the source (docs/data-quality.md):",
        *textwrap.wrap(
            ", ".join(f"{number:,} {rule}" for rule, number in rules),
            width=96,
            initial_indent="    ",
            subsequent_indent="    ",
        ),
    ]


def _where(lake: Lake, manifest: Manifest) -> str:
    return lake.storage.uri(manifest.folder).removeprefix(f"{Path.cwd()}{os.sep}")


def _ranking(title: str, counts: Iterable[tuple[str, int]]) -> list[str]:
    found = list(counts)
    width = max((len(name) for name, _ in found), default=0)
    return [title, *(f"{name:{width}}{count:>8,}" for name, count in found)]
