"""What can be set from outside, read and checked in one place before any work begins."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(ValueError):
    """A setting has a value that cannot be used: its name, the value, and what is allowed."""


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("allowed is a web address, such as https://api.openbrewerydb.org/v1")
    return value.rstrip("/")


def _lake(value: str) -> str:
    if "://" in value:
        raise ValueError("allowed is a folder, such as lake or /data/lake")
    if bad := sorted(set(value) & set("%*?[]{}\\\n\r")):
        shown = " ".join(repr(char)[1:-1] for char in bad)
        raise ValueError(f"{shown} in a path means something else to an engine: rename it")
    return value


def _engine(value: str) -> str:
    if not re.fullmatch(r"local(\[(\*|\d+)(,\d+)?\])?|sc://[^/;\s]+(/.*)?", value):
        raise ValueError("allowed is local[*], sc://host:15002, or nothing for the embedded engine")
    return value


def _whole_number(least: int) -> BeforeValidator:
    def read(value: object) -> int:
        text = str(value).strip()
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"allowed is a whole number, {least} or more")
        return int(text)

    return BeforeValidator(read)


class Settings(BaseSettings):
    """The settings of the README's table; a name here is the variable's name in lower case.

    Dagster itself loads a `.env` file into the environment, whichever way a run is started.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    brewery_api_url: Annotated[str, AfterValidator(_http_url)] = "https://api.openbrewerydb.org/v1"
    lake_uri: Annotated[str, AfterValidator(_lake)] = "lake"
    spark_remote: Annotated[str, AfterValidator(_engine)] | None = None
    snapshots_kept: Annotated[int, _whole_number(1)] = 30
    missing_rows_allowed: Annotated[int, _whole_number(0)] = 0

    @classmethod
    def from_environment(cls) -> "Settings":
        """The settings in force.

        Raises:
            SettingsError: for the first setting whose value is refused.
        """
        try:
            return cls()
        except ValidationError as refused:
            first = refused.errors()[0]
            name = str(first["loc"][0]).upper()
            why = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{name}={first['input']}: {why}") from None
