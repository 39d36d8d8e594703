"""The tables of the layers: explicit schemas and previews."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import dagster as dg
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StringType, StructField, StructType

from brewery_assets.presentation import markdown_text


def column(name: str, kind: DataType, description: str) -> StructField:
    """A column of a schema; the description is stored as its comment."""
    return StructField(name, kind, metadata={"comment": description})


def text(name: str, description: str) -> StructField:
    """A column of text."""
    return column(name, StringType(), description)


class Preview(NamedTuple):
    """How many rows a table has, and some of them as Markdown."""

    rows: int
    markdown: str


@dataclass(frozen=True)
class Table:
    """One Parquet table of the lake.

    Attributes:
        name: the name of its asset and of its folder.
        schema: every column, partitions last; each has a comment.
        partition_by: the partition columns; each partition is a folder with one file.
        sort_by: the columns by which each file is sorted, so that equal rows give equal bytes.
        lineage: for each column, the (asset, column) pairs that it comes from.
        preview: counts the rows and shows some, in as few passes as possible.
    """

    name: str
    schema: StructType
    preview: Callable[[DataFrame], Preview]
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    lineage: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the schema's order."""
        return list(self.schema.fieldNames())

    @property
    def types(self) -> dict[str, str]:
        """The Spark type of each column, by name."""
        return {field.name: field.dataType.simpleString() for field in self.schema.fields}

    def sorted(self, rows: DataFrame) -> DataFrame:
        """The rows of each task, in the order of the files."""
        if self.sort_by:
            return rows.sortWithinPartitions(*self.partition_by, *self.sort_by)
        return rows

    def rows_by_folder(self, rows: DataFrame) -> dict[str, int]:
        """How many rows go into each folder, such as `country=italy/state=rome`."""
        if not self.partition_by:
            return {}
        folder = F.concat_ws("/", *self._parts())
        return dict(rows.groupBy(folder).count().collect())

    def _parts(self) -> list[Column]:
        return [F.concat(F.lit(f"{name}="), F.col(name)) for name in self.partition_by]

    def rows_in(self, rows: DataFrame, folders: Iterable[str]) -> DataFrame:
        """The rows of some partitions, such as `country=italy/state=rome`."""
        return rows.where(F.concat_ws("/", *self._parts()).isin(*folders))

    def schema_of(self, columns: Mapping[str, str]) -> StructType:
        """The part of the schema that a snapshot with the given columns shares.

        An older version may lack a column, which would be read as nulls, or have another type for
        it, which cannot be read.
        """
        return StructType(
            [f for f in self.schema.fields if columns.get(f.name) == self.types[f.name]]
        )

    def column_schema(self) -> dg.TableSchema:
        """The schema as Dagster shows it."""
        return dg.TableSchema(
            [
                dg.TableColumn(f.name, f.dataType.simpleString(), f.metadata["comment"])
                for f in self.schema.fields
            ]
        )

    def column_lineage(self) -> dg.TableColumnLineage:
        """The lineage as Dagster shows it."""
        return dg.TableColumnLineage(
            {
                name: [dg.TableColumnDep(dg.AssetKey(asset), column) for asset, column in origins]
                for name, origins in self.lineage.items()
            }
        )


def empty(spark: SparkSession, schema: StructType) -> DataFrame:
    """An empty frame with a schema. A Spark 3.5 server refuses `createDataFrame`."""
    # Not F.lit(None): Sail's count_distinct of a literal is 1 even for no rows.
    return spark.range(0).select(*(_no_value(f.dataType).alias(f.name) for f in schema))


def _no_value(kind: DataType) -> Column:
    if isinstance(kind, ArrayType):  # a number cannot be cast to an array
        return F.from_json(F.col("id").cast("string"), kind.simpleString())
    return F.col("id").cast(kind)


def small(spark: SparkSession, rows: Sequence[Mapping[str, Any]], schema: StructType) -> DataFrame:
    """A few rows from the driver, as one JSON literal (see `empty` for why)."""
    kind = f"array<{schema.simpleString()}>"
    return spark.range(1).select(F.inline(F.from_json(F.lit(json.dumps(rows)), kind)))


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table. The header is Markdown already; the rows are escaped, nulls blank."""
    cells = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else markdown_text(str(value))
