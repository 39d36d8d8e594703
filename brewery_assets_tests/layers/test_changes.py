"""The changes from one snapshot to the next: breweries that are added, removed or changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brewery_assets.checks import changes as checks_changes
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import (
    FLANDERS_IN_DUTCH,
    GOOD,
    IRELAND,
    MASSACHUSETTS,
    MISSOURI,
    MISSOURI_AGAIN,
    NOWHERE,
    OREGON,
    SILESIA,
)
from demo.data import Row

CHANGES = "gold_brewery_changes"
BUT_CHANGES = ("bronze_breweries", "silver_breweries", "rejected_breweries", "gold_brewery_counts")


def found(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    rows = pipeline.rows(CHANGES)
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    return {row["id"]: row for row in rows}


def preview_of(run: dg.ExecuteInProcessResult) -> str:
    (shown,) = (
        event.materialization.metadata["preview"].value
        for event in run.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(CHANGES)
    )
    return str(shown)


def today(pipeline: Pipeline, *new: Row, gone: Sequence[Row] = (), now: Sequence[Row] = ()) -> None:
    """The source serves GOOD without the `gone` rows, with the changed `now` and the `new` ones."""
    left = {row["id"]: row for row in GOOD if row not in gone} | {row["id"]: row for row in now}
    pipeline.api.rows[:] = [*left.values(), *new]


def test_the_first_snapshot_has_no_changes_and_is_not_an_error(pipeline: Pipeline) -> None:
    run = pipeline.run()
    assert pipeline.rows(CHANGES) == []
    assert pipeline.newest(CHANGES).compared_with == {}
    assert "no snapshot to compare with" in preview_of(run)


def test_a_source_that_stays_the_same_has_no_changes(pipeline: Pipeline) -> None:
    pipeline.run()
    first = pipeline.newest("silver_breweries").snapshot
    pipeline.run()
    assert pipeline.rows(CHANGES) == []
    assert pipeline.newest(CHANGES).compared_with == {"silver_breweries": first}


@pytest.mark.usefixtures("published")
def test_the_same_rows_in_another_order_give_the_same_files_and_no_changes(
    pipeline: Pipeline,
) -> None:
    def contents() -> dict[str, str | None]:
        files = pipeline.newest("silver_breweries").files
        return {file.path.rpartition("/")[0]: file.checksum for file in files}

    before = contents()
    pipeline.api.rows.reverse()
    pipeline.run()
    assert contents() == before
    assert pipeline.rows(CHANGES) == []
    today(pipeline, now=[OREGON | {"phone": "1"}])
    pipeline.run()
    changed = {folder for folder, checksum in contents().items() if checksum != before[folder]}
    assert changed == {"country=united_states/state=oregon"}
    assert set(found(pipeline)) == {OREGON["id"]}


def test_added_removed_and_changed_breweries_are_listed_with_old_and_new_values(
    pipeline: Pipeline,
) -> None:
    pipeline.api.rows[:] = GOOD
    pipeline.run()
    today(
        pipeline,
        MISSOURI | {"id": "new", "name": "Brand New"},
        gone=[SILESIA],
        now=[
            OREGON | {"brewery_type": "closed", "latitude": 0.00012},
            MASSACHUSETTS | {"city": "Boston", "phone": None},
        ],
    )
    run = pipeline.run()
    new, missouri, massachusetts, oregon = (
        {"id": "new", "name": "Brand New", "change": "added", "changed_columns": []},
        {"brewery_type": "micro", "country": "united_states", "state": "missouri"},
        {
            "change": "changed",
            "changed_columns": [
                {"column": "city", "old": "Williamsburg", "new": "Boston"},
                {"column": "phone", "old": "6173837039", "new": None},
            ],
        },
        {
            "brewery_type": "closed",
            "changed_columns": [
                {"column": "brewery_type", "old": "micro", "new": "closed"},
                {"column": "latitude", "old": "35.25738891", "new": "0.000120000000"},
            ],
        },
    )
    rows = found(pipeline)
    assert set(rows) == {"new", SILESIA["id"], OREGON["id"], MASSACHUSETTS["id"]}
    assert rows["new"] == new | missouri
    assert rows[MASSACHUSETTS["id"]].items() >= massachusetts.items()
    assert rows[OREGON["id"]].items() >= oregon.items()
    assert rows[SILESIA["id"]] == {
        "id": SILESIA["id"],
        "name": "Browar Cztery Ściany",
        "brewery_type": "micro",
        "country": "poland",
        "state": "dolnoslaskie",
        "change": "removed",
        "changed_columns": [],
    }
    preview = preview_of(run)
    for line in (
        "| opened | 1 |",
        "| closed | 1 |",
        "| moved | 1 |",
        "| renamed | 0 |",
        "| no longer listed | 1 |",
        "| city | 1 |",
        "city: Williamsburg → Boston, phone: 6173837039 → –",
    ):
        assert line in preview
    checks = {check["name"]: check for check in pipeline.newest(CHANGES).checks}
    add_up = checks["changes_add_up"]
    assert (add_up["before"], add_up["added"], add_up["removed"], add_up["now"]) == (11, 1, 1, 11)


def test_not_every_changed_type_or_city_is_an_opening_a_closing_or_a_move(
    pipeline: Pipeline,
) -> None:
    planned, closed = {"brewery_type": "planning"}, {"brewery_type": "closed"}
    pipeline.api.rows[:] = [OREGON | planned, MISSOURI | closed, IRELAND | planned, NOWHERE]
    pipeline.run()
    pipeline.api.rows[:] = [
        OREGON,  # opened as planned
        MISSOURI | {"brewery_type": None},  # opened again
        IRELAND | closed,  # never opened
        NOWHERE | {"city": "Somewhere"},  # its city is now known; it did not move
        SILESIA | {"brewery_type": "Planning"},  # new, not yet open
        FLANDERS_IN_DUTCH | closed,  # new, already closed
        MISSOURI_AGAIN,  # new and open
    ]
    preview = preview_of(pipeline.run())
    assert "| opened | 3 |" in preview
    assert "| closed | 1 |" in preview
    assert "| moved | 0 |" in preview


def test_changes_that_a_failed_run_missed_are_in_the_next_snapshot(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = GOOD
    pipeline.run()
    first = pipeline.newest("silver_breweries").snapshot
    today(pipeline, gone=[OREGON])
    pipeline.run(*BUT_CHANGES)  # as a run that fails before its last step
    today(pipeline, gone=[OREGON, SILESIA])
    pipeline.run()
    assert set(found(pipeline)) == {OREGON["id"], SILESIA["id"]}
    assert pipeline.newest(CHANGES).compared_with == {"silver_breweries": first}


def test_changes_rebuilt_from_the_same_silver_are_the_same(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = GOOD
    pipeline.run()
    today(pipeline, gone=[OREGON])
    pipeline.run()
    first = found(pipeline)
    pipeline.run(CHANGES)
    assert found(pipeline) == first
    assert len(pipeline.lake.manifests(CHANGES)) == 3


def test_a_column_that_the_older_silver_lacks_is_not_compared(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = GOOD
    pipeline.run()
    path = Path(pipeline.uri) / pipeline.newest("silver_breweries").folder / "_manifest.json"
    path.write_text(path.read_text().replace(' "phone": "string"', ' "fax": "string"'))
    today(pipeline, now=[OREGON | {"phone": "new", "name": "New"}])
    pipeline.run()
    (row,) = pipeline.rows(CHANGES)
    assert [change["column"] for change in row["changed_columns"]] == ["name"]


@pytest.mark.parametrize(
    ("before", "now", "added", "removed", "passes"),
    [
        (10, 11, 2, 1, True),
        (10, 11, 1, 1, False),
        (None, 10, 0, 0, True),
        (None, 10, 10, 0, False),
    ],
)
def test_added_and_removed_breweries_must_explain_the_number_of_rows(
    before: int | None, now: int, added: int, removed: int, passes: bool
) -> None:
    found = {"added": added, "removed": removed, "changed": 0}
    outcome = checks_changes.changes_add_up(before, now, found)
    assert outcome.passed is passes
    assert outcome.numbers == {"before": before, "now": now, **found}
    assert not checks_changes.one_row_per_brewery(3, 2).passed
