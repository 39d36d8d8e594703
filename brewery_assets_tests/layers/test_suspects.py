"""The suspicions: each rule on real records, all rules on the real data, and the CSV."""

import csv
import io
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brewery_assets.checks.suspects import no_more_suspicions_than_before
from brewery_assets.layers.places import Spelling, conform
from brewery_assets.layers.suspects.contacts import (
    impossible_phones,
    no_web_addresses,
    wrong_postcodes,
)
from brewery_assets.layers.suspects.coordinates import wrong_coordinates
from brewery_assets.layers.suspects.points import Point, kilometers
from brewery_assets.layers.suspects.postcodes import postcodes_of, postcodes_that_do_not_exist
from brewery_assets.layers.suspects.records import duplicates, misspelled_places, unknown_types
from brewery_assets.layers.suspects.suspicion import POINT, Brewery, Suspicion
from brewery_assets.layers.suspects.table import suspicions
from brewery_assets.report.asset import REPORT
from brewery_assets.report.suspects_csv import SUSPECTS_COLUMNS, SUSPECTS_CSV
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import (
    IRELAND,
    MASSACHUSETTS,
    MISSOURI,
    NOWHERE,
    UNKNOWN_FIELDS,
    row,
)
from demo.data import FIELDS
from demo.data import Row as Served

SUSPECTS = "suspect_breweries"
OF_REAL_DATA = {
    "coordinates_mirrored": 1,
    "coordinates_swapped": 4,
    "duplicate": 38,
    "far_from_postcode": 16,
    "far_from_state": 1,
    "impossible_phone": 77,
    "misspelled_place": 6,
    "no_web_address": 15,
    "postcode_does_not_exist": 3,
    "postcode_form": 84,
    "postcode_state": 2,
}
CORK = Point(-8.47, 51.9)


def brewery(country: str, state: str = "Somewhere", **fields: Any) -> Brewery:
    """A brewery whose slugs are made from the names."""
    return Brewery(
        **{
            "id": "1",
            "name": "Brewery",
            "country_name": country,
            "state_name": state,
            "state_province": state,
            "country": country.lower().replace(" ", "_"),
            "state": state.lower().replace(" ", "_"),
            **fields,
        }
    )


def located(
    country: str, points: Iterable[tuple[float, float]], state: str = "Somewhere", **fields: Any
) -> list[Brewery]:
    """Breweries at the points (longitude, latitude)."""
    return [
        brewery(country, state, id=f"{state} {n}", longitude=x, latitude=y, **fields)
        for n, (x, y) in enumerate(points)
    ]


def around(middle: Point, how_many: int = 12) -> list[tuple[float, float]]:
    """Points a few kilometers from each other."""
    return [(middle.longitude + n / 100, middle.latitude + n / 200) for n in range(how_many)]


def about_coordinates(breweries: Sequence[Brewery]) -> list[Suspicion]:
    return list(wrong_coordinates(breweries, postcodes_of(breweries)))


def values_of(found: Iterable[Suspicion]) -> list[tuple[str, str | None, str | None]]:
    return [(each.rule, each.found, each.suggested) for each in found]


def breweries_of(rows: Sequence[Served]) -> list[Brewery]:
    """Rows of the source in the form of silver, made without an engine."""
    pairs = Counter((row["country"], row["state_province"]) for row in rows)
    places = {
        (place.country_spelling, place.state_spelling): place
        for place in conform(Spelling(*pair, records) for pair, records in pairs.items())
    }
    served = set(Brewery._fields) & set(FIELDS) - {"country", "state"}
    return [
        Brewery(
            **{name: row[name] for name in served},
            **{
                name: getattr(places[row["country"], row["state_province"]], name)
                for name in ("country", "state", "country_name", "state_name")
            },
        )
        for row in rows
    ]


def test_the_real_data_has_the_suspicions_that_were_checked_by_hand(
    real_rows: list[Served],
) -> None:
    known = breweries_of(real_rows)
    every = suspicions(known)
    assert Counter(each.rule for each in every) == OF_REAL_DATA
    keys = [(it.brewery.country, it.brewery.state, it.brewery.id, it.rule) for it in every]
    assert keys == sorted(set(keys))
    assert all(each.why.endswith(".") and "None" not in each.why for each in every)
    assert suspicions(known[500::-1]) == suspicions(known[:501]) != []
    found = {(each.brewery.name, each.rule): each for each in every}
    for name, rule, column, value, suggested in (
        ("Angry Inch Brewing", "postcode_form", "postal_code", "55044-", "55044"),
        ("Burlington Beer Company", "postcode_form", "postal_code", "5401", "05401"),
        ("Beaver Brewery", "postcode_form", "postal_code", "810", "0810"),
        ("Big Rig Brewery", "impossible_phone", "phone", "6137260100.0", "6137260100"),
        ("Rek-Lis Brewing Company", "no_web_address", "website_url", "http://tbd", None),
        ("Sandy Valley Brewing Co", "misspelled_place", "state_province", "MIssouri", "Missouri"),
        ("Mill Whistle Brewing", "far_from_postcode", "postal_code", "28616", None),
        (
            *("Armstrong Brewing Co", "far_from_postcode", POINT),
            *("-119.1925726, 50.44703096", None),
        ),
        (
            *("Mescan Brewery", "coordinates_mirrored", POINT),
            *("9.73047, 53.7471934", "-9.73047, 53.7471934"),
        ),
        ("Frontier Beer Company", "far_from_state", POINT, "18.4619, -33.9298", None),
    ):
        about = found[name, rule]
        assert (about.column, about.found, about.suggested) == (column, value, suggested)
    assert "1,445 km" in found["Armstrong Brewing Co", "far_from_postcode"].why


def test_suspicions_are_made_from_the_published_silver_and_its_bronze(
    pipeline: Pipeline,
) -> None:
    pipeline.run()
    older = pipeline.newest("silver_breweries").snapshot
    pipeline.run("bronze_breweries")  # not yet refined to silver
    pipeline.run(SUSPECTS)
    manifest = pipeline.newest(SUSPECTS)
    assert manifest.made_from == {"silver_breweries": older, "bronze_breweries": older}
    rows = pipeline.rows(SUSPECTS)
    keys = [(row["country"], row["state"], row["id"], row["rule"]) for row in rows]
    assert keys == sorted(set(keys))
    check = manifest.check("no_more_suspicions_than_before")
    assert check["suspicions"] == len(rows) > 0
    assert check["by_rule"] == Counter(row["rule"] for row in rows)


def test_coordinates_that_silver_drops_are_reported_as_the_source_serves_them(
    pipeline: Pipeline,
) -> None:
    pipeline.run()
    rows = {row["id"]: row for row in pipeline.rows(SUSPECTS) if row["column"] == POINT}
    assert set(rows) == {IRELAND["id"], NOWHERE["id"]}
    assert rows[IRELAND["id"]]["found"] == "-8.47, 951.9"
    assert rows[NOWHERE["id"]]["found"] == "12d, somewhere"
    assert {row["rule"] for row in rows.values()} == {"coordinates_no_pair"}


def test_if_all_of_singapore_is_swapped_the_right_points_are_suggested(
    pipeline: Pipeline, real_rows: list[Served]
) -> None:
    of_singapore = [row for row in real_rows if row["country"] == "Singapore"]
    swapped = [
        {**row, "longitude": row["latitude"], "latitude": row["longitude"]} for row in of_singapore
    ]
    pipeline.api.rows[:] = swapped
    pipeline.run()
    rows = [row for row in pipeline.rows(SUSPECTS) if row["rule"] == "coordinates_swapped"]
    assert {row["id"]: row["suggested"] for row in rows} == {
        row["id"]: f"{row['longitude']!r}, {row['latitude']!r}"
        for row in of_singapore
        if row["longitude"]
    }
    assert len(rows) == 33
    assert "lie among the other breweries of Singapore" in rows[0]["why"]


def test_a_source_without_suspicions_has_an_empty_table(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [MISSOURI, MASSACHUSETTS]
    run = pipeline.run()
    assert pipeline.rows(SUSPECTS) == []
    (preview,) = (
        event.materialization.metadata["preview"].value
        for event in run.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(SUSPECTS)
    )
    assert preview == "No record is suspect."


def test_a_check_warns_about_rules_with_more_suspicions_than_before(pipeline: Pipeline) -> None:
    pipeline.api.rows[:] = [MISSOURI]
    pipeline.run()
    pipeline.api.rows.append(UNKNOWN_FIELDS)
    (check,) = (
        check
        for check in pipeline.run().get_asset_check_evaluations()
        if check.check_name == "no_more_suspicions_than_before"
    )
    assert not check.passed
    assert not check.blocking
    assert check.metadata["more"].value == {"unknown_type": {"before": 0, "now": 1}}
    assert len(pipeline.rows(SUSPECTS)) == 1


@pytest.mark.parametrize(
    ("now", "before", "passes"),
    [
        ({"duplicate": 2}, None, True),
        ({"duplicate": 2}, {"duplicate": 2, "postcode_form": 1}, True),
        ({}, {"duplicate": 2}, True),
        ({"duplicate": 2}, {"duplicate": 1, "postcode_form": 9}, False),
        ({"duplicate": 1}, {}, False),
    ],
)
def test_fewer_suspicions_of_one_rule_do_not_outweigh_more_of_another(
    now: dict[str, int], before: dict[str, int] | None, passes: bool
) -> None:
    assert no_more_suspicions_than_before(now, before).passed is passes


def test_the_record_with_fewer_values_is_the_duplicate() -> None:
    place = {"address_1": "7 Furness Lane", "city": "Wellington"}
    full = brewery("New Zealand", **place, id="b", name="Garage Project", phone="1")
    bare = brewery("New Zealand", **place, id="a", name="GARAGE  Project.")
    elsewhere = bare._replace(id="c", city="Auckland")
    (found,) = duplicates([bare, full, elsewhere])
    assert (found.brewery, found.rule, found.column, found.found) == (bare, "duplicate", "id", "a")
    assert found.why == "b has the same name, address, city and state, though another phone."


def test_three_records_of_one_brewery_are_two_suspicions() -> None:
    three = [brewery("Belgium", id=letter, city="Mol") for letter in "cab"]
    assert [each.brewery.id for each in duplicates(three)] == ["b", "c"]
    assert not list(duplicates([each._replace(city=None) for each in three]))


def test_an_unknown_type_is_suspect_but_a_missing_one_is_not() -> None:
    kinds = ("micro", None, "unknown", "zoigl")
    found = unknown_types(brewery("Austria", brewery_type=kind) for kind in kinds)
    assert values_of(found) == [("unknown_type", "zoigl", None)]


@pytest.mark.parametrize(
    ("country", "served", "name", "suspect"),
    [
        ("United States", "MIssouri", "Missouri", True),
        ("South Korea", "Deagu", "Daegu", True),
        ("France", "Bouche du Rhône", "Bouches-du-Rhône", True),
        ("Belgium", "Vlaanderen", "Flanders", False),  # another language
        ("United States", "Missouri", "Missouri", False),
        ("United States", None, None, False),
    ],
)
def test_a_misspelled_place_is_suspect_but_a_translated_one_is_not(
    country: str, served: str | None, name: str | None, suspect: bool
) -> None:
    place = brewery(country, state_province=served, state_name=name, state=(name or "").lower())
    assert values_of(misspelled_places([place])) == (
        [("misspelled_place", served, name)] if suspect else []
    )


Case = tuple[str, str, str | None]
PHONES: list[Case] = [
    ("Canada", "9054445050.0", "9054445050"),
    ("Canada", "71584.0", None),
    ("United States", "715842", None),
    ("United States", "http://www.farmacybrewing.com/", None),
    ("Germany", "\u0661" * 300, None),
    ("Germany", "0" * 1_000_000, None),
    ("Germany", "\u202e+\u200d\U0001f37a", None),
]
GOOD_PHONES = [
    ("United States", "4058160490"),
    ("United States", "(405) 816-0490 ext. 12"),
    ("Germany", "+49 9261 628000"),
    ("Belgium", "+32 496 76 40 63"),
    ("England", "020 7946 0018"),
    ("Singapore", "+65 6908 1773"),
    ("Atlantis", "1"),  # no rule for its numbers
]


@pytest.mark.parametrize(("country", "phone", "suggested"), PHONES, ids=range(len(PHONES)))
def test_an_impossible_phone_number_is_suspect(
    country: str, phone: str, suggested: str | None
) -> None:
    found = list(impossible_phones([brewery(country, phone=phone)]))
    assert values_of(found) == [("impossible_phone", phone, suggested)]
    assert len(found[0].why) < 200


@pytest.mark.parametrize(("country", "phone"), GOOD_PHONES)
def test_a_possible_phone_number_is_not_suspect(country: str, phone: str) -> None:
    assert not list(impossible_phones([brewery(country, phone=phone)]))


POSTCODES = [
    ("United States", "Minnesota", "55044-", "postcode_form", "55044"),
    ("United States", "Oregon", "-97070", "postcode_form", "97070"),
    ("United States", "Vermont", "5401", "postcode_form", "05401"),
    ("United States", "Michigan", "48895-97ND", "postcode_form", "48895"),
    ("United States", "Texas", "5401", "postcode_form", None),  # 05401 is in Vermont
    ("United States", "New York", "19050", "postcode_state", None),
    ("Australia", "NT", "873", "postcode_form", "0873"),
    ("Australia", "NSW", "3000", "postcode_state", None),
    ("Germany", "Bayern", "9" * 1_000_000, "postcode_form", None),
    ("United States", "Ohio", "\u0661" * 5, "postcode_form", None),
]


@pytest.mark.parametrize(
    ("country", "state", "postcode", "rule", "suggested"), POSTCODES, ids=range(len(POSTCODES))
)
def test_a_postcode_with_a_wrong_form_or_of_another_state_is_suspect(
    country: str, state: str, postcode: str, rule: str, suggested: str | None
) -> None:
    found = wrong_postcodes([brewery(country, state, postal_code=postcode)])
    assert values_of(found) == [(rule, postcode, suggested)]


@pytest.mark.parametrize(
    ("country", "state", "postcode"),
    [
        ("United States", "Oregon", "97070-8224"),
        ("United States", "Massachusetts", "01096"),
        ("Finland", "Åland", "AX-22410"),
        ("Finland", "Uusimaa", "00100"),
        ("Canada", "Ontario", "K0M 1J1"),
        ("England", "London", "SE1 2AU"),
        ("Ireland", "Mayo", "F28 FW70"),
        ("Atlantis", "Somewhere", "?"),
        ("Belgium", "Flanders", None),
    ],
)
def test_a_postcode_that_fits_its_country_and_state_is_not_suspect(
    country: str, state: str, postcode: str | None
) -> None:
    assert not list(wrong_postcodes([brewery(country, state, postal_code=postcode)]))


def test_a_postcode_that_is_not_assigned_is_suspect() -> None:
    known = [
        brewery("United States", "Oregon", id=code, postal_code=code)
        for code in ("97545", "97544", "97544-1234", "none", "5401")
    ]
    known.append(brewery("Germany", "Bayern", id="de", postal_code="22707"))
    found = postcodes_that_do_not_exist(known, postcodes_of(known))
    assert values_of(found) == [("postcode_does_not_exist", "97545", None)]


BAD_ADDRESSES: list[tuple[str, str | None]] = [
    ("http://tbd", None),
    ("http://www..kommunbraeu-rehau.de", "http://www.kommunbraeu-rehau.de"),
    ("http://lostshirtbrewingco@gmail.com", None),
    ("ftp://example.org", None),
    ("http//www.example.org", None),
    ("http://example.org and more", None),
    ("http://[", None),
    ("http://exam\u2100ple.org", None),
    ("javascript:alert(1)", None),
    ("=HYPERLINK()", None),
    ("\u202e", None),
    ("a" * 1_000_000, None),
    ("http://" + "a." * 500_000, None),
    (f"http://{'a' * 64}.org", None),
]


@pytest.mark.parametrize(("address", "suggested"), BAD_ADDRESSES, ids=range(len(BAD_ADDRESSES)))
def test_an_invalid_web_address_is_suspect(address: str, suggested: str | None) -> None:
    started = time.monotonic()
    found = list(no_web_addresses([brewery("Germany", website_url=address)]))
    assert values_of(found) == [("no_web_address", address, suggested)]
    assert len(found[0].why) < 200
    assert time.monotonic() - started < 30  # no pattern takes quadratic time


@pytest.mark.parametrize(
    "address",
    [
        "http://www.405brewing.com",
        "https://Example.ORG:8080/a?b=@c#d",
        "www.example.org",
        "example.org/beer",
        "http://xn--brueckenbru-s8a.de",
        "https://www.brückenbräu.de/",
        "http://맥주.한국",
        "http://example.org.",
        None,
    ],
)
def test_a_valid_web_address_is_not_suspect(address: str | None) -> None:
    assert not list(no_web_addresses([brewery("Germany", website_url=address)]))


def test_half_a_coordinate_pair_and_0_0_are_suspect() -> None:
    known = [
        brewery("Ireland", id="half", served=("-8.47", None)),
        brewery("Ireland", id="nan", served=("NaN", "1e400")),
        brewery("Ireland", id="zero", longitude=0.0, latitude=-0.0),
        brewery("Ireland", id="none"),
    ]
    assert [(each.rule, each.found) for each in about_coordinates(known)] == [
        ("coordinates_no_pair", "-8.47, nothing"),
        ("coordinates_no_pair", "NaN, 1e400"),
        ("coordinates_0_0", "0.0, -0.0"),
    ]


@pytest.mark.parametrize(
    ("wrong", "rule", "suggested"),
    [
        ((51.9, -8.5), "coordinates_swapped", "-8.5, 51.9"),
        ((8.5, 51.9), "coordinates_mirrored", "-8.5, 51.9"),
        ((-8.5, -51.9), "coordinates_mirrored", "-8.5, 51.9"),
        ((8.5, -51.9), "coordinates_mirrored", "-8.5, 51.9"),
        ((120.0, -51.9), "outside_country", None),
    ],
)
def test_a_swapped_or_mirrored_point_is_suspect_and_the_right_one_is_suggested(
    wrong: tuple[float, float], rule: str, suggested: str | None
) -> None:
    known = located("Ireland", [*around(CORK), wrong])
    (found,) = about_coordinates(known)
    assert (found.brewery, found.rule, found.suggested) == (known[-1], rule, suggested)


def test_wrong_points_do_not_confirm_each_other() -> None:
    right, wrong = around(CORK, 20), [(y, x) for x, y in around(CORK, 9)]
    known = located("Ireland", [*right, *wrong])
    found = about_coordinates(known)
    assert [each.brewery for each in found] == known[20:]
    assert {each.rule for each in found} == {"coordinates_swapped"}


def test_breweries_of_an_unknown_country_are_not_compared_with_each_other() -> None:
    known = located("Unknown", [*around(CORK), (51.9, -8.5)], state="Unknown")
    assert not about_coordinates(known)


def test_a_few_points_do_not_locate_a_country_or_a_state() -> None:
    known = located("Ireland", [(51.9, -8.5), (-8.5, 51.9), (-8.6, 51.8)])
    assert not about_coordinates(known)


def test_two_swapped_halves_do_not_confirm_each_other() -> None:
    known = [brewery("Singapore", id=str(n), served=("1.3", f"103.{n}")) for n in range(2)]
    assert values_of(about_coordinates(known)) == [
        ("coordinates_no_pair", "1.3, 103.0", None),
        ("coordinates_no_pair", "1.3, 103.1", None),
    ]


def test_a_remote_town_is_outside_its_country_only_if_another_country_is_there() -> None:
    azores = (-27.2, 38.7)
    known = located("Portugal", [*around(Point(-8.6, 41.1)), azores])
    assert not about_coordinates(known)
    others = located("Spain", around(Point(*azores)), state="Elsewhere")
    (found,) = about_coordinates([*known, *others])
    assert (found.brewery, found.rule) == (known[-1], "outside_country")
    assert "several of Spain are near" in found.why


def test_a_brewery_far_from_its_state_and_inside_another_one_is_suspect() -> None:
    gauteng, cape = Point(28.0, -26.2), Point(18.4, -33.9)
    listed = located("South Africa", [*around(gauteng), cape], state="Gauteng")
    there = located("South Africa", around(cape), state="Western Cape")
    assert not about_coordinates(listed)  # a remote town
    (found,) = about_coordinates([*listed, *there])
    assert (found.brewery, found.rule, found.suggested) == (listed[-1], "far_from_state", None)


@pytest.mark.parametrize(
    ("state", "city", "postcode", "point", "column"),
    [
        ("California", "South San Francisco", "94080-3614", (-119.1925726, 50.447), POINT),
        ("North Carolina", "Beaufort", "28616", (-76.65042934, 34.71738799), "postal_code"),
        ("California", "South San Francisco", "94080-3614", (-122.41, 37.65), None),
        ("Alaska", "Talkeetna", "99676", (-149.5, 62.3), None),
        ("Texas", "El Paso", "79901-", (-106.48, 31.76), None),
    ],
)
def test_if_a_point_is_far_from_its_postcode_one_of_the_two_is_suspect(
    state: str, city: str, postcode: str, point: tuple[float, float], column: str | None
) -> None:
    known = located("United States", [point], state, city=city, postal_code=postcode)
    found = about_coordinates(known)
    assert [each.column for each in found] == ([column] if column else [])
    assert all(each.rule == "far_from_postcode" for each in found)


def test_the_distance_from_berlin_to_sydney_is_16_000_kilometers() -> None:
    assert kilometers(Point(13.4, 52.5), Point(151.2, -33.9)) == pytest.approx(16_090, rel=0.01)


def read_csv(pipeline: Pipeline) -> list[dict[str, str]]:
    """The suspicions of the newest report."""
    file = Path(pipeline.uri) / pipeline.newest(REPORT).folder / SUSPECTS_CSV
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


@pytest.mark.slow("draws charts")
@pytest.mark.xdist_group("report")
def test_the_csv_of_the_report_uses_the_column_names_of_the_data_set(
    pipeline: Pipeline,
) -> None:
    formula = row(
        '=HYPERLINK("http://x")\u202e',
        "Germany/Bayern/Hof",
        id="formula",
        phone="-1+1",
        website_url="@SUM(A1)",
        brewery_type="zoigl",
    )
    pipeline.api.rows[:] = [formula, UNKNOWN_FIELDS, IRELAND]
    pipeline.run()
    pipeline.run(REPORT)
    rows = read_csv(pipeline)
    assert list(rows[0]) == list(SUSPECTS_COLUMNS)
    assert [name for name in FIELDS if name in SUSPECTS_COLUMNS] == [
        *("id", "name", "brewery_type", "address_1", "city", "state_province"),
        *("postal_code", "country"),
    ]
    assert len(rows) == len(pipeline.rows(SUSPECTS))
    by_rule = {(row["id"], row["rule"]): row for row in rows}
    assert by_rule["formula", "impossible_phone"]["found"] == "'-1+1"
    assert by_rule["formula", "no_web_address"]["found"] == "'@SUM(A1)"
    about = by_rule["formula", "unknown_type"]
    assert (about["name"], about["country"]) == ('\'=HYPERLINK("http://x")', "Germany")
    assert (about["state_province"], about["column"]) == ("Bayern", "brewery_type")
    assert by_rule[IRELAND["id"], "coordinates_no_pair"]["found"] == "'-8.47, 951.9"


@pytest.mark.slow("draws charts")
@pytest.mark.xdist_group("report")
def test_a_report_of_a_lake_without_suspicions_has_an_empty_file(pipeline: Pipeline) -> None:
    pipeline.run(
        "bronze_breweries", "silver_breweries", "rejected_breweries", "gold_brewery_counts"
    )
    pipeline.run(REPORT)
    assert read_csv(pipeline) == []
