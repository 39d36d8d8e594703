"""The content of alerts about runs and about gold's age."""

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from brewery_assets.automation.alerts import Alert, Alerts
from brewery_assets.checks.rule import format_numbers
from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.gold import FAIL_AFTER, GOLD, WARN_AFTER
from brewery_assets.redaction import redacted_text

WILL_RETRY = "dagster/will_retry"
LOOKED_BACK = 50  # runs: a success is not a recovery from a failure further back
LONGEST = 500  # characters of an error
NOT_NUMBERS = ("snapshot", "path")


def alert_of(record: dg.RunRecord, instance: dg.DagsterInstance, alerts: Alerts) -> Alert | None:
    """The alert about a finished run; None if none is needed.

    No alert is needed for a failure that Dagster retries, or for a success without warnings after
    another success.
    """
    run = record.dagster_run
    facts = {"Job": job_of(run), "Ended": _time(record.end_time), "Run": run.run_id}
    link = alerts.link(f"runs/{run.run_id}")
    checks = dict(_failed_checks(run, instance))
    if run.status is dg.DagsterRunStatus.FAILURE:
        if run.tags.get(WILL_RETRY) == "true":
            return None
        step, error = _failure(run, instance)
        title = f"{job_of(run)} failed" + (f" in {step}" if step else "")
        return Alert("failure", title, {**facts, "Step": step, "Error": error}, checks, link)
    if failed := _recovered_from(record, instance):
        facts["Failed"] = f"{_time(failed.end_time)}, run {failed.dagster_run.run_id}"
        return Alert("recovery", f"{job_of(run)} works again", facts, checks, link)
    if checks:
        number = f"{len(checks)} warning" + ("" if len(checks) == 1 else "s")
        return Alert("warning", f"{job_of(run)} succeeded with {number}", facts, checks, link)
    return None


def job_of(run: dg.DagsterRun) -> str:
    """The job's name; for a run of selected assets, which has no job, `materialization`."""
    return "materialization" if run.job_name.startswith("__") else run.job_name


def _time(timestamp: float | None) -> str:
    if timestamp is None:
        return "unknown"
    return f"{datetime.fromtimestamp(timestamp, timezone.utc):%Y-%m-%d %H:%M} UTC"


def _events(run: dg.DagsterRun, instance: dg.DagsterInstance, kind: str) -> Iterator[Any]:
    connection = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType(kind))
    for record in connection.records:
        if record.event_log_entry.dagster_event:
            yield record.event_log_entry.dagster_event


def _failed_checks(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Iterator[tuple[str, str]]:
    for event in _events(run, instance, "ASSET_CHECK_EVALUATION"):
        found = event.asset_check_evaluation_data
        if not found.passed:
            numbers = {
                name: value.value
                for name, value in found.metadata.items()
                if name not in NOT_NUMBERS
            }
            yield (
                f"{found.asset_key.to_user_string()} / {found.check_name}",
                format_numbers(numbers),
            )


def _failure(run: dg.DagsterRun, instance: dg.DagsterInstance) -> tuple[str, str]:
    """The step that failed first, blank if there is none, and its root cause."""
    for event in _events(run, instance, "STEP_FAILURE"):
        failed = event.step_failure_data
        if failed.user_failure_data:  # a dg.Failure
            return event.step_key, _line(failed.user_failure_data.description or "")
        return event.step_key, root_of(failed.error) or event.message
    for event in _events(run, instance, "PIPELINE_FAILURE"):
        return "", root_of(event.job_failure_data.error) or _line(event.message or "")
    return "", "the run ended without an error message"


def root_of(error: Any) -> str:
    """The root cause of a Dagster error, in one line; blank if there is no error.

    It stops at an error of this package, because its message already has the cause.
    """
    if error is None:
        return ""
    while error.cause and not error.message.startswith("brewery_assets."):
        error = error.cause
    return _line(re.sub(r"^[\w.]+\.(?=\w+: )", "", error.message))


def _line(text: str) -> str:
    line = redacted_text(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _recovered_from(record: dg.RunRecord, instance: dg.DagsterInstance) -> dg.RunRecord | None:
    """The last failed run whose assets this run is the first to make, if there is one."""
    reached = _aims(record.dagster_run, instance)
    before = instance.get_run_records(
        filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]),
        cursor=record.dagster_run.run_id,
        limit=LOOKED_BACK,
    )
    since: list[frozenset[str]] = []
    for older in before:
        aims = _aims(older.dagster_run, instance)
        if older.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
            since.append(aims)
        elif older.dagster_run.tags.get(WILL_RETRY) != "true" and aims <= reached:
            return None if any(aims <= later for later in since) else older
    return None


def _aims(run: dg.DagsterRun, instance: dg.DagsterInstance) -> frozenset[str]:
    """The assets that a run plans to make; its job if it plans none."""
    planned = _events(run, instance, "ASSET_MATERIALIZATION_PLANNED")
    assets = {event.asset_key.to_user_string() for event in planned}
    return frozenset(assets or {run.job_name})


def staleness(gold: Manifest, now: datetime) -> int:
    """0 if gold is fresh, 1 if it is stale, 2 if it is overdue."""
    age = now - gold.created_at
    return (age > WARN_AFTER) + (age > FAIL_AFTER)


def alert_of_age(gold: Manifest, level: int, now: datetime, alerts: Alerts) -> Alert:
    """The alert about gold's age: that it is stale, or fresh again."""
    hours = int((now - gold.created_at).total_seconds() // 3600)
    facts = {
        "Asset": GOLD.name,
        "Snapshot": gold.snapshot,
        "Published": _time(gold.created_at.timestamp()),
        "Age": f"{hours} hours; it warns after {_hours(WARN_AFTER)}, is overdue after "
        f"{_hours(FAIL_AFTER)}",
    }
    link = alerts.link(f"assets/{GOLD.name}")
    if not level:
        return Alert("recovery", "The brewery counts are fresh again", facts, link=link)
    title = f"The brewery counts are {hours} hours old" + (" and overdue" if level == 2 else "")
    return Alert("stale", title, facts, link=link)


def _hours(time: Any) -> int:
    return int(time.total_seconds() // 3600)
