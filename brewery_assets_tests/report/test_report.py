"""The report: its page shows the published gold, and nothing else."""

import base64
import csv
import errno
import html
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import vl_convert
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from brewery_assets.checks.changes import KINDS
from brewery_assets.lake.io_managers import Candidate
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import time_of
from brewery_assets.lake.storage import Folder, Storage
from brewery_assets.report.asset import REPORT
from brewery_assets.report.charts import STATES_SHOWN, charts
from brewery_assets.report.facts import Facts, Moment
from brewery_assets.report.files import Report
from brewery_assets.report.suspects_csv import SUSPECTS_CSV
from brewery_assets_tests.browser import Shown
from brewery_assets_tests.checkout import ROOT
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import GOOD, IRELAND, OREGON, SILESIA, row
from demo.data import Row
from demo.s3 import S3Server

pytestmark = [
    pytest.mark.slow("draws charts, and shows most of them in Chromium"),
    pytest.mark.xdist_group("report"),
]

GOLD, SILVER = "gold_brewery_counts", "silver_breweries"
PHONE = {"width": 360, "height": 740}
LARGEST = 2_500_000  # bytes of the page, which people send to each other
# The elements that the window, or a scrolling region, cuts off at the right edge.
CUT = """() => [...document.querySelectorAll("body *")]
    .filter(it => !it.closest("svg, thead, .hidden-text"))
    .filter(it => it.getBoundingClientRect().right > innerWidth
        || getComputedStyle(it).display !== "inline" && it.scrollWidth > it.clientWidth + 1)
    .map(it => it.outerHTML.slice(0, 100))"""
CSV = "brewery_counts.csv"


def published(pipeline: Pipeline) -> Path:
    """Publishes the report; returns its page, whose path never changes."""
    pipeline.run(REPORT)
    return Path(pipeline.uri) / REPORT / "index.html"


def csv_in(page: Path, name: str = CSV) -> bytes:
    """The CSV of the counts, or another CSV in the page."""
    said = page.read_text(encoding="utf-8")
    links = re.findall('"data:text/csv;.*base64,(.*)" download="(.*?)"', said)
    held = {name: base64.b64decode(content) for content, name in links}
    assert list(held) == [CSV, SUSPECTS_CSV]
    return held[name]


def rows_of(content: bytes) -> list[dict[str, str | None]]:
    """The rows of a CSV, with None for empty cells."""
    read = csv.DictReader(io.StringIO(content.decode()))
    return [{name: value or None for name, value in row.items()} for row in read]


def table_of(gold: list[dict[str, Any]]) -> list[tuple[str, str, str, int]]:
    return [
        (
            row["country_name"] or "",
            row["state_name"] or "",
            row["brewery_type"],
            row["brewery_count"],
        )
        for row in gold
    ]


def total(gold: list[dict[str, Any]], *by: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for counted in gold:
        key = tuple(counted[name] for name in by)
        found[key[0] if len(by) == 1 else key] += counted["brewery_count"]
    return found


def test_the_page_shows_the_gold_of_the_real_data(
    pipeline: Pipeline, browser: Browser, real_rows: list[Row]
) -> None:
    pipeline.api.rows[:] = real_rows
    pipeline.run()
    gold = pipeline.rows(GOLD)
    page = published(pipeline)
    shown = Shown(browser, page)
    assert shown.table() == table_of(gold)
    assert shown.page.inner_text("#breweries") == "11,822"
    assert shown.page.inner_text("#counts caption") == "613 rows, 11,822 breweries"
    assert shown.bars("types") == total(gold, "brewery_type")
    assert shown.bars("countries") == total(gold, "country_name")
    states = total(gold, "state_name", "country_name")
    named = {f"{state}, {country}": number for (state, country), number in states.items()}
    bars = shown.bars("states")
    assert len(bars) == STATES_SHOWN
    assert bars.items() <= named.items()
    assert min(bars.values()) >= sorted(named.values(), reverse=True)[STATES_SHOWN]
    assert "9,387 of 11,822 have" in shown.page.inner_text("main")
    assert shown.page.locator("#map .mark-symbol path").count() > 5000

    shown.choose("belgium")
    of_belgium = [row for row in gold if row["country"] == "belgium"]
    assert shown.table() == table_of(of_belgium)
    assert shown.bars("types") == total(of_belgium, "brewery_type")
    assert sorted(shown.bars("states").values()) == sorted(total(of_belgium, "state").values())
    assert shown.page.locator("#map .mark-symbol path").count() < 500

    shown.choose("micro", of="type")
    micro = [row for row in of_belgium if row["brewery_type"] == "micro"]
    assert shown.table() == table_of(micro)
    assert shown.page.inner_text("#chosen") == f"{sum(total(micro, 'state').values())} breweries"
    assert sorted(shown.bars("states").values()) == sorted(total(micro, "state").values())
    assert shown.bars("types") == total(of_belgium, "brewery_type")  # this chart shows all types
    assert shown.bars("countries") == total(
        [row for row in gold if row["brewery_type"] == "micro"], "country_name"
    )
    assert not shown.said
    assert not shown.asked
    shown.close()

    assert page.stat().st_size < LARGEST
    suspicions = pipeline.rows("suspect_breweries")
    phone = Shown(browser, page, "#country=portugal", viewport=PHONE)
    of_portugal = [row for row in suspicions if row["country"] == "portugal"]
    assert len(phone.rows("suspects")) == len(of_portugal)
    phone.page.fill("#search-suspects", "vadia swapped")
    assert phone.page.inner_text("#suspects caption") == "1 suspicion"
    phone.choose("")
    phone.page.fill("#search-suspects", "")
    assert (
        len(phone.rows("suspects")) == len(suspicions) == len(rows_of(csv_in(page, SUSPECTS_CSV)))
    )
    assert phone.page.evaluate(CUT) == []
    phone.close()


@pytest.mark.usefixtures("published")
def test_the_choice_is_in_the_url_and_unknown_values_are_ignored(
    pipeline: Pipeline, browser: Browser
) -> None:
    page = published(pipeline)
    shown = Shown(browser, page)
    everything = shown.table()
    shown.choose("belgium")
    shown.choose("micro", of="type")
    belgian = shown.table()
    assert 0 < len(belgian) < len(everything)
    chosen = shown.page.evaluate("location.hash")
    assert chosen == "#country=belgium&type=micro"
    sent = Shown(browser, page, chosen)
    assert sent.table() == belgian
    assert sum(sent.bars("states").values()) == sum(row[3] for row in belgian)
    sent.page.evaluate("location.hash = '#country=poland'")
    sent.page.wait_for_function("document.getElementById('type').value === ''")
    assert [row[0] for row in sent.table()] == ["Poland"]
    sent.close()
    for unknown in ("#country=atlantis&type=%3Cscript%3E", "#belgium", "#country"):
        other = Shown(browser, page, unknown)
        assert other.table() == everything
        assert not other.said
        other.close()
    shown.choose("")
    shown.choose("", of="type")
    assert shown.page.evaluate("location.href") == page.as_uri()
    assert not shown.said
    shown.close()


def test_the_page_lists_the_changes_since_the_previous_snapshot(
    pipeline: Pipeline, browser: Browser
) -> None:
    pipeline.api.rows[:] = [*GOOD]
    pipeline.run()
    oregon, massachusetts, missouri, _, again, french, dutch, *others = GOOD
    pipeline.api.rows[:] = [
        {**oregon, "brewery_type": "closed"},
        {**massachusetts, "name": "4 Beards", "city": "Boston"},
        {**missouri, "phone": "3145550100"},
        {**again, "city": "Kansas City"},
        {**french, "brewery_type": "planning"},
        dutch,
        *others,
        row("New", "Italy/Bolzano/Meran", id="x" * 8),
        row("Planned", "Italy/Bolzano/Meran", id="y" * 8, brewery_type="planning"),
    ]
    pipeline.run()
    page = published(pipeline)
    shown = Shown(browser, page, viewport=PHONE)
    assert shown.rows("happened") == [
        ["New\nMeran, Bolzano, Italy", "opened", "type: micro"],
        ["(405) Brewing Co\nNorman, Oregon, United States", "closed", "type: micro → closed"],
        [
            "4 Beards\nBoston, Massachusetts, United States",
            "moved, renamed",
            "name: 3 Beards Beer Company → 4 Beards; city: Williamsburg → Boston",
        ],
        [
            "A Third Missouri Beer Company\nKansas City, Missouri, United States",
            "moved",
            "city: Saint Louis → Kansas City",
        ],
        [
            "Another Missouri Beer Company\nMissouri, United States",
            "no longer listed",
            "type: brewpub",
        ],
    ]
    said = shown.page.inner_text("main")
    assert "1 opened, 1 closed, 2 moved, 1 renamed, 1 no longer listed, and 3 corrected" in said
    shown.page.fill("#search-happened", "missouri listed")
    assert [row[1] for row in shown.rows("happened")] == ["no longer listed"]
    assert shown.page.inner_text("#happened caption") == "1 brewery"
    shown.page.fill("#search-happened", "")
    shown.choose("italy")
    assert [row[1] for row in shown.rows("happened")] == ["opened"]
    assert shown.page.evaluate(CUT) == []
    assert not shown.said
    shown.close()

    pipeline.run()  # without changes
    shown = Shown(browser, published(pipeline))
    said = shown.page.inner_text("main")
    assert "0 opened, 0 closed, 0 moved, 0 renamed, 0 no longer listed" in said
    assert not shown.page.locator("#happened").count()
    shown.close()


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_violations(
    pipeline: Pipeline, browser: Browser, scheme: str
) -> None:
    pipeline.api.rows[0] = {**pipeline.api.rows[0], "name": "Renamed"}
    pipeline.run()
    page = published(pipeline)
    for width in (360, 1280):
        shown = Shown(browser, page, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert shown.rows("happened")
        found = Axe().run(shown.page)
        assert found.violations_count == 0, found.generate_report()
        shown.close()


@pytest.mark.usefixtures("published")
def test_the_keyboard_reaches_every_control_and_table(pipeline: Pipeline, browser: Browser) -> None:
    shown = Shown(browser, published(pipeline))
    reached = []
    for _ in range(12):
        shown.page.keyboard.press("Tab")
        reached.append(
            shown.page.evaluate(
                "() => { const it = document.activeElement; return it.id || it.innerText }"
            )
        )
    assert reached[:4] == ["country", "type", CSV, "search"]
    assert {"Country", "Breweries", SUSPECTS_CSV} <= {*reached}
    shown.page.locator("#country").focus()
    shown.page.keyboard.type("Poland")
    assert {row[0] for row in shown.table()} == {"Poland"}
    shown.close()


@pytest.mark.usefixtures("published")
def test_times_are_in_the_readers_time_zone_with_utc_as_their_title(
    pipeline: Pipeline, browser: Browser
) -> None:
    page = published(pipeline)
    utc = time_of(pipeline.newest(GOLD).snapshot)
    tokyo = utc.astimezone(timezone(timedelta(hours=9)))
    shown = Shown(browser, page, timezone_id="Asia/Tokyo")
    as_of = shown.page.locator("header time")
    assert as_of.inner_text() == f"{tokyo:%b} {tokyo.day}, {tokyo:%Y, %H:%M} GMT+9"
    assert as_of.get_attribute("title") == f"{utc:%Y-%m-%d %H:%M} UTC"
    shown.close()
    without = browser.new_context(java_script_enabled=False).new_page()
    without.goto(page.as_uri())
    assert without.inner_text("header time") == f"{utc:%Y-%m-%d %H:%M} UTC"
    without.context.close()


@pytest.mark.usefixtures("published")
def test_the_map_has_land_under_its_points(pipeline: Pipeline, browser: Browser) -> None:
    shown = Shown(browser, published(pipeline))
    land = shown.page.locator("#map .mark-shape path")
    points = shown.page.locator("#map .mark-symbol path").first
    assert len(str(land.get_attribute("d"))) > 10_000
    assert land.evaluate(
        "(land, point) => land.compareDocumentPosition(point) & Node.DOCUMENT_POSITION_FOLLOWING",
        points.element_handle(),
    )
    shown.choose("belgium")
    assert land.evaluate("land => land.getBBox().width > 0")
    assert not shown.said
    shown.close()


@pytest.mark.usefixtures("published")
def test_the_table_can_be_searched_and_sorted(pipeline: Pipeline, browser: Browser) -> None:
    shown = Shown(browser, published(pipeline))
    everything = shown.table()
    shown.page.fill("#search", "dolnoslaskie MICRO")  # typed without the Polish letters
    assert shown.table() == [("Poland", "dolnośląskie", "micro", 1)]
    assert shown.page.inner_text("#counts caption") == "1 row, 1 brewery"
    shown.page.fill("#search", "")
    head = shown.page.get_by_role("columnheader", name="Breweries")
    head.get_by_role("button").click()
    assert [row[3] for row in shown.table()] == sorted((r[3] for r in everything), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    shown.page.get_by_role("button", name="State").click()
    states = [row[1] for row in shown.table()]
    assert states[0] == ""
    assert states == ["", "Cork", "dolnośląskie", "Flanders", "Kärnten", *states[5:]]
    assert head.get_attribute("aria-sort") == "none"
    shown.close()


@pytest.mark.usefixtures("published")
def test_the_page_fits_a_phone_supports_dark_mode_and_prints_everything(
    pipeline: Pipeline, browser: Browser
) -> None:
    page = published(pipeline)
    phone = Shown(browser, page, viewport=PHONE, color_scheme="dark")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    colours = phone.page.evaluate(
        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    text, paper = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
    assert (text > 600, paper < 100) == (True, True)
    svg = phone.page.locator("#types svg text").first
    assert svg.evaluate("text => getComputedStyle(text).fill") not in ("rgb(0, 0, 0)", "none")
    phone.page.emulate_media(media="print")
    assert not phone.page.locator("#search").is_visible()
    assert phone.page.evaluate("getComputedStyle(document.body).backgroundColor") in (
        "rgb(255, 255, 255)"
    )
    assert phone.page.locator("#counts tbody tr").last.is_visible()
    phone.close()


def test_names_of_the_source_are_shown_and_not_executed(
    pipeline: Pipeline, browser: Browser
) -> None:
    evil = "</script><script>console.log('run')</script><img src=x onerror=console.log(1)>"
    braces = "{{ 7 * 7 }} ${7 * 7}"
    pipeline.api.rows[:] = [
        OREGON,
        {**SILESIA, "country": evil, "state_province": braces, "state": braces},
    ]
    pipeline.run()
    pipeline.api.rows[1] |= {"name": evil, "brewery_type": evil, "phone": "12", "city": braces}
    pipeline.run()
    shown = Shown(browser, published(pipeline))
    assert (evil, braces, evil.lower(), 1) in shown.table()
    assert shown.bars("countries")[evil] == 1
    ((name, _, details),) = shown.rows("happened")
    assert name == f"{evil}\n{braces}, {braces}, {evil}"
    assert f"name: Browar Cztery Ściany → {evil}" in details
    assert any(row[0].startswith(evil) for row in shown.rows("suspects"))
    shown.choose(evil.lower(), of="type")
    assert [row[0] for row in shown.table()] == [evil]
    assert not shown.said
    assert not shown.asked
    shown.close()


def test_the_page_shows_its_checks_its_changes_and_its_source_snapshots(
    pipeline: Pipeline, browser: Browser
) -> None:
    pipeline.api.rows[:] = [*GOOD]
    pipeline.run()
    pipeline.api.rows[:] = [*GOOD[1:], row("New", "Italy/Bolzano/Meran", id="x" * 8)]
    pipeline.api.rows[0] = {**GOOD[1], "name": "Renamed"}
    pipeline.run()
    shown = Shown(browser, published(pipeline))
    said = shown.page.inner_text("main")
    for name in ("bronze_breweries", SILVER, GOLD):
        assert pipeline.newest(name).snapshot in said
    assert pipeline.api.url in said
    for manifest in map(pipeline.newest, ("bronze_breweries", SILVER, GOLD)):
        for check in manifest.checks:
            line = shown.page.locator(".checks tr", has_text=f"{manifest.layer} / {check['name']}")
            outcome = "✓ passed" if check["passed"] else "⚠ warning"
            assert outcome in line.inner_text(), check
    assert "The 2 snapshots that are kept" in said
    changes = shown.page.locator("#changes .mark-rect path").evaluate_all(
        "bars => bars.map(bar => bar.getAttribute('aria-label'))"
    )
    newest = [label for label in changes if "breweries: 1;" in label]
    assert len(newest) == 3, changes  # one added, one removed, one changed
    assert not shown.said
    shown.close()


@pytest.mark.usefixtures("published")
def test_the_history_is_drawn_from_the_second_snapshot_on(
    pipeline: Pipeline, browser: Browser
) -> None:
    shown = Shown(browser, published(pipeline))
    assert "This is the first snapshot" in shown.page.inner_text("main")
    assert not shown.page.locator("#totals, #changes").count()
    assert not shown.said
    shown.close()
    pipeline.run()
    shown = Shown(browser, published(pipeline))
    assert shown.page.locator("#totals svg, #changes svg").count() == 2
    assert not shown.said
    shown.close()


@pytest.mark.parametrize(
    ("totals", "shown"),
    [((11_820, 11_822), {"11,820", "11,821", "11,822"}), ((0, 12_000), {"0", "4k", "8k", "12k"})],
)
def test_the_numbers_on_an_axis_are_easy_to_read(totals: tuple[int, int], shown: set[str]) -> None:
    history = [
        Moment(
            datetime(2026, 11, day, tzinfo=timezone.utc), breweries, dict.fromkeys(KINDS, 12_000)
        )
        for day, breweries in enumerate(totals, start=1)
    ]
    drawn = charts(Facts([], [], history, [], [], None))
    texts = {
        name: {*re.findall(">([^<]+)</text>", vl_convert.vega_to_svg(drawn[name]))}
        for name in ("totals", "changes")
    }
    assert shown <= texts["totals"]
    assert {"0", "20k"} <= texts["changes"]


@pytest.mark.usefixtures("published")
def test_the_csv_contains_gold_and_is_in_the_page_and_in_the_snapshot(pipeline: Pipeline) -> None:
    page = published(pipeline)
    gold = pipeline.rows(GOLD)
    assert rows_of(csv_in(page)) == [
        {**row, "brewery_count": str(row["brewery_count"])} for row in gold
    ]
    manifest = pipeline.newest(REPORT)
    assert manifest.rows == len(gold)
    kept = page.parent / manifest.snapshot
    assert {path.name for path in page.parent.iterdir()} == {kept.name, page.name}
    assert (kept / page.name).read_bytes() == page.read_bytes()
    for name in (CSV, SUSPECTS_CSV):
        assert (kept / name).read_bytes() == csv_in(page, name)
    assert (kept / "breweries.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("published")
def test_a_click_downloads_the_csv_from_the_page(pipeline: Pipeline, browser: Browser) -> None:
    page = published(pipeline)
    shown = Shown(browser, page)
    with shown.page.expect_download() as download:
        shown.page.get_by_role("link", name=CSV).click()
    assert download.value.suggested_filename == CSV
    assert download.value.path().read_bytes() == csv_in(page)
    assert not shown.said
    shown.close()


class FullDisk(Folder):
    """A folder whose disk is full after this number of changes."""

    def __init__(self, uri: str, changes: int) -> None:
        super().__init__(uri)
        self.changes = changes

    def write(self, path: str, content: bytes) -> None:
        self._count(path)
        super().write(path, content)

    def create(self, path: str, content: bytes) -> None:
        self._count(path)
        super().create(path, content)

    def delete(self, path: str) -> None:
        self._count(path)
        super().delete(path)

    def _count(self, path: str) -> None:
        self.changes -= 1
        if self.changes < 0:
            raise OSError(errno.ENOSPC, "No space left on device", path)


class FullLake(Lake):
    """A lake in a folder whose disk gets full."""

    changes: int

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            self._storage = FullDisk(self.uri, self.changes)
        return self._storage


def test_the_page_and_its_csv_agree_wherever_a_publication_is_interrupted(
    pipeline: Pipeline,
) -> None:
    pipeline.api.rows[:] = [OREGON]
    pipeline.run()
    page = published(pipeline)
    older = page.read_bytes()
    pipeline.api.rows[:] = [OREGON, SILESIA]
    pipeline.run()
    newer = published(pipeline).read_bytes()
    kept = Path(pipeline.uri) / pipeline.newest(REPORT).folder
    files = {path.name: path.read_bytes() for path in kept.glob("[!_]*")}
    page.write_bytes(older)

    @dg.asset(name=REPORT, io_manager_key="report_snapshots")
    def drawn_before() -> dg.MaterializeResult[Candidate]:
        return dg.MaterializeResult(value=Candidate(REPORT, Report(files, 2), 2))

    found = []
    for changes in range(20):
        lake = FullLake(uri=pipeline.uri, changes=changes)
        result = dg.materialize(
            [drawn_before],
            resources={**pipeline.resources(), "lake": lake},
            instance=pipeline.instance,
            raise_on_error=False,
        )
        said = html.unescape(page.read_text(encoding="utf-8"))
        shown = [
            (row["country_name"], row["brewery_type"], row["brewery_count"])
            for row in rows_of(csv_in(page))
        ]
        assert shown == re.findall(
            "<tr data-.*?><td>(.*?)</td><td>.*?</td><td>(.*?)</td><td.*?>(.*?)</td>", said
        )
        assert f"Breweries: {len(shown)} in {len(shown)} countries" in said
        found.append(page.read_bytes())
        if result.success:
            break
    assert result.success
    before = found.count(older)
    assert before >= len(files)  # the snapshot's files come first
    assert found == [older] * before + [newer] * (len(found) - before)
    assert len(found) - before > 1  # the manifest comes after the page


@pytest.mark.usefixtures("published")
def test_copies_of_an_earlier_version_next_to_the_page_are_removed(pipeline: Pipeline) -> None:
    folder = Path(pipeline.uri) / REPORT
    folder.mkdir()
    for name in (CSV, "breweries.png", "note.txt"):
        (folder / name).write_text("old")
    published(pipeline)
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert files == {"index.html", "note.txt"}


def test_a_csv_has_no_cell_that_a_spreadsheet_runs(pipeline: Pipeline, browser: Browser) -> None:
    formula = '=HYPERLINK("http://evil.example")'
    pipeline.api.rows[:] = [
        OREGON,
        {**SILESIA, "country": formula, "state_province": "\u202e@SUM(1)", "state": None},
    ]
    pipeline.run()
    page = published(pipeline)
    (risky,) = [row for row in rows_of(csv_in(page)) if row["country_name"] != "United States"]
    assert (risky["country_name"], risky["state_name"]) == (f"'{formula}", "'@SUM(1)")
    assert risky["brewery_count"] == "1"
    shown = Shown(browser, page)
    assert (formula, "@SUM(1)", "micro", 1) in shown.table()
    assert not shown.said
    assert not shown.asked
    shown.close()


@pytest.mark.usefixtures("published")
def test_the_ui_shows_a_picture_and_the_path_of_the_page(pipeline: Pipeline) -> None:
    (event,) = pipeline.run(REPORT).get_asset_materialization_events()
    metadata = event.materialization.metadata
    picture = metadata["picture"].value
    assert isinstance(picture, str)
    assert picture.startswith("![breweries](data:image/png;base64,iVBOR")
    assert metadata["page"].value == f"{pipeline.uri}/{REPORT}/index.html"
    kept = pipeline.newest(REPORT).folder
    assert metadata[CSV].value == f"{pipeline.uri}/{kept}/{CSV}"
    assert metadata["dagster/row_count"].value == 9


def test_a_new_report_replaces_the_page_and_the_older_one_is_kept(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [OREGON]
    pipeline.run()
    page = published(pipeline)
    older, first = page.read_text(), pipeline.newest(REPORT)
    pipeline.api.rows[:] = [OREGON, SILESIA]
    pipeline.run()
    published(pipeline)
    assert page.read_text() != older
    assert (page.parent / first.snapshot / "index.html").read_text() == older
    assert pipeline.newest(REPORT).made_from[GOLD] == pipeline.newest(GOLD).snapshot


def test_a_refused_gold_is_not_shown_on_the_page(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [OREGON, SILESIA]
    pipeline.run()
    page = published(pipeline)
    older = page.read_text()
    pipeline.rows_lost_percent = 10
    pipeline.api.rows[:] = [OREGON]
    pipeline.run(fails=True)
    pipeline.run(REPORT)
    counted = "".join(line for line in page.read_text().splitlines() if "<title>" in line)
    assert counted in older
    assert pipeline.newest(REPORT).made_from[GOLD] == pipeline.newest(GOLD).snapshot


def test_the_map_shows_the_breweries_that_gold_counts(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [OREGON, IRELAND]  # Ireland's latitude is invalid
    pipeline.run()
    counted = pipeline.newest(SILVER)
    pipeline.api.rows[:] = [OREGON, IRELAND, SILESIA]
    pipeline.run("bronze_breweries", SILVER, "rejected_breweries")
    page = published(pipeline)
    assert "1 of 2 have" in page.read_text()
    assert pipeline.newest(REPORT).made_from[SILVER] == counted.snapshot


def test_a_run_of_all_assets_builds_the_report_from_its_own_gold(pipeline: Pipeline) -> None:
    pipeline.run(
        "bronze_breweries",
        SILVER,
        "rejected_breweries",
        GOLD,
        "gold_brewery_changes",
        REPORT,
    )
    names = {pipeline.newest(layer).snapshot for layer in ("bronze_breweries", GOLD, REPORT)}
    assert len(names) == 1


def test_the_report_in_a_bucket_has_the_content_type_of_html(
    pipeline_on_s3: Pipeline, s3: S3Server
) -> None:
    pipeline_on_s3.run()
    pipeline_on_s3.run(REPORT)
    prefix = pipeline_on_s3.uri.removeprefix("s3://lake/")
    found = s3.client().get_object(Bucket="lake", Key=f"{prefix}/{REPORT}/index.html")
    assert found["ContentType"] == "text/html"
    assert b"Breweries of the Open Brewery DB" in found["Body"].read()


def test_the_drawing_libraries_are_imported_only_for_a_report() -> None:
    loaded = (
        "import sys, brewery_assets.definitions; "
        "sys.exit(bool({'jinja2', 'vl_convert'} & {*sys.modules}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", loaded], env=environment, check=False)
    assert done.returncode == 0


def test_a_report_without_any_gold_says_what_to_do(pipeline: Pipeline) -> None:
    result = pipeline.run(REPORT, fails=True)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert isinstance(failure.event_specific_data, dg._core.events.StepFailureData)
    assert "materialize it first" in json.dumps(failure.event_specific_data.error_display_string)
