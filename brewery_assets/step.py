"""One step of a layer: its rows are computed once, checked, and published if no rule blocks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from brewery_assets.checks.limits import Limits
from brewery_assets.checks.rule import Outcome, Rule, refusal
from brewery_assets.checks.rules import RULES
from brewery_assets.engine.errors import message_of
from brewery_assets.engine.spark import Spark
from brewery_assets.lake.io_managers import Candidate, ParquetSnapshots, SnapshotIOManager
from brewery_assets.lake.lake import Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.storage import Result
from brewery_assets.lake.tables import Table
from brewery_assets.presentation import markdown_text

Results = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Candidate]]
Outcomes = dict[str, Outcome]
RESOURCES = {"lake", "limits", "spark", "parquet_snapshots"}  # of a step that computes a table


def check_specs(layer: str) -> list[dg.AssetCheckSpec]:
    """The layer's rules as check specs of Dagster."""
    return [
        dg.AssetCheckSpec(name, asset=layer, description=rule.description, blocking=rule.blocking)
        for name, rule in RULES[layer].items()
    ]


class Step:
    """The code that the assets share."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self.context = context
        self.lake: Lake = context.resources.lake
        self.limits: Limits = context.resources.limits

    @property
    def spark(self) -> Spark:
        """The engine of this run."""
        spark: Spark = self.context.resources.spark
        return spark

    @property
    def tables(self) -> ParquetSnapshots:
        """The IO manager that reads tables."""
        tables: ParquetSnapshots = self.context.resources.parquet_snapshots
        return tables

    def computed(self, layer: str, work: Callable[[], Result]) -> Result:
        """Runs the engine's work and returns its result; repeats it if S3 was unavailable.

        Raises:
            LakeError: the engine failed, or the disk is full.
        """
        try:
            with self.lake.full_disk_explained():
                return self.lake.through_outages(work)
        except PySparkException as error:  # the engine's message may lack the layer
            raise LakeError(f"{layer} could not be computed: {message_of(error)}") from error

    def hold(
        self,
        table: Table,
        rows: Callable[[], DataFrame],
        made_from: Sequence[Manifest],
        compared_with: Sequence[Manifest] = (),
    ) -> Candidate:
        """The rows, computed once and held by the engine.

        Args:
            table: the table that they belong to.
            rows: returns the rows.
            made_from: the snapshots that they are computed from.
            compared_with: the older snapshots that they are compared with.
        """

        def held() -> Candidate:
            frame = self.spark.hold(rows().select(*table.columns))
            preview = table.preview(frame)
            return Candidate(
                table.name,
                frame,
                preview.rows,
                made_from={origin.layer: origin.snapshot for origin in made_from},
                compared_with={older.layer: older.snapshot for older in compared_with},
                shown={
                    "dagster/column_schema": table.column_schema(),
                    "dagster/column_lineage": table.column_lineage(),
                    "preview": dg.MetadataValue.md(preview.markdown),
                },
            )

        return self.computed(table.name, held)

    def publish(
        self,
        candidate: Candidate,
        check: Callable[[], Outcomes],
        *,
        with_it: Candidate | None = None,
        data_version: str | None = None,
        io_manager: str = "parquet_snapshots",
    ) -> Results:
        """Yields the results of the layer's checks, and then the outputs for its IO manager.

        Args:
            candidate: the rows that are checked.
            check: gives the outcome of each of the layer's rules.
            with_it: another output of the same step, which is published first.
            data_version: the candidate's data version; None lets Dagster make one.
            io_manager: stores the rows as a draft if a rule refuses them.

        Raises:
            dg.Failure: a blocking rule failed. Nothing is published.
        """
        layer, rules = candidate.layer, RULES[candidate.layer]
        outcomes = self.computed(layer, check)
        failed = {n for n, rule in rules.items() if rule.blocking and not outcomes[n].passed}
        accepted = failed & set(self.limits.accept_checks)
        for name in accepted:
            outcomes[name].numbers["accepted_by"] = f"ACCEPT_CHECKS={name}"
        refused = {
            name: refusal(layer, name, rule, outcomes[name])
            for name, rule in rules.items()
            if name in failed - accepted
        }
        yield from self._results(layer, rules, outcomes, accepted, refused)
        candidates = [each for each in (with_it, candidate) if each]
        if refused:
            for each in candidates:
                self._keep_draft(getattr(self.context.resources, io_manager), each)
            raise dg.Failure("\n".join(refused.values()), allow_retries=False)
        checks = [
            {"name": name, "passed": outcome.passed, **outcome.numbers}
            for name, outcome in outcomes.items()
        ]
        version = dg.DataVersion(data_version) if data_version else None
        for each in candidates:
            yield dg.MaterializeResult(
                asset_key=each.layer, value=replace(each, checks=checks), data_version=version
            )

    def _results(
        self,
        layer: str,
        rules: Mapping[str, Rule],
        outcomes: Outcomes,
        accepted: set[str],
        refused: Mapping[str, str],
    ) -> Iterator[dg.AssetCheckResult]:
        where = {
            "snapshot": self.lake.name_in(layer),
            "path": self.lake.storage.uri(self.lake.folder(layer)),
        }
        for name, rule in rules.items():
            blocks = rule.blocking and name not in accepted
            yield dg.AssetCheckResult(
                asset_key=layer,
                check_name=name,
                passed=outcomes[name].passed,
                severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
                # The UI shows it as Markdown.
                description=markdown_text(refused[name]) if name in refused else None,
                metadata={**outcomes[name].numbers, **where},
            )

    def _keep_draft(self, manager: SnapshotIOManager, candidate: Candidate) -> None:
        """Keeps a refused candidate as a draft, for a day, so that people can inspect it."""
        try:
            manager.keep_draft(candidate)
        except Exception as error:  # the refusal matters more
            self.context.log.warning(f"{candidate.layer}: the draft was not kept: {error}")
