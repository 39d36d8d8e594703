"""Turns the schedule and the sensors on or off, and shows the platform's status."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from brewery_assets.assets import TABLES
from brewery_assets.automation.jobs import DAILY, alerts_sensor, gold_updated
from brewery_assets.automation.run_alerts import job_of
from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.bronze import BRONZE
from brewery_assets.report.asset import REPORT

SCHEDULES = (DAILY,)
SENSORS = (gold_updated.name, alerts_sensor.name)
LAYERS = (BRONZE, *(table.name for table in TABLES))
STARTED_BY = os.environ.get("DAEMON_STARTED_BY", "make dev")  # the stack sets another command
DAEMONS = ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR")
RUNS = 8


class CodeLocationError(RuntimeError):
    """The code location could not be loaded."""


def switch(instance: dg.DagsterInstance, *, on: bool) -> Iterator[str]:
    """Turns the schedule and the sensors on or off; yields a line for each.

    Raises:
        CodeLocationError: they cannot be turned on, because the code location cannot be loaded.
    """
    instance.all_instigator_state()  # creates Dagster's databases before the code server uses them
    if on:
        try:
            _start(instance)
        except dg.DagsterError as error:
            why = str(error).splitlines()[0]
            raise CodeLocationError(f"The code location could not be loaded: {why}") from error
    else:
        _stop(instance)
    for name in (*SCHEDULES, *SENSORS):
        yield f"{name} is {'on' if on else 'off'}"
    if on and not _daemon_runs(instance):
        yield f"The Dagster daemon, which runs them, is not running: `{STARTED_BY}` starts it."


def _start(instance: dg.DagsterInstance) -> None:
    """Like `dagster schedule start` and `dagster sensor start`, with one code server for all."""
    target = WorkspaceFileTarget(["workspace.yaml"])
    with WorkspaceProcessContext(instance, target, code_server_log_level="ERROR") as workspace:
        location = workspace.create_request_context().get_code_location("brewery_assets")
        (repository,) = location.get_repositories().values()
        for name in SCHEDULES:
            instance.start_schedule(repository.get_schedule(name))
        for name in SENSORS:
            instance.start_sensor(repository.get_sensor(name))


def _stop(instance: dg.DagsterInstance) -> None:
    """Needs no code location: Dagster's storage lists what is on, and off is the default."""
    for state in instance.all_instigator_state():
        if state.is_running and state.name in SCHEDULES:
            instance.stop_schedule(state.instigator_origin_id, state.selector_id, None)
        elif state.is_running and state.name in SENSORS:
            instance.stop_sensor(state.instigator_origin_id, state.selector_id, None)


def status(instance: dg.DagsterInstance, lake: Lake, now: datetime) -> str:
    """The schedule and sensors, the last runs, and the newest snapshot of each layer."""
    daemon = "running" if _daemon_runs(instance) else f"not running: `{STARTED_BY}` starts it"
    return "\n".join(
        [
            f"Daemon: {daemon}",
            "",
            "Schedule and sensors (`make start_pipeline` turns them on, `make stop_pipeline` off)",
            *_switches(instance),
            "",
            "Last runs",
            *(_runs(instance, now) or ["  none yet"]),
            "",
            f"Newest snapshots in {lake.storage.uri('')}",
            *_snapshots(lake, now),
        ]
    )


def _daemon_runs(instance: dg.DagsterInstance) -> bool:
    return all(found.healthy for found in instance.get_daemon_statuses(DAEMONS).values())


def _switches(instance: dg.DagsterInstance) -> Iterator[str]:
    on = {state.name for state in instance.all_instigator_state() if state.is_running}
    for name in (*SCHEDULES, *SENSORS):
        yield f"  {name:22}{'on' if name in on else 'off'}"


def _runs(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    lines = []
    for record in instance.get_run_records(limit=RUNS):
        run = record.dagster_run
        seconds = (record.end_time or now.timestamp()) - (record.start_time or now.timestamp())
        when = f"{record.create_timestamp.astimezone(timezone.utc):%Y-%m-%d %H:%M}"
        ended = f"{run.status.value.lower():12}{seconds:>6.0f} s"
        lines.append(f"  {when}  {job_of(run):22}{ended}  {run.run_id[:8]}")
    return lines


def _snapshots(lake: Lake, now: datetime) -> Iterator[str]:
    for layer in (*LAYERS, REPORT):
        try:
            manifest = lake.newest(layer)
        except LakeError as error:
            yield f"  {layer:22}{error}"
            continue
        if manifest is None:
            yield f"  {layer:22}none yet"
        else:
            since = age(now - manifest.created_at)
            yield f"  {layer_line(manifest)} {manifest.snapshot}  {since} ago"


def layer_line(manifest: Manifest) -> str:
    """A snapshot's layer, rows, size and files, in columns."""
    return columns_of(manifest.layer, manifest.rows, manifest.bytes, len(manifest.files))


def columns_of(layer: str, rows: int, size: int, files: int) -> str:
    """The same from numbers; the size is in bytes."""
    shown = f"{size / 1e6:.1f} MB" if size > 1e6 else f"{size:,} B"
    number = f"{files} file{'' if files == 1 else 's'}"
    return f"{layer:22}{rows:>8,} rows {shown:>8} in {number:10}"


def age(time: timedelta) -> str:
    """A duration in its largest unit: 3 days, 5 hours, 12 minutes."""
    seconds = max(0, int(time.total_seconds()))
    units = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((found for found in units if seconds >= found[0]), units[-1])
    number = seconds // size
    return f"{number} {unit}{'' if number == 1 else 's'}"
