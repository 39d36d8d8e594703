"""The input of the layers: the real rows in bronze's form, repeated with other ids."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from demo.data import load

REAL_ROWS = 11_822


def write(path: Path, rows: int) -> None:
    """Writes `rows` lines of JSON, always the same ones; the first 11,822 are the real rows."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(islice(_lines(), rows))


def _lines() -> Iterator[str]:
    real = sorted(load(), key=lambda row: row["id"])
    copy = 0
    while True:
        for row in real:
            # Replaces the first 8 of a UUID's 32 digits; the others still differ in each row.
            other = {**row, "id": f"{copy:08x}{row['id'][8:]}"} if copy else row
            yield json.dumps(other, ensure_ascii=False, separators=(",", ":")) + "\n"
        copy += 1
