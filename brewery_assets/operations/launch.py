"""Starts a job in a Dagster that runs as services, and follows the run."""

import json
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple

import dagster as dg

from brewery_assets.automation.jobs import CONSOLE, run_pipeline_brewery
from brewery_assets.operations.log import line_of
from brewery_assets.operations.progress import Progress
from brewery_assets.redaction import holds_secret
from brewery_assets.settings import Settings

WORKSPACE = "workspace.yaml"
POLL = 0.5  # seconds
PATIENCE = 180.0  # seconds without an answer from Dagster's storage, which may be restarting
WAITING = 15.0  # seconds in the queue, after which a message gives possible reasons
QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


class Run(NamedTuple):
    """A run of a job, and the address of its page."""

    job: str
    run_id: str
    address: str

    @property
    def name(self) -> str:
        return f"Run {self.run_id[:8]}"


class LostSightError(RuntimeError):
    """A run cannot be started, or its outcome cannot be determined."""


class Follower:
    """Shows each event of a run until the run ends; waits while the storage is down."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, progress: Progress) -> None:
        self.instance = instance
        self.run_id = run_id
        self.progress = progress
        self._cursor: str | None = None

    def outcome(self) -> dg.DagsterRunStatus:
        """Waits until the run ends, and returns its status.

        Raises:
            LostSightError: the run was deleted, or the storage does not answer for three minutes.
        """
        began = answered = time.monotonic()
        waiting = away = False
        say = self.progress.terminal.say
        while True:
            try:
                run = self._tell()
            except LostSightError:
                raise
            except Exception as error:  # a restarting database causes many kinds of errors
                said = f"Dagster's storage does not answer: {_first_line(error)}"
                if time.monotonic() - answered > PATIENCE:
                    raise LostSightError(said) from error
                if not away:
                    say(f"{said}; trying again")
                    away = True
                time.sleep(POLL)
                continue
            answered, away = time.monotonic(), False
            if run.is_finished:
                return run.status
            if not waiting and run.status in QUEUED and answered - began > WAITING:
                say("still queued: another run is active, or the daemon is down (`make status`)")
                waiting = True
            time.sleep(POLL)

    def _tell(self) -> dg.DagsterRun:
        """Shows all new events, and returns the current run."""
        run = self.instance.get_run_by_id(self.run_id)
        if run is None:
            raise LostSightError(f"The run {self.run_id} was deleted from Dagster")
        while True:
            found = self.instance.get_records_for_run(self.run_id, cursor=self._cursor)
            self._cursor = found.cursor
            for record in found.records:
                if self.progress.verbose:
                    self.progress.terminal.say(line_of(record.event_log_entry))
                self.progress(record.event_log_entry)
            if not found.has_more:
                return run


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def config_of(job: str, settings: Settings) -> dict[str, Any]:
    """The run's config, from the settings of this command.

    Dagster stores and shows the config. So if the URL has a secret, the config has only the name
    of its variable, and the code location's value is used.
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


def launch(run: Run, config: dict[str, Any]) -> None:
    """Puts a run into Dagster's queue.

    Raises:
        LostSightError: Dagster refused it; the message is Dagster's output.
    """
    options = ["-w", WORKSPACE, "-j", run.job, "--run-id", run.run_id]
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
        raise LostSightError(launched.stdout.strip())


def follow(
    instance: dg.DagsterInstance, run: Run, settings: Settings, progress: Progress
) -> dg.DagsterRunStatus:
    """Starts a run in Dagster's services, shows its progress, and returns its final status.

    Raises:
        LostSightError: it could not be started, or its outcome cannot be determined.
        KeyboardInterrupt: this command was interrupted. The run continues.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # compose turns Ctrl-C into SIGTERM
    launch(run, config_of(run.job, settings))
    progress.terminal.say(f"{run.name}: {run.address}")
    return Follower(instance, run.run_id, progress).outcome()
