"""The whole pipeline: from an API on loopback to counts that an independent reader confirms."""

import hashlib
import json
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from brewery_assets.definitions import defs
from brewery_assets.layers.silver import SERVED_TEXT
from brewery_assets.report.asset import REPORT
from brewery_assets_tests.conftest import LAYERS, Pipeline, failure_of
from brewery_assets_tests.scenario import BROKEN, GOOD, OREGON, ROWS, UNKNOWN_FIELDS
from demo.data import Row
from demo.faults import Faults


def test_the_assets_form_one_lineage_and_each_description_gives_the_grain() -> None:
    graph = defs.resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert {
        name: sorted(key.to_user_string() for key in node.parent_keys)
        for name, node in nodes.items()
    } == {
        "bronze_breweries": [],
        "silver_breweries": ["bronze_breweries"],
        "rejected_breweries": ["bronze_breweries"],
        "suspect_breweries": ["bronze_breweries", "silver_breweries"],
        "gold_brewery_counts": ["silver_breweries"],
        "gold_brewery_changes": ["silver_breweries"],
        REPORT: [
            *("gold_brewery_changes", "gold_brewery_counts"),
            *("silver_breweries", "suspect_breweries"),
        ],
        "silver_data_docs": ["silver_breweries"],
    }
    for name, node in nodes.items():
        reports = {REPORT, "silver_data_docs"}
        assert node.group_name == ("reports" if name in reports else "breweries")
        assert node.kinds
        assert (node.description or "").startswith("One ")
        assert node.owners == ["team:data-engineering"]


@pytest.mark.usefixtures("published")
def test_every_row_of_the_source_is_in_silver_or_rejected(pipeline: Pipeline) -> None:
    assert len(pipeline.lines()) == len(ROWS)
    silver = {row["id"] for row in pipeline.rows("silver_breweries")}
    assert silver == {row["id"] for row in GOOD}
    rejected = pipeline.rows("rejected_breweries")
    assert Counter(row["reason"] for row in rejected) == {"no id": 1, "no name": 1}
    assert len(rejected) == len(BROKEN)


@pytest.mark.usefixtures("published")
def test_gold_counts_each_type_in_each_place_once(pipeline: Pipeline) -> None:
    counts = {
        (row["country"], row["state"], row["brewery_type"]): row["brewery_count"]
        for row in pipeline.rows("gold_brewery_counts")
    }
    assert counts == {
        ("austria", "karnten", "zoigl"): 1,
        ("belgium", "flanders", "micro"): 2,
        ("ireland", "cork", "micro"): 1,
        ("poland", "dolnoslaskie", "micro"): 1,
        ("united_states", "massachusetts", "contract"): 1,
        ("united_states", "missouri", "brewpub"): 2,
        ("united_states", "missouri", "micro"): 1,
        ("united_states", "oregon", "micro"): 1,
        ("unknown", "unknown", "unknown"): 1,
    }


@pytest.mark.xdist_group("real data")
def test_the_counts_of_the_real_data_match_its_csv(
    pipeline: Pipeline, real_rows: list[Row], real_lake: Path
) -> None:
    shutil.copytree(real_lake, pipeline.uri)
    assert len(pipeline.lines()) == 11_822
    silver = pipeline.rows("silver_breweries")
    assert {row["id"] for row in silver} == {row["id"] for row in real_rows}
    assert pipeline.newest("rejected_breweries").rows == 0
    assert pipeline.newest("suspect_breweries").rows == 247
    texts = [name for name in SERVED_TEXT if name not in ("country", "brewery_type")]
    assert {row["id"]: [row[name] for name in texts] for row in silver} == {
        row["id"]: [(row[name] or "").strip() or None for name in texts] for row in real_rows
    }

    gold = pipeline.rows("gold_brewery_counts")
    keys = [(row["country"], row["state"], row["brewery_type"]) for row in gold]
    assert len(set(keys)) == len(keys) == 613
    assert sum(row["brewery_count"] for row in gold) == 11_822
    by_type: Counter[str] = Counter()
    by_country: Counter[str] = Counter()
    for row in gold:
        by_type[row["brewery_type"]] += row["brewery_count"]
        by_country[row["country_name"]] += row["brewery_count"]
    assert by_type == Counter(row["brewery_type"] for row in real_rows)
    assert by_country == Counter(row["country"].strip() for row in real_rows)
    california = [row for row in gold if row["state"] == "california"]
    assert {row["brewery_type"]: row["brewery_count"] for row in california} == Counter(
        row["brewery_type"] for row in real_rows if row["state_province"] == "California"
    )


@pytest.mark.usefixtures("published")
def test_a_second_run_publishes_a_second_snapshot_with_the_same_counts(pipeline: Pipeline) -> None:
    first = pipeline.rows("gold_brewery_counts")
    pipeline.run()
    for layer in LAYERS:
        assert len(list(pipeline.lake.published(layer))) == 2
    assert pipeline.rows("gold_brewery_counts") == first


@pytest.mark.usefixtures("published")
def test_a_brewery_removed_at_the_source_is_missing_in_the_new_gold_but_not_in_the_old(
    pipeline: Pipeline,
) -> None:
    old = pipeline.newest("gold_brewery_counts")
    pipeline.api.rows.remove(OREGON)
    pipeline.run()
    assert not [row for row in pipeline.rows("gold_brewery_counts") if row["state"] == "oregon"]
    assert [row for row in pipeline.rows("gold_brewery_counts", old) if row["state"] == "oregon"]


@pytest.mark.usefixtures("published")
def test_unknown_fields_stay_in_bronze_as_served(pipeline: Pipeline) -> None:
    (line,) = (line for line in pipeline.lines() if UNKNOWN_FIELDS["id"] in line)
    assert '"rating":4.5,"tags":["a",{"b":null}]' in line
    assert json.loads(line) == UNKNOWN_FIELDS


def test_elements_that_are_not_objects_are_rejected_and_the_run_continues(
    pipeline: Pipeline,
) -> None:
    pipeline.api.faults = Faults(strays=5)
    pipeline.run()
    assert pipeline.newest("bronze_breweries").rows == len(ROWS) + 5
    assert pipeline.newest("silver_breweries").rows == len(GOOD)
    reasons = Counter(row["reason"] for row in pipeline.rows("rejected_breweries"))
    assert reasons["not a JSON object with any known field"] == 5


def test_dropped_fields_are_null_and_no_row_is_lost(pipeline: Pipeline) -> None:
    pipeline.api.faults = Faults(dropped_fields=frozenset({"state_province", "state", "phone"}))
    pipeline.run()
    silver = pipeline.rows("silver_breweries")
    assert len(silver) == len(GOOD)
    assert {row["state"] for row in silver} == {"unknown"}
    assert {row["phone"] for row in silver} == {None}


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        (Faults(always_status=403), "/v1/breweries?per_page=200&page=1&sort=id%3Aasc answered 403"),
        (Faults(server_errors=1.0), "/v1/breweries/meta gave no usable answer in 4 tries"),
        (Faults(always_status=429), "gave no usable answer"),
        (Faults(html=1.0), "/v1/breweries/meta gave no usable answer"),
        (Faults(objects=1.0), "no JSON array"),
        (Faults(cut_json=1.0), "gave no usable answer"),
        (Faults(cut_bodies=1.0), "IncompleteRead"),
        (Faults(dropped_connections=1.0), "ConnectionError"),
        (Faults(empty_page_numbers=frozenset({1})), "0 distinct ids where /meta says 13"),
        (Faults(meta_total_off_by=1), "13 distinct ids where /meta says 14"),
    ],
)
@pytest.mark.usefixtures("published")
def test_a_faulty_source_fails_the_run_and_changes_nothing(
    pipeline: Pipeline, faults: Faults, cause: str
) -> None:
    before = {layer: pipeline.newest(layer) for layer in LAYERS}
    pipeline.api.faults = faults
    pipeline.source["patience"] = 10.0
    started = time.monotonic()
    message = failure_of(pipeline.run(fails=True))
    assert time.monotonic() - started < 60
    assert cause in message
    assert pipeline.api.url in message
    for layer in LAYERS:
        assert list(pipeline.lake.published(layer)) == [before[layer].snapshot]
        assert pipeline.newest(layer) == before[layer]


def test_a_snapshot_with_allowed_missing_rows_is_published_as_not_verified(
    pipeline: Pipeline,
) -> None:
    pipeline.api.faults = Faults(meta_total_off_by=2)
    pipeline.missing_rows_allowed = 2
    pipeline.run()
    source = pipeline.newest("bronze_breweries").source or {}
    assert source["verified"] is False
    assert source["missing"] == 2
    assert len(pipeline.rows("gold_brewery_counts")) == 9


def test_the_manifest_of_bronze_records_what_the_source_reported(pipeline: Pipeline) -> None:
    pipeline.run()
    source = pipeline.newest("bronze_breweries").source or {}
    assert source["url"] == pipeline.api.url
    assert source["verified"] is True
    assert source["meta_before"]["total"] == source["meta_after"]["total"] == len(ROWS)
    assert (source["pages"], source["passes"], source["requests"]) == (1, 1, 4)
    assert source["retries"] == source["duplicates_dropped"] == 0
    assert source["first_request_at"] <= source["last_request_at"]
    file = Path(pipeline.uri) / pipeline.newest("bronze_breweries").folder / "breweries.json"
    assert source["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
