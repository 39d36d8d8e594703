"""Silver's columns from bronze's lines, through the real engine."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from brewery_assets.engine.spark import Spark
from brewery_assets.lake.io_managers import BRONZE_SCHEMA
from brewery_assets.lake.tables import small
from brewery_assets.layers import silver as layer
from brewery_assets_tests import scenario
from brewery_assets_tests.conftest import Pipeline
from demo.data import Row

pytestmark = pytest.mark.xdist_group("frames of silver")  # they share a session


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    spark = Spark()
    yield spark.spark_session
    spark.stop()


def lines_frame(session: SparkSession, lines: list[str]) -> DataFrame:
    return small(session, [{"line": line} for line in lines], BRONZE_SCHEMA)


def refine(session: SparkSession, *rows: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Silver's rows and the rejected ones; a row is an object, or the text of a line."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    frame = lines_frame(session, lines)
    found = layer.refine(layer.parse(frame))
    return (
        [row.asDict() for row in found.breweries.collect()],
        [row.asDict() for row in found.rejected.collect()],
    )


def refined(session: SparkSession, row: Any) -> dict[str, Any]:
    silver, refused = refine(session, row)
    assert not refused
    (only,) = silver
    return only


def test_a_clean_row_is_kept_as_served(session: SparkSession) -> None:
    row = refined(session, scenario.MASSACHUSETTS)
    assert list(row) == layer.SCHEMA.fieldNames()
    served = {name: scenario.MASSACHUSETTS[name] for name in row if name in scenario.MASSACHUSETTS}
    served |= {"country": "united_states", "state": "massachusetts"}
    assert row == served | {"country_name": "United States", "state_name": "Massachusetts"}


def test_a_leading_zero_of_a_postcode_is_kept(session: SparkSession) -> None:
    assert refined(session, scenario.MASSACHUSETTS)["postal_code"] == "01096"


def test_a_number_in_a_text_column_becomes_its_digits(session: SparkSession) -> None:
    assert refined(session, scenario.SILESIA)["postal_code"] == "55100"


def test_rejected_lines_do_not_decide_how_a_place_is_spelled(session: SparkSession) -> None:
    nameless = {"country": "ITALY"}
    silver, refused = refine(
        session, {"id": "a", "name": "n", "country": "Italy"}, nameless, nameless
    )
    assert [row["country_name"] for row in silver] == ["Italy"]
    assert len(refused) == 2


@pytest.mark.parametrize("nested", [{"value": "Portland"}, ["Portland"], {}, [[1.10, {"a": None}]]])
def test_an_object_or_array_in_a_text_column_becomes_null(
    session: SparkSession, nested: object
) -> None:
    places = dict.fromkeys(("city", "state_province", "state"), nested)
    row = refined(session, {**scenario.OREGON, **places})
    assert (row["city"], row["state_name"]) == (None, None)


@pytest.mark.parametrize(
    "text", ["[Brewery]", "{re}create", "[1] Brewing", "[", "{", "[a] and [b]", "[1]", "{}"]
)
def test_text_in_brackets_is_kept(session: SparkSession, text: str) -> None:
    assert refined(session, {**scenario.OREGON, "name": text})["name"] == text


def test_coordinates_served_as_text_become_numbers(session: SparkSession) -> None:
    row = refined(session, scenario.FLANDERS_IN_DUTCH)
    assert (row["longitude"], row["latitude"]) == (5.0569549, 51.17625779999999)


def test_every_coordinate_of_the_real_data_is_exact(
    pipeline: Pipeline, real_rows: list[Row]
) -> None:
    pipeline.api.rows[:] = real_rows
    pipeline.run("bronze_breweries", "silver_breweries", "rejected_breweries")
    found = {
        row["id"]: (row["longitude"], row["latitude"]) for row in pipeline.rows("silver_breweries")
    }
    assert found == {row["id"]: (row["longitude"], row["latitude"]) for row in real_rows}


@pytest.mark.parametrize(
    ("longitude", "latitude"),
    [
        (180.00001, 90.00001),
        (-180.1, -90.1),
        ("12d", "0x10"),
        ("NaN", "nan"),
        ("Infinity", "-inf"),
        ("1e400", "1e999"),
        ("", " \u2003"),
        ("12,5", "12.5.1"),
        (True, []),
        (None, {"a": 1}),
    ],
)
def test_an_invalid_coordinate_becomes_null_and_the_row_is_kept(
    session: SparkSession, longitude: Any, latitude: Any
) -> None:
    row = refined(session, {**scenario.OREGON, "longitude": longitude, "latitude": latitude})
    assert (row["longitude"], row["latitude"]) == (None, None)


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (180, 180.0),
        (-180.0, -180.0),
        (0, 0.0),
        (" 1.5\u00a0", 1.5),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1.25e1", 12.5),
        (1e-7, 1e-7),
    ],
)
def test_every_form_of_a_decimal_number_is_accepted(
    session: SparkSession, served: Any, expected: float
) -> None:
    assert refined(session, {**scenario.OREGON, "longitude": served})["longitude"] == expected


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(numbers=st.lists(st.floats(-180, 180), min_size=30, max_size=30))
def test_no_digit_of_a_coordinate_is_lost(session: SparkSession, numbers: list[float]) -> None:
    rows = [
        {"id": str(n), "name": "n", "longitude": number, "latitude": 0}
        for n, number in enumerate(numbers)
    ]
    silver, _ = refine(session, *rows)
    found = {row["id"]: row["longitude"] for row in silver}
    for n, number in enumerate(numbers):
        assert math.isclose(found[str(n)], number, rel_tol=0, abs_tol=0)


def test_white_space_of_any_kind_is_trimmed_and_blank_text_becomes_null(
    session: SparkSession,
) -> None:
    row = refined(session, scenario.IRELAND)
    assert row["name"] == 'Brewery \u201cof\u201d\nMany\tLines "quoted" \\ \U0001f37a'
    assert row["country_name"] == "Ireland"
    assert row["country"] == "ireland"
    assert row["address_1"] is None


def test_types_are_lower_case_and_unknown_ones_are_kept(session: SparkSession) -> None:
    assert refined(session, scenario.MISSOURI_MISSPELT)["brewery_type"] == "brewpub"
    assert refined(session, scenario.UNKNOWN_FIELDS)["brewery_type"] == "zoigl"
    assert refined(session, scenario.NOWHERE)["brewery_type"] is None


def test_a_missing_country_and_state_become_unknown_without_a_name(session: SparkSession) -> None:
    row = refined(session, scenario.NOWHERE)
    assert (row["country"], row["state"]) == ("unknown", "unknown")
    assert (row["country_name"], row["state_name"], row["state_province"]) == (None, None, None)


def test_the_served_spelling_is_kept_in_addition_to_the_conformed_name(
    session: SparkSession,
) -> None:
    silver, _ = refine(
        session, scenario.MISSOURI, scenario.MISSOURI_AGAIN, scenario.MISSOURI_MISSPELT
    )
    assert {row["state"] for row in silver} == {"missouri"}
    assert {row["state_name"] for row in silver} == {"Missouri"}
    assert sorted(row["state_province"] for row in silver) == ["MIssouri", "Missouri", "Missouri"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (scenario.NO_ID, "no id"),
        ({**scenario.OREGON, "id": " \u2003"}, "no id"),
        (scenario.BLANK_NAME, "no name"),
        ({"id": "a"}, "no name"),
        ({}, "not a JSON object with any known field"),
        ({"rating": 5}, "not a JSON object with any known field"),
        ("42", "not a JSON object with any known field"),
        ("null", "not a JSON object with any known field"),
        ('"text"', "not a JSON object with any known field"),
        ("[]", "not a JSON object with any known field"),
        ('{"id": "cut", "name"', "not a JSON object with any known field"),
        ("", "not a JSON object with any known field"),
    ],
)
def test_a_line_that_is_not_a_brewery_is_rejected_with_a_reason(
    session: SparkSession, line: Any, reason: str
) -> None:
    silver, refused = refine(session, line, scenario.OREGON)
    assert [row["id"] for row in silver] == [scenario.OREGON["id"]]
    text = line if isinstance(line, str) else json.dumps(line)
    assert refused == [{"line": text, "reason": reason}]


def test_a_name_that_looks_like_json_stays_a_name(session: SparkSession) -> None:
    name = '{"id": "x"}, "longitude": 5, \\"latitude\\": 6 }'
    row = refined(session, {**scenario.OREGON, "name": name})
    assert row["name"] == name
    assert row["longitude"] == scenario.OREGON["longitude"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), min_size=20
    ),
    ascii_only=st.booleans(),
)
def test_any_unicode_is_kept(session: SparkSession, names: list[str], ascii_only: bool) -> None:
    lines = [
        json.dumps({"id": str(n), "name": f"x{name}x", "city": name}, ensure_ascii=ascii_only)
        for n, name in enumerate(names)
    ]
    silver, refused = refine(session, *lines)
    assert not refused
    found = {row["id"]: row for row in silver}
    for n, name in enumerate(names):
        assert found[str(n)]["name"] == f"x{name}x"
        assert found[str(n)]["city"] == (name.strip() or None)


def test_line_separators_inside_names_survive_the_bronze_file(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    name = "a\u2028b\u2029c\x85d\re\x0bf\x1cg"
    pipeline.api.rows[:] = [{**scenario.OREGON, "name": name}]
    pipeline.run()
    assert [row["name"] for row in pipeline.rows("silver_breweries")] == [name]
