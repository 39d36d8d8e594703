"""The rows behind the API: pages, counts, and the faults of the data."""

import uuid
from collections import Counter
from itertools import cycle, islice
from random import Random

from demo.data import Row
from demo.faults import Faults
from demo.query import Order, Query, matching

STRAYS: tuple[object, ...] = (None, 42, "text", [])


class Source:
    """Serves the current `rows` at each request; the owner of the list may change it."""

    def __init__(self, rows: list[Row], faults: Faults) -> None:
        self.rows = rows
        self.faults = faults
        self._order = Order()

    @property
    def faults(self) -> Faults:
        """The current faults; assigning them resets their counters and random numbers."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._random = Random(faults.seed)
        self._pages = self._changes = 0
        self.attempts: Counter[str] = Counter()

    def page(self, query: Query) -> list[object]:
        """The rows of one page, at most `per_page`; none past the end."""
        faults = self.faults
        per_page = min(query.per_page, faults.per_page_cap or query.per_page)
        start = 0 if faults.ignore_page else (query.page - 1) * per_page
        rows = matching(list(self.rows), query.filters)
        if query.page in faults.empty_page_numbers:
            found = []
        elif query.sort and not faults.ignore_sort:
            positions = self._order.positions(rows, query.sort)[start : start + per_page]
            found = [rows[position] for position in positions]
        else:
            # Like a table scan with a different start each time: pages overlap and miss rows.
            shift = self._random.randrange(per_page // 10 + 2)
            found = [*rows[shift:], *rows[:shift]][start : start + per_page]
        self._change_under_the_reader()
        strays = islice(cycle(STRAYS), faults.strays if start == 0 else 0)
        return [*(self.served(row) for row in found), *strays]

    def meta(self, query: Query) -> dict[str, object]:
        """Counts of the rows that match, with the query's page and per_page."""
        rows = matching(list(self.rows), query.filters)
        counts = {
            name: dict(Counter(row[field] for row in rows if row.get(field) is not None))
            for name, field in (
                ("by_state", "state_province"),
                ("by_country", "country"),
                ("by_type", "brewery_type"),
            )
        }
        total = len(rows) + self.faults.strays + self.faults.meta_total_off_by
        if not self.faults.meta_as_text:
            return {"total": total, **counts, "page": query.page, "per_page": query.per_page}
        del counts["by_country"]
        texts = {name: {key: str(n) for key, n in of.items()} for name, of in counts.items()}
        return {
            "total": str(total),
            **texts,
            "page": str(query.page),
            "per_page": str(query.per_page),
        }

    def sample(self, size: int) -> list[Row]:
        """That many random rows, or all if there are fewer."""
        rows = list(self.rows)
        return [self.served(row) for row in self._random.sample(rows, min(size, len(rows)))]

    def row(self, brewery_id: str) -> Row | None:
        """The row with that id; None if there is none."""
        found = (row for row in list(self.rows) if row.get("id") == brewery_id)
        return next(map(self.served, found), None)

    def search(self, text: str, query: Query) -> list[Row]:
        """A page of the rows whose name or place contains the case-folded text."""
        fields = ("name", "city", "state_province", "country")
        found = (
            row
            for row in matching(list(self.rows), query.filters)
            if any(text in str(row.get(field) or "").casefold() for field in fields)
        )
        start = (query.page - 1) * query.per_page
        return [self.served(row) for row in islice(found, start, start + query.per_page)]

    def served(self, row: Row) -> Row:
        """The row as this version of the API serves it."""
        if self.faults.coordinates_as_text:
            axes = {axis: row.get(axis) for axis in ("longitude", "latitude")}
            row = row | {axis: None if at is None else str(at) for axis, at in axes.items()}
        if self.faults.dropped_fields:
            row = {name: row[name] for name in row if name not in self.faults.dropped_fields}
        return row

    def _change_under_the_reader(self) -> None:
        every, most = self.faults.rows_change_every, self.faults.changes_stop_after
        self._pages += 1
        if not every or self._pages % every or not self.rows:
            return
        if most is not None and self._changes >= most:
            return
        at = self._random.randrange(len(self.rows))
        row = self.rows[at]
        kind = ("add", "remove", "modify")[self._changes % 3]
        self._changes += 1
        if kind == "add":
            new_id = uuid.UUID(int=self._random.getrandbits(128), version=4)
            self.rows.append(row | {"id": str(new_id)})
        elif kind == "remove":
            del self.rows[at]
        else:
            other = "micro" if row.get("brewery_type") == "closed" else "closed"
            self.rows[at] = row | {"brewery_type": other}
