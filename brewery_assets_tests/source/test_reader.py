"""The API client returns every record of the source once, as served, or raises an error."""

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest

from brewery_assets.source import reader as source_reader
from brewery_assets.source.http import SourceError
from brewery_assets.source.reader import PAGES_AHEAD
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import OREGON, ROWS
from brewery_assets_tests.scripted_api import (
    METAS,
    PAGES_OF_1050,
    Asked,
    Reply,
    ScriptedApi,
    as_served,
    failure,
    read,
    some,
)
from demo.data import Row
from demo.faults import Faults
from demo.server import DemoApi

TOTAL = 11_822
UNPUBLISHED = (
    "Nothing is published. If the source's total is known to be wrong, set MISSING_ROWS_ALLOWED."
)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "brewery_assets_tests.scripted_api")


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def pages_of_pass(number: int, rows: int = 1050) -> int:
    """Pages with rows: the first pass asks for 200 at a time, each later one for 13 fewer."""
    return -(-rows // (200 - 13 * (number - 1)))


def requests_of_pass(number: int) -> int:
    """Its pages, the empty one after them, and the totals."""
    return pages_of_pass(number) + 2


# A source without faults


def test_all_breweries_are_read_in_60_sorted_pages_and_the_log_shows_it(
    real_rows: list[Row], caplog: pytest.LogCaptureFixture
) -> None:
    with DemoApi(real_rows, requests_per_minute=None) as api:
        reading = read(api.url)
    assert len(reading.lines) == TOTAL
    assert reading.lines == as_served(real_rows)
    assert {key: reading.facts[key] for key in ("verified", "passes", "pages", "requests")} == {
        "verified": True,
        "passes": 1,
        "pages": 60,
        "requests": 60 + 1 + METAS,
    }
    progress = said(caplog, logging.INFO)
    assert [line.partition(":")[0] for line in progress] == [
        f"page {number} of 60" for number in range(10, 61, 10)
    ]
    assert progress[-1] == "page 60 of 60: 11,822 breweries"
    assert not said(caplog, logging.WARNING)


def test_the_log_always_shows_the_last_page(
    of_1050: DemoApi, caplog: pytest.LogCaptureFixture
) -> None:
    read(of_1050.url)
    assert said(caplog, logging.INFO) == ["page 6 of 6: 1,050 breweries"]


def test_the_facts_describe_the_source_and_how_it_was_read(of_1050: DemoApi) -> None:
    before = datetime.now(timezone.utc)
    facts = read(of_1050.url).facts
    after = datetime.now(timezone.utc)
    first, last = (
        datetime.fromisoformat(facts.pop(f"{which}_request_at")) for which in ("first", "last")
    )
    assert before - timedelta(seconds=1) < first <= last <= after
    counts, fields = facts.pop("counts"), facts.pop("fields")
    for which in ("meta_before", "meta_after"):
        meta = facts.pop(which)
        assert counts == {group: meta[group] for group in ("by_country", "by_type")}
        assert list(meta) == ["total", "by_state", "by_country", "by_type"]
        assert (
            {sum(meta[groups].values()) for groups in list(meta)[1:]} == {meta["total"]} == {1050}
        )
    assert set(fields) == set(of_1050.rows[0])
    assert fields["id"] == {"string": 1050}
    located = sum(row["longitude"] is not None for row in of_1050.rows)
    assert fields["longitude"] == {"number": located, "null": 1050 - located}
    assert facts == {
        "url": of_1050.url,
        "distinct": 1050,
        "verified": True,
        "doubt": None,
        "missing": 0,
        "missing_allowed": 0,
        "pages": 6,
        "passes": 1,
        "requests": PAGES_OF_1050 + METAS,
        "retries": 0,
        "duplicates_dropped": 0,
    }


def test_the_content_is_json_lines_and_its_hash_does_not_depend_on_the_order() -> None:
    rows = some(750)
    with ScriptedApi(list(rows), lambda _: None) as api:
        reading = read(api.url)
        hashes = {reading.sha256}
        for seed in range(3):
            Random(seed).shuffle(api.rows)
            hashes.add(read(api.url).sha256)
        api.rows[0] = api.rows[0] | {"name": "Another"}
        changed = read(api.url).sha256
    assert reading.content == "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    assert hashes == {hashlib.sha256(reading.content).hexdigest()}
    assert changed not in hashes


def test_known_and_unknown_fields_are_kept_as_served() -> None:
    with DemoApi([row for row in ROWS if row["id"]], requests_per_minute=None) as api:
        assert read(api.url).lines == as_served(api.rows)
        api.faults = Faults(coordinates_as_text=True, dropped_fields=frozenset({"phone"}))
        lines = read(api.url).lines
    (oregon,) = (json.loads(line) for line in lines if OREGON["id"] in line)
    assert (oregon["longitude"], oregon["latitude"]) == ("-97.46818222", "35.25738891")
    assert "phone" not in oregon


def test_an_empty_source_gives_no_lines_and_is_verified() -> None:
    with DemoApi([]) as api:
        reading = read(api.url)
        assert len(api.requests) == 1 + METAS
    assert (reading.lines, reading.content) == ([], b"")
    assert reading.sha256 == hashlib.sha256(b"").hexdigest()
    assert (reading.facts["verified"], reading.facts["missing"]) == (True, 0)


def test_a_source_with_a_full_last_page_is_read_completely(real_rows: list[Row]) -> None:
    with DemoApi(real_rows[:400], requests_per_minute=None) as api:
        reading = read(api.url)
    assert (len(reading.lines), reading.facts["pages"]) == (400, 2)


# Incomplete pages


def test_pages_smaller_than_requested_are_read_to_the_end(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(per_page_cap=70)
    reading = read(of_1050.url)
    assert reading.lines == as_served(of_1050.rows)
    assert (reading.facts["verified"], reading.facts["pages"], reading.facts["passes"]) == (
        True,
        15,
        1,
    )


def test_rows_of_pages_that_are_sometimes_empty_are_read_in_the_next_pass(
    of_1050: DemoApi, caplog: pytest.LogCaptureFixture
) -> None:
    of_1050.faults = Faults(empty_pages=0.4)
    reading = read(of_1050.url)
    assert reading.lines == as_served(of_1050.rows)
    assert reading.facts["verified"]
    assert reading.facts["passes"] > 1
    warnings = said(caplog, logging.WARNING)
    assert len(warnings) == reading.facts["passes"] - 1
    assert warnings[0].endswith(" distinct ids where /meta says 1,050 after pass 1 of 5")


@pytest.mark.parametrize(("page", "found"), [(1, 902), (3, 1006)])
def test_the_error_for_a_page_that_is_always_empty_names_found_and_expected_rows(
    of_1050: DemoApi, page: int, found: int
) -> None:
    of_1050.faults = Faults(empty_page_numbers=frozenset({page}))
    assert failure(of_1050.url) == (
        f"{of_1050.url}/breweries is not complete after 5 passes: "
        f"{found:,} distinct ids where /meta says 1,050. {UNPUBLISHED}"
    )
    assert len(of_1050.requests) == 1 + sum(map(requests_of_pass, range(1, 6)))


def test_rows_hidden_by_an_empty_page_are_found_by_a_later_pass_with_other_pages(
    of_1050: DemoApi,
) -> None:
    of_1050.faults = Faults(empty_page_numbers=frozenset({6}))
    reading = read(of_1050.url)
    assert reading.lines == as_served(of_1050.rows)
    assert (reading.facts["passes"], reading.facts["verified"]) == (4, True)


def test_unsorted_pages_are_read_until_complete_and_without_duplicates(
    of_1050: DemoApi,
) -> None:
    of_1050.faults = Faults(ignore_sort=True)
    reading = read(of_1050.url, pages_at_once=1)  # so that the fault picks the same pages each time
    assert reading.lines == as_served(of_1050.rows)
    assert reading.facts["verified"]
    assert reading.facts["passes"] > 1
    assert reading.facts["duplicates_dropped"] > 0


def test_a_server_that_ignores_the_page_gets_a_limited_number_of_requests(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(ignore_page=True)
    assert failure(of_1050.url) == (
        f"{of_1050.url}/breweries is not complete after 5 passes: "
        f"200 distinct ids where /meta says 1,050. {UNPUBLISHED}"
    )
    # Each pass reads three pages beyond the last instead of the empty one.
    assert len(of_1050.requests) == 1 + sum(requests_of_pass(n) + 2 for n in range(1, 6))


# Rows that change during the read


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("changes", [1, 2, 5])
def test_rows_that_change_during_the_read_are_read_again_when_they_are_stable(
    of_1050: DemoApi, caplog: pytest.LogCaptureFixture, changes: int, at_once: int
) -> None:
    of_1050.faults = Faults(rows_change_every=2, changes_stop_after=changes)
    reading = read(of_1050.url, pages_at_once=at_once)
    assert reading.lines == as_served(of_1050.rows)
    assert reading.facts["verified"]
    assert reading.facts["meta_after"]["total"] == len(of_1050.rows)
    # Rows that were read before the change are not counted.
    pages = pages_of_pass(reading.facts["passes"], len(of_1050.rows))
    assert (reading.facts["pages"], reading.facts["duplicates_dropped"]) == (pages, 0)
    warning = f"{of_1050.url}: its totals changed while it was read; reading it again"
    assert said(caplog, logging.WARNING) == [warning] * (reading.facts["passes"] - 1) != []


def test_rows_that_never_stop_changing_are_an_error(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(rows_change_every=2)
    assert failure(of_1050.url, pages_at_once=1) == (
        f"{of_1050.url}/breweries is not complete after 5 passes: "
        f"its totals changed while it was read. {UNPUBLISHED}"
    )


# Wrong totals


@pytest.mark.parametrize(("off_by", "allowed"), [(1, 0), (2, 1), (500, 499)])
def test_more_missing_rows_than_allowed_are_an_error(
    of_1050: DemoApi, off_by: int, allowed: int
) -> None:
    of_1050.faults = Faults(meta_total_off_by=off_by)
    assert failure(of_1050.url, missing_rows_allowed=allowed) == (
        f"{of_1050.url}/breweries is not complete after 5 passes: "
        f"1,050 distinct ids where /meta says {1050 + off_by:,}. {UNPUBLISHED}"
    )


@pytest.mark.parametrize(("off_by", "allowed"), [(1, 1), (1, 9), (9, 9)])
def test_allowed_missing_rows_are_published_as_unverified_with_a_warning(
    of_1050: DemoApi, caplog: pytest.LogCaptureFixture, off_by: int, allowed: int
) -> None:
    of_1050.faults = Faults(meta_total_off_by=off_by)
    reading = read(of_1050.url, missing_rows_allowed=allowed)
    assert reading.lines == as_served(of_1050.rows)
    assert (reading.facts["verified"], reading.facts["missing"]) == (False, off_by)
    assert reading.facts["passes"] == 2  # the second found nothing more
    doubt = f"1,050 distinct ids where /meta says {1050 + off_by:,}; MISSING_ROWS_ALLOWED={allowed}"
    assert reading.facts["doubt"] == doubt
    warning = f"{of_1050.url}: {doubt}; the snapshot is marked verified: false"
    assert said(caplog, logging.WARNING)[-1] == warning


def test_rows_that_may_be_missing_are_searched_for_anyway(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(empty_pages=0.4)
    reading = read(of_1050.url, missing_rows_allowed=1000)
    assert len(reading.lines) == 1050
    assert (reading.facts["verified"], reading.facts["doubt"]) == (True, None)


def test_more_rows_than_the_total_are_accepted_in_the_second_pass_with_a_warning(
    of_1050: DemoApi, caplog: pytest.LogCaptureFixture
) -> None:
    of_1050.faults = Faults(meta_total_off_by=-1)
    reading = read(of_1050.url)
    assert reading.lines == as_served(of_1050.rows)
    facts = {key: reading.facts[key] for key in ("verified", "doubt", "missing", "passes", "pages")}
    doubt = "1,050 distinct ids where /meta says 1,049"
    assert facts == {"verified": False, "doubt": doubt, "missing": -1, "passes": 2, "pages": 6}
    assert said(caplog, logging.WARNING) == [
        f"{of_1050.url}: {doubt}; reading it again",
        f"{of_1050.url}: {doubt}; the snapshot is marked verified: false",
    ]


def test_more_rows_than_the_total_are_not_accepted_if_the_source_changed_in_between() -> None:
    """The source changes after pass 2, so the surplus of pass 1 no longer counts."""

    def change_after_pass_2(asked: Asked) -> Reply | None:
        if asked.page:
            return None
        by_type = {"micro": 3} if asked.attempt < 3 else {"nano": 3}
        return Reply(json.dumps({"total": 2, "by_type": by_type}).encode())

    with ScriptedApi(some(3), change_after_pass_2) as api:
        reading = read(api.url)
    assert (reading.facts["passes"], len(reading.lines)) == (4, 3)


def test_more_rows_than_the_total_are_not_accepted_after_a_pass_with_too_few() -> None:
    rows = some(3)

    def too_many_too_few_too_many(asked: Asked) -> Reply | None:
        if asked.page == 0:
            return Reply(b'{"total": 2}')
        few = asked.page == 1 and asked.attempt == 2
        return Reply(json.dumps(rows[:1]).encode()) if few else None

    with ScriptedApi(rows, too_many_too_few_too_many) as api:
        reading = read(api.url)
    assert (reading.facts["passes"], len(reading.lines)) == (4, 3)


def test_if_a_row_is_replaced_during_the_read_only_the_new_one_is_kept() -> None:
    """The totals are the same before and after, but three ids were seen where there are two."""
    gone, kept, new = some(3)

    def replace_after_page_1(asked: Asked) -> Reply | None:
        if asked.page == 1 and asked.attempt == 1:
            return Reply(json.dumps([gone, kept]).encode())
        if asked.page == 2 and asked.attempt == 1:
            return Reply(json.dumps([new]).encode())
        return None

    with ScriptedApi([kept, new], replace_after_page_1) as api:
        reading = read(api.url)
    assert [json.loads(line) for line in reading.lines] == [kept, new]
    assert (reading.facts["verified"], reading.facts["passes"]) == (True, 2)


def test_a_total_that_is_far_too_high_fails_after_30_pages_without_a_new_id() -> None:
    def far_beyond(asked: Asked) -> Reply | None:
        return None if asked.page else Reply(b'{"total": 1000000000}')

    with ScriptedApi(some(400), far_beyond) as api:
        message = failure(api.url, pages_at_once=1)
        # PAGES_AHEAD pages may be in the queue, and as many may have arrived but not been checked.
        assert len(api.asked) <= 1 + 2 + 30 + 2 * PAGES_AHEAD
    assert message == (
        f"{api.url}/breweries served 30 pages in a row without a new id, which is the limit: "
        "400 distinct ids on 32 of the 5,000,000 pages for the 1,000,000,000 breweries of /meta. "
        f"{UNPUBLISHED}"
    )


def test_pages_without_a_new_id_do_not_fail_if_their_rows_may_be_missing() -> None:
    def beyond(asked: Asked) -> Reply | None:
        return None if asked.page else Reply(b'{"total": 8000}')

    with ScriptedApi(some(400), beyond) as api:
        assert len(read(api.url, missing_rows_allowed=7600).lines) == 400


@pytest.mark.parametrize("total", [3, 0, None])
def test_a_source_without_an_end_fails_500_pages_beyond_its_total(
    total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_reader.UNEXPECTED_PAGES == 500
    monkeypatch.setattr(source_reader, "UNEXPECTED_PAGES", 50)  # 500 take a second

    def endless(asked: Asked) -> Reply:
        if asked.page:
            return Reply(json.dumps([{"id": f"{asked.page}"}]).encode())
        return Reply(b"", 404) if total is None else Reply(json.dumps({"total": total}).encode())

    with ScriptedApi([], endless) as api, pytest.raises(SourceError) as raised:
        read(api.url)
    pages = 50 + (total or 0)
    assert str(raised.value) == (
        f"{api.url}/breweries has no end: {pages} distinct ids where /meta says "
        f"{'nothing' if total is None else total}, and 50 pages beyond that, which is the "
        "limit. Nothing is published. Check that BREWERY_API_URL is a brewery API."
    )


def test_totals_served_as_text_become_numbers(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(meta_as_text=True)
    facts = read(of_1050.url).facts
    assert (facts["verified"], facts["meta_before"]["total"]) == (True, 1050)
    assert list(facts["meta_before"]) == ["total", "by_state", "by_type"]
    assert sum(facts["meta_before"]["by_type"].values()) == 1050


@pytest.mark.parametrize(
    "meta",
    [
        {"total": 3, "by_state": [], "by_country": [], "by_type": []},  # PHP's empty arrays
        {"total": 3, "by_state": None, "page": "one"},
        {"total": " 3 "},
        {"total": 3.0},
    ],
)
def test_totals_in_other_shapes_are_accepted(meta: object) -> None:
    def other(asked: Asked) -> Reply | None:
        return None if asked.page else Reply(json.dumps(meta).encode())

    with ScriptedApi(some(3), other) as api:
        facts = read(api.url).facts
    assert (facts["verified"], facts["meta_before"]) == (True, {"total": 3})


@pytest.mark.parametrize(
    ("meta", "cause"),
    [
        ("", "Expecting value"),
        ("no JSON", "Expecting value"),
        ('{"total": 3', "delimiter"),
        ("[3]", "no object with a total"),
        ("3", "no object with a total"),
        ("{}", "no object with a total"),
        ('{"totals": 3}', "no object with a total"),
        ('{"total": null}', "a total that is not a number"),
        ('{"total": [3]}', "a total that is not a number"),
        ('{"total": "many"}', "invalid literal for int() with base 10: 'many'"),
        ('{"total": ""}', "invalid literal for int() with base 10: ''"),
        ('{"total": 1e999}', "a total that is not a number"),
        ('{"total": NaN}', "cannot convert float NaN to integer"),
        ('{"total": 3, "by_type": {"micro": null}}', "a total that is not a number"),
        ('{"total": 3, "by_type": {"micro": "some"}}', "invalid literal for int() with base 10"),
    ],
)
def test_the_error_for_totals_that_cannot_be_parsed_names_their_address_and_the_cause(
    meta: str, cause: str
) -> None:
    def other(asked: Asked) -> Reply | None:
        return None if asked.page else Reply(meta.encode())

    with ScriptedApi(some(3), other) as api:
        message = failure(api.url)
        assert len(api.asked) == 4
    assert message.startswith(f"GET {api.url}/breweries/meta gave no usable answer in 4 tries")
    assert cause in message
    assert message.endswith(f"in 200 OK: {meta!r}")


@pytest.mark.parametrize("meta", ["oops", '{"total": null}'])
def test_totals_that_cannot_be_parsed_are_requested_again(meta: str) -> None:
    def broken_first(asked: Asked) -> Reply | None:
        return Reply(meta.encode()) if asked.page == 0 and asked.attempt % 2 else None

    with ScriptedApi(some(3), broken_first) as api:
        facts = read(api.url).facts
    assert (facts["verified"], facts["retries"]) == (True, 2)


# No totals


def test_without_totals_it_reads_to_the_first_empty_page_and_is_unverified(
    of_1050: DemoApi, caplog: pytest.LogCaptureFixture
) -> None:
    of_1050.faults = Faults(no_meta=True, per_page_cap=100)
    reading = read(of_1050.url)
    assert reading.lines == as_served(of_1050.rows)
    facts = reading.facts
    assert (facts["verified"], facts["meta_before"], facts["meta_after"]) == (False, None, None)
    assert (facts["missing"], facts["pages"], facts["requests"]) == (0, 11, 11 + 1 + 1)
    assert said(caplog, logging.INFO) == ["page 10: 1,000 breweries"]
    doubt = "it has no /meta, so the expected number of rows is unknown"
    assert facts["doubt"] == doubt
    warning = f"{of_1050.url}: {doubt}; the snapshot is marked verified: false"
    assert said(caplog, logging.WARNING) == [warning]


def test_a_source_without_totals_and_without_rows_is_an_error() -> None:
    with DemoApi([], faults=Faults(no_meta=True)) as api:
        assert failure(api.url) == f"{api.url} has neither /breweries/meta nor any brewery"


def test_without_totals_a_server_that_ignores_the_page_fails(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(no_meta=True, ignore_page=True)
    message = failure(of_1050.url)
    assert message.startswith(f"{of_1050.url}/breweries repeats itself and has no empty page")
    assert len(of_1050.requests) == 1 + 4


def test_totals_that_disappear_during_the_read_are_an_error() -> None:
    def vanish(asked: Asked) -> Reply | None:
        return Reply(b"Gone.", 404) if asked.page == 0 and asked.attempt > 1 else None

    with ScriptedApi(some(3), vanish) as api:
        assert failure(api.url) == f"GET {api.url}/breweries/meta answered 404 Not Found: 'Gone.'"


# Duplicate and missing ids


def served(*records: Any, total: int) -> ScriptedApi:
    """An API with one page of these records."""

    def script(asked: Asked) -> Reply | None:
        return None if asked.page else Reply(json.dumps({"total": total}).encode())

    return ScriptedApi(list(records), script)


def test_the_later_record_of_an_id_on_a_page_wins() -> None:
    rows = [{"id": "a", "name": "1"}, {"id": "b", "name": "2"}, {"id": " a ", "name": "3"}]
    with served(*rows, total=2) as api:
        reading = read(api.url)
    assert [json.loads(line)["name"] for line in reading.lines] == ["3", "2"]
    assert (reading.facts["duplicates_dropped"], reading.facts["verified"]) == (1, True)


def test_the_record_of_the_later_pass_wins() -> None:
    def script(asked: Asked) -> Reply | None:
        if asked.page != 1:
            return None
        rows = [{"id": "a", "name": str(asked.attempt)}, {"id": "b", "name": "0"}]
        return Reply(json.dumps(rows[: asked.attempt]).encode())

    with ScriptedApi(some(2), script) as api:
        reading = read(api.url)
    assert [json.loads(line)["name"] for line in reading.lines] == ["2", "0"]
    assert (reading.facts["duplicates_dropped"], reading.facts["passes"]) == (0, 2)


def test_rows_served_on_two_pages_are_counted_as_dropped() -> None:
    rows = some(300)

    def overlap(asked: Asked) -> Reply | None:
        return Reply(json.dumps(rows[150:]).encode()) if asked.page == 2 else None

    with ScriptedApi(rows, overlap) as api:
        reading = read(api.url)
    assert (len(reading.lines), reading.facts["duplicates_dropped"]) == (300, 50)


@pytest.mark.parametrize("strays", [1, 4, 9])
def test_records_that_are_not_objects_are_each_kept_once_and_counted(
    of_1050: DemoApi, strays: int
) -> None:
    whole = as_served(of_1050.rows)
    of_1050.faults = Faults(strays=strays)
    reading = read(of_1050.url)
    kinds: Callable[[int], str] = ["null", "42", '"text"', "[]"].__getitem__
    expected = [*whole, *(kinds(at % 4) for at in range(strays))]
    assert sorted(reading.lines) == sorted(expected)
    assert (reading.facts["verified"], reading.facts["duplicates_dropped"]) == (True, 0)
    assert reading.facts["meta_after"]["total"] == 1050 + strays


def test_records_without_an_id_are_each_kept_once_even_if_read_in_two_passes() -> None:
    rows = [{"name": "x"}, {"id": None, "name": "y"}, {"id": " "}, {"name": "x"}, {"id": "a"}]

    def one_less_at_first(asked: Asked) -> Reply | None:
        first = asked.page == 1 and asked.attempt == 1
        return Reply(json.dumps(rows[:-1]).encode()) if first else None

    with ScriptedApi(rows, one_less_at_first) as api:
        reading = read(api.url)
    assert sorted(reading.lines) == sorted(map(json.dumps, rows))
    assert (reading.facts["passes"], reading.facts["duplicates_dropped"]) == (2, 0)


def test_a_record_without_an_id_and_an_id_with_the_same_text_are_both_kept() -> None:
    with served(None, {"id": "null"}, 42, {"id": 42}, total=4) as api:
        reading = read(api.url)
    assert sorted(reading.lines) == sorted(["null", '{"id": "null"}', "42", '{"id": 42}'])
    assert reading.facts["verified"]


def test_rows_that_lost_their_id_are_all_kept(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(dropped_fields=frozenset({"id"}))
    reading = read(of_1050.url)
    assert (len(reading.lines), reading.facts["verified"]) == (1050, True)


def test_text_that_utf_8_cannot_encode_does_not_stop_the_read() -> None:
    with served({"id": "a", "name": "\ud800 \U0001f37a"}, total=1) as api:
        reading = read(api.url)
    (line,) = reading.content.decode("utf-8").splitlines()
    assert json.loads(line)["name"] == "\ufffd \U0001f37a"


def test_counted_text_that_utf_8_cannot_encode_does_not_stop_the_pipeline(
    pipeline: Pipeline,
) -> None:
    odd = {"country": "Kärnten \ud800", "brewery_type": "\udfff", "\udc00": 1}
    pipeline.api.rows[:] = [{**OREGON, **odd}, OREGON | {"id": "another"}]
    pipeline.run()
    bronze = pipeline.newest("bronze_breweries")
    assert bronze.columns["\ufffd"] == "number"
    assert bronze.source is not None
    assert bronze.source["counts"]["by_country"] == {"Kärnten \ufffd": 1, "United States": 1}
    checks = {check["name"]: check["passed"] for check in bronze.checks}
    assert checks["counts_match_source"]
