"""The full log of a run, for a terminal."""

import time
from collections.abc import Iterator

import dagster as dg

from brewery_assets.redaction import redacted_text


class NoRunError(LookupError):
    """No run has this id."""


def log_of(instance: dg.DagsterInstance, run_id: str | None) -> Iterator[str]:
    """Every entry of a run's log, with stack traces.

    Args:
        instance: the Dagster instance that has the run.
        run_id: the first characters of its id; None for the last run.

    Raises:
        NoRunError: there is no such run.
    """
    found = (
        record.dagster_run.run_id
        for record in instance.get_run_records()
        if record.dagster_run.run_id.startswith(run_id or "")
    )
    if (run := next(found, None)) is None:
        raise NoRunError(f"Dagster has no run {run_id or 'yet'}: `make status` lists the last ones")
    yield f"Run {run}"
    cursor = None
    while True:
        page = instance.get_records_for_run(run, cursor=cursor)
        for record in page.records:
            yield redacted_text(line_of(record.event_log_entry))
        if not page.has_more:
            return
        cursor = page.cursor


def line_of(entry: dg.EventLogEntry) -> str:
    """A log entry as text, with the stack trace of its error."""
    when = time.strftime("%H:%M:%S", time.localtime(entry.timestamp))
    event = entry.dagster_event
    if event is None:
        return f"{when}  {entry.user_message}"
    error = getattr(event.event_specific_data, "error", None)
    return f"{when}  {event.message or event.event_type_value}" + (
        f"\n{error.to_string()}" if error else ""
    )
