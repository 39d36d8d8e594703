"""A real server that answers as a script says, and reads of it that do not wait long."""

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
PAGES_OF_1050 = 7  # the last of them empty
METAS = 2
SOON = 15.0  # seconds, for what takes less than one on an idle machine
LONG = 60.0  # seconds, for what must not be waited for
PATIENCE = 120.0  # seconds, so that only what never ends uses it up


def read(url: str, **options: Any) -> Reading:
    """One read by a client that soon tries again, and waits long for a slow machine."""
    quick = {"backoff": 0.01, "attempts": 4, "timeout": LONG, "patience": PATIENCE}
    return OpenBreweryDB(url=url, **(quick | options)).read(LOG)


def failure(url: str, **options: Any) -> str:
    """What the error says of a read that fails, which it does soon and leaving nothing behind."""
    started = time.monotonic()
    with pytest.raises(SourceError) as raised:
        read(url, **options)
    assert time.monotonic() - started < SOON
    assert not [one for one in threading.enumerate() if one.name.startswith("breweries")]
    return str(raised.value)


@dataclass(frozen=True)
class Asked:
    """A request that came in; `page` 0 is `/breweries/meta`, `attempt` counts from 1 by page."""

    page: int
    attempt: int
    at: float
    query: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer in place of the honest one."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Asked], "Reply | Iterable[bytes] | None"]


class ScriptedApi:
    """Serves what a script says, for what the demo API cannot do.

    The script is asked for each request, in the request's own thread. None is the honest answer
    for `rows`; bytes go over the socket as they are, part by part, and then it hangs up. `leave`
    is set when the server is about to stop.
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
        """When that page was asked for."""
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
        """A client that hangs up is what these tests are about."""


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
        """Not to the tests' output."""


def as_served(rows: Iterable[Row]) -> list[str]:
    """Bronze lines of the demo API's rows: sorted by id, in its own spelling."""
    return [json.dumps(row, separators=(",", ":")) for row in sorted(rows, key=lambda r: r["id"])]


def some(number: int) -> list[dict[str, str]]:
    return [{"id": f"{at:06}", "name": f"Brewery {at}"} for at in range(number)]
