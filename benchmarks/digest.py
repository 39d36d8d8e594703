"""Summarizes what an engine wrote, to compare engines: `python -m benchmarks.digest LAKE`."""

import json
import sys
from pathlib import Path

import duckdb

from benchmarks.clock import PASSES

# A sum does not depend on the order of the rows, and duplicate rows do not cancel out.
ROWS = """
select count(*), sum(hash(found)::hugeint)::varchar
from (
    select *
    from read_parquet($files, hive_partitioning = true, hive_types_autocast = false)
) as found
"""
COLUMNS = """
select column_name || ' ' || column_type
from (describe from read_parquet($files, hive_partitioning = true, hive_types_autocast = false))
"""
COUNTED = "select sum(brewery_count)::bigint from read_parquet($files)"
IDS = "select count(distinct id) from read_parquet($files)"


def digest(lake: Path, snapshot: str) -> dict[str, list[object]]:
    """For each layer: rows, checksum, columns; for silver also its ids, for gold its total."""
    found: dict[str, list[object]] = {}
    with duckdb.connect() as connection:
        for layer in ("silver_breweries", "rejected_breweries", "gold_brewery_counts"):
            folder = lake / layer / snapshot
            if not (files := [str(file) for file in folder.rglob("*.parquet")]):
                found[layer] = [0]
                continue
            # If there are no rows, one engine writes an empty file, another writes no file.
            if not connection.execute(ROWS, {"files": files}).fetchall()[0][0]:
                found[layer] = [0]
                continue
            queries = [ROWS, COLUMNS]
            queries += {"silver_breweries": [IDS], "gold_brewery_counts": [COUNTED]}.get(layer, [])
            found[layer] = [
                value
                for query in queries
                for row in connection.execute(query, {"files": files}).fetchall()
                for value in row
            ]
    return found


if __name__ == "__main__":
    print(json.dumps({snapshot: digest(Path(sys.argv[1]), snapshot) for snapshot in PASSES}))
