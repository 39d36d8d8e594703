"""bronze_breweries: the source read whole, as served."""

import time

import dagster as dg

from brewery_assets.presentation import visible
from brewery_assets.source.client import OpenBreweryDB
from brewery_assets.source.reader import Reading

# Nobody enforces these: bronze keeps what is served, other fields and other types too.
FIELDS = {
    "id": ("string", "Identifies the brewery: a UUID."),
    "name": ("string", "The brewery's name."),
    "brewery_type": ("string", "micro, brewpub, closed, planning, …"),
    "address_1": ("string", "First line of the address."),
    "address_2": ("string", "Second line of the address."),
    "address_3": ("string", "Third line of the address."),
    "city": ("string", "City or town."),
    "state_province": ("string", "State, province or region, as spelled by whoever entered it."),
    "postal_code": ("string", "Postcode."),
    "country": ("string", "Country."),
    "longitude": ("number", "Degrees east; text in some versions of the API."),
    "latitude": ("number", "Degrees north; text in some versions of the API."),
    "phone": ("string", "Phone number, in no common form."),
    "website_url": ("string", "Website."),
    "state": ("string", "An older name of state_province."),
    "street": ("string", "An older name of address_1."),
}


@dg.asset(
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(name, kind, about) for name, (kind, about) in FIELDS.items()]
        )
    },
    io_manager_key="json_lines_snapshots",
    group_name="breweries",
    kinds={"python", "json", "bronze"},
    owners=["team:data-engineering"],
    code_version="1",
)
def bronze_breweries(
    context: dg.AssetExecutionContext, open_brewery_db: OpenBreweryDB
) -> dg.MaterializeResult[Reading]:
    """One line per brewery id: the record as the API served it, every field, known or not."""
    started = time.monotonic()
    reading = open_brewery_db.read(context.log)
    return dg.MaterializeResult(
        value=reading,
        data_version=dg.DataVersion(reading.sha256),
        metadata={
            "seconds_to_read": round(time.monotonic() - started, 2),
            # No line of JSON begins with a backtick, so none ends the block.
            "preview": dg.MetadataValue.md(
                "\n".join(["```json", *map(visible, reading.lines[:5]), "```"])
            ),
        },
    )
