"""Starts runs where the code location is a separate service, and notices that one is gone."""

import json
from typing import Any

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster_shared.serdes import deserialize_value

PATIENCE = 5  # seconds; a service that is restarting answers the next time


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, for whom run monitoring may ask whether a run's process lives.

    A run is a process of the code location's gRPC server. Where that was killed and started again,
    the default launcher leaves its runs "started" until the longest time a run may take is over,
    and each holds up the next. Private names of Dagster's: its version is pinned.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING while its server has it, or cannot be asked; NOT_FOUND when it has it no more."""
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
        except Exception:  # being restarted, or busy: that says nothing of the run
            return None
        return bool(deserialize_value(said, CanCancelExecutionResult).can_cancel)
