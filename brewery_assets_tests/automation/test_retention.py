"""What the daily schedule deletes from Dagster's own storage."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from brewery_assets.automation import retention
from brewery_assets.automation.jobs import daily_pipeline
from brewery_assets.automation.retention import RUNS_KEPT, delete_old_runs

LATER = datetime.now(timezone.utc) + RUNS_KEPT + timedelta(days=1)


@dg.asset(check_specs=[dg.AssetCheckSpec("check", asset="counts")])
def counts() -> Iterator[dg.MaterializeResult[None]]:
    print("printed by the step")
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@dg.asset
def other() -> None:
    pass


@pytest.fixture
def kept_instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def run_of(instance: dg.DagsterInstance, asset: dg.AssetsDefinition) -> str:
    return dg.materialize([asset], instance=instance).run_id


def test_old_runs_are_deleted_with_their_events_and_logs(kept_instance: dg.DagsterInstance) -> None:
    ids = [run_of(kept_instance, counts) for _ in range(3)]
    root = Path(kept_instance.root_directory)
    assert len([path for path in root.rglob("*") if ids[0] in path.name]) >= 2
    assert delete_old_runs(kept_instance, datetime.now(timezone.utc)) == 0
    assert delete_old_runs(kept_instance, LATER) == 2
    assert [run.run_id for run in kept_instance.get_runs()] == [ids[2]]
    assert not [path for path in root.rglob("*") if ids[0] in path.name]


def test_the_check_results_of_old_runs_are_deleted(kept_instance: dg.DagsterInstance) -> None:
    ids = [run_of(kept_instance, counts) for _ in range(2)]
    key = dg.AssetCheckKey(dg.AssetKey("counts"), "check")

    def shown() -> list[str]:
        history = kept_instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
        return [execution.run_id for execution in history]

    assert shown() == ids[::-1]
    assert delete_old_runs(kept_instance, LATER) == 1
    assert shown() == ids[1:]


def test_the_run_of_the_newest_materialization_stays(kept_instance: dg.DagsterInstance) -> None:
    oldest = run_of(kept_instance, other)
    for _ in range(2):
        run_of(kept_instance, counts)
    assert delete_old_runs(kept_instance, LATER) == 1
    assert kept_instance.get_run_by_id(oldest)
    event = kept_instance.get_latest_materialization_event(dg.AssetKey("other"))
    assert event
    assert event.run_id == oldest


def test_a_run_that_has_not_ended_stays(kept_instance: dg.DagsterInstance) -> None:
    job = dg.define_asset_job("job", [counts])
    definition = dg.Definitions(assets=[counts], jobs=[job]).resolve_job_def("job")
    kept_instance.create_run_for_job(definition)
    assert delete_old_runs(kept_instance, LATER) == 0


def test_a_tick_deletes_a_limited_number(
    kept_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for _ in range(4):
        run_of(kept_instance, counts)
    assert delete_old_runs(kept_instance, LATER) == 2
    assert delete_old_runs(kept_instance, LATER) == 1


def test_the_daily_schedule_deletes_them_and_runs_even_if_that_fails(
    kept_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        run_of(kept_instance, counts)
    monkeypatch.setattr(retention, "RUNS_KEPT", timedelta(0))
    schedule = daily_pipeline("0 6 * * *", "UTC")
    with dg.build_schedule_context(kept_instance) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.tags["dagster/max_retries"] == "2"
    assert kept_instance.get_runs_count() == 1
    with dg.build_schedule_context() as without_storage:
        assert schedule.evaluate_tick(without_storage).run_requests
