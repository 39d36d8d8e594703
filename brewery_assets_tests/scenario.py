"""Thirteen rows of the API: real ones with typical errors of the data, and invalid ones.

The real rows are from the data set at 7b65c4f (2026-08-02); comments say what was changed.
"""

from typing import Any

from demo.data import FIELDS


def row(name: str | None, place: str, **fields: Any) -> dict[str, Any]:
    """A row as the API serves it; `place` is "country / state_province / city"."""
    country, state, city = (part or None for part in place.split("/"))
    full: dict[str, Any] = dict.fromkeys(FIELDS)
    full |= {"name": name, "country": country, "state_province": state, "city": city}
    full |= {"brewery_type": "micro", **fields}
    return full | {"state": full["state_province"], "street": full["address_1"]}


OREGON = row(
    "(405) Brewing Co",
    "United States/Oregon/Norman",
    id="5128df48-79fc-4f0f-8b52-d06be54d0cec",
    address_1="1716 Topeka St",
    postal_code="73069-8224",
    longitude=-97.46818222,
    latitude=35.25738891,
    phone="4058160490",
    website_url="http://www.405brewing.com",
)
MASSACHUSETTS = row(  # a postcode with a leading zero
    "3 Beards Beer Company",
    "United States/Massachusetts/Williamsburg",
    id="9fdb80f1-a96f-4dc4-80a2-5b0d9a246916",
    brewery_type="contract",
    address_1="4 Main St",
    postal_code="01096",
    phone="6173837039",
    website_url="http://www.3beardsbeer.com",
    longitude=-72.7305059,
    latitude=42.3923659,
)
MISSOURI = row(
    "Missouri Beer Company",
    "United States/Missouri/O'Fallon",
    id="00000000-0000-4000-8000-000000000001",
)
MISSOURI_MISSPELT = row(
    "Another Missouri Beer Company",
    "United States/MIssouri/O'Fallon",
    id="00000000-0000-4000-8000-000000000002",
    brewery_type="Brewpub",  # the API writes types in lower case
)
MISSOURI_AGAIN = row(
    "A Third Missouri Beer Company",
    "United States/Missouri/Saint Louis",
    id="00000000-0000-4000-8000-000000000003",
    brewery_type="brewpub",
)
FLANDERS_IN_FRENCH = row(
    "Belle-Vue",
    "Belgium/Région flamande/Sint-Pieters-Leeuw",
    id="3c9196e9-95d7-4298-a5e0-872a9676fd2a",
    address_1="144 Bergensesteenweg",
    postal_code="1600",
    website_url="http://www.ab-inbev.com/",
    longitude=4.287223,
    latitude=50.798541,
)
FLANDERS_IN_DUTCH = row(
    "’t Drankorgel",
    "Belgium/Vlaanderen/Mol",
    id="aa7cbe9b-3a0f-4888-9884-6186b0042b55",
    address_1="31a Geelsebaan",
    postal_code="2400",
    phone="+32 496 76 40 63",
    website_url="http://tdrankorgel.be/",
    longitude="5.0569549",  # older versions of the API serve text
    latitude="51.17625779999999",
)
SILESIA = row(
    "Browar Cztery Ściany",
    "Poland/dolnośląskie/Trzebnica",
    id="a9d8d2a9-23f3-4975-85fe-77de5ea72a43",
    address_1="Milicka 32",
    postal_code=55100,  # a number in a column of text
    longitude=17.0722456,
    latitude=51.3226873,
)
IRELAND = row(  # a space before the country, as captured in 2025-10; unusual white space
    '\u00a0Brewery \u201cof\u201d\nMany\tLines "quoted" \\ \U0001f37a\u2003',
    " Ireland/Cork/Cork",
    id="00000000-0000-4000-8000-000000000004",
    address_1="   ",
    longitude=-8.47,
    latitude=951.9,  # beyond the pole
)
NOWHERE = row(
    "Brewery of No Place",
    "//",
    id="00000000-0000-4000-8000-000000000005",
    brewery_type=None,
    longitude="12d",
    latitude="somewhere",
)
UNKNOWN_FIELDS = row(
    "Brewery of the Future",
    "Austria/Kärnten/Villach",
    id="00000000-0000-4000-8000-000000000006",
    brewery_type="zoigl",
    rating=4.5,
    tags=["a", {"b": None}],
)
NO_ID = row("Brewery Without an Id", "Italy/Bolzano/Bolzano", id=None)
BLANK_NAME = row(" \u2003 ", "Italy/Bolzano/Bolzano", id="00000000-0000-4000-8000-000000000007")

GOOD = [
    OREGON,
    MASSACHUSETTS,
    MISSOURI,
    MISSOURI_MISSPELT,
    MISSOURI_AGAIN,
    FLANDERS_IN_FRENCH,
    FLANDERS_IN_DUTCH,
    SILESIA,
    IRELAND,
    NOWHERE,
    UNKNOWN_FIELDS,
]
BROKEN = [NO_ID, BLANK_NAME]
ROWS = GOOD + BROKEN
