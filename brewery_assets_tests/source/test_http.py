"""The API client and failing requests: which ones it retries, and when it gives up."""

import gzip
import json
import re
import socket
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise

import pytest

from brewery_assets_tests.scripted_api import (
    LONG,
    METAS,
    PAGES_OF_1050,
    PATIENCE,
    SOON,
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


def switches(parameter: object) -> str | None:
    """The faults that are switched on, for the id of a test."""
    if not isinstance(parameter, Faults):
        return None
    return " ".join(f"{k}={v}" for k, v in asdict(parameter).items() if v != getattr(Faults, k))


# Requests


def test_every_request_names_the_project_and_asks_for_json(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(fail_first=1)  # retries too
    read(of_1050.url)
    assert len(of_1050.requests) == 2 * (PAGES_OF_1050 + 1) + 1
    for method, _, headers in of_1050.requests:
        assert method == "GET"
        assert headers["user-agent"].startswith("brewery_assets/")
        assert headers["accept"] == "application/json"


def test_it_asks_for_sorted_pages_of_200_between_two_requests_for_the_totals(
    of_1050: DemoApi,
) -> None:
    read(of_1050.url)
    meta, *pages, meta_again = [url for _, url, _ in of_1050.requests]
    assert meta == meta_again == "/v1/breweries/meta"
    assert sorted(pages) == [
        f"/v1/breweries?per_page=200&page={number}&sort=id%3Aasc"
        for number in range(1, PAGES_OF_1050 + 1)
    ]


@pytest.mark.parametrize("at_once", [1, 4])
def test_no_more_pages_than_configured_are_requested_at_once(at_once: int) -> None:
    def wait_for_more(asked: Asked) -> None:
        """Waits until `at_once` requests are open, and a moment longer for one too many."""
        if asked.page in range(1, 9):
            with api.changed:
                api.changed.wait_for(lambda: api.busiest >= at_once, timeout=LONG)
                api.changed.wait_for(lambda: api.busiest > at_once, timeout=0.05)

    with ScriptedApi(some(1600), wait_for_more) as api:
        assert len(read(api.url, pages_at_once=at_once).lines) == 1600
        assert api.busiest == at_once


# Retries


@pytest.mark.parametrize(
    "faults",
    [
        Faults(fail_first=3),
        Faults(server_errors=0.3),
        Faults(cut_bodies=0.3),
        Faults(cut_json=0.3),
        Faults(html=0.3),
        Faults(objects=0.3),
        Faults(dropped_connections=0.3),
        Faults(hanging=0.3, seed=1),
        Faults(dripping=0.3),
        Faults(server_errors=0.1, cut_bodies=0.1, cut_json=0.1, html=0.1, dropped_connections=0.1),
    ],
    ids=switches,
)
def test_temporary_faults_lose_no_rows(of_1050: DemoApi, faults: Faults) -> None:
    of_1050.faults = faults
    reading = read(
        of_1050.url, attempts=8, timeout=0.3 if faults.hanging or faults.dripping else LONG
    )
    assert reading.lines == as_served(of_1050.rows)
    assert (reading.facts["verified"], reading.facts["passes"]) == (True, 1)
    assert reading.facts["retries"] > 0
    assert reading.facts["requests"] == PAGES_OF_1050 + METAS + reading.facts["retries"]
    assert reading.facts["requests"] == len(of_1050.requests)


@pytest.mark.parametrize("status", [408, 429, *range(500, 512), 520, 524, 525, 530, 599])
def test_a_temporary_error_status_is_retried(status: int) -> None:
    def fail_first(asked: Asked) -> Reply | None:
        return Reply(b"Later.", status) if asked.attempt == 1 else None

    with ScriptedApi(some(3), fail_first) as api:
        reading = read(api.url)
    assert (len(reading.lines), reading.facts["retries"]) == (3, 4 - 1)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
PAGE = json.dumps(some(3)).encode()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage\r\n\r\n", id="not HTTP"),
        pytest.param(HEAD, id="half a header"),
        pytest.param(
            HEAD + b"Content-Length: 9999\r\n\r\n" + PAGE, id="shorter than Content-Length"
        ),
        pytest.param(CHUNKED + b"5\r\n[1,2,\r\n", id="chunks that end early"),
        pytest.param(CHUNKED + b"5\r\n[1,", id="a cut chunk"),
        pytest.param(CHUNKED + b"x\r\n[1,", id="invalid chunks"),
        pytest.param(HEAD + b"Content-Encoding: gzip\r\n\r\n" + PAGE, id="not gzip"),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PAGE)[:-20], id="cut gzip"
        ),
        pytest.param(HEAD + b'\r\n[{"id": "K\xf6ln"}]', id="not UTF-8"),
        pytest.param(HEAD + b"\r\n" + "[]".encode("utf-16"), id="UTF-16"),
        pytest.param(HEAD + b"\r\n", id="no body"),
        pytest.param(HEAD + b"\r\n[NaN]", id="not JSON"),
        pytest.param(HEAD + b"\r\n" + b"[" * 100_000, id="too deeply nested JSON"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /v1/breweries/meta\r\n\r\n", id="redirect"),
    ],
)
def test_a_broken_answer_is_retried_and_does_not_end_the_pages(answer: bytes) -> None:
    def break_first(asked: Asked) -> list[bytes] | None:
        return [answer] if asked.page == 1 and asked.attempt == 1 else None

    with ScriptedApi(some(3), break_first) as api:
        reading = read(api.url)
    assert (len(reading.lines), reading.facts["retries"]) == (3, 1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in PAGE) + b"0\r\n\r\n", id="chunks"
        ),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PAGE), id="compressed"
        ),
        pytest.param(HEAD + b"\r\n\xef\xbb\xbf" + PAGE, id="with a byte order mark"),
        pytest.param(HEAD + b"\r\n" + PAGE, id="to the end of the connection"),
    ],
)
def test_an_answer_may_have_any_form_that_http_allows(answer: bytes) -> None:
    with ScriptedApi(some(3), lambda asked: [answer] if asked.page == 1 else None) as api:
        reading = read(api.url)
    assert (len(reading.lines), reading.facts["retries"]) == (3, 0)


# Waits between retries


def test_it_waits_longer_after_each_try() -> None:
    def fail_first(asked: Asked) -> Reply | None:
        return Reply(b"Later.", 503) if asked.page == 1 and asked.attempt < 5 else None

    with ScriptedApi(some(3), fail_first) as api:
        read(api.url, attempts=5, backoff=0.02)
        at = api.attempts(1)
    waits = [later - earlier for earlier, later in pairwise(at)]
    for wait, least in zip(waits, (0.02, 0.04, 0.08, 0.16), strict=True):
        assert least * 0.95 <= wait < least + 0.02 + 5  # the jitter, and a slow machine


def http_date(*, seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("status", "when", "least"),
    [
        pytest.param(429, lambda: "1", 1.0, id="seconds"),
        # A date has whole seconds.
        pytest.param(503, lambda: http_date(seconds=1.3), 0.3, id="a date"),
    ],
)
def test_it_waits_as_long_as_retry_after_says(
    status: int, when: Callable[[], str], least: float
) -> None:
    def refuse_first(asked: Asked) -> Reply | None:
        if asked.page == 1 and asked.attempt == 1:
            return Reply(b"Too Many Attempts.", status, {"Retry-After": when()})
        return None

    with ScriptedApi(some(3), refuse_first) as api:
        reading = read(api.url)
        refused, answered = api.attempts(1)
    assert (len(reading.lines), reading.facts["retries"]) == (3, 1)
    assert least <= answered - refused < SOON


@pytest.mark.parametrize(
    "header",
    ["0", "", "soon", "-900", "900.5", "\xb2", "Sat, 01 Aug 2026 00:00:00 GMT", "Sat, 99 Foo"],
)
def test_a_retry_after_that_is_past_or_invalid_adds_no_wait(header: str) -> None:
    def refuse_first(asked: Asked) -> Reply | None:
        return Reply(b"", 429, {"Retry-After": header}) if asked.attempt == 1 else None

    started = time.monotonic()
    with ScriptedApi(some(3), refuse_first) as api:
        assert len(read(api.url).lines) == 3
    assert time.monotonic() - started < SOON


def test_it_waits_for_the_rate_limit_of_the_api(real_rows: list[Row]) -> None:
    with DemoApi(real_rows[:450], requests_per_minute=4, minute=1.0) as api:
        reading = read(api.url, attempts=2)
    assert len(reading.lines) == 450
    assert reading.facts["verified"]


@pytest.mark.parametrize(
    "when", [lambda: "3600", lambda: "9" * 400, lambda: http_date(seconds=3600)]
)
def test_a_retry_after_beyond_the_patience_fails_at_once(when: Callable[[], str]) -> None:
    def refuse(asked: Asked) -> Reply | None:
        if asked.page == 1:
            return Reply(b"Too Many Attempts.", 429, {"Retry-After": when()})
        return None

    with ScriptedApi(some(3), refuse) as api:
        said = failure(api.url)
        assert len(api.attempts(1)) == 1
        assert said.startswith(f"GET {api.page_url(1)} ")
    bound = f"and the whole read may take only {PATIENCE:g} s"
    assert re.search(rf" in 1 tries and \d+ s, {bound}; the last error: 429 Too ", said)
    assert said.endswith("429 Too Many Requests: 'Too Many Attempts.'")


# Failures without a retry


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 405, 410, 422])
def test_a_permanent_error_status_fails_after_one_request(of_1050: DemoApi, status: int) -> None:
    of_1050.faults = Faults(always_status=status)
    said = failure(of_1050.url, pages_at_once=1)
    tries = Counter(seen.url for seen in of_1050.requests)
    assert set(tries.values()) == {1}  # the next page may already be requested
    assert said.startswith(f"GET {of_1050.url}/breweries?per_page=200&page=")
    assert f" answered {status} " in said
    assert status == 204 or said.endswith(""": '{"message":"Server Error"}'""")


@pytest.mark.parametrize("status", [400, 401, 403, 410, 422])
def test_totals_that_are_refused_fail_after_one_request(status: int) -> None:
    with ScriptedApi(some(3), lambda _: Reply(b"No.", status)) as api:
        said = failure(api.url)
        assert len(api.asked) == 1
        assert said.startswith(f"GET {api.url}/breweries/meta answered {status} ")
    assert said.endswith(": 'No.'")


def test_the_error_for_a_wrong_address_names_it_and_404(of_1050: DemoApi) -> None:
    url = of_1050.url.replace("/v1", "/v2")
    said = failure(url)
    assert said.startswith(f"GET {url}/breweries?per_page=200&page=1&sort=id%3Aasc answered 404 ")
    assert len(of_1050.requests) == METAS


def test_the_error_shows_only_the_first_bytes_of_a_long_answer() -> None:
    with ScriptedApi(some(3), lambda _: Reply(b"<p>" + b"x" * 10_000, 403)) as api:
        said = failure(api.url)
    assert "'<p>xxx" in said
    assert len(said) < 400


def test_the_error_for_endless_redirects_names_the_address() -> None:
    def to_itself(_: Asked) -> Reply:
        return Reply(b"", 302, {"Location": "/v1/breweries/meta"})

    with ScriptedApi(some(3), to_itself) as api:
        said = failure(api.url)
        assert said.startswith(f"GET {api.url}/breweries/meta ")
    assert "redirects" in said


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/v1", "127.0.0.1/v1"])
def test_the_error_for_an_invalid_address_names_it(url: str) -> None:
    assert failure(url).startswith(f"GET {url}/breweries/meta cannot be sent: ")


# Answers that are too large


LARGE = 4_000_000_000
GZIP_OF_400_MB = gzip.compress(bytes(LARGE // 250)) * 25
GZIP_OF_4_GB = GZIP_OF_400_MB * 10  # about 4 MB
GZIPPED = HEAD + b"Content-Encoding: gzip\r\n\r\n"


def endless(start: bytes) -> Iterator[bytes]:
    yield start
    for _ in range(LARGE // 100_000):
        yield bytes(100_000)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: [GZIPPED + GZIP_OF_4_GB], id="gzip"),
        pytest.param(
            lambda: [
                GZIPPED.replace(b"gzip", b"gzip, gzip") + gzip.compress(GZIP_OF_4_GB),
            ],
            id="gzip of gzip",
        ),
        pytest.param(lambda: endless(HEAD + b"\r\n"), id="plain"),
        pytest.param(lambda: endless(HEAD.replace(b"200 OK", b"503 Busy") + b"\r\n"), id="error"),
        pytest.param(
            lambda: endless(HEAD + b"Content-Length: %d\r\n\r\n" % LARGE), id="known size"
        ),
    ],
)
def test_an_answer_that_is_too_large_fails_at_once_and_uses_little_memory(
    page: int, answer: Callable[[], Iterable[bytes]]
) -> None:
    def large(asked: Asked) -> Iterable[bytes] | None:
        return answer() if asked.page == page else None

    with ScriptedApi(some(3), large) as api:
        tracemalloc.start()
        try:
            said = failure(api.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(api.attempts(page)) == 1
        url = api.page_url(1) if page else f"{api.url}/breweries/meta"
    assert said == (
        f"GET {url} answered with more than 20,000,000 bytes (uncompressed), the largest answer "
        "that is read; check that BREWERY_API_URL is a brewery API"
    )
    assert peak < 150_000_000


def test_the_body_of_a_redirect_is_not_read() -> None:
    elsewhere = HEAD.replace(b"200 OK", b"302 Found") + b"Location: /v1/breweries/meta\r\n"

    def redirect(asked: Asked) -> Iterable[bytes] | None:
        if asked.page == 0 and asked.attempt == 1:
            return [elsewhere + b"Content-Encoding: gzip\r\n\r\n" + GZIP_OF_400_MB]
        return None

    with ScriptedApi(some(3), redirect) as api:
        tracemalloc.start()
        try:
            assert read(api.url).facts["verified"]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 150_000_000


# Failures after all retries


TIMED_OUT = "Read timed out|the answer took longer than "


@pytest.mark.parametrize(
    ("faults", "path", "cause"),
    [
        (Faults(always_status=500), "", """: 500 Internal Server Error: '{"message":"Server"""),
        (Faults(always_status=503), "", """: 503 Service Unavailable: '{"message":"Server"""),
        (Faults(html=1), "/meta", "in 200 OK: '<!DOCTYPE html>"),
        (Faults(objects=1), "", """: no JSON array, in 200 OK: '{"message":"Server busy."}'"""),
        (Faults(cut_bodies=1), "/meta", "IncompleteRead"),
        (Faults(cut_json=1), "/meta", """, in 200 OK: '{"total":1050,"""),
        (Faults(dropped_connections=1), "/meta", "closed connection without response"),
        (Faults(hanging=1), "/meta", TIMED_OUT),
        (Faults(dripping=1), "/meta", TIMED_OUT),  # each byte comes in time
    ],
    ids=switches,
)
def test_the_error_for_a_permanent_fault_names_the_tries_the_url_and_the_last_cause(
    of_1050: DemoApi, faults: Faults, path: str, cause: str
) -> None:
    of_1050.faults = faults
    timeout = 0.4 if faults.hanging or faults.dripping else LONG
    said = failure(of_1050.url, pages_at_once=1, attempts=3, timeout=timeout)
    assert said.startswith(f"GET {of_1050.url}/breweries{path}")
    assert " gave no usable answer in 3 tries and " in said
    assert re.search(cause if cause == TIMED_OUT else re.escape(cause), said)
    tries = Counter(seen.url for seen in of_1050.requests)
    assert tries.most_common(1)[0][1] == 3
    assert len(of_1050.requests) <= 1 + 3 + 1  # the next page may already be requested


def test_permanent_429_fails_when_the_patience_is_used_up(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(always_status=429)  # with Retry-After: 1
    said = failure(of_1050.url, attempts=1000, patience=1.5)
    assert '429 Too Many Requests: \'{"message":"Server Error"}\'' in said
    assert ", and the whole read may take only 1.5 s; the last error: " in said


def test_the_error_for_a_closed_port_names_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        said = failure(url)
    assert said.startswith(f"GET {url}/breweries/meta gave no usable answer in 4 tries and ")
    cause = (
        r"; the last error: ConnectionError: Failed to establish .*\[Errno \d+\] Connection refused"
    )
    assert re.search(f"{cause}$", said)


def test_the_error_for_too_deeply_nested_json_names_the_page() -> None:
    def deep(asked: Asked) -> Reply | None:
        return Reply(b"[" * 100_000) if asked.page == 1 else None

    with ScriptedApi(some(3), deep) as api:
        assert failure(api.url).startswith(f"GET {api.page_url(1)} gave no usable answer in 4 ")


def test_a_redirect_to_something_other_than_a_page_fails() -> None:
    def redirect(asked: Asked) -> Reply | None:
        elsewhere = {"Location": "/v1/breweries/meta"}
        return Reply(b"", 302, elsewhere) if asked.page else None

    with ScriptedApi(some(3), redirect) as api:
        said = failure(api.url)
        assert said.startswith(f"GET {api.page_url(1)} ")
    assert "no JSON array, in 200 OK: '{\"total\": 3}'" in said


# Patience: the time limit for all requests together


def test_patience_limits_the_retries_even_if_many_are_allowed(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(always_status=503)
    started = time.monotonic()
    said = failure(of_1050.url, attempts=10**6, patience=1)
    assert time.monotonic() - started < SOON
    assert "and the whole read may take only 1 s; the last error: 503 Service Unavailable" in said


def test_patience_limits_a_try_that_hangs(of_1050: DemoApi) -> None:
    of_1050.faults = Faults(hanging=1)
    started = time.monotonic()
    said = failure(of_1050.url, timeout=LONG, patience=0.3)
    assert re.search(TIMED_OUT, said)
    assert time.monotonic() - started < SOON


@pytest.mark.parametrize("counted", [True, False])
def test_patience_limits_a_source_whose_pages_never_end(counted: bool) -> None:
    def endless(asked: Asked) -> Reply | None:
        if asked.page == 0:
            return None if counted else Reply(b"", 404)
        api.leave.wait(timeout=0.01)  # so that the patience ends before the page limit
        return Reply(json.dumps([{"id": f"{asked.page} {asked.attempt}"}]).encode())

    with ScriptedApi(some(3), endless) as api:
        started = time.monotonic()
        said = failure(api.url, patience=0.5)
        assert time.monotonic() - started < SOON
        assert said.startswith(f"GET {api.url}/breweries?")
    assert "0.5 s" in said


# Cleanup


@pytest.mark.parametrize(
    "others",
    [
        pytest.param(Reply(b"", 429, {"Retry-After": f"{LONG:.0f}"}), id="pages that wait"),
        pytest.param(Reply(b"", 503), id="pages that are retried"),
        pytest.param(None, id="pages that succeed"),
    ],
)
def test_the_first_page_that_fails_cancels_all_others(others: Reply | None) -> None:
    def one_fails(asked: Asked) -> Reply | None:
        if asked.page != 3:
            return others if asked.page else None
        with api.changed:  # when the others are open
            api.changed.wait_for(lambda: len(api.asked) >= 1 + 4, timeout=LONG)
        return Reply(b"No.", 403)

    with ScriptedApi(some(100_000), one_fails) as api:
        started = time.monotonic()
        said = failure(api.url, attempts=10**6, backoff=0.1)
        assert time.monotonic() - started < SOON
        assert said == f"GET {api.page_url(3)} answered 403 Forbidden: 'No.'"
        assert len({asked.page for asked in api.asked}) < 500
        until = time.monotonic() + LONG
        while "request" in {thread.name for thread in threading.enumerate()}:  # still open
            assert time.monotonic() < until
            time.sleep(0.01)
        with api.changed:
            asked = len(api.asked)
            assert not api.changed.wait_for(lambda: len(api.asked) > asked, timeout=0.15)


def test_a_failing_read_waits_for_a_page_that_hangs_only_until_its_timeout() -> None:
    def one_fails(asked: Asked) -> Reply | None:
        if asked.page == 2:
            return Reply(b"No.", 403)
        if asked.page:
            api.leave.wait(timeout=LONG)
        return None

    with ScriptedApi(some(3000), one_fails) as api:
        started = time.monotonic()
        assert " answered 403 " in failure(api.url, timeout=0.4)
        assert time.monotonic() - started < SOON


def test_a_read_that_succeeds_leaves_no_thread_and_no_connection() -> None:
    before = set(threading.enumerate())
    with ScriptedApi(some(1000), lambda _: None) as api:
        read(api.url)
        until = time.monotonic() + LONG
        while len(threading.enumerate()) > len(before) + 1:  # one per connection of the server
            assert time.monotonic() < until
            time.sleep(0.01)
    assert set(threading.enumerate()) <= before
