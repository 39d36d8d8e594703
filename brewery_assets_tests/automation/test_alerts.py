"""Alerts as they arrive at a real mail server and at a real webhook."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from pathlib import Path

import dagster as dg
import pytest

from brewery_assets.automation.alerts import Alert, Alerts, Target
from brewery_assets.automation.delivery import WINDOW, Delivered, deliver
from brewery_assets.automation.jobs import alerts_sensor
from brewery_assets.definitions import resources_of
from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.gold import FAIL_AFTER, WARN_AFTER
from brewery_assets.settings import Settings
from brewery_assets_tests.checkout import ROOT, brewery
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.mail import SECRET, TOKEN, MailServer, WebHook
from brewery_assets_tests.scenario import MASSACHUSETTS, OREGON, UNKNOWN_FIELDS
from demo.faults import Faults

CLEAN = [OREGON, MASSACHUSETTS]  # no check warns about them
SOME = ("bronze_breweries", "silver_breweries", "rejected_breweries")  # enough for most tests
UI = "https://dagster.example.org"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    server.open()
    yield server
    server.close()


@pytest.fixture
def hook() -> Iterator[WebHook]:
    server = WebHook()
    yield server
    server.close()


class Ticks:
    """The sensor's ticks; each continues from the cursor of the previous one."""

    def __init__(self, pipeline: Pipeline, *urls: str) -> None:
        self.pipeline = pipeline
        self.alerts = Alerts(urls=" ".join(urls), webserver_url=UI)
        self.cursor: str | None = None
        self.tick()

    def tick(self, now: datetime | None = None) -> Delivered:
        gold = self.pipeline.lake.newest("gold_brewery_counts")
        now = now or datetime.now(timezone.utc)
        found = deliver(self.pipeline.instance, self.alerts, gold, self.cursor, now=now)
        self.cursor = found.cursor
        return found


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def subjects(mail: MailServer) -> list[str]:
    return [message["subject"].removeprefix("[brewery_assets] ") for message in mail.messages]


def test_a_failed_run_is_reported_once_to_every_address(
    pipeline: Pipeline, mail: MailServer, hook: WebHook
) -> None:
    ticks = Ticks(pipeline, mail.url, hook.url)
    pipeline.api.faults = Faults(always_status=403)
    run = pipeline.run(fails=True)
    assert ticks.tick().sent == 2
    assert ticks.tick().sent == 0
    (message,), (post,) = mail.messages, hook.posts
    assert message["to"] == "oncall@example.org"
    assert message["subject"] == "[brewery_assets] materialization failed in bronze_breweries"
    for said in (text_of(message), post["message"]):
        assert "Step: bronze_breweries" in said
        assert f"GET {pipeline.api.url}/breweries" in said
        assert "answered 403" in said
        assert f"{UI}/runs/{run.run_id}" in said
        assert "Traceback" not in said
    assert post["title"] == message["subject"]
    assert post["type"] == "failure"
    html = message.get_body(("html",))
    assert html is not None
    assert f'<a href="{UI}/runs/{run.run_id}">' in html.get_content()


@pytest.mark.usefixtures("published")
def test_a_failed_blocking_check_is_named_with_its_numbers(
    pipeline: Pipeline, mail: MailServer
) -> None:
    pipeline.rows_lost_percent = 10
    ticks = Ticks(pipeline, mail.url)
    before = len(pipeline.api.rows)
    del pipeline.api.rows[before // 2 :]
    lost = round(100 * (1 - before // 2 / before), 1)
    pipeline.run(fails=True)
    ticks.tick()
    (said,) = map(text_of, mail.messages)
    assert "bronze_breweries / row_count_is_plausible: " in said
    numbers = {"rows": before // 2, "previous": before, "lost percent": lost}
    for number in (
        *(f"{name}: {value}" for name, value in numbers.items()),
        "allowed percent: 10.0",
    ):
        assert number in said
    assert "Error: bronze_breweries is not published: row_count_is_plausible failed" in said
    assert subjects(mail) == ["materialization failed in bronze_breweries"]


def test_a_success_is_reported_only_if_a_check_warns(
    pipeline: Pipeline, mail: MailServer, hook: WebHook
) -> None:
    ticks = Ticks(pipeline, mail.url, hook.url)
    pipeline.api.rows[:] = CLEAN
    pipeline.run(*SOME)
    assert ticks.tick().sent == 0
    pipeline.api.rows[:] = [*CLEAN, {**UNKNOWN_FIELDS, "brewery_type": "micro"}]
    pipeline.run(*SOME)
    ticks.tick()
    (message,), (post,) = mail.messages, hook.posts
    assert message["subject"].startswith("[brewery_assets] materialization succeeded with ")
    for said in (text_of(message), post["message"]):
        assert "silver_breweries / places_are_known" in said
        assert "austria/karnten" in said
        assert "bronze_breweries / fields_as_expected" in said
        assert "rating" in said
    assert post["type"] == "warning"


def test_an_unreachable_address_gets_the_alert_later_and_the_others_get_it_once(
    pipeline: Pipeline, mail: MailServer, hook: WebHook
) -> None:
    ticks = Ticks(pipeline, mail.url, hook.url)
    mail.close()
    pipeline.api.faults = Faults(always_status=403)
    pipeline.run(fails=True)
    first = ticks.tick()
    assert (first.sent, len(first.problems), len(hook.posts)) == (1, 1, 1)
    pipeline.api.faults = Faults(always_status=404)
    pipeline.run(fails=True)
    assert ticks.tick().sent == 1
    mail.open()
    assert ticks.tick().sent == 2
    assert ticks.tick().sent == 0
    assert len(hook.posts) == 2
    told = [text_of(message) for message in mail.messages]
    assert ["403" in told[0], "404" in told[1], len(told)] == [True, True, 2]


def test_a_new_address_gets_only_later_alerts(
    pipeline: Pipeline, mail: MailServer, hook: WebHook
) -> None:
    pipeline.api.faults = Faults(always_status=403)
    pipeline.run(fails=True)
    ticks = Ticks(pipeline, mail.url)
    assert not mail.messages
    ticks.alerts = Alerts(urls=f"{mail.url} {hook.url}", webserver_url=UI)
    ticks.tick()
    pipeline.run(fails=True)
    assert ticks.tick().sent == 2


def test_a_recovery_is_reported_once(pipeline: Pipeline, mail: MailServer) -> None:
    ticks = Ticks(pipeline, mail.url)
    pipeline.api.rows[:] = CLEAN
    pipeline.run(*SOME)
    pipeline.api.faults = Faults(always_status=403)
    failed = pipeline.run(*SOME, fails=True)
    pipeline.run(*SOME, fails=True)
    pipeline.api.faults = Faults()
    pipeline.run("bronze_breweries")  # the success of a part is not a recovery
    pipeline.run(*SOME)
    pipeline.run(*SOME)
    ticks.tick()
    assert subjects(mail) == [
        "materialization failed in bronze_breweries",
        "materialization failed in bronze_breweries",
        "materialization works again",
    ]
    assert failed.run_id in text_of(mail.messages[0])


def test_a_failure_that_will_be_retried_is_not_reported(
    pipeline: Pipeline, mail: MailServer
) -> None:
    ticks = Ticks(pipeline, mail.url)
    pipeline.api.rows[:] = CLEAN
    pipeline.api.faults = Faults(always_status=403)
    first = pipeline.run(*SOME, fails=True)
    pipeline.instance.add_run_tags(first.run_id, {"dagster/will_retry": "true"})
    pipeline.api.faults = Faults()
    pipeline.run(*SOME)
    assert ticks.tick().sent == 0


def aged(gold: Manifest, age: timedelta) -> datetime:
    return gold.created_at + age


def test_stale_gold_is_reported_once_per_level_and_when_it_is_fresh_again(
    pipeline: Pipeline, mail: MailServer, hook: WebHook
) -> None:
    pipeline.api.rows[:] = CLEAN
    pipeline.run()
    gold = pipeline.newest("gold_brewery_counts")
    ticks = Ticks(pipeline, mail.url, hook.url)
    assert ticks.tick(aged(gold, WARN_AFTER)).sent == 0
    hook.status = 500
    assert ticks.tick(aged(gold, WARN_AFTER + timedelta(minutes=61))).sent == 1
    hook.status = 200
    assert ticks.tick(aged(gold, WARN_AFTER + timedelta(minutes=62))).sent == 1
    assert ticks.tick(aged(gold, FAIL_AFTER + timedelta(seconds=1))).sent == 2
    assert ticks.tick(aged(gold, FAIL_AFTER + timedelta(hours=9))).sent == 0
    pipeline.run("gold_brewery_counts")
    ticks.tick()
    assert subjects(mail) == [
        "The brewery counts are 27 hours old",
        "The brewery counts are 50 hours old and overdue",
        "The brewery counts are fresh again",
    ]
    assert gold.snapshot in text_of(mail.messages[0])


def test_a_run_older_than_the_window_is_forgotten(pipeline: Pipeline, mail: MailServer) -> None:
    ticks = Ticks(pipeline, mail.url)
    pipeline.api.faults = Faults(always_status=403)
    pipeline.run(fails=True)
    later = datetime.now(timezone.utc) + WINDOW + timedelta(minutes=1)
    assert ticks.tick(later).sent == 0
    assert ticks.cursor is not None
    assert [told["runs"] for told in json.loads(ticks.cursor).values()] == [[]]


def test_an_address_that_hangs_does_not_delay_the_others(
    pipeline: Pipeline, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts a connection, but never answers
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        hanging = f"mailto://{address}?from=a@example.org&to=b@example.org&cto=0.3"
        ticks = Ticks(pipeline, hanging, hook.url)
        pipeline.api.faults = Faults(always_status=403)
        pipeline.run(fails=True)
        found = ticks.tick()
        assert (found.sent, len(hook.posts), len(found.problems)) == (1, 1, 1)
        assert ticks.tick().sent == 0
    assert len(hook.posts) == 1


@pytest.mark.usefixtures("published")
def test_alerts_of_runs_are_sent_while_the_lake_cannot_be_read(
    pipeline: Pipeline, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = Sensor(pipeline, hook, monkeypatch)
    assert tick() == "sent 0"
    pipeline.api.faults = Faults(always_status=403)
    pipeline.run(fails=True)
    for manifest in Path(pipeline.uri).glob("gold_brewery_counts/*/_manifest.json"):
        manifest.write_text("not a manifest")
    assert tick() == "sent 1"
    assert hook.posts[0]["title"].endswith("failed in bronze_breweries")


def test_no_secret_of_an_address_is_shown_or_stored(pipeline: Pipeline, hook: WebHook) -> None:
    hook.status = 500
    slack = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts"
    gone = "mailto://someone:a-mail-password@127.0.0.1:9?from=a@example.org&to=b@example.org"
    ticks = Ticks(pipeline, hook.url, gone)
    pipeline.api.faults = Faults(always_status=403)
    pipeline.run(fails=True)
    found = ticks.tick()
    assert (found.sent, len(found.problems)) == (0, 2)
    names = [Target(url).name for url in (hook.url, slack, gone)]
    said = "\n".join([*found.problems, found.cursor, *names])
    for secret in (SECRET, TOKEN, "a-mail-password", *slack.split("/")[2:5]):
        assert secret not in said
    assert "json://127.0.0.1:" in found.problems[0]
    assert "500" in found.problems[0]


def test_the_html_of_an_alert_escapes_its_text() -> None:
    alert = Alert("test", "x", {"Error": "<b>1 & 2</b>"}, {"a / b": "<i>"}, 'http://x/"')
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in alert.html()
    assert "<i>" not in alert.html()
    assert 'href="http://x/&quot;"' in alert.html()


AlertTest = Callable[[str], tuple[int, str]]


@pytest.fixture
def alert_test(monkeypatch: pytest.MonkeyPatch) -> AlertTest:
    """Runs the command of `make alert_test` with these addresses; its exit code and output."""

    def alert_test(urls: str) -> tuple[int, str]:
        monkeypatch.setenv("ALERT_URLS", urls)
        return brewery("alert-test")

    return alert_test


@pytest.mark.slow("a command in a separate process")
def test_alert_test_exits_with_an_error_if_the_message_did_not_arrive(
    hook: WebHook, tmp_path: Path
) -> None:
    hook.status = 500
    done = subprocess.run(
        [sys.executable, "-m", "brewery_assets", "alert-test"],
        cwd=tmp_path,
        env={**os.environ, "ALERT_URLS": hook.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "did not arrive: " in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_alert_test_says_for_each_address_whether_the_message_arrived(
    mail: MailServer, hook: WebHook, alert_test: AlertTest
) -> None:
    code, said = alert_test(f"{mail.url} {hook.url}")
    assert (code, said.count(": arrived")) == (0, 2)
    assert "Kärnten" in text_of(mail.messages[0])
    assert "Kärnten" in hook.posts[0]["message"]
    mail.close()
    code, said = alert_test(f"{mail.url} {hook.url}")
    assert code == 1
    assert said.splitlines()[0].startswith("1. mailto://127.0.0.1")
    assert "did not arrive: " in said.splitlines()[0]
    assert said.splitlines()[1].endswith("arrived")
    assert SECRET not in said
    assert TOKEN not in said


def test_alert_test_reports_a_missing_or_invalid_address(alert_test: AlertTest) -> None:
    assert alert_test("") == (
        2,
        "ALERT_URLS is not set: .env.example has examples\n",
    )
    code, said = alert_test("json://host nothing://secret-token/x")
    assert code == 2
    assert said.startswith("ALERT_URLS=…: number 2, nothing://…, is not an address that Apprise")
    assert "secret-token" not in said


class Sensor:
    """The sensor as Dagster calls it, with the settings of the environment."""

    def __init__(self, pipeline: Pipeline, hook: WebHook, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("ALERT_URLS", hook.url)
        patch.setenv("LAKE_URI", pipeline.uri)
        self._instance = pipeline.instance
        self._cursor: str | None = None

    def __call__(self) -> str | None:
        resources = resources_of(Settings.from_environment())
        assert SECRET not in repr(resources["alerts"])
        used = {name: resources[name] for name in ("lake", "alerts")}
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources=used
        ) as context:
            found = alerts_sensor(context)
        assert isinstance(found, dg.SensorResult)
        self._cursor = found.cursor
        reason = found.skip_reason
        return reason.skip_message if isinstance(reason, dg.SkipReason) else reason


def test_the_sensor_reads_the_addresses_from_the_environment(
    pipeline: Pipeline, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = Sensor(pipeline, hook, monkeypatch)
    assert tick() == "sent 0"
    pipeline.api.faults = Faults(always_status=403)
    pipeline.run(fails=True)
    assert tick() == "sent 1"
    assert tick() == "sent 0"
    assert len(hook.posts) == 1
