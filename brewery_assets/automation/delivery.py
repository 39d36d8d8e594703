"""Delivers each alert once to each address, and retries while an address does not answer."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple

import dagster as dg
from pydantic import BaseModel, TypeAdapter

from brewery_assets.automation.alerts import Alert, Alerts, Target
from brewery_assets.automation.run_alerts import WILL_RETRY, alert_of, alert_of_age, staleness
from brewery_assets.lake.manifest import Manifest

OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
WINDOW = timedelta(days=3)  # an address that is down for longer misses older alerts
SETTLED = timedelta(seconds=30)  # by then Dagster has recorded whether it retries the run
PATIENCE = 20.0  # seconds: Dagster ends a tick after a minute and loses its cursor
LOCATION = "brewery_assets"


class Told(BaseModel):
    """What has been delivered to one address.

    Attributes:
        runs: the ids of recent runs that need no further alert.
        stale: the level of staleness that it was last informed of.
    """

    runs: list[str] = []
    stale: int = 0


CURSOR = TypeAdapter(dict[str, Told])


class Delivered(NamedTuple):
    """The result of a tick: the new cursor, how many alerts were sent, and what failed."""

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
    """Sends every address the alerts that it has not received yet, in order.

    A new address receives alerts from now on. An address that does not answer is retried at the
    next tick, from the failed alert on; it does not delay the others.

    Args:
        gold: the newest; None if there is none or it cannot be read.
        cursor: from the previous tick.
    """
    known = CURSOR.validate_json(cursor) if cursor else {}
    over = runs_over(instance, now)
    every = [record.dagster_run.run_id for record in over]
    targets = alerts.targets()
    told = [known.get(target.key) or Told(runs=every) for target in targets]
    news = {
        record.dagster_run.run_id: alert_of(record, instance, alerts)
        for record in over
        if any(record.dagster_run.run_id not in one.runs for one in told)
        and _is_settled(record, instance)
    }
    level = staleness(gold, now) if gold else None
    about_age = alert_of_age(gold, level, now, alerts) if gold and level is not None else None

    def tell(target: Target, one: Told) -> tuple[Told, _Post]:
        post = _Post(target)
        runs = [run for run in every if run in one.runs or (run in news and post.send(news[run]))]
        stale = _tell_age(post, one.stale, level, about_age)
        return Told(runs=runs, stale=stale), post

    with ThreadPoolExecutor(max_workers=len(targets) or 1) as pool:
        found = [*pool.map(tell, targets, told)]
    after = {target.key: one for target, (one, _) in zip(targets, found, strict=True)}
    return Delivered(
        CURSOR.dump_json(after).decode(),
        sum(len(post.sent) for _, post in found),
        [f"{post.target.name}: {post.problem}" for _, post in found if post.problem],
    )


def runs_over(instance: dg.DagsterInstance, now: datetime) -> Sequence[dg.RunRecord]:
    """The runs of this project that ended within WINDOW, in the order of their ends."""
    since = now - WINDOW
    records = instance.get_run_records(dg.RunsFilter(statuses=OVER, updated_after=since))
    ours = [
        record
        for record in records  # a run that ended earlier may have been updated since
        if _is_ours(record.dagster_run) and (record.end_time or 0.0) > since.timestamp()
    ]
    return sorted(ours, key=lambda record: record.end_time or 0.0)


def _is_ours(run: dg.DagsterRun) -> bool:
    origin = run.remote_job_origin  # runs of Dagster's command line have none
    return origin is None or origin.location_name == LOCATION


def _is_settled(record: dg.RunRecord, instance: dg.DagsterInstance) -> bool:
    """Whether Dagster has had time to record a retry of the run."""
    if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS or not instance.run_retries_enabled:
        return True
    noted = WILL_RETRY in record.dagster_run.tags
    return noted or time.time() - (record.end_time or 0.0) > SETTLED.total_seconds()


class _Post:
    """Sends alerts to one address until one fails or the time is up."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent: list[Alert] = []
        self.problem = ""
        self._until = time.monotonic() + PATIENCE

    def send(self, alert: Alert | None) -> bool:
        """Sends an alert; True if it is done. After a problem later alerts wait: order is kept."""
        if self.problem:
            return False
        if alert is None:
            return True
        if time.monotonic() > self._until:
            self.problem = "the time for this tick was up"
        else:
            self.problem = self.target.send(alert) or ""
        if not self.problem:
            self.sent.append(alert)
        return not self.problem


def _tell_age(post: _Post, known: int, level: int | None, alert: Alert | None) -> int:
    """Sends a change of staleness; returns the level that the address was last informed of."""
    if level is None or level == known:
        return known
    if level < known and any(sent.kind == "recovery" for sent in post.sent):
        return level  # the recovery of the run says it already
    return level if post.send(alert) else known
