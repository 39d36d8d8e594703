"""Reads the source completely: every record as it was served, or an error.

The contract is that of Open Brewery DB's source code (openbrewerydb-laravel-api, 2026-08): pages of
at most 200 from `/breweries`, the totals from `/breweries/meta`.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from itertools import islice
from logging import Logger
from typing import Any

from brewery_assets.memory import require_memory_in_python
from brewery_assets.source.http import Fetcher, RefusedError, SourceError
from brewery_assets.source.profile import profile_of, whole
from brewery_assets.source.records import Record, split_page

PAGE_SIZE = 200
BORDERS_MOVE_BY = 13
PASSES = 5
PAGES_AHEAD = 100  # in the pool's queue, so that an absurd total does not fill the memory
BARREN_PAGES = 30  # in a row without a new id, before the expected last page
FRUITLESS_PAGES = 3  # the same beyond the expected last page, for servers that ignore `page`
UNEXPECTED_PAGES = 500  # beyond those that the total explains; without a total, 100,000 rows
WRONG_TOTAL = "If the source's total is known to be wrong, set MISSING_ROWS_ALLOWED."


@dataclass(frozen=True)
class Totals:
    """The answer of `/breweries/meta`, with numbers as numbers (older versions served text)."""

    total: int
    groups: dict[str, dict[str, int]]

    @classmethod
    def parse(cls, text: str) -> "Totals":
        """The totals in an answer; ValueError if the text has none."""
        said = json.loads(text)
        if not isinstance(said, dict) or "total" not in said:
            raise ValueError("no object with a total")
        try:
            groups = {
                key: {whole(name): int(rows) for name, rows in said[key].items()}
                for key in ("by_state", "by_country", "by_type")
                if isinstance(said.get(key), dict)
            }
            return cls(int(said["total"]), groups)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"a total that is not a number ({error})") from error

    def as_json(self) -> dict[str, Any]:
        """The totals for the manifest."""
        return {"total": self.total, **self.groups}


@dataclass(frozen=True)
class Reading:
    """The result of one read of the source.

    Attributes:
        lines: one record a line as JSON, as served, sorted by identity, each identity once.
        facts: what the source said and how it was read: both metas, `verified`, `missing`,
            pages, passes, requests, retries, duplicates dropped, first and last request (UTC), and
            for the records `distinct`, `counts` and `fields` (see `profile.Profile`).
    """

    lines: list[str]
    facts: dict[str, Any]

    @property
    def columns(self) -> dict[str, str]:
        """The JSON types of each field, such as `number or string`."""
        return {
            name: " or ".join(sorted({*kinds} - {"null"})) or "null"
            for name, kinds in self.facts["fields"].items()
        }

    @cached_property
    def content(self) -> bytes:
        """JSON Lines, UTF-8."""
        return "".join(f"{line}\n" for line in self.lines).encode()

    @cached_property
    def sha256(self) -> str:
        """The checksum of the content, which does not depend on the order of the pages."""
        return hashlib.sha256(self.content).hexdigest()


class Reader:
    """Reads the source in passes over its pages, until the records are complete."""

    def __init__(
        self,
        url: str,
        missing_allowed: int,
        fetcher: Fetcher,
        pool: ThreadPoolExecutor,
        log: Logger,
    ) -> None:
        self.url = url
        self.missing_allowed = missing_allowed
        self.fetcher = fetcher
        self.pool = pool
        self.log = log
        self.began = _now()
        self.passes = 0
        self.page_size = PAGE_SIZE
        self._restart(None)

    def _restart(self, totals: Totals | None) -> None:
        self.totals = totals
        self.records: dict[tuple[str, int], Record] = {}
        self.pages = 0
        self.duplicates = 0

    def read(self) -> Reading:
        """Repeats passes until there are as many distinct ids as `/meta` says before and after.

        One pass is enough if the pages are sorted. An older API ignores `sort`: its pages overlap
        and miss rows, which the next pass may find.
        """
        self._restart(self._ask_totals(may_be_missing=True))
        if self.totals is None:
            return self._read_uncounted()
        had_too_many = False
        while self.passes < PASSES:
            known = len(self.records)
            self._read_pages(self.totals.total)
            after = self._ask_totals()
            found = f"{len(self.records):,} distinct ids where /meta says {self.totals.total:,}"
            if after != self.totals:
                found = "its totals changed while it was read"
                self.log.warning(f"{self.url}: {found}; reading it again")
                had_too_many = False
                self._restart(after)
            elif self.missing == 0:
                return self._reading(None)
            elif self.missing < 0 and had_too_many:
                return self._reading(found)
            elif self.missing < 0:
                had_too_many = True
                self.log.warning(f"{self.url}: {found}; reading it again")
                self._restart(after)
            elif self.missing <= self.missing_allowed and (
                len(self.records) == known or self.passes == PASSES
            ):
                return self._reading(f"{found}; MISSING_ROWS_ALLOWED={self.missing_allowed}")
            else:
                had_too_many = False
                self.log.warning(f"{self.url}: {found} after pass {self.passes} of {PASSES}")
        raise SourceError(
            f"{self.url}/breweries is not complete after {PASSES} passes: {found}. Nothing is "
            f"published. {WRONG_TOTAL}"
        )

    @property
    def missing(self) -> int:
        return self.totals.total - len(self.records) if self.totals else 0

    def _read_uncounted(self) -> Reading:
        """Reads an older API without `/meta`, up to the first empty page."""
        if not self._read_pages(0):
            raise SourceError(
                f"{self.url}/breweries repeats itself and has no empty page at its end, and there "
                "is no /breweries/meta to say how many rows there should be"
            )
        if not self.records:
            raise SourceError(f"{self.url} has neither /breweries/meta nor any brewery")
        return self._reading("it has no /meta, so the expected number of rows is unknown")

    def _ask_totals(self, *, may_be_missing: bool = False) -> Totals | None:
        try:
            return self.fetcher.get(f"{self.url}/breweries/meta", {}, Totals.parse)
        except RefusedError as refused:
            if refused.status == 404 and may_be_missing:
                return None
            raise

    def _read_pages(self, total: int) -> bool:
        """One pass: the pages for the total of `/meta`, then more until nothing new comes.

        A short or empty page before that is not the end, and a server may serve smaller pages
        than requested. Returns whether an empty page was the end.

        Raises:
            SourceError: the source serves far fewer or far more rows than the total says. The
                limits keep a wrong total from using up all of the patience.
        """
        # Each pass has other page borders: rows that one pass misses there are found by the next.
        self.page_size = PAGE_SIZE - BORDERS_MOVE_BY * self.passes
        self.passes += 1
        expected = -(-total // self.page_size)
        seen: set[tuple[str, int]] = set()
        barren, barren_allowed = 0, BARREN_PAGES + self.missing_allowed // self.page_size
        for done, page in enumerate(self._ask_pages(expected), start=1):
            barren = 0 if self._add(page, seen) else barren + 1
            if barren == barren_allowed:
                raise SourceError(
                    f"{self.url}/breweries served {barren} pages in a row without a new id, which "
                    f"is the limit: {len(seen):,} distinct ids on {done:,} of the "
                    f"{expected:,} pages for the {total:,} breweries of /meta. Nothing is "
                    f"published. {WRONG_TOTAL}"
                )
            if done % 10 == 0 or done == expected:
                self.log.info(f"page {done} of {expected}: {len(seen):,} breweries")
        number = expected
        fruitless = unexpected = 0
        while fruitless < FRUITLESS_PAGES:
            if unexpected == UNEXPECTED_PAGES:
                said = f"{total:,}" if self.totals else "nothing"
                raise SourceError(
                    f"{self.url}/breweries has no end: {len(seen):,} distinct ids where /meta says "
                    f"{said}, and {unexpected} pages beyond that, which is the limit. Nothing "
                    "is published. Check that BREWERY_API_URL is a brewery API."
                )
            number += 1
            unexpected += len(seen) >= total
            page = self._ask_page(number)
            if not page:
                return True
            fruitless = 0 if self._add(page, seen) else fruitless + 1
            if number % 10 == 0:
                self.log.info(f"page {number}: {len(seen):,} breweries")
        return False

    def _ask_pages(self, expected: int) -> Iterator[list[Record]]:
        """The pages from 1 to `expected`, in the order in which they arrive."""
        numbers = iter(range(1, expected + 1))
        asked = {self.pool.submit(self._ask_page, n) for n in islice(numbers, PAGES_AHEAD)}
        while asked:
            done, asked = wait(asked, return_when=FIRST_COMPLETED)
            asked |= {self.pool.submit(self._ask_page, n) for n in islice(numbers, len(done))}
            for answer in done:
                yield answer.result()

    def _ask_page(self, number: int) -> list[Record]:
        query: dict[str, str | int] = {
            "per_page": self.page_size,
            "page": number,
            "sort": "id:asc",
        }
        return self.fetcher.get(f"{self.url}/breweries", query, split_page)

    def _add(self, page: list[Record], seen: set[tuple[str, int]]) -> int:
        """Adds a page; later records replace earlier ones. Returns how many are new in the pass."""
        new = {record.identity for record in page} - seen
        seen |= new
        self.pages += 1
        self.duplicates += len(page) - len(new)
        self.records.update((record.identity, record) for record in page)
        require_memory_in_python(len(self.records))
        return len(new)

    def _reading(self, doubt: str | None) -> Reading:
        if doubt:
            self.log.warning(f"{self.url}: {doubt}; the snapshot is marked verified: false")
        meta = self.totals.as_json() if self.totals else None
        return Reading(
            lines=[record.line for _, record in sorted(self.records.items())],
            facts={
                "url": self.url,
                "verified": doubt is None,
                "doubt": doubt,
                "meta_before": meta,
                "meta_after": meta,
                "missing": self.missing,
                "missing_allowed": self.missing_allowed,
                "pages": self.pages,
                "passes": self.passes,
                "requests": self.fetcher.sent,
                "retries": self.fetcher.retries,
                "duplicates_dropped": self.duplicates,
                "first_request_at": self.began,
                "last_request_at": _now(),
                "distinct": len(self.records),
                **profile_of(record.facts for record in self.records.values())._asdict(),
            },
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
