"""A job started where Dagster is services, and followed: `python -m brewery_assets.launch JOB`."""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import dagster as dg
from dagster import DagsterEventType as Event

from brewery_assets.alert_runs import root_of
from brewery_assets.automation import CONSOLE, run_pipeline_brewery
from brewery_assets.settings import Settings, SettingsError

POLL = 0.5  # seconds
PATIENCE = 180.0  # seconds without an answer of Dagster's storage, which may be starting anew
WAITING = 15.0  # seconds in the queue, after which it is said why that may be
TOLD = {Event.STEP_START, Event.STEP_SUCCESS, Event.ASSET_CHECK_EVALUATION, Event.ENGINE_EVENT}
FAILED = {Event.STEP_FAILURE, Event.RUN_FAILURE, Event.RUN_CANCELED}
QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


class Follower:
    """Prints what a run says until it is over, also when Dagster's storage is away for a while."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self.instance = instance
        self.run_id = run_id
        self._cursor: str | None = None

    def outcome(self) -> dg.DagsterRunStatus:
        """The status with which the run ends, once it has ended.

        Raises:
            Exception: what the storage answered for three minutes on end.
        """
        began = answered = time.monotonic()
        waiting = away = False
        while True:
            try:
                status = self._tell()
            except Exception as error:  # whatever a database says that is being restarted
                if time.monotonic() - answered > PATIENCE:
                    raise
                if not away:
                    _say(f"Dagster's storage does not answer, trying again: {_first_line(error)}")
                    away = True
                time.sleep(POLL)
                continue
            answered, away = time.monotonic(), False
            if status is not None:
                return status
            if not waiting and answered - began > WAITING and self._queued():
                _say("still queued: another run goes on, or the daemon is down (`make status`)")
                waiting = True
            time.sleep(POLL)

    def _tell(self) -> dg.DagsterRunStatus | None:
        """Prints what is new; the run's status once it is over and all of it is printed."""
        run = self.instance.get_run_by_id(self.run_id)
        while True:
            found = self.instance.get_records_for_run(self.run_id, cursor=self._cursor)
            self._cursor = found.cursor
            for record in found.records:
                if line := _line(record.event_log_entry):
                    _say(line, record.event_log_entry.timestamp)
            if not found.has_more:
                break
        if run is None:
            raise LookupError(f"Dagster does not know a run {self.run_id}")
        return run.status if run.is_finished else None

    def _queued(self) -> bool:
        run = self.instance.get_run_by_id(self.run_id)
        return run is not None and run.status in QUEUED


def _say(line: str, when: float | None = None) -> None:
    print(f"{time.strftime('%H:%M:%S', time.localtime(when))}  {line}", flush=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _line(entry: dg.EventLogEntry) -> str | None:
    event = entry.dagster_event
    if event is None:
        return entry.user_message if int(entry.level) >= logging.INFO else None
    if event.event_type in FAILED:
        cause = root_of(getattr(event.event_specific_data, "error", None))
        return f"{event.message} {cause}".strip()
    return event.message if event.event_type in TOLD else None


def config_of(job: str, settings: Settings) -> dict[str, Any]:
    """The run's config: what whoever starts the pipeline has set counts for this run."""
    if job != run_pipeline_brewery.name:
        return {}
    source = {
        "url": settings.brewery_api_url,
        "missing_rows_allowed": settings.missing_rows_allowed,
    }
    limits = {"rows_lost_percent": settings.rows_lost_percent}
    resources = {"open_brewery_db": {"config": source}, "limits": {"config": limits}}
    return {**CONSOLE, "resources": resources}


def launch(job: str, workspace: str, config: dict[str, Any]) -> str:
    """The id of a new run.

    Raises:
        RuntimeError: what Dagster answered.
    """
    run_id = str(uuid.uuid4())
    options = ["-w", workspace, "-j", job, "--run-id", run_id]
    if config:
        options += ["--config-json", json.dumps(config)]
    launched = subprocess.run(
        [sys.executable, "-m", "dagster", "job", "launch", *options],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if launched.returncode:
        raise RuntimeError(launched.stdout.strip())
    return run_id


def main() -> int:
    """The exit code: 0 when the run succeeded."""
    parser = argparse.ArgumentParser(prog="python -m brewery_assets.launch", description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--workspace", default="workspace.yaml", help="default workspace.yaml")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what compose makes of Ctrl-C
    try:
        config = config_of(options.job, Settings.from_environment())
        run_id = launch(options.job, options.workspace, config)
    except (SettingsError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    address = f"{os.environ.get('DAGSTER_WEBSERVER_URL', '').rstrip('/')}/runs/{run_id}"
    print(f"Run {run_id[:8]}: {address}", flush=True)
    logging.disable(logging.WARNING)  # Dagster's, of each try of its storage that fails
    try:
        with dg.DagsterInstance.get() as instance:
            outcome = Follower(instance, run_id).outcome()
    except KeyboardInterrupt:
        print(f"The run goes on: {address}", flush=True)
        return 130
    succeeded = outcome is dg.DagsterRunStatus.SUCCESS
    print(f"Run {run_id[:8]} {'succeeded' if succeeded else 'failed'}: {address}")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
