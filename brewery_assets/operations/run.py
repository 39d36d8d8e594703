"""Runs a job in this process or in Dagster's services, and shows its progress."""

from pathlib import Path
from uuid import uuid4

import dagster as dg
from dagster import DagsterRunStatus as Status
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import capture_interrupts

from brewery_assets.operations.launch import WORKSPACE, LostSightError, Run, follow
from brewery_assets.operations.progress import MADE_BY, Progress
from brewery_assets.operations.run_launcher import WatchedRunLauncher
from brewery_assets.operations.terminal import Terminal
from brewery_assets.settings import Settings

SUCCEEDED, FAILED, INTERRUPTED = 0, 1, 130
DEFINITIONS = "brewery_assets.definitions"


def run_job(job: str, settings: Settings, terminal: Terminal, *, verbose: bool = False) -> int:
    """Runs a job, shows its progress, explains a failure, and returns the exit code.

    In the stack, whose run launcher is WatchedRunLauncher, the service `code` executes the run.
    """
    run_id = str(uuid4())
    run = Run(job, run_id, f"{settings.dagster_webserver_url or ''}/runs/{run_id}")
    progress, in_stack = Progress(terminal, verbose=verbose), False
    try:
        with progress, dg.DagsterInstance.get() as instance:
            in_stack = isinstance(instance.run_launcher, WatchedRunLauncher)
            if in_stack:
                status = follow(instance, run, settings, progress)
            else:
                status = run_here(instance, run, progress)
    except LostSightError as error:
        terminal.complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        progress.close()  # the bar stays open if the interrupt comes while it opens
        if in_stack:
            terminal.say(f"{run.name} continues, if it was started: {run.address}")
            return INTERRUPTED
        status = Status.CANCELED
    if in_stack:
        ended = {Status.SUCCESS: "succeeded", Status.CANCELED: "was canceled"}
        terminal.say(f"{run.name} {ended.get(status, 'failed')}: {run.address}")
    if status is Status.SUCCESS:
        return SUCCEEDED
    if status is Status.CANCELED or progress.stopped:
        published = ", ".join(progress.published) or "nothing"
        terminal.complain(
            f"\nStopped before the end. Published before that: {published}.\n"
            "Readers keep the last published snapshot of everything else. To run again: "
            f"{MADE_BY[job]}"
        )
        return FAILED if in_stack else INTERRUPTED
    progress.explain(job, run_id)
    return FAILED


def run_here(instance: dg.DagsterInstance, run: Run, progress: Progress) -> Status:
    """Runs a job in this process and returns its final status.

    Like `dg launch`, with one addition: the run records its code location, because the UI needs it
    to re-execute the run from its failure. It uses private names of Dagster, which is pinned.

    Raises:
        KeyboardInterrupt: this command was interrupted before the run started.
    """
    try:
        with capture_interrupts():
            _execute(instance, run, progress)
    except dg.DagsterExecutionInterruptedError:
        if (left := instance.get_run_by_id(run.run_id)) and not left.is_finished:
            instance.report_run_canceled(left)
        raise KeyboardInterrupt from None
    ended = instance.get_run_by_id(run.run_id)
    return ended.status if ended else Status.CANCELED


def _execute(instance: dg.DagsterInstance, run: Run, progress: Progress) -> None:
    repository = ReconstructableRepository.for_module(DEFINITIONS, "defs", str(Path.cwd()))
    code = repository.get_reconstructable_job(run.job)
    (location,) = WorkspaceFileTarget([WORKSPACE]).create_origins()
    place = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
    created = instance.create_run_for_job(
        code.get_definition(),
        run_id=run.run_id,
        job_code_origin=code.get_python_origin(),
        remote_job_origin=RemoteJobOrigin(place, run.job),
    )

    def listener(entry: dg.EventLogEntry) -> None:
        progress(entry)
        event = entry.dagster_event
        if progress.stopped and event and event.event_type is dg.DagsterEventType.STEP_FAILURE:
            # Without this, Dagster records Ctrl-C as a failure, and an alert is sent.
            instance.report_run_canceling(created)

    instance.add_event_listener(run.run_id, listener)
    execute_run(code, created, instance)
