"""The demo API over HTTP. All other tests use it in place of the real API."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.__main__ import main
from demo.data import FIELDS, load
from demo.faults import Faults, parse
from demo.server import DemoApi

ROOT = Path(__file__).parents[2]
TOTAL = 11_822
SOON = 60.0  # seconds, for work that takes less than one on an idle machine
JSON = {"Accept": "application/json"}
PAGE = "breweries?sort=id:asc&per_page=200&page="
Get = Callable[..., requests.Response]


@pytest.fixture(scope="session")
def server() -> Iterator[DemoApi]:
    with DemoApi(requests_per_minute=None) as api:
        yield api


@pytest.fixture
def api(server: DemoApi) -> Iterator[DemoApi]:
    rows = list(server.rows)
    server.requests.clear()
    yield server
    server.faults = Faults()
    server.rows[:] = rows


@pytest.fixture
def get(api: DemoApi) -> Iterator[Get]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(JSON)

        def fetch(path: str, **options: Any) -> requests.Response:
            return session.get(f"{api.url}/{path}", **{"timeout": SOON} | options)

        yield fetch


def ids(response: requests.Response) -> list[str]:
    assert response.status_code == 200
    return [row["id"] for row in response.json()]


def test_sorted_pages_hold_every_brewery_once(api: DemoApi, get: Get) -> None:
    pages = [ids(get(f"{PAGE}{number}")) for number in range(1, 61)]
    assert [len(page) for page in pages] == [200] * 59 + [22]
    read = [brewery_id for page in pages for brewery_id in page]
    assert read == sorted(row["id"] for row in api.rows)
    assert len(set(read)) == TOTAL
    assert get(f"{PAGE}61").json() == []
    assert get(f"{PAGE}{10**17}").json() == []


def test_an_answer_does_not_wait_for_the_acknowledgment_of_its_first_part(get: Get) -> None:
    took = []
    for number in range(1, 31):
        started = time.monotonic()
        get(f"breweries?per_page=1&sort=id&page={number}")
        took.append(time.monotonic() - started)
    assert min(took[10:]) < 0.03  # Linux acknowledges after 0.04 s, except the first parts


def test_without_sort_pages_overlap_and_the_order_changes(get: Get) -> None:
    pages = [ids(get(f"breweries?per_page=200&page={number}")) for number in range(1, 61)]
    assert sum(map(len, pages)) == TOTAL
    assert TOTAL * 0.9 < len(set().union(*pages)) < TOTAL
    assert ids(get("breweries?page=1")) != ids(get("breweries?page=1"))


def test_a_row_has_the_apis_fields_with_nulls_and_numbers(api: DemoApi, get: Get) -> None:
    row = get("breweries/ae7b3174-8be8-4d53-a3a5-9b8240970eea").json()
    assert tuple(row) == FIELDS
    assert (row["longitude"], row["latitude"]) == (11.327765, 50.241246)
    assert (row["state"], row["street"]) == ("Bayern", "Friesener Straße 1")
    assert (row["address_2"], row["postal_code"]) == (None, "96317")
    assert row == api.rows[0] == load()[0]
    assert not any(value == "" for row in api.rows for value in row.values())
    assert sum(row["longitude"] is None for row in api.rows) == 2_435


def test_sort_accepts_several_fields_both_directions_and_the_alias_type(
    api: DemoApi, get: Get
) -> None:
    wanted = sorted(api.rows, key=lambda row: row["id"], reverse=True)
    wanted.sort(key=lambda row: (row["country"], row["brewery_type"]))
    answer = get("breweries?sort=country,type:asc,id:DESC&per_page=200&page=7")
    assert ids(answer) == [row["id"] for row in wanted[1200:1400]]


@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("per_page=201", "per_page", "The per page field must not be greater than 200."),
        ("per_page=0", "per_page", "The per page field must be at least 1."),
        ("per_page=many", "per_page", "The per page field must be an integer."),
        ("page=0", "page", "The page field must be at least 1."),
        ("page=1.5", "page", "The page field must be an integer."),
        ("sort=phone:asc", "sort", "The sort contains an invalid sort field."),
        ("sort=id:up", "sort", "The sort direction must be asc or desc."),
        ("by_type=brewery", "by_type", "The by_type contains invalid brewery type: brewery"),
    ],
)
def test_an_invalid_request_is_refused(
    api: DemoApi, get: Get, query: str, field: str, problem: str
) -> None:
    refused = get(f"breweries?{query}")
    assert refused.status_code == 422
    assert refused.json()["message"] == refused.json()["errors"][field][0]
    assert refused.json()["message"].startswith(problem)

    browser = requests.get(f"{api.url}/breweries?{query}", timeout=SOON)
    assert [answer.status_code for answer in (*browser.history, browser)] == [302, 200]
    assert browser.url == api.url.replace("/v1", "/")
    assert isinstance(browser.json(), dict)


def test_every_invalid_parameter_is_named(get: Get) -> None:
    errors = get("breweries?per_page=0&page=x&sort=x&by_type=x").json()["errors"]
    assert set(errors) == {"per_page", "page", "sort", "by_type"}


@pytest.mark.parametrize(
    ("query", "field", "fits"),
    [
        ("by_state=new_york", "state_province", lambda value: value == "New York"),
        ("by_state=New%20York", "state_province", lambda value: value == "New York"),
        ("by_state=K%C3%A4rnten", "state_province", lambda value: value == "Kärnten"),
        ("by_city=san+diego", "city", lambda value: value == "San Diego"),
        ("by_country=ireland", "country", lambda value: value == "Ireland"),
        ("by_name=MOON", "name", lambda value: "moon" in value.lower()),
        ("by_postal=441", "postal_code", lambda value: (value or "").startswith("441")),
        ("by_type=nano,cidery", "brewery_type", lambda value: value in ("nano", "cidery")),
    ],
)
def test_filters_select_rows_and_meta_counts_the_same(
    api: DemoApi, get: Get, query: str, field: str, fits: Callable[[Any], bool]
) -> None:
    wanted = {row["id"] for row in api.rows if fits(row[field])}
    pages = [ids(get(f"breweries?{query}&sort=id&per_page=200&page={n}")) for n in (1, 2, 3)]
    assert wanted
    assert {brewery_id for page in pages for brewery_id in page} == wanted
    assert get(f"breweries/meta?{query}").json()["total"] == len(wanted)


def test_by_ids_accepts_a_list_and_a_filter_without_matches_returns_no_rows(
    api: DemoApi, get: Get
) -> None:
    wanted = sorted(row["id"] for row in api.rows[:3])
    assert ids(get(f"breweries?by_ids={','.join(wanted)}&sort=id")) == wanted
    assert get("breweries?by_name=(nosuch").json() == []
    empty = get("breweries/meta?by_name=nosuch").json()
    assert (empty["total"], empty["by_state"]) == (0, {})


def test_meta_counts_by_state_country_and_type(get: Get) -> None:
    answer = get("breweries/meta?per_page=10")
    meta = answer.json()
    assert list(meta) == ["total", "by_state", "by_country", "by_type", "page", "per_page"]
    assert (meta["total"], meta["page"], meta["per_page"]) == (TOTAL, 1, 10)
    assert meta["by_country"]["United States"] == 8_224
    for counts in (meta["by_state"], meta["by_country"], meta["by_type"]):
        assert sum(counts.values()) == TOTAL


def test_answers_may_be_cached_for_five_minutes(get: Get) -> None:
    for path in ("breweries", "breweries/meta"):
        assert get(path).headers["Cache-Control"] == "public, max-age=300"


def test_an_unknown_path_is_answered_with_404_as_json(api: DemoApi, get: Get) -> None:
    missing = get("breweries/no-such-id")
    assert (missing.status_code, missing.json()) == (404, {"message": "Couldn't find Brewery"})
    for url in (f"{api.url}/beers", f"http://127.0.0.1:{api.port}/v2/breweries"):
        answer = requests.get(url, timeout=SOON)
        assert answer.status_code == 404
        assert "could not be found" in answer.json()["message"]
    assert requests.post(f"{api.url}/breweries", timeout=SOON).status_code == 405


def test_random_and_search_answer_rows(get: Get) -> None:
    assert len(get("breweries/random").json()) == 1
    assert len(set(ids(get("breweries/random?size=5")))) == 5
    assert get("breweries/random?size=51").status_code == 422
    found = get("breweries/search?query=goat_island&per_page=3").json()
    assert [row["name"] for row in found] == ["Goat Island Brewing"]
    assert get("breweries/search").status_code == 422


def test_above_the_limit_it_answers_429_until_retry_after_has_passed() -> None:
    with DemoApi([], requests_per_minute=3, minute=1.0) as api:
        url = f"{api.url}/breweries"
        answers = [requests.get(url, headers=JSON, timeout=SOON) for _ in range(3)]
        while answers[-1].status_code == 200:  # the fourth, if all come in one second
            assert len(answers) < 200
            answers.append(requests.get(url, headers=JSON, timeout=SOON))
        assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
        assert answers[-1].json() == {"message": "Too Many Attempts."}
        assert answers[-1].headers["Retry-After"] == "1"
        time.sleep(1)
        assert requests.get(url, headers=JSON, timeout=SOON).status_code == 200


def test_the_default_limit_is_120_a_minute() -> None:
    with DemoApi([]) as api, requests.Session() as session:
        answers = [session.get(f"{api.url}/breweries", timeout=SOON) for _ in range(121)]
    assert [answer.status_code for answer in answers] == [200] * 120 + [429]
    assert 30 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_changed_rows_are_in_the_next_answer_and_the_callers_list_is_not_changed() -> None:
    mine = load()[:3]
    with DemoApi(mine) as api:
        url = f"{api.url}/breweries?sort=name"
        api.rows[0]["name"] = "龍"
        assert requests.get(url, timeout=SOON).json()[-1]["name"] == "龍"
        api.rows.append(api.rows[1] | {"id": "new", "name": "!"})
        assert requests.get(url, timeout=SOON).json()[0]["id"] == "new"
        api.rows.clear()
        assert requests.get(url, timeout=SOON).json() == []
    assert mine == load()[:3]


def test_requests_are_recorded_with_method_url_and_headers(api: DemoApi, get: Get) -> None:
    get("breweries?per_page=1&by_city=K%C3%B6ln", headers={"X-Wanted": "yes"})
    ((method, url, headers),) = api.requests
    assert (method, url) == ("GET", "/v1/breweries?per_page=1&by_city=K%C3%B6ln")
    assert headers["x-wanted"] == "yes"


# Faults of the delivery


def test_fail_first_answers_503_to_each_url_and_then_correctly(api: DemoApi, get: Get) -> None:
    api.faults = Faults(fail_first=2)
    for path in ("breweries?page=1", "breweries?page=2", "breweries/meta"):
        assert [get(path).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_always_status_is_the_answer_to_pages_only(api: DemoApi, get: Get) -> None:
    for status in (204, 403, 429, 500):
        api.faults = Faults(always_status=status)
        assert {get(f"{PAGE}{n}").status_code for n in (1, 2, 1)} == {status}
        assert get("breweries/meta").status_code == 200
    api.faults = Faults(always_status=429)
    assert get("breweries").headers["Retry-After"] == "1"


def test_server_errors_hit_the_given_share_and_the_same_requests_every_time(
    api: DemoApi, get: Get
) -> None:
    def statuses() -> list[int]:
        api.faults = Faults(server_errors=0.3, seed=7)
        return [get(f"breweries?per_page=1&page={n}").status_code for n in range(1, 101)]

    first = statuses()
    assert set(first) == {200, 500, 502, 503, 504}
    assert 15 <= sum(status != 200 for status in first) <= 45
    assert statuses() == first


def test_html_answers_200_with_an_html_page(api: DemoApi, get: Get) -> None:
    api.faults = Faults(html=1.0)
    answer = get("breweries")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_objects_answers_200_with_an_object_instead_of_an_array(api: DemoApi, get: Get) -> None:
    api.faults = Faults(objects=1.0)
    answer = get("breweries")
    assert (answer.status_code, set(answer.json())) == (200, {"message"})
    assert get("breweries/meta").json()["total"] == TOTAL


def test_cut_bodies_announce_the_full_length_and_end_halfway(api: DemoApi, get: Get) -> None:
    whole = get(f"{PAGE}1").content
    api.faults = Faults(cut_bodies=1.0)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get(f"{PAGE}1")
    answer = get(f"{PAGE}1", stream=True)
    assert int(answer.headers["Content-Length"]) == len(whole)
    received = b""
    with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
        for part in answer.iter_content(100):
            received += part
    assert whole.startswith(received)
    assert len(whole) * 0.4 < len(received) <= len(whole) // 2


def test_cut_json_is_valid_http_with_half_of_the_json(api: DemoApi, get: Get) -> None:
    whole = get(f"{PAGE}1").content
    api.faults = Faults(cut_json=1.0)
    answer = get(f"{PAGE}1")
    assert (answer.status_code, answer.content) == (200, whole[: len(whole) // 2])
    assert answer.headers["Content-Type"] == "application/json"


def test_dropped_connections_get_no_answer(api: DemoApi, get: Get) -> None:
    api.faults = Faults(dropped_connections=1.0)
    with pytest.raises(requests.ConnectionError, match="without response"):
        get("breweries")


def test_hanging_requests_get_no_answer_while_others_do(api: DemoApi, get: Get) -> None:
    api.faults = Faults(hanging=1.0)
    with pytest.raises(requests.ReadTimeout):
        get("breweries", timeout=0.2)
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(requests.get, f"{api.url}/breweries?page=2", timeout=0.5)
        wait_until(lambda: len(api.requests) == 2)
        api.faults = Faults()
        assert len(ids(get("breweries"))) == 50
        assert isinstance(hung.exception(), requests.ReadTimeout)


def test_dripping_bodies_send_one_byte_every_fifth_of_a_second(api: DemoApi, get: Get) -> None:
    whole = get(f"{PAGE}1").content
    api.faults = Faults(dripping=1.0)
    started = time.monotonic()
    with get(f"{PAGE}1", stream=True) as answer:
        assert int(answer.headers["Content-Length"]) == len(whole)
        assert [answer.raw.read(1) for _ in range(4)] == [whole[i : i + 1] for i in range(4)]
        assert 0.5 < time.monotonic() - started < SOON


def test_the_server_stops_at_once_with_open_requests_and_leaves_no_thread() -> None:
    before = {*threading.enumerate()}
    with ThreadPoolExecutor(4) as pool:
        with DemoApi(load()[:800], faults=Faults(hanging=0.5, dripping=1.0)) as api:
            calls = [pool.submit(requests.get, f"{api.url}/{PAGE}{n}") for n in range(1, 5)]
            wait_until(lambda: len(api.requests) == 4)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < SOON
        assert all(isinstance(call.exception(), requests.RequestException) for call in calls)
    assert {*threading.enumerate()} <= before
    with pytest.raises(requests.ConnectionError):
        requests.get(api.url, timeout=1)


# Faults of the data


def test_empty_pages_have_no_rows(api: DemoApi, get: Get) -> None:
    api.faults = Faults(empty_pages=1.0)
    assert get(f"{PAGE}1").json() == []
    assert get("breweries?page=0").status_code == 422
    api.faults = Faults(empty_page_numbers=frozenset({2, 4}))
    assert [len(get(f"{PAGE}{n}").json()) for n in (1, 2, 3, 4, 2)] == [200, 0, 200, 0, 0]


def test_ignore_sort_makes_sorted_pages_overlap(api: DemoApi, get: Get) -> None:
    api.faults = Faults(ignore_sort=True)
    assert ids(get(f"{PAGE}1")) != ids(get(f"{PAGE}1"))


def test_ignore_page_always_answers_page_1(api: DemoApi, get: Get) -> None:
    api.faults = Faults(ignore_page=True)
    assert ids(get(f"{PAGE}1")) == ids(get(f"{PAGE}9")) == ids(get(f"{PAGE}999"))


def test_per_page_cap_serves_all_rows_in_smaller_pages(api: DemoApi, get: Get) -> None:
    del api.rows[250:]
    api.faults = Faults(per_page_cap=100)
    pages = [ids(get(f"{PAGE}{n}")) for n in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert len(set().union(*pages)) == 250


def test_no_meta_answers_404_like_an_unknown_brewery(api: DemoApi, get: Get) -> None:
    api.faults = Faults(no_meta=True)
    answer = get("breweries/meta")
    assert (answer.status_code, answer.json()) == (404, get("breweries/meta2").json())


def test_meta_as_text_has_strings_and_no_countries(api: DemoApi, get: Get) -> None:
    api.faults = Faults(meta_as_text=True)
    meta = get("breweries/meta").json()
    assert list(meta) == ["total", "by_state", "by_type", "page", "per_page"]
    assert (meta["total"], meta["page"], meta["by_type"]["micro"]) == ("11822", "1", "5840")


@pytest.mark.parametrize("off_by", [3, -3])
def test_meta_total_off_by_changes_the_total(api: DemoApi, get: Get, off_by: int) -> None:
    api.faults = Faults(meta_total_off_by=off_by)
    assert get("breweries/meta").json()["total"] == TOTAL + off_by


def test_coordinates_as_text_are_decimal_strings_or_null(api: DemoApi, get: Get) -> None:
    api.faults = Faults(coordinates_as_text=True)
    first = get("breweries/ae7b3174-8be8-4d53-a3a5-9b8240970eea").json()
    assert (first["longitude"], first["latitude"]) == ("11.327765", "50.241246")
    assert {type(row["latitude"]) for row in get(f"{PAGE}1").json()} == {str, type(None)}


def test_dropped_fields_are_in_no_row(api: DemoApi, get: Get) -> None:
    api.faults = Faults(dropped_fields=frozenset({"id", "phone"}))
    rows = get(f"{PAGE}1").json()
    assert {tuple(row) for row in rows} == {tuple(f for f in FIELDS if f not in ("id", "phone"))}


def test_rows_change_during_a_read_until_the_changes_stop(api: DemoApi, get: Get) -> None:
    api.faults = Faults(rows_change_every=2, changes_stop_after=4)
    before = {row["id"]: row for row in api.rows}
    totals = []
    for number in range(1, 13):
        get(f"{PAGE}{number}")
        totals.append(get("breweries/meta").json()["total"] - TOTAL)
    assert totals == [0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    after = {row["id"]: row for row in api.rows}
    assert len(after.keys() - before.keys()) == 2
    assert len(before.keys() - after.keys()) == 1
    changed = [i for i in before.keys() & after.keys() if before[i] != after[i]]
    assert len(changed) == 1


def test_the_readme_explains_every_fault() -> None:
    table = (ROOT / "demo" / "README.md").read_text(encoding="utf-8").partition("## The faults")[2]
    assert re.findall(r"^\| `(\w+)=", table, re.MULTILINE) == [f.name for f in fields(Faults)]


# The command


@contextlib.contextmanager
def command(*options: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """The running command and the lines it printed until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        lines = [process.stdout.readline().strip()]
        while lines[-1] and "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline().strip())
        yield process, lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_command_uses_a_free_port_if_its_port_is_taken_and_its_options_work() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--requests-per-minute=1", "--fault=html=1", "--rows=1050")
        with command("--port", str(port), *options) as started:
            process, (said, ready) = started
            assert said == f"Port {port} is taken; taking a free one."
            match = re.fullmatch(
                r"Open Brewery DB demo API: (http://127\.0\.0\.1:\d+/v1)"
                r" \(1,050 breweries; Ctrl-C stops it\)",
                ready,
            )
            assert match
            answers = [requests.get(f"{match[1]}/breweries", timeout=SOON) for _ in range(2)]
            assert "<!DOCTYPE html>" in answers[0].text
            assert answers[1].status_code == 429
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=SOON) == 0


def test_ctrl_c_ends_the_command_even_with_an_open_request() -> None:
    with (
        command("--port=0", "--fault", "hanging=1") as (process, lines),
        ThreadPoolExecutor(1) as pool,
    ):
        url = f"{lines[0].split()[5]}/breweries"
        with pytest.raises(requests.ReadTimeout):
            requests.get(url, timeout=0.2)
        hung = pool.submit(requests.get, url, timeout=SOON)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=SOON) == 0
        assert isinstance(hung.exception(), requests.ConnectionError)


@pytest.mark.parametrize(
    ("switch", "sentence"),
    [
        ("hang=1", "There is no fault 'hang'; there are: seed, fail_first, "),
        ("html=often", "html needs a number from 0 to 1, not 'often'."),
        ("html=2", "html must be a share from 0 to 1, not 2.0."),
        ("html=nan", "html must be a share from 0 to 1, not nan."),
        ("fail_first=-1", "fail_first must not be negative."),
        ("no_meta", "no_meta needs true or false, not ''."),
        ("empty_page_numbers=1,x", "empty_page_numbers needs page numbers with commas, not '1,x'."),
        ("per_page_cap=0", "per_page_cap must be at least 1, not 0."),
        ("always_status=99", "always_status must be from 200 to 599, not 99."),
    ],
)
def test_an_unknown_or_invalid_fault_is_refused_in_one_sentence(switch: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        parse(["seed=3", switch])


def test_fault_switches_are_converted_to_the_types_of_their_fields() -> None:
    read = parse(["html=.5", "no_meta=True", "empty_page_numbers=3, 7", "dropped_fields=id,phone"])
    assert read == Faults(
        html=0.5,
        no_meta=True,
        empty_page_numbers=frozenset({3, 7}),
        dropped_fields=frozenset({"id", "phone"}),
    )
    assert parse(["changes_stop_after=0", "meta_total_off_by=-2"]) == Faults(
        changes_stop_after=0, meta_total_off_by=-2
    )


@pytest.mark.parametrize(
    "option", ["--fault=hang=1", "--port=65536", "--requests-per-minute=-1", "--rows=-1"]
)
def test_the_command_refuses_an_invalid_option_in_one_line_with_status_2(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", option])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main())
    said, complaint = capsys.readouterr()
    assert (ended.value.code, said) == (2, "")
    assert len(complaint.splitlines()) == 1


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.01)
