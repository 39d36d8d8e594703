"""One slug and one spelling for each place."""

import csv
import re
from collections import Counter
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewery_assets.layers.places import LONGEST_SLUG, Spelling, aliases, conform, slug
from demo.data import Row


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("New York", "new_york"),
        ("Oberösterreich", "oberosterreich"),
        ("dolnośląskie", "dolnoslaskie"),
        ("Manawatū-Whanganui Region", "manawatu_whanganui_region"),
        ("Hawke's Bay Region", "hawke_s_bay_region"),
        ("대전", "daejeon"),
        ("  District  of\u00a0Columbia ", "district_of_columbia"),
        (None, "unknown"),
        ("", "unknown"),
        (" - ", "unknown"),
    ],
)
def test_a_slug_has_the_form_that_the_api_uses(name: str | None, expected: str) -> None:
    assert slug(name) == expected


@given(st.text(max_size=400))
def test_a_slug_is_ascii_short_enough_for_a_folder_and_its_own_slug(name: str) -> None:
    found = slug(name)
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", found)
    assert len(found) <= LONGEST_SLUG + 9
    assert slug(name) == found
    assert len(found) > LONGEST_SLUG or slug(found) == found


@given(
    st.text(alphabet="abc ", min_size=LONGEST_SLUG * 2, max_size=400), st.text("xyz", min_size=1)
)
def test_long_names_that_differ_at_the_end_keep_different_slugs(name: str, end: str) -> None:
    assert slug(f"{name}{end}") != slug(f"{name}{end}w")


def test_spellings_that_differ_in_case_or_space_are_one_place_with_the_most_frequent_one() -> None:
    places = conform(
        [
            Spelling("United States", "MIssouri", 1),
            Spelling("United States", "Missouri", 141),
            Spelling("united  states", "missouri", 3),
        ]
    )
    assert {place[2:] for place in places} == {
        ("united_states", "missouri", "United States", "Missouri")
    }
    assert {place.state_spelling for place in places} == {"MIssouri", "Missouri", "missouri"}


def test_on_a_tie_the_first_spelling_in_order_is_the_name() -> None:
    places = conform([Spelling("B", "northland", 2), Spelling("B", "Northland", 2)])
    assert {place.state_name for place in places} == {"Northland"}


def test_states_with_the_same_name_in_two_countries_are_two_places() -> None:
    places = conform([Spelling("Belgium", "LIMBURG", 1), Spelling("Netherlands", "Limburg", 9)])
    assert [place.state_name for place in places] == ["LIMBURG", "Limburg"]


@pytest.mark.parametrize("spelling", [None, "", "unknown", "???"])
def test_a_missing_place_is_unknown_and_has_no_name(spelling: str | None) -> None:
    (place,) = conform([Spelling(spelling, spelling, 1)])
    assert place[2:] == ("unknown", "unknown", None, None)


def test_aliases_give_belgium_three_regions_and_correct_the_name_of_daegu() -> None:
    spellings = [
        Spelling("Belgium", "Brussels Capital Region", 43),
        Spelling("Belgium", "Flanders", 2),
        Spelling("Belgium", "Région flamande", 2),
        Spelling("Belgium", "Région wallonne", 129),
        Spelling("Belgium", "Vlaanderen", 297),
        Spelling("Belgium", "Waals Gewest", 2),
        Spelling("Belgium", "Wallonia", 3),
        Spelling("South Korea", "Deagu", 1),
    ]
    assert Counter(place.state_name for place in conform(spellings)) == {
        "Brussels Capital Region": 1,
        "Flanders": 3,
        "Wallonia": 3,
        "Daegu": 1,
    }


def test_the_real_data_has_213_spellings_of_207_places(real_rows: list[Row]) -> None:
    pairs = Counter((row["country"], row["state_province"]) for row in real_rows)
    assert len(pairs) == 213
    places = conform(Spelling(country, state, n) for (country, state), n in pairs.items())
    assert len({(place.country, place.state) for place in places}) == 207
    assert len({place.country for place in places}) == 23


def test_every_alias_names_a_spelling_of_the_real_data(real_rows: list[Row]) -> None:
    found = {(slug(row["country"]), slug(row["state_province"])) for row in real_rows}
    assert set(aliases()) <= found


def test_the_alias_file_has_no_spelling_twice_and_a_reason_for_each() -> None:
    content = (
        files("brewery_assets.layers").joinpath("place_aliases.csv").read_text(encoding="utf-8")
    )
    rows = list(csv.DictReader(content.splitlines()))
    assert len(rows) == len(aliases())
    assert all(row["why"] for row in rows)
