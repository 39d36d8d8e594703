"""Secrets in URLs: split off for the request, removed wherever a URL is stored or shown."""

import base64
import logging
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

HIDDEN = "…"
SHORTEST = 4  # characters: a shorter secret could be part of any word
_KEY = r"token|key|secret|passw|passphrase|pwd|signature|auth|credential|session|bearer|jwt"
# Spark Connect's parameters follow a semicolon: sc://host:15002/;token=…
_PARAMETER = re.compile(rf"([?&;#](?:[\w.%-]*(?:{_KEY})[\w.%-]*|sig|pass)=)[^&\s]+", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/?#]*@")
_SCHEME = re.compile(r"[\w+.-]*:/+")


def redacted(url: str) -> str:
    """One URL without its user info, with … as the value of each parameter that looks like a key.

    The URL may be malformed, since invalid settings are shown too: everything before the last @
    counts as user info.
    """
    before, mark, after = url.rpartition("@")
    if mark and ":" in before:
        scheme = _SCHEME.match(before)
        url = (scheme[0] if scheme else "") + after
    return redacted_text(url)


def redacted_text(text: str) -> str:
    """A text with every URL in it redacted, also those without a scheme (`/v1?token=…`)."""
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER.sub("", text))


def holds_secret(url: str) -> bool:
    """Whether a URL has parts that must not be shown."""
    return redacted(url) != url


def without(text: str, secrets: Iterable[str]) -> str:
    """A text with … in place of each of these secrets, percent-encoded or not."""
    forms = {
        form
        for secret in secrets
        for form in (secret, unquote(secret), quote(secret, safe=""), quote_plus(secret))
    }
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= SHORTEST:
            text = re.sub(re.escape(form), HIDDEN, text, flags=re.IGNORECASE)
    return text


class Address(NamedTuple):
    """An HTTP URL, with its credentials separate from what may be shown.

    Attributes:
        url: scheme, host, port and path, without a slash at its end.
        auth: user name and password in UTF-8, for HTTP basic authentication.
        query: the parameters of every request.
        secrets: the values that must not be shown.
    """

    url: str
    auth: tuple[bytes, bytes] | None
    query: dict[str, list[str]]
    secrets: frozenset[str]

    @classmethod
    def of(cls, url: str) -> "Address":
        """The parts of a URL; its user info and query may be percent-encoded."""
        parts = urlsplit(url)
        query = parse_qs(parts.query, keep_blank_values=True)
        secrets = {
            value
            for name, values in query.items()
            for value in values
            if holds_secret(f"?{name}={value}")
        }
        auth = None
        if "@" in parts.netloc:
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            auth = user.encode(), password.encode()
            secrets |= {password or user, base64.b64encode(b":".join(auth)).decode()}
        host = parts.netloc.rpartition("@")[2]
        scheme = f"{parts.scheme}://" if parts.scheme else ""
        shown = f"{scheme}{host}{parts.path.rstrip('/')}"
        return cls(shown, auth, query, frozenset(secrets))

    def hide(self, text: str) -> str:
        """A foreign text, such as an answer, without any part of the credentials."""
        return redacted_text(without(text, self.secrets))


class Redacting(logging.Filter):
    """Redacts the URLs in the lines of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted_text(record.getMessage()), ()
        return True
