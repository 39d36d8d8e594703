"""Deletes old runs from Dagster's own storage, which would otherwise grow without a limit."""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import (
    EventLogStorage,
    SqlEventLogStorage,
    SqliteEventLogStorage,
)
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

RUNS_KEPT = timedelta(days=90)
AT_ONCE = 50  # a schedule must answer soon; one run a day is added


def delete_old_runs(instance: dg.DagsterInstance, now: datetime) -> int:
    """Deletes runs that ended, with events, check results and logs, 90 days after they began.

    The runs that made the newest materialization of an asset stay: the UI shows them.

    Returns:
        how many were deleted, at most AT_ONCE.
    """
    shown = {
        event.run_id
        for key in instance.all_asset_keys()
        if (event := instance.get_latest_materialization_event(key))
    }
    old = instance.get_runs(
        dg.RunsFilter(statuses=[*FINISHED_STATUSES], created_before=now - RUNS_KEPT),
        limit=AT_ONCE + len(shown),
        ascending=True,
    )
    deleted = [run.run_id for run in old if run.run_id not in shown][:AT_ONCE]
    for run_id in deleted:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _delete_check_results(instance.event_log_storage, run_id)
        _delete_database(instance.event_log_storage, run_id)
    return len(deleted)


def _delete_check_results(storage: EventLogStorage, run_id: str) -> None:
    """Deletes a run's results of asset checks, which Dagster keeps when it deletes the run."""
    if isinstance(storage, SqlEventLogStorage):
        of_run = AssetCheckExecutionsTable.c.run_id == run_id
        with storage.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.delete().where(of_run))


def _delete_database(storage: EventLogStorage, run_id: str) -> None:
    """Deletes the SQLite file of a run's events, which Dagster only empties."""
    if isinstance(storage, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{storage.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)
