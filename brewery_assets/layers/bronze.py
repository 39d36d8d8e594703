"""bronze_breweries: the complete source, as served."""

from collections.abc import Sequence

from brewery_assets.presentation import visible

BRONZE = "bronze_breweries"
# Documentation only. Bronze keeps every field as served.
FIELDS = {
    "id": ("string", "Identifies the brewery: a UUID."),
    "name": ("string", "The brewery's name."),
    "brewery_type": ("string", "micro, brewpub, closed, planning, …"),
    "address_1": ("string", "First line of the address."),
    "address_2": ("string", "Second line of the address."),
    "address_3": ("string", "Third line of the address."),
    "city": ("string", "City or town."),
    "state_province": ("string", "State, province or region, in many spellings."),
    "postal_code": ("string", "Postcode."),
    "country": ("string", "Country."),
    "longitude": ("number", "Degrees east; text in some versions of the API."),
    "latitude": ("number", "Degrees north; text in some versions of the API."),
    "phone": ("string", "Phone number, in no common form."),
    "website_url": ("string", "Website."),
    "state": ("string", "An older name of state_province."),
    "street": ("string", "An older name of address_1."),
}


def preview(lines: Sequence[str]) -> str:
    """A few lines as Markdown. No line of JSON begins with a backtick, so none ends the block."""
    return "\n".join(["```json", *map(visible, lines[:5]), "```"])
