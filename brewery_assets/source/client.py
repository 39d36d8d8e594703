"""OpenBreweryDB, the API client as a Dagster resource."""

from concurrent.futures import ThreadPoolExecutor
from logging import Logger

import dagster as dg
from pydantic import Field

from brewery_assets.redaction import Address
from brewery_assets.source.http import Fetcher
from brewery_assets.source.reader import Reader, Reading


class OpenBreweryDB(dg.ConfigurableResource[None]):
    """A client of the Open Brewery DB API, or of any server with its contract."""

    url: str = Field(description="The address up to the version, such as https://…/v1.")
    missing_rows_allowed: int = Field(
        default=0, description="Rows of the total in /meta that may be missing in the pages."
    )
    pages_at_once: int = Field(default=4, description="Requests that run at the same time.")
    attempts: int = Field(default=6, description="Tries for one request, at most.")
    backoff: float = Field(default=0.5, description="Seconds before the second try, then doubled.")
    timeout: float = Field(default=30.0, description="Seconds that one try may take.")
    patience: float = Field(default=900.0, description="Seconds that the whole read may take.")

    def read(self, log: Logger) -> Reading:
        """Every record of the source, and the source's totals.

        Raises:
            SourceError: the URL and the cause: no usable answer within the limits, fewer distinct
                ids than `/meta` says after five passes, or totals that changed in every pass.
            TooLittleMemoryError: the records do not fit into the memory.
        """
        address = Address.of(self.url)
        fetcher = Fetcher(address, self.attempts, self.backoff, self.timeout, self.patience)
        with ThreadPoolExecutor(self.pages_at_once, "breweries") as pool, fetcher:
            return Reader(address.url, self.missing_rows_allowed, fetcher, pool, log).read()
