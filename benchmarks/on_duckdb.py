"""The same layers as a plain DuckDB script: `python -m benchmarks.on_duckdb LAKE`.

Only the names of places come from the project. The SQL is written to be fast: lines are parsed
once, and a text is trimmed only if it begins or ends with white space, because DuckDB's `trim` with
a list of characters takes ten times as long.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.clock import BRONZE, clock
from brewery_assets.layers.places import Spelling, conform

WHITE_SPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())

MACROS = """
create macro clean(field) as nullif(
    case
        when contains(getvariable('white_space'), field[1])
            or contains(getvariable('white_space'), field[-1])
        then trim(field, getvariable('white_space'))
        else field
    end, '');
create macro degrees(field, most) as
    case when try_cast(field as double) between -most and most then try_cast(field as double) end;
create macro refusal(id, name, any_field) as
    case
        when any_field is null then 'not a JSON object with any known field'
        when id is null then 'no id'
        when name is null then 'no name'
    end;
"""
PARSED = """
create temp table parsed as
with fields as (
    select clean(columns(*))
    from read_json(
        getvariable('bronze'),
        format = 'newline_delimited',
        ignore_errors = true,
        columns = {
            id: varchar, name: varchar, brewery_type: varchar, address_1: varchar,
            address_2: varchar, address_3: varchar, city: varchar, state_province: varchar,
            postal_code: varchar, country: varchar, phone: varchar, website_url: varchar,
            longitude: varchar, latitude: varchar
        }
    )
),
known as (select *, coalesce(*columns(*)) as any_field from fields)
select * exclude (any_field), refusal(id, name, any_field) as reason from known
"""
SPELLINGS = """
select country, state_province, count(*), count(reason) from parsed group by all
"""
PLACES = """
create temp table places as select unnest($places, recursive := true)
"""
SILVER = """
copy (
    select
        id, name, lower(brewery_type) as brewery_type, address_1, address_2, address_3, city,
        state_province, postal_code, country_name, state_name, phone, website_url,
        degrees(longitude, 180) as longitude, degrees(latitude, 90) as latitude,
        places.country, places.state
    from parsed join places
        on coalesce(parsed.country, '') = coalesce(places.country_spelling, '')
        and coalesce(parsed.state_province, '') = coalesce(places.state_spelling, '')
    where reason is null
) to (getvariable('silver')) (format parquet, compression zstd, partition_by (country, state))
"""
GOLD = """
copy (
    select
        country, state, min(country_name) as country_name, min(state_name) as state_name,
        coalesce(brewery_type, 'unknown') as brewery_type, count(*) as brewery_count
    from read_parquet(
        getvariable('silver') || '/*/*/*.parquet',
        hive_partitioning = true, hive_types_autocast = false
    )
    group by all
    order by country, state, brewery_type
) to (getvariable('gold') || '/counts.parquet') (format parquet, compression zstd)
"""
REJECTED = """
copy (
    select line, reason
    from read_csv(
        getvariable('bronze'), columns = {line: varchar}, header = false, auto_detect = false,
        delim = '\x01', quote = '', escape = '', max_line_size = 16777216
    )
    positional join parsed
    where reason is not null
) to (getvariable('rejected') || '/lines.parquet') (format parquet, compression zstd)
"""


def main(lake: Path) -> None:
    """Both passes, in one connection that is open before the clock starts."""
    with duckdb.connect() as connection:
        connection.execute(MACROS)
        _set(connection, "white_space", WHITE_SPACE)
        _set(connection, "bronze", str(lake / BRONZE))
        clock(lambda snapshot: _layers(connection, lake, snapshot))


def _layers(connection: duckdb.DuckDBPyConnection, lake: Path, snapshot: str) -> Iterator[str]:
    for layer in ("silver", "rejected", "gold"):
        table = "gold_brewery_counts" if layer == "gold" else f"{layer}_breweries"
        folder = lake / table / snapshot
        folder.mkdir(parents=True)
        _set(connection, layer, str(folder))
    connection.execute(PARSED)
    found = connection.execute(SPELLINGS).fetchall()
    places = conform(Spelling(country, state, rows) for country, state, rows, _ in found)
    connection.execute(PLACES, {"places": [place._asdict() for place in places]})
    connection.execute(SILVER)
    yield "silver_breweries"
    if any(refused for *_, refused in found):
        connection.execute(REJECTED)
    connection.execute("drop table parsed; drop table places")
    yield "rejected_breweries"
    connection.execute(GOLD)
    yield "gold_brewery_counts"


def _set(connection: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    connection.execute(f"set variable {name} = $value", {"value": value})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
