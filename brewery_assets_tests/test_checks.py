"""The audits: what they find, and that nothing is published past them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brewery_assets.checks import AUDITS, complete_against_source, counts_add_up, rows_are_conserved
from brewery_assets.definitions import ASSETS
from brewery_assets_tests.conftest import Pipeline, failure_of
from brewery_assets_tests.scenario import GOOD, OREGON, ROWS


def said(total: int, **facts: Any) -> dict[str, Any]:
    meta = {"total": total}
    source = {"meta_before": meta, "meta_after": meta, "verified": True, "doubt": None}
    return {**source, "missing_allowed": 0, **facts}


def lines(*records: Any) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


A, B = {"id": "a", "name": "A"}, {"id": "b", "name": "B"}


@pytest.mark.parametrize(
    ("content", "source", "passes"),
    [
        (lines(A, B), said(2), True),
        (lines(A), said(2), False),
        (lines(A, B), said(1), False),
        (lines(A, {**A, "name": "again"}), said(2), False),
        (lines(A, {**A, "name": "again"}), said(1), False),
        (lines(A, None, None, {"name": "no id"}), said(4), True),
        (lines(A), said(2, meta_after={"total": 1}), False),
        (lines(A), said(2, doubt="MISSING_ROWS_ALLOWED=1", missing_allowed=1), True),
        (lines(A), said(3, doubt="MISSING_ROWS_ALLOWED=1", missing_allowed=1), False),
        (lines(A, B), said(1, doubt="more than /meta says"), True),
        (lines(A), said(0, meta_before=None, meta_after=None, doubt="no /meta"), True),
        (lines(A, A), said(0, meta_before=None, meta_after=None, doubt="no /meta"), False),
        (b"", said(0), True),
    ],
)
def test_bronze_is_complete_when_its_distinct_ids_are_what_both_metas_say(
    content: bytes, source: dict[str, Any], passes: bool
) -> None:
    assert complete_against_source(content, source).passed is passes


def test_a_row_lost_or_doubled_between_bronze_and_silver_is_seen() -> None:
    assert rows_are_conserved(bronze=10, silver=8, rejected=2).passed
    assert not rows_are_conserved(bronze=10, silver=8, rejected=1).passed
    assert not rows_are_conserved(bronze=10, silver=9, rejected=2).passed


def test_a_count_lost_in_gold_is_seen() -> None:
    assert counts_add_up(counted=10, silver=10).passed
    assert not counts_add_up(counted=9, silver=10).passed


def results_of(run: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in run.get_asset_check_evaluations()}


def test_a_good_run_passes_four_checks_with_their_numbers(pipeline: Pipeline) -> None:
    found = results_of(pipeline.run())
    numbers = {
        name: {key: value.value for key, value in check.metadata.items()}
        for name, check in found.items()
    }
    assert all(check.passed and check.blocking for check in found.values())
    complete = numbers["complete_against_source"]
    assert complete["rows"] == complete["distinct_ids"] == len(ROWS)
    assert complete["meta_before"] == complete["meta_after"] == len(ROWS)
    conserved = numbers["rows_are_conserved"]
    assert (conserved["bronze"], conserved["silver"], conserved["rejected"]) == (13, 11, 2)
    assert numbers["ids_are_unique"]["distinct_ids"] == len(GOOD)
    assert (numbers["counts_add_up"]["gold"], numbers["counts_add_up"]["silver"]) == (11, 11)


def test_the_manifest_keeps_what_was_checked(pipeline: Pipeline) -> None:
    pipeline.run()
    checks = pipeline.newest("silver_breweries").checks
    assert [(check["name"], check["passed"]) for check in checks] == [
        ("rows_are_conserved", True),
        ("ids_are_unique", True),
    ]


def tampered(
    pipeline: Pipeline, layer: str, change: Callable[[Path, dict[str, Any]], None]
) -> None:
    """A hand lays itself on the newest published snapshot, its manifest included."""
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
def test_a_check_that_blocks_leaves_the_draft_and_keeps_the_old_gold(
    pipeline: Pipeline,
    layer: str,
    change: Callable[[Path, dict[str, Any]], None],
    audited: str,
    check: str,
) -> None:
    pipeline.run()
    before = {name: pipeline.newest(name) for name in ("silver_breweries", "gold_brewery_counts")}
    gold = pipeline.rows("gold_brewery_counts")
    tampered(pipeline, layer, change)
    rest = {"silver_breweries", "rejected_breweries", "gold_brewery_counts"}
    if layer == "silver_breweries":
        rest = {"gold_brewery_counts"}
    run = pipeline.run(*rest, fails=True)

    found = results_of(run)
    assert not found[check].passed
    assert Path(str(found[check].metadata["path"].value)).is_dir()
    assert pipeline.newest("gold_brewery_counts") == before["gold_brewery_counts"]
    assert pipeline.rows("gold_brewery_counts") == gold
    if audited == "silver_breweries":
        assert pipeline.newest("silver_breweries") == before["silver_breweries"]
        assert "counts_add_up" not in found
        written = {
            event.asset_key.path[-1]
            for event in run.get_asset_materialization_events()
            if event.asset_key
        }
        assert "gold_brewery_counts" not in written
    lake = pipeline.lake
    (draft,) = set(lake.snapshots(audited)) - set(lake.published(audited))
    assert (Path(pipeline.uri) / audited / f"snapshot={draft}" / "_draft.json").is_file()


def test_doubled_ids_are_named(pipeline: Pipeline) -> None:
    pipeline.run()
    tampered(pipeline, "bronze_breweries", double_a_line)
    found = results_of(pipeline.run("silver_breweries", "rejected_breweries", fails=True))
    assert found["ids_are_unique"].metadata["examples"].value == [OREGON["id"]]


def test_a_published_snapshot_can_be_audited_again(pipeline: Pipeline) -> None:
    pipeline.run()
    before = pipeline.newest("bronze_breweries")
    audit = [check for check in AUDITS if "complete_against_source" in str(check.check_keys)]
    rerun = dg.materialize(
        [*ASSETS, *audit],
        selection=dg.AssetSelection.checks_for_assets("bronze_breweries"),
        resources=pipeline.resources(),
        instance=pipeline.instance,
    )
    assert results_of(rerun)["complete_against_source"].passed
    assert pipeline.newest("bronze_breweries") == before


def only(pipeline: Pipeline, selection: dg.AssetSelection) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*ASSETS, *AUDITS],
        selection=selection,
        resources=pipeline.resources(),
        instance=pipeline.instance,
        raise_on_error=False,
    )


def test_one_check_selected_alone_does_not_publish_past_another_that_fails(
    pipeline: Pipeline,
) -> None:
    pipeline.run()
    tampered(pipeline, "bronze_breweries", one_row_more)
    before = pipeline.newest("silver_breweries")
    unique = dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("silver_breweries"), "ids_are_unique")
    )
    assets = dg.AssetSelection.assets("silver_breweries", "rejected_breweries").without_checks()
    run = only(pipeline, assets | unique)
    assert not run.success
    assert "stays a draft: rows_are_conserved would not pass" in failure_of(run)
    assert pipeline.newest("silver_breweries") == before


def test_assets_without_their_checks_stay_drafts_that_the_next_layer_refuses(
    pipeline: Pipeline,
) -> None:
    run = only(pipeline, dg.AssetSelection.all().without_checks())
    assert not run.success
    assert "select the asset's checks too" in failure_of(run)
    assert pipeline.lake.newest("bronze_breweries") is None
