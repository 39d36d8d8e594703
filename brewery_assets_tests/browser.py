"""The installed Chromium, headless, and a report page that is open in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from brewery_assets_tests.spark_servers import missing

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120_000  # milliseconds; a quiet machine needs about a second
DRAWN = "document.body.dataset.drawn == Object.keys(charts).length"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts the browser. If it is not installed, the test is skipped, or fails in CI."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE
        )
        try:
            yield browser
        finally:
            browser.close()


class Shown:
    """A report in the browser.

    Attributes:
        said: the messages in its console, including uncaught errors.
        asked: the URLs that it requested, except its own.
    """

    def __init__(self, browser: Browser, file: Path, chosen: str = "", **context: Any) -> None:
        self.page: Page = browser.new_context(**context).new_page()
        self.page.set_default_timeout(PATIENCE)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{file.as_uri()}{chosen}")
        self.page.wait_for_function(DRAWN)
        self.asked = [url for url in self.asked if url.partition("#")[0] != file.as_uri()]

    def bars(self, chart: str) -> dict[str, int]:
        """The bars of a chart: the number of breweries by label."""
        labels = self.page.locator(f"#{chart} .mark-rect path").evaluate_all(
            "bars => bars.map(bar => bar.getAttribute('aria-label'))"
        )
        found = {}
        for label in labels:
            number, _, name = label.partition("; ")
            found[name.partition(": ")[2]] = int(number.partition(": ")[2].replace(",", ""))
        return found

    def rows(self, table: str) -> list[list[str]]:
        """The visible rows of a table, in order."""
        found: list[list[str]] = self.page.locator(f"#{table} tbody tr:not([hidden])").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
        )
        return found

    def table(self) -> list[tuple[str, str, str, int]]:
        """The visible rows of the counts table, in order."""
        return [
            (country, state, kind, int(breweries.replace(",", "")))
            for country, state, kind, breweries in self.rows("counts")
        ]

    def choose(self, value: str, of: str = "country") -> None:
        """Selects a country by its slug, or a type, and waits until the charts show it."""
        self.page.select_option(f"#{of}", value)
        self.page.evaluate(
            "Promise.all(Object.values(views).map(view => view.runAsync())).then(() => 0)"
        )

    def close(self) -> None:
        self.page.context.close()
