"""Alerts, and their delivery through Apprise to every address in ALERT_URLS."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import NamedTuple
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from brewery_assets.redaction import without

PROJECT = "brewery_assets"
KINDS = {  # the type in Apprise, which some services show as a color or a symbol
    "failure": "failure",
    "warning": "warning",
    "stale": "warning",
    "recovery": "success",
    "test": "info",
}


class Alert(NamedTuple):
    """A message to the person on call.

    Attributes:
        kind: one of KINDS.
        title: what happened, in a line.
        facts: names and values, in order.
        checks: the failed checks: their numbers as text, by name.
        link: to the run or asset in the UI; None if the address of the UI is not set.
    """

    kind: str
    title: str
    facts: dict[str, str]
    checks: dict[str, str] = {}  # noqa: RUF012  # never changed
    link: str | None = None

    def text(self) -> str:
        """The message in plain text."""
        lines = [f"{name}: {value}" for name, value in self.facts.items()]
        if self.checks:
            lines += ["", "Checks that failed:"]
            lines += [f"- {name}: {numbers}" for name, numbers in self.checks.items()]
        if self.link:
            lines += ["", self.link]
        return "\n".join(lines)

    def html(self) -> str:
        """The same in HTML."""
        facts = (f"<b>{escape(name)}:</b> {escape(value)}" for name, value in self.facts.items())
        parts = [f"<p>{'<br>'.join(facts)}</p>"]
        if self.checks:
            items = "".join(
                f"<li><b>{escape(name)}</b>: {escape(numbers)}</li>"
                for name, numbers in self.checks.items()
            )
            parts.append(f"<p>Checks that failed:</p><ul>{items}</ul>")
        if self.link:
            parts.append(f'<p><a href="{escape(self.link)}">{escape(self.link)}</a></p>')
        return "".join(parts)


class Target:
    """One address that alerts go to."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def key(self) -> str:
        """Identifies the address without its secrets."""
        return hashlib.sha256(self._url.encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """The service, and its host if that is not secret, to show in messages."""
        return name_of(self._url)

    def send(self, alert: Alert) -> str | None:
        """Delivers an alert. Returns None, or why it did not arrive, without secrets."""
        # Imported here, because every run imports this module and few send an alert.
        import apprise

        messenger = apprise.Apprise()
        if not messenger.add(self._url):
            return "Apprise cannot use this address"
        preferred, *_ = messenger[0].notify_format
        in_html = preferred == apprise.NotifyFormat.HTML
        with _warnings() as said:
            arrived = messenger.notify(
                title=f"[{PROJECT}] {alert.title}",
                body=alert.html() if in_html else alert.text(),
                body_format=apprise.NotifyFormat.HTML if in_html else apprise.NotifyFormat.TEXT,
                notify_type=apprise.NotifyType(KINDS[alert.kind]),
            )
        why = " ".join(" ".join(said).split())
        return None if arrived else without_secrets(why or "the service refused it", self._url)


class Alerts(dg.ConfigurableResource[None]):
    """Where alerts go."""

    urls: str = Field(default="", description="Apprise URLs, separated by spaces.")
    webserver_url: str | None = Field(default=None, description="Address of the UI, for links.")

    def targets(self) -> list[Target]:
        """One target for each distinct URL."""
        return [Target(url) for url in dict.fromkeys(self.urls.split())]

    def link(self, path: str) -> str | None:
        """An address in the UI; None if the address of the UI is not set."""
        return f"{self.webserver_url}/{path}" if self.webserver_url else None


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collects this thread's warnings of Apprise, which reports causes only in its log."""
    found: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == threading.get_ident():
                found.append(record.getMessage())

    handler = Kept(level=logging.WARNING)
    logger = logging.getLogger("apprise")
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def name_of(url: str) -> str:
    """The part of an Apprise address that is not secret."""
    import apprise

    service = apprise.Apprise.instantiate(url)
    if service is None:
        return f"{urlsplit(url).scheme}://…"
    masked = urlsplit(service.url(privacy=True))  # type: ignore[no-untyped-call]
    return f"{masked.scheme}://{masked.netloc.rpartition('@')[2]}/…"


def without_secrets(text: str, url: str) -> str:
    """The text without the user, password, path and query values of an address."""
    parts = urlsplit(url)
    secrets = {parts.username or "", parts.password or "", parts.netloc, *parts.path.split("/")}
    secrets |= {value for pair in parts.query.split("&") for value in pair.split("=")[1:]}
    host = parts.hostname or ""
    secrets -= {host, f"{host}:{parts.port}"} if name_of(url).find(host) > 0 else set()
    return without(text, secrets)
