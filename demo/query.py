"""A request for breweries, and what it selects: filters like SQL's LIKE, order like SQLite's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from demo.data import Row

SORTABLE = (
    "id",
    "name",
    "brewery_type",
    "type",
    "city",
    "state_province",
    "postal_code",
    "country",
)
LIKE = {
    "by_city": "city",
    "by_country": "country",
    "by_name": "name",
    "by_state": "state_province",
    "by_postal": "postal_code",
}
LISTS = {"by_type": "brewery_type", "by_ids": "id"}


@dataclass(frozen=True)
class Query:
    """A request for a page: `sort` holds (field, direction) pairs, `filters` the by_… values."""

    page: int = 1
    per_page: int = 50
    sort: tuple[tuple[str, str], ...] = ()
    filters: dict[str, str] = field(default_factory=dict)


def matching(rows: list[Row], filters: dict[str, str]) -> list[Row]:
    """The rows that match every filter: `_` is any one character, so new_york finds New York."""
    for name, value in filters.items():
        if name in LISTS:
            wanted = {item.strip() for item in value.split(",")}
            rows = [row for row in rows if row.get(LISTS[name]) in wanted]
        else:
            anchor = "^" if name == "by_postal" else ""
            like = re.escape(value.strip()).replace("_", ".").replace("%", ".*")
            found = re.compile(anchor + like, re.IGNORECASE).search
            rows = [row for row in rows if found(str(row.get(LIKE[name]) or ""))]
    return rows


class Order:
    """Sorts rows, nulls first; caches the last result until rows or order change."""

    def __init__(self) -> None:
        self._of: object = None
        self._positions: list[int] = []

    def positions(self, rows: Sequence[Row], sort: tuple[tuple[str, str], ...]) -> list[int]:
        """The positions in `rows` of the first, second, … row in that order; ties stay in place."""
        names = ["brewery_type" if name == "type" else name for name, _ in sort]
        columns = [[str(row.get(name) or "") for row in rows] for name in names]
        if self._of != (sort, columns):
            positions = list(range(len(rows)))
            for (_, direction), column in reversed(list(zip(sort, columns, strict=True))):
                positions.sort(key=column.__getitem__, reverse=direction == "desc")
            self._of, self._positions = (sort, columns), positions
        return self._positions
