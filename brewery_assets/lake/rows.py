"""The rows of snapshots, read without an engine."""

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest

AT_ONCE = 20  # files that are read into memory together


class UnreadableError(ValueError):
    """A file of a snapshot is missing, or is not a Parquet file."""


def parquet_files(lake: Lake, manifest: Manifest) -> Iterator[pq.ParquetFile]:
    """The Parquet files of a snapshot, a few of them in memory at a time.

    Raises:
        UnreadableError: with the path of the file below the snapshot.
    """
    for path, content in _contents(lake, manifest):
        yield _parquet_file(path, content)


def _parquet_file(path: str, content: bytes) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{path} is not a Parquet file: {error}") from None


def rows_in(lake: Lake, manifest: Manifest) -> int | None:
    """The number of rows in the files; None for the report, which has no rows.

    Raises:
        UnreadableError: as `parquet_files`.
    """
    kinds = {file.path.rpartition(".")[2] for file in manifest.files}
    if kinds <= {"parquet"}:
        return sum(int(file.metadata.num_rows) for file in parquet_files(lake, manifest))
    if kinds == {"json"}:
        return sum(content.count(b"\n") for _, content in _contents(lake, manifest))
    return None


def total_of(lake: Lake, manifest: Manifest, column: str) -> int:
    """The sum of a column of numbers.

    Raises:
        UnreadableError: as `parquet_files`.
    """
    return sum(
        sum(filter(None, table_of(file).column(column).to_pylist()))
        for file in parquet_files(lake, manifest)
    )


def table_of(file: pq.ParquetFile) -> pa.Table:
    """The content of a file, read in this thread only.

    The process crashes if an Arrow thread frees Python's bytes while Python is shutting down.
    """
    return file.read(use_threads=False)


def _contents(lake: Lake, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    paths = iter([file.path for file in manifest.files])
    while some := [*itertools.islice(paths, AT_ONCE)]:
        found = lake.storage.read_each([f"{manifest.folder}/{path}" for path in some])
        for path, content in zip(some, found, strict=True):
            if content is None:
                raise UnreadableError(f"{path} is missing")
            yield path, content
