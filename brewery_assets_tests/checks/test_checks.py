"""The checks: what they find, and that nothing is published if a blocking one fails."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from brewery_assets.assets import gold_brewery_counts
from brewery_assets.checks import bronze as checks_bronze
from brewery_assets.checks import gold as checks_gold
from brewery_assets.checks import silver as checks_silver
from brewery_assets.checks.bronze import columns_as_before
from brewery_assets.checks.rules import RULES
from brewery_assets.definitions import ASSETS, defs
from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.bronze import FIELDS
from brewery_assets.source.profile import Profile, profile_of
from brewery_assets.source.records import split_page
from brewery_assets.step import check_specs
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import GOOD, IRELAND, NOWHERE, OREGON, ROWS, UNKNOWN_FIELDS
from demo.data import Row
from demo.faults import Faults


def said(total: int, **facts: Any) -> dict[str, Any]:
    meta = {"total": total}
    source = {"meta_before": meta, "meta_after": meta, "verified": True, "doubt": None}
    return {**source, "missing_allowed": 0, **facts}


def lines(*records: Any) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def as_read(content: bytes, distinct: int) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "distinct": distinct}


def profile(*records: Any) -> Profile:
    return profile_of(record.facts for record in split_page(json.dumps(records)))


A, B = {"id": "a", "name": "A"}, {"id": "b", "name": "B"}
NO_META = {"meta_before": None, "meta_after": None, "doubt": "no /meta"}


@pytest.mark.parametrize(
    ("content", "distinct", "source", "passes"),
    [
        (lines(A, B), 2, said(2), True),
        (lines(A), 1, said(2), False),
        (lines(A, B), 2, said(1), False),
        (lines(A, {**A, "name": "again"}), 1, said(2), False),
        (lines(A, {**A, "name": "again"}), 1, said(1), False),
        (lines(A), 1, said(2, meta_after={"total": 1}), False),
        (lines(A), 1, said(2, doubt="MISSING_ROWS_ALLOWED=1", missing_allowed=1), True),
        (lines(A), 1, said(3, doubt="MISSING_ROWS_ALLOWED=1", missing_allowed=1), False),
        (lines(A, B), 2, said(1, doubt="more than /meta says"), True),
        (lines(A), 1, said(0, **NO_META), True),
        (lines(A, A), 1, said(0, **NO_META), False),
        (b"", 0, said(0), True),
    ],
)
def test_bronze_is_complete_if_its_distinct_ids_match_both_meta_totals(
    content: bytes, distinct: int, source: dict[str, Any], passes: bool
) -> None:
    outcome = checks_bronze.complete_against_source(content, source | as_read(content, distinct))
    assert outcome.passed is passes
    assert outcome.numbers["distinct_records"] == distinct
    assert outcome.numbers["rows"] == content.count(b"\n")


def test_counts_that_differ_from_those_of_the_source_are_named() -> None:
    found = profile(
        {"id": 1, "brewery_type": "micro", "country": "Italy"},
        {"id": 2, "brewery_type": "micro", "country": None},
        {"id": 3, "brewery_type": "nano", "country": " Italy"},
        "no object",
    )
    by_type = {"micro": 2, "nano": 1}
    by_country = {"Italy": 1, " Italy": 1, "null": 1}
    match = checks_bronze.counts_match_source
    assert match(found.counts, {"by_type": by_type, "by_country": by_country}).passed
    wrong = match(found.counts, {"by_type": {"micro": 3, "bar": 1}, "by_country": by_country})
    assert not wrong.passed
    assert wrong.numbers["differences"] == {
        "by_type: bar": {"found": 0, "expected": 1},
        "by_type: micro": {"found": 2, "expected": 3},
        "by_type: nano": {"found": 1, "expected": 0},
    }
    older = match(found.counts, {"total": 3, "by_type": by_type})
    assert older.passed
    assert older.numbers["compared"] == ["by_type"]
    assert match(found.counts, None).numbers["compared"] == []


def test_new_and_missing_fields_and_other_types_are_named() -> None:
    whole = dict.fromkeys(FIELDS, "text") | {"longitude": 1.5, "latitude": "2.5"}
    expected = checks_bronze.fields_as_expected
    assert expected(profile(whole, dict.fromkeys(FIELDS)).fields).passed
    assert expected(profile().fields).passed
    changed = {**whole, "postal_code": 5, "tags": [], "latitude": True}
    del changed["phone"]
    outcome = expected(profile(changed, changed).fields)
    assert not outcome.passed
    assert outcome.numbers == {
        "new": {"tags": 2},
        "missing": ["phone"],
        "of_another_type": {"latitude": {"boolean": 2}, "postal_code": {"number": 2}},
    }


def snapshot(**columns: str) -> Manifest:
    return Manifest(
        snapshot="20261122T101500Z-1a2b3c4d",
        layer="silver_breweries",
        run_id="",
        created_at=datetime.now(timezone.utc),
        rows=1,
        files=[],
        codec="zstd",
        columns=columns,
    )


def test_columns_that_are_new_missing_or_of_another_type_are_named() -> None:
    before = snapshot(id="string", phone="string", rating="number", note="null", late="string")
    same = columns_as_before(before.columns, before)
    assert same.passed
    assert columns_as_before(before.columns, None).passed
    now = snapshot(id="number or string", rating="number", note="string", late="null", tags="array")
    outcome = columns_as_before(now.columns, before)
    assert not outcome.passed
    assert outcome.numbers == {
        "columns": 5,
        "compared_with": "20261122T101500Z-1a2b3c4d",
        "new": {"tags": "array"},
        "missing": {"phone": "string"},
        "of_another_type": {"id": {"before": "string", "now": "number or string"}},
    }


@pytest.mark.parametrize(
    ("rows", "previous", "lost", "passes"),
    [
        (90, 100, 10, True),
        (89, 100, 11, False),
        (200, 100, -100, True),
        (1, None, 0, True),
        (0, None, 0, False),
    ],
)
def test_a_snapshot_may_not_lose_more_rows_than_the_limit(
    rows: int, previous: int | None, lost: float, passes: bool
) -> None:
    outcome = checks_bronze.row_count_is_plausible(rows, previous, 10)
    assert outcome.passed is passes
    assert outcome.numbers["lost_percent"] == lost


def test_a_snapshot_may_lose_exactly_the_allowed_percentage() -> None:
    for percent in range(100):
        assert checks_bronze.row_count_is_plausible(100 - percent, 100, percent).passed
        assert not checks_bronze.row_count_is_plausible(99 - percent, 100, percent).passed


def test_a_row_lost_or_duplicated_between_bronze_and_silver_is_found() -> None:
    conserved = checks_silver.rows_are_conserved
    assert conserved(bronze=10, silver=8, rejected=2).passed
    assert not conserved(bronze=10, silver=8, rejected=1).passed
    assert not conserved(bronze=10, silver=9, rejected=2).passed


def test_a_required_column_with_a_null_is_found() -> None:
    filled = checks_silver.required_columns_are_filled
    assert filled({"id": 0, "name": 0}).passed
    outcome = filled({"id": 0, "name": 2})
    assert not outcome.passed
    assert outcome.numbers == {"missing": {"id": 0, "name": 2}}


def test_places_that_are_new_or_gone_are_named_with_their_counts() -> None:
    known = checks_silver.places_are_known
    places = {("italy", "bolzano"): 2, ("italy", "bolzanno"): 1}
    assert known(places, None).passed
    assert known(places, set(places)).passed
    outcome = known(places, {("italy", "bolzano"), ("italy", "rome")})
    assert not outcome.passed
    assert outcome.numbers["new"] == {"italy/bolzanno": 1}
    # The state of an alias counts as known, but not as gone if it was absent before.
    assert known({("italy", "rome"): 1, ("south_korea", "daegu"): 1}, {("italy", "rome")}).passed
    assert outcome.numbers["gone"] == ["italy/rome"]


def test_a_count_lost_moved_or_duplicated_in_gold_is_found() -> None:
    def counts(country: dict[str, int], kind: dict[str, int]) -> dict[str, Counter[str]]:
        return {"country": Counter(country), "brewery_type": Counter(kind)}

    silver = counts({"italy": 2, "poland": 1}, {"micro": 3})
    add_up = checks_gold.counts_add_up
    assert add_up(silver, silver, 3).passed
    assert not add_up(silver, silver, 4).passed
    moved = add_up(counts({"italy": 1, "poland": 2}, {"micro": 3}), silver, 3)
    assert not moved.passed
    assert moved.numbers["differences"] == {
        "country: italy": {"gold": 1, "silver": 2},
        "country: poland": {"gold": 2, "silver": 1},
    }
    assert not checks_gold.one_row_per_key(rows=3, keys=2).passed


def results_of(run: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        f"{found.asset_key.path[-1]}.{found.check_name}": found
        for found in run.get_asset_check_evaluations()
    }


def numbers_of(run: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value.value for key, value in check.metadata.items()}
        for name, check in results_of(run).items()
    }


WARNINGS = {
    "bronze_breweries": {"counts_match_source", "fields_as_expected", "columns_as_before"},
    "silver_breweries": {
        "brewery_types_are_known",
        "places_are_known",
        "coordinates_are_plausible",
        "nothing_was_rejected",
    },
    "suspect_breweries": {"no_more_suspicions_than_before"},
    "gold_brewery_counts": {"counts_match_source"},
}
BLOCKING = {
    "bronze_breweries": {"complete_against_source", "row_count_is_plausible"},
    "silver_breweries": {
        "rows_are_conserved",
        "ids_are_unique",
        "required_columns_are_filled",
        "rejections_are_few",
        "columns_are_as_full_as_before",
    },
    "gold_brewery_counts": {
        "counts_add_up",
        "one_row_per_key",
        "gold_is_not_empty",
        "countries_and_types_are_still_there",
    },
    "gold_brewery_changes": {"changes_add_up", "one_row_per_brewery"},
}


def test_every_rule_is_shown_as_blocking_or_warning(pipeline: Pipeline) -> None:
    found = results_of(pipeline.run())
    for rules, blocking in ((WARNINGS, False), (BLOCKING, True)):
        for layer, names in rules.items():
            for name in names:
                check = found.pop(f"{layer}.{name}")
                assert check.blocking is blocking
                assert (check.severity is dg.AssetCheckSeverity.ERROR) is blocking
                assert check.metadata["path"].value
    assert not found
    assert all(spec.description for layer in RULES for spec in check_specs(layer))


def test_the_dirty_rows_cause_warnings_with_numbers_and_are_published(pipeline: Pipeline) -> None:
    run = pipeline.run()
    passed = {name for name, check in results_of(run).items() if check.passed}
    failed = set(results_of(run)) - passed
    assert failed == {
        "bronze_breweries.fields_as_expected",
        "silver_breweries.brewery_types_are_known",
        "silver_breweries.coordinates_are_plausible",
        "silver_breweries.nothing_was_rejected",
        "gold_brewery_counts.counts_match_source",
    }
    found = numbers_of(run)
    complete = found["bronze_breweries.complete_against_source"]
    assert complete["rows"] == complete["distinct_records"] == len(ROWS)
    assert complete["meta_before"] == complete["meta_after"] == len(ROWS)
    assert found["bronze_breweries.fields_as_expected"]["new"] == {"rating": 1, "tags": 1}
    conserved = found["silver_breweries.rows_are_conserved"]
    assert (conserved["bronze"], conserved["silver"], conserved["rejected"]) == (13, 11, 2)
    assert found["silver_breweries.ids_are_unique"]["distinct_ids"] == len(GOOD)
    types = found["silver_breweries.brewery_types_are_known"]
    assert types["types"] == {"zoigl": 1, "none": 1}
    assert (types["wrong"], types["rows"], types["percent"]) == (2, 11, 18.182)
    assert types["examples"] == [NOWHERE["id"], UNKNOWN_FIELDS["id"]]
    coordinates = found["silver_breweries.coordinates_are_plausible"]
    assert (coordinates["wrong"], coordinates["without_a_valid_pair"]) == (2, 2)
    assert coordinates["examples"] == [IRELAND["id"], NOWHERE["id"]]
    rejected = found["silver_breweries.nothing_was_rejected"]
    assert (rejected["wrong"], rejected["rows"], rejected["percent"]) == (2, 13, 15.385)
    added = found["gold_brewery_counts.counts_add_up"]
    assert (added["gold"], added["silver"]) == (11, 11)


@pytest.mark.xdist_group("real data")
def test_the_real_data_passes_except_for_five_breweries_far_from_their_country(
    pipeline: Pipeline, real_rows: list[Row], real_lake: Path
) -> None:
    shutil.copytree(real_lake, pipeline.uri)  # the snapshot to compare with
    pipeline.api.rows[:] = real_rows
    run = pipeline.run()
    failed = {name for name, check in results_of(run).items() if not check.passed}
    assert failed == {"silver_breweries.coordinates_are_plausible"}
    found = numbers_of(run)["silver_breweries.coordinates_are_plausible"]
    assert (found["wrong"], found["rows"], found["percent"]) == (5, 11_822, 0.042)
    assert (found["without_a_valid_pair"], found["at_0_0"]) == (0, 0)
    assert found["far_from_their_country"] == 5
    names = {row["id"]: row["name"] for row in real_rows}
    assert sorted(names[wrong] for wrong in found["examples"]) == [
        "Goat Island Brewing",
        "Labyrinth Brewing Company",
        "Mescan Brewery",
        "Vadia",
        "Xarlie",
    ]


def test_one_far_brewery_is_found_in_each_of_many_countries(pipeline: Pipeline) -> None:
    def brewery(country: int, number: int, **degrees: float | None) -> Row:
        name = f"Country {country}"
        return {**OREGON, "id": f"{country:02}-{number:02}", "country": name, **degrees}

    pipeline.api.rows[:] = [  # all at one place: the deviation is zero, except for rounding
        *(brewery(c, n, longitude=c + 0.1, latitude=0.3) for c in range(70) for n in range(27)),
        *(brewery(c, 99, longitude=c + 0.1, latitude=0.3 + c / 10) for c in range(70)),
        brewery(70, 0, longitude=0.0, latitude=0.0),
        *(brewery(70, n, longitude=1.0, latitude=None) for n in range(1, 4)),
    ]
    found = numbers_of(pipeline.run())["silver_breweries.coordinates_are_plausible"]
    assert (found["without_a_valid_pair"], found["at_0_0"]) == (3, 1)
    assert (found["far_from_their_country"], found["wrong"]) == (68, 72)
    assert found["examples"] == [f"{c:02}-99" for c in range(2, 12)]


def test_a_truncated_source_is_refused_in_every_run_until_it_is_accepted(
    pipeline: Pipeline, real_rows: list[Row]
) -> None:
    pipeline.api.rows[:] = real_rows[:200]
    pipeline.run()
    good = pipeline.newest("bronze_breweries")
    gold = pipeline.newest("gold_brewery_counts")
    pipeline.rows_lost_percent = 10
    pipeline.api.rows[:] = real_rows[:179]
    for _ in range(2):
        run = pipeline.run(fails=True)
        found = numbers_of(run)["bronze_breweries.row_count_is_plausible"]
        assert (found["rows"], found["previous"], found["lost_percent"]) == (179, 200, 10.5)
        assert pipeline.newest("bronze_breweries") == good
        assert pipeline.newest("gold_brewery_counts") == gold
    pipeline.api.rows[:] = real_rows[:180]
    pipeline.run()
    pipeline.api.rows[:] = real_rows[:20]
    accepted = ["countries_and_types_are_still_there"]
    once = {"limits": {"config": {"rows_lost_percent": 95, "accept_checks": accepted}}}
    pipeline.run(config=once)
    assert pipeline.newest("gold_brewery_counts").made_from
    assert pipeline.newest("bronze_breweries").rows == 20


def test_a_new_place_is_named_once(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = GOOD
    pipeline.run()
    misspelt = {**OREGON, "id": "new", "state_province": "Oergon"}
    pipeline.api.rows.append(misspelt)
    found = numbers_of(pipeline.run())["silver_breweries.places_are_known"]
    assert found["new"] == {"united_states/oergon": 1}
    assert results_of(pipeline.run())["silver_breweries.places_are_known"].passed


@pytest.mark.usefixtures("published")
def test_the_manifest_keeps_the_results_of_the_checks(pipeline: Pipeline) -> None:
    checks = pipeline.newest("silver_breweries").checks
    assert {check["name"]: check["passed"] for check in checks} == {
        "rows_are_conserved": True,
        "ids_are_unique": True,
        "required_columns_are_filled": True,
        "rejections_are_few": True,
        "columns_are_as_full_as_before": True,
        "brewery_types_are_known": False,
        "places_are_known": True,
        "coordinates_are_plausible": False,
        "nothing_was_rejected": False,
    }


def test_a_field_that_is_new_or_changes_its_type_is_named_once(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [{**row, "founded": 1990} for row in GOOD]
    first = numbers_of(pipeline.run())["bronze_breweries.columns_as_before"]
    assert first["compared_with"] == "nothing"
    before = pipeline.newest("bronze_breweries")
    assert before.columns["founded"] == "number"
    assert before.columns["longitude"] == "number or string"
    pipeline.api.rows[:] = [{**row, "founded": "1990", "size": 1} for row in GOOD]
    run = pipeline.run()
    assert not results_of(run)["bronze_breweries.columns_as_before"].passed
    found = numbers_of(run)["bronze_breweries.columns_as_before"]
    assert found["compared_with"] == before.snapshot
    assert found["new"] == {"size": "number"}
    assert found["missing"] == {}
    assert found["of_another_type"] == {"founded": {"before": "number", "now": "string"}}
    assert results_of(pipeline.run())["bronze_breweries.columns_as_before"].passed


@pytest.mark.usefixtures("published")
def test_columns_written_differently_by_an_older_version_do_not_fail_the_run(
    pipeline: Pipeline,
) -> None:

    def older(_: Path, manifest: dict[str, Any]) -> None:
        del manifest["columns"]["phone"]
        manifest["columns"]["longitude"] = "string"

    tamper_with(pipeline, "silver_breweries", older)
    assert pipeline.run().success


def tamper_with(
    pipeline: Pipeline, layer: str, change: Callable[[Path, dict[str, Any]], None]
) -> None:
    """Changes the newest published snapshot and its manifest."""
    folder = Path(pipeline.uri) / pipeline.newest(layer).folder
    manifest = json.loads((folder / "_manifest.json").read_text())
    change(folder, manifest)
    (folder / "_manifest.json").write_text(json.dumps(manifest))


def double_a_line(folder: Path, manifest: dict[str, Any]) -> None:
    file = folder / "breweries.json"
    content = file.read_bytes() + json.dumps({**OREGON, "name": "again"}).encode() + b"\n"
    file.write_bytes(content)
    manifest["rows"] += 1
    manifest["files"] = [["breweries.json", len(content)]]
    manifest["source"]["sha256"] = hashlib.sha256(content).hexdigest()


def one_row_more(_: Path, manifest: dict[str, Any]) -> None:
    manifest["rows"] += 1


@pytest.mark.parametrize(
    ("layer", "change", "audited", "check"),
    [
        ("bronze_breweries", double_a_line, "silver_breweries", "ids_are_unique"),
        ("bronze_breweries", one_row_more, "silver_breweries", "rows_are_conserved"),
        ("silver_breweries", one_row_more, "gold_brewery_counts", "counts_add_up"),
    ],
)
@pytest.mark.usefixtures("published")
def test_a_failed_blocking_check_leaves_the_draft_and_keeps_the_old_gold(
    pipeline: Pipeline,
    layer: str,
    change: Callable[[Path, dict[str, Any]], None],
    audited: str,
    check: str,
) -> None:
    before = {name: pipeline.newest(name) for name in ("silver_breweries", "gold_brewery_counts")}
    gold = pipeline.rows("gold_brewery_counts")
    tamper_with(pipeline, layer, change)
    rest = {"silver_breweries", "rejected_breweries", "gold_brewery_counts"}
    if layer == "silver_breweries":
        rest = {"gold_brewery_counts"}
    run = pipeline.run(*rest, fails=True)

    found = results_of(run)
    assert not found[f"{audited}.{check}"].passed
    assert Path(str(found[f"{audited}.{check}"].metadata["path"].value)).is_dir()
    assert pipeline.newest("gold_brewery_counts") == before["gold_brewery_counts"]
    assert pipeline.rows("gold_brewery_counts") == gold
    assert [*run.get_asset_materialization_events()] == []
    if audited == "silver_breweries":
        assert pipeline.newest("silver_breweries") == before["silver_breweries"]
        assert "gold_brewery_counts.counts_add_up" not in found
    lake = pipeline.lake
    (draft,) = set(lake.snapshots(audited)) - set(lake.published(audited))
    assert [*(Path(pipeline.uri) / audited / draft).rglob("*.parquet")]


@pytest.mark.usefixtures("published")
def test_duplicate_ids_are_named(pipeline: Pipeline) -> None:
    tamper_with(pipeline, "bronze_breweries", double_a_line)
    found = results_of(pipeline.run("silver_breweries", "rejected_breweries", fails=True))
    assert found["silver_breweries.ids_are_unique"].metadata["examples"].value == [OREGON["id"]]


def test_an_asset_cannot_be_materialized_without_its_checks(pipeline: Pipeline) -> None:
    alone = dg.AssetSelection.assets("gold_brewery_counts").without_checks()
    with pytest.raises(dg.DagsterInvalidDefinitionError) as raised:
        dg.materialize(ASSETS, selection=alone, resources=pipeline.resources())
    assert "counts_add_up" in str(raised.value.__cause__)


def test_every_check_of_a_layer_is_shown_on_its_asset() -> None:
    nodes = defs.resolve_asset_graph().asset_check_keys
    found = {(key.asset_key.to_user_string(), key.name) for key in nodes}
    expected = {(layer, name) for layer, rules in RULES.items() for name in rules}
    assert found == expected | {("silver_data_docs", "meets_expectations")}


def test_a_sensor_of_another_code_location_sees_only_published_gold(
    pipeline: Pipeline,
) -> None:
    @dg.asset_sensor(asset_key=dg.AssetKey("gold_brewery_counts"), job_name="of_another_team")
    def counts_have_changed(_: Any, event: dg.EventLogEntry) -> dg.RunRequest:
        return dg.RunRequest(run_key=event.run_id)

    cursor: str | None = None

    def heard() -> list[str | None]:
        nonlocal cursor
        with dg.build_sensor_context(pipeline.instance, cursor=cursor) as context:
            found = counts_have_changed.evaluate_tick(context)
        cursor = found.cursor or cursor
        return [request.run_key for request in found.run_requests or ()]

    assert heard() == []
    first = pipeline.run()
    assert heard() == [first.run_id]
    refined = ("silver_breweries", "rejected_breweries")
    tamper_with(pipeline, "silver_breweries", one_row_more)
    refused = pipeline.run("gold_brewery_counts", fails=True)
    assert not results_of(refused)["gold_brewery_counts.counts_add_up"].passed
    assert heard() == []
    second = pipeline.run(*refined, "gold_brewery_counts")
    assert heard() == [second.run_id]


def test_the_freshness_policy_of_gold_warns_after_26_hours_and_fails_after_50() -> None:
    (spec,) = gold_brewery_counts.specs
    policy = spec.freshness_policy
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.warn_window is not None
    assert policy.warn_window.to_timedelta() == timedelta(hours=26)
    assert policy.fail_window.to_timedelta() == timedelta(hours=50)


def test_after_a_silver_is_refused_its_bronze_is_not_the_measure_for_the_next(
    pipeline: Pipeline,
) -> None:
    pipeline.rows_lost_percent, pipeline.rejected_percent = 10, 20
    pipeline.run()
    pipeline.api.faults = Faults(strays=10)  # these elements are not objects: silver rejects them
    pipeline.run(fails=True)
    assert pipeline.newest("bronze_breweries").rows == len(ROWS) + 10
    pipeline.api.faults = Faults()
    pipeline.run()
    assert pipeline.newest("silver_breweries").rows == len(GOOD)
