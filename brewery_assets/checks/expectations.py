"""A suite of Great Expectations for silver: an audit in addition to the checks.

The job audit_silver runs it on demand: importing the library takes longer than the pipeline.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from pyspark.sql import DataFrame

from brewery_assets.checks.silver import REQUIRED
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.tables import markdown
from brewery_assets.layers.silver import BREWERY_TYPES, EXAMPLES, SILVER

DOCS = "silver_data_docs"
DATA_DOCS = f"data_docs/{SILVER.name}"
INDEX = f"{DATA_DOCS}/index.html"
MISSING = (
    "Great Expectations is not installed: `make audit_silver` installs it and runs this audit, "
    "`pip install --group expectations` installs it elsewhere"
)
SLUG = "^[a-z0-9_]+$"
UUID = "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"


def suite(expect: Any) -> list[Any]:
    """The expectations.

    Args:
        expect: the module great_expectations.expectations.
    """
    return [
        expect.ExpectTableColumnsToMatchOrderedList(column_list=SILVER.columns),
        expect.ExpectTableRowCountToBeBetween(min_value=1),
        *(expect.ExpectColumnValuesToNotBeNull(column=name) for name in REQUIRED),
        expect.ExpectColumnValuesToBeUnique(column="id"),
        expect.ExpectColumnValuesToMatchRegex(column="id", regex=UUID),
        *(
            expect.ExpectColumnValuesToMatchRegex(column=name, regex=SLUG)
            for name in SILVER.partition_by
        ),
        expect.ExpectColumnValueLengthsToBeBetween(column="name", min_value=1, max_value=200),
        expect.ExpectColumnValuesToBeInSet(column="brewery_type", value_set=[*BREWERY_TYPES]),
        expect.ExpectColumnValuesToNotBeNull(column="brewery_type", mostly=0.99),
        expect.ExpectColumnMostCommonValueToBeInSet(column="brewery_type", value_set=["micro"]),
        expect.ExpectColumnValueLengthsToBeBetween(column="postal_code", min_value=2, max_value=12),
        expect.ExpectColumnValuesToMatchRegex(column="website_url", regex="^https?://", mostly=0.9),
        expect.ExpectColumnValueLengthsToBeBetween(column="phone", min_value=5, max_value=40),
        expect.ExpectColumnValuesToBeBetween(column="longitude", min_value=-180, max_value=180),
        expect.ExpectColumnValuesToBeBetween(column="latitude", min_value=-90, max_value=90),
        *(
            expect.ExpectColumnValuesToNotBeNull(column=name, mostly=0.7)
            for name in ("longitude", "latitude")
        ),
    ]


class Verdict(NamedTuple):
    """The result of one expectation: how many rows do not meet it, and a few of their ids."""

    expectation: str
    column: str
    met: bool
    unexpected: int
    examples: list[str]
    error: str


@contextmanager
def validated(silver: DataFrame, snapshot: str) -> Iterator[tuple[list[Verdict], Path]]:
    """Yields the verdicts and the folder of the Data Docs, which is deleted on exit.

    Raises:
        ImportError: Great Expectations is not installed.
    """
    import great_expectations as gx
    from great_expectations import expectations as expect

    with tempfile.TemporaryDirectory() as folder:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        context.delete_data_docs_site("local_site")  # nothing would delete its folder
        context.add_data_docs_site(SILVER.name, _site(folder))
        asset = context.data_sources.add_spark("lake").add_dataframe_asset(SILVER.name)
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=SILVER.name,
                validation_definitions=[
                    context.validation_definitions.add(
                        gx.ValidationDefinition(
                            name=SILVER.name,
                            data=asset.add_batch_definition_whole_dataframe("snapshot"),
                            suite=context.suites.add(
                                gx.ExpectationSuite(SILVER.name, expectations=suite(expect))
                            ),
                        )
                    )
                ],
                result_format={
                    "result_format": "SUMMARY",
                    "unexpected_index_column_names": ["id"],
                    "partial_unexpected_count": EXAMPLES,
                },
            )
        )
        outcome = checkpoint.run(
            batch_parameters={"dataframe": silver}, run_id=gx.RunIdentifier(run_name=snapshot)
        )
        context.build_data_docs(site_names=[SILVER.name])
        (results,) = outcome.run_results.values()
        yield [_verdict(result.to_json_dict()) for result in results.results], Path(folder)


def _site(folder: str) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder},
    }


def _verdict(result: dict[str, Any]) -> Verdict:
    config, found = result["expectation_config"], result["result"]
    raised = result["exception_info"].get("exception_message", "")
    return Verdict(
        expectation=config["type"].removeprefix("expect_"),
        column=config["kwargs"].get("column", ""),
        met=result["success"],
        unexpected=found.get("unexpected_count", 0),
        examples=sorted(row["id"] for row in found.get("partial_unexpected_index_list") or []),
        error=raised,
    )


def published(lake: Lake, docs: Path) -> str:
    """Writes the Data Docs to the lake, deletes older ones, and returns their index's URI."""
    files = sorted(
        (file for file in docs.rglob("*") if file.is_file()),
        key=lambda file: file == docs / "index.html",  # last: it links to the others
    )
    paths = [file.relative_to(docs).as_posix() for file in files]
    for path in paths:
        lake.storage.write(f"{DATA_DOCS}/{path}", (docs / path).read_bytes())
    for old in lake.storage.files(DATA_DOCS):
        if old.path not in paths:
            lake.storage.delete(f"{DATA_DOCS}/{old.path}")
    return lake.storage.uri(INDEX)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            DOCS,
            deps=[SILVER.name],
            description="One set of HTML pages: the results of Great Expectations on the newest "
            "silver. The job audit_silver makes it on demand.",
            group_name="reports",
            kinds={"html"},
            owners=["team:data-engineering"],
            code_version="1",
            skippable=True,
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "meets_expectations",
            asset=DOCS,
            description="Silver meets every expectation of the suite.",
        )
    ],
    can_subset=True,
    required_resource_keys={"lake", "parquet_snapshots"},
)
def silver_data_docs(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """The Data Docs of the newest published silver, and a check of all expectations."""
    if dg.AssetKey(SILVER.name) in context.job_def.asset_layer.executable_asset_keys:
        context.log.info("Skipped: this run makes silver. Run the job audit_silver after it.")
        return
    lake: Lake = context.resources.lake
    snapshot = lake.reading(SILVER.name)
    silver = context.resources.parquet_snapshots.read(snapshot)
    try:
        with validated(silver, snapshot.snapshot) as (verdicts, docs):
            index = published(lake, docs)
    except ImportError:
        raise dg.Failure(MISSING) from None
    unmet = [verdict for verdict in verdicts if not verdict.met]
    address = index if "://" in index else Path(index).as_uri()
    said = f"{len(verdicts)} expectations, {len(unmet)} not met: {address}"
    context.log.warning(said) if unmet else context.log.info(said)
    facts: dict[str, Any] = {
        "data_docs": dg.MetadataValue.url(address),
        "snapshot": snapshot.snapshot,
        "path": lake.storage.uri(snapshot.folder),
    }
    yield dg.AssetCheckResult(
        asset_key=DOCS,
        check_name="meets_expectations",
        passed=not unmet,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "expectations": len(verdicts),
            "unmet": len(unmet),
            "verdicts": dg.MetadataValue.md(_table(verdicts)),
            **facts,
        },
    )
    yield dg.MaterializeResult(asset_key=DOCS, metadata=facts)


def _table(verdicts: Sequence[Verdict]) -> str:
    return markdown(
        ("expectation", "column", "", "unexpected", "examples"),
        [
            (
                one.expectation,
                one.column,
                "met" if one.met else "not met",
                one.unexpected,
                one.error or ", ".join(one.examples),
            )
            for one in sorted(verdicts, key=lambda one: one.met)
        ],
    )
