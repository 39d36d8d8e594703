"""A job started where Dagster is services, and followed: `python -m brewery_assets.launch JOB`."""

import argparse
import logging
import os
import subprocess
import sys
import time
import uuid

import dagster as dg
from dagster import DagsterEventType as Event

from brewery_assets.alert_runs import root_of

POLL = 0.5  # seconds
TOLD = {Event.STEP_START, Event.STEP_SUCCESS, Event.ASSET_CHECK_EVALUATION, Event.ENGINE_EVENT}
FAILED = {Event.STEP_FAILURE, Event.RUN_FAILURE, Event.RUN_CANCELED}


def follow(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Prints what a run says until it is over; whether it succeeded."""
    cursor = None
    while True:
        run = instance.get_run_by_id(run_id)
        found = instance.get_records_for_run(run_id, cursor=cursor)
        cursor = found.cursor
        for record in found.records:
            if line := _line(record.event_log_entry):
                print(line, flush=True)
        if not found.has_more:
            if run is None or run.is_finished:
                return run is not None and run.is_success
            time.sleep(POLL)


def _line(entry: dg.EventLogEntry) -> str | None:
    when = time.strftime("%H:%M:%S", time.localtime(entry.timestamp))
    event = entry.dagster_event
    if event is None:
        said = entry.user_message if int(entry.level) >= logging.INFO else ""
    elif event.event_type in FAILED:
        said = (
            f"{event.message} {root_of(getattr(event.event_specific_data, 'error', None))}".strip()
        )
    elif event.event_type in TOLD:
        said = event.message or ""
    else:
        return None
    return f"{when}  {said}" if said else None


def main() -> int:
    """The exit code: 0 when the run succeeded."""
    parser = argparse.ArgumentParser(prog="python -m brewery_assets.launch", description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--workspace", default="workspace.yaml", help="default workspace.yaml")
    options = parser.parse_args()
    run_id = str(uuid.uuid4())
    address = f"{os.environ.get('DAGSTER_WEBSERVER_URL', '').rstrip('/')}/runs/{run_id}"
    command = ["job", "launch", "-w", options.workspace, "-j", options.job, "--run-id", run_id]
    launched = subprocess.run(
        [sys.executable, "-m", "dagster", *command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if launched.returncode:
        print(launched.stdout, file=sys.stderr)
        return 1
    print(f"Run {run_id[:8]}: {address}", flush=True)
    try:
        with dg.DagsterInstance.get() as instance:
            succeeded = follow(instance, run_id)
    except KeyboardInterrupt:
        print(f"The run goes on: {address}")
        return 130
    print(f"Run {run_id[:8]} {'succeeded' if succeeded else 'failed'}: {address}")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
