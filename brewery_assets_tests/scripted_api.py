"""A real server whose answers come from a script, and reads from it with short waits."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from brewery_assets.source.client import OpenBreweryDB
from brewery_assets.source.http import SourceError
from brewery_assets.source.reader import Reading
from demo.data import Row

LOG = logging.getLogger(__name__)
PAGES_OF_1050 = 7  # the last one is empty
METAS = 2
SOON = 15.0  # seconds, for work that takes less than one on an idle machine
LONG = 60.0  # seconds; a test must not wait this long
PATIENCE = 120.0  # seconds; only a read that never ends takes this long


def read(url: str, **options: Any) -> Reading:
    """One read by a client with short pauses between attempts and long timeouts."""
    quick = {"backoff": 0.01, "attempts": 4, "timeout": LONG, "patience": PATIENCE}
    return OpenBreweryDB(url=url, **(quick | options)).read(LOG)


def failure(url: str, **options: Any) -> str:
    """The error message of a read that must fail soon and leave no thread running."""
    started = time.monotonic()
    with pytest.raises(SourceError) as raised:
        read(url, **options)
    assert time.monotonic() - started < SOON
    assert not [one for one in threading.enumerate() if one.name.startswith("breweries")]
    return str(raised.value)


@dataclass(frozen=True)
class Asked:
    """A received request; `page` 0 is `/breweries/meta`, `attempt` counts from 1 for each page."""

    page: int
    attempt: int
    at: float
    query: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer instead of the correct one."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Asked], "Reply | Iterable[bytes] | None"]


class ScriptedApi:
    """A server whose answers come from a script, for faults that the demo API does not have.

    The script is called for each request, in the request's thread. If it returns None, the answer
    is the correct one for `rows`. If it returns bytes, they are sent unchanged, part by part, and
    then the connection is closed. `leave` is set when the server is about to stop.
    """

    def __init__(self, rows: list[Any], script: Script) -> None:
        self.rows = rows
        self.script = script
        self.asked: list[Asked] = []
        self.under_way = self.busiest = 0
        self.changed = threading.Condition()
        self.leave = threading.Event()
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def attempts(self, page: int) -> list[float]:
        """The times at which that page was requested."""
        return [asked.at for asked in self.asked if asked.page == page]

    def page_url(self, page: int) -> str:
        return f"{self.url}/breweries?per_page=200&page={page}&sort=id%3Aasc"

    def honest(self, asked: Asked) -> bytes:
        if not asked.page:
            return json.dumps({"total": len(self.rows)}).encode()
        size = int(asked.query["per_page"])
        return json.dumps(self.rows[size * (asked.page - 1) :][:size]).encode()

    def __enter__(self) -> "ScriptedApi":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 50
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Ignores clients that close the connection: the tests provoke this."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, api: ScriptedApi, *rest: Any) -> None:
        self.api = api
        super().__init__(*rest)

    def do_GET(self) -> None:
        api, parts = self.api, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        page = int(query["page"]) if parts.path == "/v1/breweries" else 0
        with api.changed:
            asked = Asked(page, len(api.attempts(page)) + 1, time.monotonic(), query)
            api.asked.append(asked)
            api.under_way += 1
            api.busiest = max(api.busiest, api.under_way)
            api.changed.notify_all()
        answer = api.script(asked)
        with api.changed:
            api.under_way -= 1
        if isinstance(answer, Reply | None):
            self._reply(answer or Reply(api.honest(asked)))
        else:
            self.close_connection = True
            for part in answer:
                self.wfile.write(part)

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Keeps the log out of the tests' output."""


def as_served(rows: Iterable[Row]) -> list[str]:
    """The bronze lines of the demo API's rows: sorted by id, as the API formats them."""
    return [json.dumps(row, separators=(",", ":")) for row in sorted(rows, key=lambda r: r["id"])]


def some(number: int) -> list[dict[str, str]]:
    return [{"id": f"{at:06}", "name": f"Brewery {at}"} for at in range(number)]
