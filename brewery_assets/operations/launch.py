"""Starts a job where Dagster runs as services, and follows it.

`python -m brewery_assets.operations.launch JOB`
"""

import argparse
import json
import logging
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import dagster as dg
from dagster import DagsterEventType as Event

from brewery_assets.automation.jobs import CONSOLE, run_pipeline_brewery
from brewery_assets.automation.run_alerts import root_of
from brewery_assets.redaction import holds_secret, redacted_text
from brewery_assets.settings import Settings, SettingsError

POLL = 0.5  # seconds
PATIENCE = 180.0  # seconds without an answer of Dagster's storage, which may be restarting
WAITING = 15.0  # seconds in the queue, after which it is said why that may be
TOLD = {Event.STEP_START, Event.STEP_SUCCESS, Event.ASSET_CHECK_EVALUATION, Event.ENGINE_EVENT}
FAILED = {Event.STEP_FAILURE, Event.RUN_FAILURE, Event.RUN_CANCELED}
QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


class LostSightError(RuntimeError):
    """The outcome of a run cannot be found out any more."""


class Follower:
    """Prints what a run says until it is over, also when Dagster's storage is away for a while."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self.instance = instance
        self.run_id = run_id
        self._cursor: str | None = None

    def outcome(self) -> dg.DagsterRunStatus:
        """The status with which the run ends, once it has ended.

        Raises:
            LostSightError: the run was deleted, or the storage is away for three minutes on end.
        """
        began = answered = time.monotonic()
        waiting = away = False
        while True:
            try:
                run = self._tell()
            except LostSightError:
                raise
            except Exception as error:  # a database that restarts says many things
                said = f"Dagster's storage does not answer: {_first_line(error)}"
                if time.monotonic() - answered > PATIENCE:
                    raise LostSightError(said) from error
                if not away:
                    _say(f"{said}; trying again")
                    away = True
                time.sleep(POLL)
                continue
            answered, away = time.monotonic(), False
            if run.is_finished:
                return run.status
            if not waiting and run.status in QUEUED and answered - began > WAITING:
                _say("still queued: another run goes on, or the daemon is down (`make status`)")
                waiting = True
            time.sleep(POLL)

    def _tell(self) -> dg.DagsterRun:
        """The run as it is, after all that it has said since is printed."""
        run = self.instance.get_run_by_id(self.run_id)
        if run is None:
            raise LostSightError(f"Dagster no longer knows the run {self.run_id}")
        while True:
            found = self.instance.get_records_for_run(self.run_id, cursor=self._cursor)
            self._cursor = found.cursor
            for record in found.records:
                if line := _line(record.event_log_entry):
                    _say(line, record.event_log_entry.timestamp)
            if not found.has_more:
                return run


def _say(line: str, when: float | None = None) -> None:
    line = redacted_text(line)
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
    """The run's config: the settings in the environment of the command count for this run.

    Dagster stores and shows it. So of a URL with a secret it has only the variable's name, and the
    value is that of the code location.
    """
    if job != run_pipeline_brewery.name:
        return {}
    url = settings.brewery_api_url
    source = {
        "url": {"env": "BREWERY_API_URL"} if holds_secret(url) else url,
        "missing_rows_allowed": settings.missing_rows_allowed,
    }
    resources = {"open_brewery_db": {"config": source}, "limits": {"config": settings.limits}}
    return {**CONSOLE, "resources": resources}


def launch(job: str, workspace: str, run_id: str, config: dict[str, Any]) -> None:
    """Puts a run of that id into Dagster's queue.

    Raises:
        RuntimeError: what Dagster answered.
    """
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


def main() -> int:
    """The exit code: 0 when the run succeeded."""
    parser = argparse.ArgumentParser(
        prog="python -m brewery_assets.operations.launch", description=__doc__
    )
    parser.add_argument("job")
    parser.add_argument("--workspace", default="workspace.yaml", help="default workspace.yaml")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what compose makes of Ctrl-C
    run_id = str(uuid.uuid4())
    name = f"Run {run_id[:8]}"
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    address = f"{settings.dagster_webserver_url or ''}/runs/{run_id}"
    try:
        launch(options.job, options.workspace, run_id, config_of(options.job, settings))
        print(f"{name}: {address}", flush=True)
        logging.disable(logging.WARNING)  # Dagster's, of each try of its storage that fails
        with dg.DagsterInstance.get() as instance:
            outcome = Follower(instance, run_id).outcome()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name} goes on, if it was started: {address}", flush=True)
        return 130
    succeeded = outcome is dg.DagsterRunStatus.SUCCESS
    ended = {dg.DagsterRunStatus.SUCCESS: "succeeded", dg.DagsterRunStatus.CANCELED: "was canceled"}
    print(f"{name} {ended.get(outcome, 'failed')}: {address}")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
