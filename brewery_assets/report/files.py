"""The files of a report: their names, and tables as CSV that is safe in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from brewery_assets.presentation import csv_cell

PAGE, CSV, PICTURE = "index.html", "brewery_counts.csv", "breweries.png"


class Report(NamedTuple):
    """The files of a report by name, and the number of counts they show."""

    files: dict[str, bytes]
    rows: int


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as CSV in UTF-8; a null is blank."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row[name]) for name in columns] for row in rows)
    return written.getvalue().encode()
