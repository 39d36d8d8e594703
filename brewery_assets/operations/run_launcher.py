"""A run launcher for a separate code location service, which detects runs that are gone."""

import json
from typing import Any

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster_shared.serdes import deserialize_value

PATIENCE = 5  # seconds; a restarting service answers the next check


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with a health check of runs for run monitoring.

    A run is a process of the code location's gRPC server. If the server is killed and restarted,
    the default launcher leaves its runs "started" until the maximum runtime is over, and each
    blocks the next run. This class uses private names of Dagster, which is pinned.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """NOT_FOUND if the server no longer has the run; RUNNING if it has, or does not answer."""
        where = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if not where:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not started by this launcher")
        if self._knows(run.run_id, where) is False:
            return CheckRunHealthResult(
                WorkerStatus.NOT_FOUND, "the process of this run is gone: killed, or out of memory"
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _knows(self, run_id: str, where: dict[str, Any]) -> bool | None:
        client = DagsterGrpcClient(
            host=where.get("host", "localhost"),
            port=where.get("port"),
            socket=where.get("socket"),
            use_ssl=bool(where.get("use_ssl")),
        )
        try:
            said = client.can_cancel_execution(
                CanCancelExecutionRequest(run_id=run_id), timeout=PATIENCE
            )
        except Exception:  # the server is restarting or busy: the run may be alive
            return None
        return bool(deserialize_value(said, CanCancelExecutionResult).can_cancel)
