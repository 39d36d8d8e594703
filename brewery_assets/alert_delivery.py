"""Which alerts have gone where: nothing is lost when a mail server is away, nothing comes twice."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import dagster as dg
from pydantic import BaseModel, TypeAdapter

from brewery_assets.alert_runs import WILL_RETRY, alert_of, alert_of_age, staleness
from brewery_assets.alerts import Alert, Alerts, Target
from brewery_assets.lake_manifest import Manifest

OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
WINDOW = timedelta(days=3)  # an address that is away for longer misses what is older
SETTLED = timedelta(seconds=30)  # by then Dagster has said whether it tries again
PATIENCE = 30.0  # seconds a tick: Dagster ends it after a minute, and its cursor is lost
LOCATION = "brewery_assets"


class Told(BaseModel):
    """What one address has been told.

    Attributes:
        runs: the ids of those of the last days that need no more telling.
        stale: the level of staleness that it knows of.
    """

    runs: list[str] = []
    stale: int = 0


CURSOR = TypeAdapter(dict[str, Told])


class Delivered(NamedTuple):
    """What a tick did: what is told now, how many alerts went out, and what did not arrive."""

    cursor: str
    sent: int
    problems: list[str]


def deliver(
    instance: dg.DagsterInstance,
    alerts: Alerts,
    gold: Manifest | None,
    cursor: str | None,
    *,
    now: datetime,
) -> Delivered:
    """Tells every address what it has not been told yet, in order.

    An address that is new is told of what happens from now on. One that does not answer is tried
    again at the next tick, from where it stopped; it holds up no other.

    Args:
        cursor: what the tick before returned.
    """
    until = time.monotonic() + PATIENCE
    before = CURSOR.validate_json(cursor) if cursor else {}
    over = runs_over(instance, now)
    after: dict[str, Told] = {}
    sent, problems = 0, []
    for target in alerts.targets():
        known = before.get(target.key)
        told = known or Told(runs=[record.dagster_run.run_id for record in over])
        found = _Post(target, until)
        runs = _tell_runs(found, told, over, instance, alerts)
        level = _tell_age(found, told.stale, gold, now, alerts)
        after[target.key] = Told(runs=runs, stale=level)
        sent += len(found.sent)
        problems += [f"{target.name}: {found.problem}"] if found.problem else []
    return Delivered(CURSOR.dump_json(after).decode(), sent, problems)


def runs_over(instance: dg.DagsterInstance, now: datetime) -> Sequence[dg.RunRecord]:
    """The runs of this project that ended in the last days, in the order in which they did."""
    records = instance.get_run_records(dg.RunsFilter(statuses=OVER, updated_after=now - WINDOW))
    ours = [record for record in records if _is_ours(record.dagster_run)]
    return sorted(ours, key=lambda record: record.end_time or 0.0)


def _is_ours(run: dg.DagsterRun) -> bool:
    origin = run.remote_job_origin  # the command line's runs have none
    return origin is None or origin.location_name == LOCATION


class _Post:
    """One address, until it fails or the time is up."""

    def __init__(self, target: Target, until: float) -> None:
        self._target = target
        self._until = until
        self.sent: list[Alert] = []
        self.problem = ""

    def send(self, alert: Alert | None) -> bool:
        """Whether it needs no more telling."""
        if alert is None:
            return True
        if self.problem or time.monotonic() > self._until:
            self.problem = self.problem or "no time was left; it is told at the next tick"
            return False
        if problem := self._target.send(alert):
            self.problem = problem
            return False
        self.sent.append(alert)
        return True


def _tell_runs(
    post: _Post,
    told: Told,
    over: Sequence[dg.RunRecord],
    instance: dg.DagsterInstance,
    alerts: Alerts,
) -> list[str]:
    done = []
    for record in over:
        run = record.dagster_run
        if run.run_id in told.runs or (
            not post.problem
            and _is_settled(record, instance)
            and post.send(alert_of(record, instance, alerts))
        ):
            done.append(run.run_id)
    return done


def _is_settled(record: dg.RunRecord, instance: dg.DagsterInstance) -> bool:
    """Whether Dagster has had the time to note if it will try again."""
    if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS or not instance.run_retries_enabled:
        return True
    noted = WILL_RETRY in record.dagster_run.tags
    return noted or time.time() - (record.end_time or 0.0) > SETTLED.total_seconds()


def _tell_age(post: _Post, known: int, gold: Manifest | None, now: datetime, alerts: Alerts) -> int:
    level = staleness(gold, now)
    if gold is None or level == known:
        return level
    if level < known and any(alert.kind == "recovery" for alert in post.sent):
        return level  # it has just been told
    return level if post.send(alert_of_age(gold, level, now, alerts)) else known
