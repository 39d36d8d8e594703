"""The long life: its figures are those of the runs, and what grows is named."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from brewery_assets.automation import retention
from brewery_assets.lake.lake import Lake
from torture import long_life
from torture.long_life import Day, growing, lived, plot, table


def day(number: int, **figures: int) -> Day:
    """A day with the given figures; the others are 10."""
    return Day(number, 10, 10, 10, 10, 10, 10, 10)._replace(**figures)


def test_what_grows_is_named() -> None:
    days = [day(number, lake_mb=number) for number in range(1, 31)]
    assert growing(days) == ["GREW: lake, MB, from 15.5 to 25.5"]


def test_what_stays_flat_or_is_high_only_at_times_does_not_grow() -> None:
    days = [day(number, seconds=10 if number % 7 else 30) for number in range(1, 31)]
    assert growing(days) == []


def test_the_table_has_the_medians_of_ten_parts() -> None:
    days = [day(number, seconds=number) for number in range(1, 31)]
    first, *_, last = table(days).splitlines()[2:]
    assert first.startswith("| 1 to 3 | 2.0 | 10.0 |")
    assert last.startswith("| 28 to 30 | 29.0 | 10.0 |")


def test_the_plot_has_a_chart_for_each_figure() -> None:
    svg = plot([day(1), day(2)])
    assert all(about in svg for about in long_life.SHOWN.values())


@pytest.mark.slow("whole runs in separate processes")
def test_each_day_is_a_run_into_the_same_lake_and_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (long_life, retention):
        monkeypatch.setattr(module, "RUNS_KEPT", timedelta(days=1))
    first, second = lived(tmp_path, runs=2, rows=200, seed=1)
    assert min(first) > 0
    assert second.lake_files > first.lake_files
    monkeypatch.chdir(tmp_path / "home")
    with dg.DagsterInstance.from_config(".") as instance:
        assert instance.get_runs_count() == 1  # the older run is deleted
    for manifest in Lake(uri=str(tmp_path / "lake")).manifests("gold_brewery_counts"):
        assert datetime.now(timezone.utc) - manifest.created_at > timedelta(hours=23)
