"""Silver and gold of any rows are those of plain Python, on a real engine."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from brewery_assets.engine.spark import Spark
from brewery_assets.lake.io_managers import BRONZE_SCHEMA
from brewery_assets.lake.tables import small
from brewery_assets.layers import gold
from brewery_assets.layers import silver as layer
from brewery_assets_tests.plain_rows import AXES, TEXTS, Row, silver_rows, slug

ON_SAIL = pytest.mark.xdist_group("frames of silver")  # they share a session
ON_SPARK = pytest.mark.xdist_group("spark")
FEW, SOME = (
    settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    for examples in (3, 12)
)
VALUES = tuple(name for name in (*TEXTS, *AXES) if name != "country")

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
space = st.text(st.sampled_from(" \t\n\r\x0b\x1c\x85\u00a0\u2003\u2028\u3000"), max_size=2)
padded = st.tuples(space, words, space).map("".join)
nested = (
    st.lists(words | st.integers(), max_size=2)
    | st.dictionaries(words, words | st.none(), max_size=2)
    | st.just([[1.10, {"a": [None, True]}]])
)
# Not those with an exponent or many digits: in columns of text, the engines spell them differently.
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-9999, 9999).map(lambda n: n / 100)
anything = st.one_of(words, padded, st.none(), st.booleans(), numbers, nested)
degrees = st.one_of(
    st.floats(-180, 180),
    st.floats(-200, 200).map(str),
    st.integers(-181, 181),
    st.sampled_from(
        ["12d", "0x10", "NaN", "-inf", "1e400", "1,5", "1_0", " 1.5\u00a0", "+.5", "1.", ""]
    ),
    anything,
)
countries = st.sampled_from(
    ["United States", "united  states", " UNITED STATES", "Italy", "italy/", "..", "C\u00f4te/d"]
)
states = st.sampled_from(
    ["Missouri", "MIssouri", "missouri.", "a/b", "A B", "a..b", ".", "", "\u00cele", "ILE", "044"]
)
names = st.sampled_from([*TEXTS, "state", "county_province", "street", "ID", "Name", "tags"])
rows = st.builds(
    lambda start, odd: {**start, **odd},
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abcdefgh"),
            "name": st.sampled_from(["Old", " New\u00a0", "[1] Inn"]) | padded,
        },
        optional={
            "country": countries,
            "state_province": states,
            "brewery_type": st.sampled_from(["micro", "Micro ", "BAR", "\u0130\u03a3", ""]),
            "longitude": degrees,
            "latitude": degrees,
        },
    ),
    st.dictionaries(names, anything, max_size=3),
)
broken = st.sampled_from(["", "42", "null", '"text"', "[]", "{}", '{"id": "cut", "name"'])
lines = st.builds(
    lambda row, ascii_only: json.dumps(row, ensure_ascii=ascii_only), rows, st.booleans()
)
bronze = st.builds(
    list.__add__, st.lists(lines, min_size=30, max_size=40), st.lists(broken, max_size=3)
)


def respelled(name: str) -> st.SearchStrategy[str]:
    """A few spellings, so that some are more frequent: other case, separators, and end."""
    return st.builds(
        lambda case, gap, end: case(re.sub("[ -]", gap, name)) + end,
        st.sampled_from([str.upper, str.lower]),
        st.sampled_from([" ", "\u00a0-", "/"]),
        st.sampled_from(["", "."]),
    )


def place(*names: str) -> st.SearchStrategy[tuple[str, str]]:
    """A name, and a spelling of it."""
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), respelled(name)))


located = st.lists(
    st.tuples(
        place("United States", "Czech-Republic", "C\u00f4te d Ivoire", "."),
        place("New South Wales", "Baden-W\u00fcrttemberg", "044", "null", "."),
    ),
    min_size=40,
    max_size=40,
)


class Layers(NamedTuple):
    """The rows of silver, those that are rejected, and the rows of gold."""

    silver: list[Row]
    rejected: list[Row]
    gold: list[Row]


@pytest.fixture(scope="module")
def sail() -> Iterator[SparkSession]:
    engine = Spark()
    yield engine.spark_session
    engine.stop()


@pytest.fixture
def spark(apache_spark: str) -> Iterator[SparkSession]:
    engine = Spark(remote=apache_spark)
    yield engine.spark_session
    engine.stop()


def refine(session: SparkSession, content: list[str]) -> layer.Refined:
    frame = small(session, [{"line": line} for line in content], BRONZE_SCHEMA)
    return layer.refine(layer.parse(frame))


def layers_of(session: SparkSession, content: list[str]) -> Layers:
    found = refine(session, content)
    frames = (found.breweries, found.rejected, gold.counts(found.breweries))
    return Layers(*([row.asDict() for row in each.collect()] for each in frames))


def record_of(line: str) -> Row | None:
    """The line's JSON object; None if it is something else."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def records_of(content: list[str]) -> list[Row]:
    return [record for line in content if (record := record_of(line)) is not None]


def refused(line: str) -> bool:
    record = record_of(line)
    return record is None or not silver_rows([record])


def counted(rows: list[Row], columns: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in columns) for row in rows)


def check_rows(content: list[str], found: Layers) -> None:
    """Each line is one row, of silver with the values of plain Python, or rejected."""
    assert len(found.silver) + len(found.rejected) == len(content)
    assert Counter(row["line"] for row in found.rejected) == Counter(filter(refused, content))
    silver, expected = (
        counted(rows, VALUES) for rows in (found.silver, silver_rows(records_of(content)))
    )
    assert silver - expected == expected - silver == Counter()


def check_counts(found: Layers) -> None:
    """Gold has one row for each key, with the number of silver's rows."""
    keyed = Counter(
        (row["country"], row["state"], row["brewery_type"] or "unknown") for row in found.silver
    )
    assert sum(row["brewery_count"] for row in found.gold) == len(found.silver)
    assert len(found.gold) == len(keyed)
    assert {tuple(row[name] for name in gold.KEY): row["brewery_count"] for row in found.gold} == (
        dict(keyed)
    )


@ON_SAIL
@SOME
@given(content=bronze)
def test_rows_and_counts_are_those_of_plain_python(sail: SparkSession, content: list[str]) -> None:
    found = layers_of(sail, content)
    check_rows(content, found)
    check_counts(found)


@ON_SAIL
@SOME
@given(places=located)
def test_all_spellings_of_a_place_get_one_slug_and_the_most_frequent_name(
    sail: SparkSession, places: list[tuple[tuple[str, str], tuple[str, str]]]
) -> None:
    rows = {
        str(n): {"id": str(n), "name": "Odd", "country": country, "state_province": state}
        for n, ((_, country), (_, state)) in enumerate(places)
    }
    silver = refine(sail, list(map(json.dumps, rows.values()))).breweries
    found = [row.asDict() for row in silver.collect()]
    assert len(found) == len(places)
    for row in found:
        (country, _), (state, _) = places[int(row["id"])]
        assert (row["country"], row["state"]) == (slug(country), slug(state))
    for key, name, served in (
        (("country",), "country_name", "country"),
        (("country", "state"), "state_name", "state_province"),
    ):
        for value in counted(found, key):
            same = [row for row in found if tuple(row[column] for column in key) == value]
            names = {row[name] for row in same}
            spellings = Counter(rows[row["id"]][served].strip() for row in same)
            most = {each for each, n in spellings.items() if n == max(spellings.values())}
            assert len(names) == 1
            assert names <= ({None} if value[-1] == "unknown" else most)


@pytest.mark.slow("needs Java")
@ON_SPARK
@FEW
@given(content=bronze)
def test_apache_spark_gives_the_same_rows_and_counts(
    spark: SparkSession, content: list[str]
) -> None:
    found = layers_of(spark, content)
    check_rows(content, found)
    check_counts(found)
