"""Starts a job where Dagster runs as services, and follows it."""

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
PATIENCE = 180.0  # seconds without an answer of Dagster's storage, which may be restarting
WAITING = 15.0  # seconds in the queue, after which it is said why that may be
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
    """A run cannot be started, or its outcome cannot be found out any more."""


class Follower:
    """Tells a listener each event of a run until it is over, also when the storage is away."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, progress: Progress) -> None:
        self.instance = instance
        self.run_id = run_id
        self.progress = progress
        self._cursor: str | None = None

    def outcome(self) -> dg.DagsterRunStatus:
        """The status with which the run ends, once it has ended.

        Raises:
            LostSightError: the run was deleted, or the storage is away for three minutes on end.
        """
        began = answered = time.monotonic()
        waiting = away = False
        say = self.progress.terminal.say
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
                    say(f"{said}; trying again")
                    away = True
                time.sleep(POLL)
                continue
            answered, away = time.monotonic(), False
            if run.is_finished:
                return run.status
            if not waiting and run.status in QUEUED and answered - began > WAITING:
                say("still queued: another run goes on, or the daemon is down (`make status`)")
                waiting = True
            time.sleep(POLL)

    def _tell(self) -> dg.DagsterRun:
        """The run as it is, after the listener has heard all that happened since."""
        run = self.instance.get_run_by_id(self.run_id)
        if run is None:
            raise LostSightError(f"Dagster no longer knows the run {self.run_id}")
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


def launch(run: Run, config: dict[str, Any]) -> None:
    """Puts a run into Dagster's queue.

    Raises:
        LostSightError: what Dagster answered.
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
    """Starts a run where Dagster's services run it, and shows it; how it ended.

    Raises:
        LostSightError: it could not be started, or its outcome cannot be found out.
        KeyboardInterrupt: this command was told to stop. The run goes on.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what compose makes of Ctrl-C
    launch(run, config_of(run.job, settings))
    progress.terminal.say(f"{run.name}: {run.address}")
    return Follower(instance, run.run_id, progress).outcome()
