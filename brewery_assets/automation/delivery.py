"""Which alerts have gone where: nothing is lost when a mail server is away, nothing comes twice."""

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
WINDOW = timedelta(days=3)  # an address that is away for longer misses what is older
SETTLED = timedelta(seconds=30)  # by then Dagster has said whether it tries again
PATIENCE = 20.0  # seconds: Dagster ends a tick after a minute, and its cursor is lost
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
        gold: the newest; None when there is none, or nobody can tell.
        cursor: what the tick before returned.
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
    """The runs of this project that ended in the last days, in the order in which they did."""
    since = now - WINDOW
    records = instance.get_run_records(dg.RunsFilter(statuses=OVER, updated_after=since))
    ours = [
        record
        for record in records  # one that ended earlier may have been updated since
        if _is_ours(record.dagster_run) and (record.end_time or 0.0) > since.timestamp()
    ]
    return sorted(ours, key=lambda record: record.end_time or 0.0)


def _is_ours(run: dg.DagsterRun) -> bool:
    origin = run.remote_job_origin  # the command line's runs have none
    return origin is None or origin.location_name == LOCATION


def _is_settled(record: dg.RunRecord, instance: dg.DagsterInstance) -> bool:
    """Whether Dagster has had the time to note if it will try again."""
    if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS or not instance.run_retries_enabled:
        return True
    noted = WILL_RETRY in record.dagster_run.tags
    return noted or time.time() - (record.end_time or 0.0) > SETTLED.total_seconds()


class _Post:
    """One address, until it fails or the time is up."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent: list[Alert] = []
        self.problem = ""
        self._until = time.monotonic() + PATIENCE

    def send(self, alert: Alert | None) -> bool:
        """Whether it needs no more telling; in order, so after a problem everything waits."""
        if self.problem:
            return False
        if alert is None:
            return True
        if time.monotonic() > self._until:
            self.problem = "no time was left"
        else:
            self.problem = self.target.send(alert) or ""
        if not self.problem:
            self.sent.append(alert)
        return not self.problem


def _tell_age(post: _Post, known: int, level: int | None, alert: Alert | None) -> int:
    """The level of staleness that the address knows of then."""
    if level is None or level == known:
        return known
    if level < known and any(sent.kind == "recovery" for sent in post.sent):
        return level  # it has just been told
    return level if post.send(alert) else known
