"""AWS for a run: clients, the settings with which an engine reaches S3, and error messages."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from brewery_assets.redaction import redacted_text

# botocore's default limits, 60 s for each of six tries, allow six minutes without a message.
PATIENCE: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 10,
    "retries": {"mode": "standard", "total_max_attempts": 6},
}
ANY_REGION = "us-east-1"  # S3-compatible stores accept it if no region is set


class Aws(dg.Config):
    """How to reach AWS.

    Credentials come from the AWS credential chain (AWS_ACCESS_KEY_ID and related variables,
    AWS_PROFILE, the role of the container or of the instance), and so do other endpoints.
    """

    region: str | None = Field(default=None, description="AWS_REGION, which boto3 does not read.")

    def client(self, service: str) -> Any:
        """A boto3 client of a service."""
        import boto3
        from botocore.config import Config

        return boto3.Session().client(service, region_name=self.region, config=Config(**PATIENCE))

    def engine_settings(self) -> dict[str, str]:
        """The environment variables with which Sail and S3A reach S3 as boto3 does.

        Sail (object_store) and Hadoop's S3A read these names, but neither supports all of boto3's
        credential chain. A missing value, such as the token of a permanent key, is blank.
        """
        import boto3

        session = boto3.Session(region_name=self.region)
        client = session.client("s3")
        credentials = session.get_credentials()
        if credentials is None:
            return {}
        frozen = credentials.get_frozen_credentials()
        found = {
            "AWS_ACCESS_KEY_ID": frozen.access_key,
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
            "AWS_SESSION_TOKEN": frozen.token or "",
            "AWS_REGION": region_of(client) or ANY_REGION,
        }
        if endpoint := endpoint_of(client):
            found |= {
                "AWS_ENDPOINT": endpoint,
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower(),
                "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
            }
        return found


def region_of(client: Any) -> str | None:
    """The region of a client; None when none is set."""
    region: str | None = client.meta.region_name
    return None if region == "aws-global" else region


def endpoint_of(client: Any) -> str | None:
    """The address of an S3-compatible store; None for AWS itself."""
    endpoint: str = client.meta.endpoint_url
    host = urlsplit(endpoint).hostname or ""
    # A VPC endpoint, which must be passed on to engines, begins with another word.
    return None if re.fullmatch(r"s3[.-](.+\.)?amazonaws\.(com|com\.cn|eu)", host) else endpoint


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Sets these variables until the context ends; a blank one is unset."""
    before = {name: os.environ.get(name) for name in settings}
    _set({name: value or None for name, value in settings.items()})
    try:
        yield
    finally:
        _set(before)


def _set(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def why(error: Exception) -> str:
    """The cause of an AWS error, in one sentence and without credentials."""
    code, message = said_by(error)
    if code in _DENIED:
        asked = getattr(error, "operation_name", "it")
        more = "" if message in ("Access Denied", "Forbidden", "") else f": {message}"
        return f"access to {asked} is denied; docs/aws.md has the permissions needed{more} ({code})"
    if code in _REFUSED:
        return f"{_REFUSED[code]} ({code})"
    if code:
        return f"{message} ({code})"
    return _UNREACHED.get(type(error).__name__, "") + one_line(str(error))


def said_by(error: Exception) -> tuple[str, str]:
    """AWS's error code and message; blank if AWS did not answer."""
    said = (getattr(error, "response", None) or {}).get("Error", {})
    return said.get("Code", ""), one_line(said.get("Message", ""))


def one_line(text: str) -> str:
    """A foreign text for use in a sentence: on one line, without secrets in URLs."""
    return redacted_text(" ".join(text.split()).rstrip("."))


_CREDENTIALS = "the AWS credentials are refused; correct AWS_ACCESS_KEY_ID and related variables"
_DENIED = ("AccessDenied", "AccessDeniedException", "403")
_REFUSED = {
    "NoSuchBucket": "there is no such bucket; create it first, the pipeline never does",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "400": "the request is refused; the AWS credentials may have expired",
    "ExpiredToken": "the AWS session token has expired; get a new one",
    "ExpiredTokenException": "the AWS session token has expired; get a new one",
}
_NOBODY = "no server answers; correct AWS_ENDPOINT_URL or try later: "
_UNREACHED = {
    "NoCredentialsError": "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "AWS_PROFILE, or run where a role gives them; ",
    "EndpointConnectionError": _NOBODY,
    "ConnectTimeoutError": _NOBODY,
    "ReadTimeoutError": _NOBODY,
    "ConnectionClosedError": _NOBODY,
}
