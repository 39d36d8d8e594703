"""What the IO managers write and read for an asset, and the metadata that the UI shows."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from brewery_assets.assets import bronze_breweries
from brewery_assets.engine.spark import Spark
from brewery_assets.lake.io_managers import Candidate, JsonLinesSnapshots
from brewery_assets.lake.lake import LakeError
from brewery_assets.lake.storage import Folder
from brewery_assets.lake.tables import empty
from brewery_assets.layers.bronze import FIELDS
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.source.reader import Reading
from brewery_assets.step import RESOURCES
from brewery_assets_tests import scenario
from brewery_assets_tests.conftest import Pipeline, failure_of
from brewery_assets_tests.lake.test_lake import lake_of


def metadata_of(run: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (materialization,) = (
        event.materialization
        for event in run.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset)
    )
    return dict(materialization.metadata)


def test_each_materialization_has_rows_size_path_snapshot_and_origin(
    pipeline: Pipeline,
) -> None:
    run = pipeline.run()
    rows = {
        "bronze_breweries": 13,
        "silver_breweries": 11,
        "rejected_breweries": 2,
        "gold_brewery_counts": 9,
    }
    for asset, expected in rows.items():
        shown = metadata_of(run, asset)
        manifest = pipeline.newest(asset)
        assert shown["dagster/row_count"].value == manifest.rows == expected
        assert shown["dagster/size_bytes"].value == manifest.bytes > 0
        assert Path(shown["dagster/uri"].value) == Path(pipeline.uri) / manifest.folder
        assert shown["snapshot"].value == manifest.snapshot
        assert shown["seconds_to_write"].value >= 0
    bronze = pipeline.newest("bronze_breweries").snapshot
    assert metadata_of(run, "silver_breweries")["made_from/bronze_breweries"].value == bronze
    assert pipeline.newest("silver_breweries").made_from == {"bronze_breweries": bronze}
    assert metadata_of(run, "gold_brewery_counts")["made_from/silver_breweries"].value == bronze


def test_the_ui_shows_schema_lineage_and_a_preview(pipeline: Pipeline) -> None:
    run = pipeline.run()
    silver = metadata_of(run, "silver_breweries")
    columns = {column.name: column for column in silver["dagster/column_schema"].value.columns}
    assert list(columns) == SILVER.columns
    assert columns["longitude"].type == "double"
    assert all(column.description for column in columns.values())
    lineage = silver["dagster/column_lineage"].value.deps_by_column
    assert set(lineage) == set(SILVER.columns)
    assert [dep.column_name for dep in lineage["state_name"]] == ["country", "state_province"]
    assert "| Missouri Beer Company | micro | O'Fallon | Missouri |" in silver["preview"].value
    assert "| United States | 5 |" in silver["preview"].value
    rejected = metadata_of(run, "rejected_breweries")["preview"].value
    assert "| no id | 1 |" in rejected
    assert "Brewery Without an Id" in rejected
    assert metadata_of(run, "bronze_breweries")["preview"].value.startswith("```json\n{")
    gold = metadata_of(run, "gold_brewery_counts")
    assert "| Belgium | Flanders | micro | 2 |" in gold["preview"].value
    assert set(gold["dagster/column_lineage"].value.deps_by_column) == set(GOLD.columns)


def test_the_metadata_of_bronze_has_facts_about_the_read_and_a_hash(
    pipeline: Pipeline,
) -> None:
    shown = metadata_of(pipeline.run("bronze_breweries"), "bronze_breweries")
    assert shown["source/verified"].value is True
    assert shown["source/requests"].value == 4
    assert shown["seconds_to_read"].value >= 0
    assert len(shown["source/sha256"].value) == 64


def test_bronze_lists_the_fields_that_the_api_serves() -> None:
    assert sorted(FIELDS) == sorted(scenario.OREGON)
    (spec,) = bronze_breweries.specs
    shown = {column.name: column for column in spec.metadata["dagster/column_schema"].columns}
    assert list(shown) == list(FIELDS)
    assert all(column.description for column in shown.values())


def test_the_data_version_of_bronze_changes_only_with_its_content(pipeline: Pipeline) -> None:
    def version(run: dg.ExecuteInProcessResult) -> str:
        (event,) = run.asset_materializations_for_node("bronze_breweries")
        return (event.tags or {})["dagster/data_version"]

    first = version(pipeline.run("bronze_breweries"))
    pipeline.api.rows.reverse()
    assert version(pipeline.run("bronze_breweries")) == first
    pipeline.api.rows[0]["phone"] = "1"
    assert version(pipeline.run("bronze_breweries")) != first


@pytest.mark.usefixtures("published")
def test_each_folder_has_one_zstd_parquet_file_and_gold_is_sorted(pipeline: Pipeline) -> None:
    silver = pipeline.newest("silver_breweries")
    folders = [file.path.rpartition("/")[0] for file in silver.files]
    assert len(folders) == len(set(folders)) == 8
    assert "country=belgium/state=flanders" in folders
    gold = pipeline.newest("gold_brewery_counts")
    assert len(gold.files) == 1
    for manifest in (silver, gold):
        for file in manifest.files:
            path = Path(pipeline.uri) / manifest.folder / file.path
            found = pq.ParquetFile(path).metadata.row_group(0).column(0).compression
            assert found == "ZSTD"
    keys = [
        (row["country"], row["state"], row["brewery_type"])
        for row in pipeline.rows("gold_brewery_counts")
    ]
    assert keys == sorted(keys)


def test_a_state_that_looks_like_a_number_stays_text(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [{**scenario.OREGON, "state_province": "044"}]
    pipeline.run()
    pipeline.run("gold_brewery_counts")  # reads silver's folders back
    (row,) = pipeline.rows("gold_brewery_counts")
    assert (row["state"], row["state_name"]) == ("044", "044")


def test_silver_without_rows_is_an_empty_table_not_an_error(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = scenario.BROKEN
    pipeline.run("bronze_breweries", "silver_breweries", "rejected_breweries")
    assert pipeline.newest("silver_breweries").rows == 0
    assert pipeline.newest("rejected_breweries").rows == len(scenario.BROKEN)
    run = pipeline.run("gold_brewery_counts", fails=True)  # reads silver, and counts nothing
    assert "gold_is_not_empty" in failure_of(run)


def test_the_rejected_table_is_empty_if_no_line_is_rejected(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = scenario.GOOD
    pipeline.run()
    assert pipeline.newest("rejected_breweries").rows == 0
    assert pipeline.newest("silver_breweries").rows == len(scenario.GOOD)


@pytest.mark.usefixtures("published")
def test_an_older_bronze_snapshot_can_be_refined_again(pipeline: Pipeline) -> None:
    older = pipeline.newest("bronze_breweries").snapshot
    gold = pipeline.rows("gold_brewery_counts")
    pipeline.api.rows[:] = [scenario.OREGON]
    pipeline.run()
    assert len(pipeline.rows("gold_brewery_counts")) == 1
    pipeline.run(
        "silver_breweries",
        "rejected_breweries",
        "gold_brewery_counts",
        read_snapshot={"json_lines_snapshots": older},
    )
    assert pipeline.newest("silver_breweries").made_from == {"bronze_breweries": older}
    assert pipeline.rows("gold_brewery_counts") == gold


@pytest.mark.usefixtures("published")
def test_a_snapshot_that_does_not_exist_is_refused_and_the_newest_is_named(
    pipeline: Pipeline,
) -> None:
    run = pipeline.run(
        "gold_brewery_counts", fails=True, read_snapshot={"parquet_snapshots": "yesterday"}
    )
    newest = pipeline.newest("silver_breweries").snapshot
    assert f"no published snapshot 'yesterday'; the newest: {newest}" in failure_of(run)


def test_a_retry_after_a_failed_write_leaves_no_partial_files(pipeline: Pipeline) -> None:
    tries: list[str] = []

    @dg.asset(
        name="gold_brewery_counts",
        io_manager_key="parquet_snapshots",
        required_resource_keys=RESOURCES,
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def gold_that_fails_once(
        context: dg.AssetExecutionContext,
    ) -> dg.MaterializeResult[Candidate]:
        tries.append(context.run.run_id)
        rows = context.resources.spark.spark_session.range(50_000, numPartitions=8)
        fails = F.raise_error(F.lit("the disk is on fire")).cast("string")
        country = F.when((F.col("id") == 49_999) & F.lit(len(tries) == 1), fails).otherwise("x")
        text = F.lit("x")
        found: DataFrame = rows.select(
            country.alias("country"),
            text.alias("state"),
            text.alias("country_name"),
            text.alias("state_name"),
            text.alias("brewery_type"),
            F.col("id").alias("brewery_count"),
        )
        # Not held, so that it fails while it is written.
        return dg.MaterializeResult(value=Candidate(GOLD.name, found, 50_000))

    run = dg.materialize(
        [gold_that_fails_once], resources=pipeline.resources(), instance=pipeline.instance
    )
    assert run.success
    assert tries == [run.run_id] * 2
    assert metadata_of(run, "gold_brewery_counts")["dagster/row_count"].value == 50_000


def test_a_table_whose_files_do_not_have_its_rows_is_not_published(pipeline: Pipeline) -> None:
    @dg.asset(
        name="gold_brewery_counts",
        io_manager_key="parquet_snapshots",
        required_resource_keys=RESOURCES,
    )
    def gold_with_a_wrong_count(
        context: dg.AssetExecutionContext,
    ) -> dg.MaterializeResult[Candidate]:
        found = empty(context.resources.spark.spark_session, GOLD.schema)
        return dg.MaterializeResult(value=Candidate(GOLD.name, found, rows=3))

    run = dg.materialize(
        [gold_with_a_wrong_count],
        resources=pipeline.resources(),
        instance=pipeline.instance,
        raise_on_error=False,
    )
    assert "0 of 3 rows were written" in failure_of(run)
    assert pipeline.lake.snapshots(GOLD.name) == []


class Corrupting(Folder):
    """A folder on a disk that corrupts what is written."""

    def write(self, path: str, content: bytes) -> None:
        super().write(path, content.replace(b"a", b"b"))


def test_a_bronze_file_that_differs_from_what_was_read_is_not_published(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    lake = lake_of(folder, instance)
    lake._storage = Corrupting(str(folder))
    bronze = Candidate("bronze_breweries", Reading(['{"id": "a"}'], {"fields": {}}), rows=1)
    with pytest.raises(
        LakeError, match=r"breweries\.json differs from what was read from the source"
    ):
        JsonLinesSnapshots(lake, Spark(), None).keep_draft(bronze)
    assert lake.storage.files("bronze_breweries") == []
