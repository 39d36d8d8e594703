"""The schedule, the sensors and the commands that turn them on: what runs, when and how often."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest

from brewery_assets.automation.jobs import gold_updated
from brewery_assets.definitions import definitions_of
from brewery_assets.operations import platform as operations
from brewery_assets.report.asset import REPORT
from brewery_assets.settings import Settings
from brewery_assets_tests.checkout import JOB, ROOT, Checkout, brewery
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.dagster_ui import dagster_daemon
from brewery_assets_tests.mail import SECRET, TOKEN, MailServer, WebHook
from brewery_assets_tests.scenario import MASSACHUSETTS, OREGON, SILESIA
from brewery_assets_tests.scripted_api import Asked, Reply, ScriptedApi

GOLD = "gold_brewery_counts"
AUTOMATIONS = ("daily_pipeline", "gold_updated", "alerts")


def schedule_of(settings: Settings) -> dg.ScheduleDefinition:
    found = definitions_of(settings).get_schedule_def("daily_pipeline")
    assert isinstance(found, dg.ScheduleDefinition)
    return found


def test_the_pipeline_runs_every_day_at_six_and_is_retried_if_a_machine_fails(
    instance: dg.DagsterInstance,
) -> None:
    schedule = schedule_of(Settings())
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * *", "UTC")
    assert schedule.job_name == JOB
    due = datetime(2026, 11, 24, 6, tzinfo=timezone.utc)
    with dg.build_schedule_context(instance, scheduled_execution_time=due) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.tags["dagster/max_retries"] == "2"
    assert request.tags["dagster/retry_on_asset_or_op_failure"] == "false"


def test_the_time_of_the_schedule_is_a_setting() -> None:
    schedule = schedule_of(Settings(pipeline_cron="30 4 * * 1-5", pipeline_timezone="Asia/Seoul"))
    assert schedule.cron_schedule == "30 4 * * 1-5"
    assert schedule.execution_timezone == "Asia/Seoul"


def requested_run_key(pipeline: Pipeline, instance: dg.DagsterInstance | None = None) -> str | None:
    """The key of the run that the sensor requests; None if it requests no run."""
    with dg.build_sensor_context(
        instance=instance or pipeline.instance, resources={"lake": pipeline.lake}
    ) as context:
        found = gold_updated(context)
    if isinstance(found, dg.SkipReason):
        return None
    assert isinstance(found, dg.RunRequest)
    return found.run_key


def test_the_report_of_the_newest_gold_is_requested_once(pipeline: Pipeline) -> None:
    assert requested_run_key(pipeline) is None  # there is no gold yet
    pipeline.api.rows[:] = [OREGON]
    for _ in range(3):  # between two ticks, or while the daemon was down
        pipeline.run()
    newest = pipeline.newest(GOLD).snapshot
    assert requested_run_key(pipeline) == newest
    assert requested_run_key(pipeline) == newest  # Dagster itself starts one run for a key
    pipeline.run(REPORT)
    assert requested_run_key(pipeline) is None
    pipeline.run("gold_brewery_counts")  # only gold, from the existing silver
    assert requested_run_key(pipeline) == pipeline.newest(GOLD).snapshot != newest


def test_no_report_is_requested_for_a_refused_gold(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [OREGON, SILESIA]
    pipeline.run()
    pipeline.run(REPORT)
    pipeline.rows_lost_percent = 10
    pipeline.api.rows[:] = [OREGON]
    pipeline.run(fails=True)
    assert requested_run_key(pipeline) is None


@pytest.mark.usefixtures("published")
def test_a_report_is_requested_for_gold_of_another_instance(pipeline: Pipeline) -> None:
    with dg.DagsterInstance.ephemeral() as other:
        assert requested_run_key(pipeline, other) == pipeline.newest(GOLD).snapshot


@pytest.mark.usefixtures("published")
def test_no_report_is_requested_before_the_run_that_made_gold_ends(pipeline: Pipeline) -> None:
    run_id = pipeline.newest(GOLD).run_id
    started = dg.DagsterRun(job_name=JOB, run_id=run_id, status=dg.DagsterRunStatus.STARTED)
    with dg.DagsterInstance.ephemeral() as other:
        other.add_run(started)
        assert requested_run_key(pipeline, other) is None


def operate(checkout: Checkout, verb: str) -> str:
    code, said = checkout.run(*checkout.brewery(verb))
    assert code == 0, said
    return said


@contextlib.contextmanager
def receivers() -> Iterator[tuple[MailServer, WebHook]]:
    mail, hook = MailServer(), WebHook()
    mail.open()
    try:
        yield mail, hook
    finally:
        mail.close()
        hook.close()


def wait_for(happened: Callable[[], object], log: Path) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.5)


@pytest.mark.slow("waits for the daemon")
def test_with_the_daemon_a_failure_is_reported_once_and_new_gold_gets_a_report(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    closed = True

    def answer(_: Asked) -> Reply | None:
        return Reply("In Kärnten ist geschlossen".encode(), status=403) if closed else None

    with ScriptedApi([OREGON, MASSACHUSETTS], answer) as api, receivers() as (mail, hook):
        checkout = Checkout(
            tmp_path / "checkout",
            {
                "BREWERY_API_URL": api.url,
                "LAKE_URI": pipeline.uri,
                "ALERT_URLS": f"{mail.url} {hook.url}",
                "DAGSTER_WEBSERVER_URL": "https://dagster.example.org",
            },
        )
        log = checkout.folder / "dev.log"
        said = operate(checkout, "start")
        assert "daily_pipeline is on\ngold_updated is on\nalerts is on\n" in said
        assert "is not running: `make dev` starts it" in said
        with dagster_daemon(checkout):
            wait_for(lambda: "alerts skipped: sent 0" in log.read_text(), log)
            assert checkout.run(*checkout.job())[0] != 0
            wait_for(lambda: mail.messages and hook.posts, log)
            closed = False
            assert checkout.run(*checkout.job())[0] == 0
            wait_for(lambda: len(mail.messages) > 1 and len(hook.posts) > 1, log)
            wait_for(lambda: pipeline.lake.newest(REPORT), log)
            looked = log.read_text().count("alerts skipped: sent 0")
            wait_for(lambda: "the report shows the newest" in log.read_text(), log)
            wait_for(lambda: log.read_text().count("alerts skipped: sent 0") > looked, log)
            stopped = operate(checkout, "stop")
            said = operate(checkout, "status")

    assert [message["subject"].partition("] ")[2] for message in mail.messages] == [
        f"{JOB} failed in bronze_breweries",
        f"{JOB} works again",
    ]
    assert len(hook.posts) == 2
    body = mail.messages[0].get_body(("plain",))
    assert body is not None
    for text in (body.get_content(), hook.posts[0]["message"]):
        assert "In Kärnten ist geschlossen" in text
        assert "https://dagster.example.org/runs/" in text
    assert len(pipeline.lake.manifests(REPORT)) == 1
    assert stopped == "daily_pipeline is off\ngold_updated is off\nalerts is off\n"
    assert re.findall(r"^  (\w+) +off$", said, re.MULTILINE) == [*AUTOMATIONS]
    assert "Daemon: running\n" in said
    assert re.search(rf"{JOB} +failure", said)
    assert re.search(rf"{JOB} +success", said)
    assert len(re.findall(r"publish_report +success", said)) == 1
    assert re.search(r"gold_brewery_counts +2 rows .* \d+ (minute|second)s? ago", said)
    kept = checkout.kept() + log.read_bytes()
    assert SECRET.encode() not in kept
    assert TOKEN.encode() not in kept


def test_the_status_before_the_first_run(pipeline: Pipeline) -> None:
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        said = operations.status(instance, pipeline.lake, datetime.now(timezone.utc))
    assert "Daemon: not running: `make dev` starts it\n" in said
    assert re.findall(r"^  (\w+) +off$", said, re.MULTILINE) == [*AUTOMATIONS]
    assert "Last runs\n  none yet\n" in said
    assert re.search(r"^  gold_brewery_counts +none yet$", said, re.MULTILINE)


@pytest.mark.parametrize("verb", ["start", "stop", "status", "run", "report", "verify"])
def test_an_invalid_setting_is_named(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(Path.cwd()))
    monkeypatch.setenv("LAKE_URI", "ftp://host/lake")
    code, said = brewery(verb)
    assert code == 2
    assert said.startswith("LAKE_URI=ftp://host/lake: allowed is a folder")


@pytest.mark.parametrize("verb", ["start", "stop", "status", "run", "report", "log"])
def test_in_another_folder_a_command_says_where_to_run_it(verb: str) -> None:
    said = "DAGSTER_HOME is not set: run this command in the project's folder\n"
    assert brewery(verb) == (2, said)


def test_an_unknown_command_is_refused() -> None:
    code, said = brewery("restart")
    assert code == 2
    assert "No such command 'restart'" in said
