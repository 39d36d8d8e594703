"""The settings, read and checked in one place before any work begins."""

import re
import sys
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import AfterValidator, BeforeValidator, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from brewery_assets.redaction import holds_secret, redacted

ROLE = r"arn:aws[a-z-]*:iam::\d{12}:role/\S+"
CHECKS = r"[a-z_]+(,[a-z_]+)*"
CHECKS_EXAMPLE = "row_count_is_plausible,rejections_are_few"
ROLE_EXAMPLE = "arn:aws:iam::123456789012:role/brewery-emr"


class SettingsError(ValueError):
    """A setting has an invalid value; the message has the name, the value, and what is allowed."""


def _http_url(value: str) -> str:
    form = "allowed is a web address, such as https://api.openbrewerydb.org/v1"
    if not value.startswith(("http://", "https://")):
        raise ValueError(form)
    if not re.fullmatch("https?://[^/?#]*([/?#][^@]*)?", value):  # http://user:pass/word@host
        raise ValueError("/ ? # @ in a user name, password or path must be percent-encoded")
    try:
        found = urlsplit(value)
        complete = bool(found.hostname) and found.port != 0
    except ValueError:  # its port is not a number, or its brackets do not match
        complete = False
    if not complete:
        raise ValueError(form)
    return value.rstrip("/")


def _link(value: str) -> str:
    """A web address without its secrets; it is only shown, never requested."""
    return redacted(_http_url(value))


def _endpoint(value: str) -> str:
    if holds_secret(value):
        raise ValueError(
            "it must not contain keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return value


def _lake(value: str) -> str:
    bucket = re.fullmatch(r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/.*)?", value, re.DOTALL)
    if "://" in value and not bucket:
        raise ValueError("allowed is a folder, such as lake, or s3://bucket/prefix")
    if bucket is None:
        return _plain(value, "%*?[]{}\\\n\r")
    prefix = _plain((bucket[2] or "").strip("/"), "%*?[]{}\\\n\r:#")
    if prefix and {"", ".", ".."} & set(prefix.split("/")):
        raise ValueError("an empty part, . or .. in a prefix has a special meaning for engines")
    return f"{bucket[1]}/{prefix}".rstrip("/")


def _plain(path: str, special: str) -> str:
    if bad := sorted(set(path) & set(special)):
        shown = " ".join(repr(char)[1:-1] for char in bad)
        raise ValueError(f"{shown} in a path has a special meaning for engines: rename it")
    return path


def _engine(value: str) -> str:
    if not re.fullmatch(r"local(\[(\*|\d+)(,\d+)?\])?|sc://[^/;?#@\s]+(/(;\S*)?)?", value):
        raise ValueError("allowed is local[*], sc://host:15002, or nothing for the embedded engine")
    return value


def _cron(value: str) -> str:
    try:
        dg.ScheduleDefinition(name="any", job_name="any", cron_schedule=value)
    except dg.DagsterInvalidDefinitionError:
        raise ValueError("allowed is a cron expression, such as 0 6 * * *") from None
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, OSError, ValueError):
        raise ValueError("allowed is a time zone, such as UTC or Europe/Vienna") from None
    return value


def _alert_urls(value: str) -> str:
    if not value:
        return value
    import apprise  # only if alerts are set

    for number, url in enumerate(value.split(), start=1):
        if apprise.Apprise.instantiate(url) is None:
            scheme = url.partition("://")[0] if "://" in url else "…"
            raise ValueError(
                f"number {number}, {scheme}://…, is not an address that Apprise can use; allowed "
                "are addresses such as mailto://… and slack://…, separated by spaces"
            )
    return value


def _pattern(form: str, example: str) -> AfterValidator:
    def read(value: str) -> str:
        if not re.fullmatch(form, value):
            raise ValueError(f"allowed is a value such as {example}")
        return value

    return AfterValidator(read)


def _whole_number(least: int, most: int | None = None) -> BeforeValidator:
    def read(value: object) -> int:
        text = str(value).strip()
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            limit = f"{least} or more" if most is None else f"{least} to {most}"
            raise ValueError(f"allowed is a whole number, {limit}")
        return int(text)

    return BeforeValidator(read)


class Settings(BaseSettings):
    """The settings of the README's table; a name here is the variable's name in lower case.

    Dagster loads a `.env` file into the environment, however a run is started.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    brewery_api_url: Annotated[str, AfterValidator(_http_url)] = "https://api.openbrewerydb.org/v1"
    lake_uri: Annotated[str, AfterValidator(_lake)] = "lake"
    aws_region: Annotated[str, _pattern("[a-z0-9-]+", "eu-central-1")] | None = None
    aws_endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = None
    spark_remote: Annotated[str, AfterValidator(_engine)] | None = None
    emr_serverless_application_id: Annotated[str, _pattern("[0-9a-z]+", "00f1abc2def3")] | None = (
        None
    )
    emr_execution_role_arn: Annotated[str, _pattern(ROLE, ROLE_EXAMPLE)] | None = None
    snapshots_kept: Annotated[int, _whole_number(1)] = 30
    rows_lost_percent: Annotated[int, _whole_number(0, 100)] = 10
    rejected_percent: Annotated[int, _whole_number(0, 100)] = 5
    filled_lost_percent: Annotated[int, _whole_number(0, 100)] = 10
    accept_checks: Annotated[str, _pattern(CHECKS, CHECKS_EXAMPLE)] | None = None
    missing_rows_allowed: Annotated[int, _whole_number(0)] = 0
    pipeline_cron: Annotated[str, AfterValidator(_cron)] = "0 6 * * *"
    pipeline_timezone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    alert_urls: Annotated[str, AfterValidator(_alert_urls)] = ""
    dagster_webserver_url: Annotated[str, AfterValidator(_link)] | None = None

    @property
    def limits(self) -> dict[str, Any]:
        """The limits of the checks, as the resource `limits` takes them."""
        return {
            "rows_lost_percent": self.rows_lost_percent,
            "rejected_percent": self.rejected_percent,
            "filled_lost_percent": self.filled_lost_percent,
            "accept_checks": self.accept_checks.split(",") if self.accept_checks else [],
        }

    @property
    def lake_on_s3(self) -> bool:
        """Whether the lake is in a bucket."""
        return self.lake_uri.startswith("s3://")

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> "Settings":
        application, role = self.emr_serverless_application_id, self.emr_execution_role_arn
        if bool(application) != bool(role):
            lacking = "EMR_EXECUTION_ROLE_ARN" if application else "EMR_SERVERLESS_APPLICATION_ID"
            raise ValueError(
                f"{lacking} is not set: EMR Serverless needs EMR_SERVERLESS_APPLICATION_ID and "
                "EMR_EXECUTION_ROLE_ARN"
            )
        if application and self.spark_remote:
            raise ValueError(
                "SPARK_REMOTE and EMR_SERVERLESS_APPLICATION_ID are both set; unset one"
            )
        if application and not self.lake_on_s3:
            raise ValueError(f"LAKE_URI={self.lake_uri}: EMR Serverless needs a lake on s3://")
        return self

    @classmethod
    def from_environment(cls) -> "Settings":
        """The settings in the environment.

        Raises:
            SettingsError: for the first setting with an invalid value.
        """
        try:
            return cls()
        except ValidationError as refused:
            first = refused.errors()[0]
            why = first["msg"].removeprefix("Value error, ")
            if not first["loc"]:
                raise SettingsError(why) from None
            name, value = str(first["loc"][0]).upper(), str(first["input"])
            shown = "…" if name == "ALERT_URLS" else redacted(value)
            raise SettingsError(f"{name}={shown}: {why}") from None


if __name__ == "__main__":  # checks all settings
    try:
        Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
