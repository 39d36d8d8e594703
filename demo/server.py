"""The API on a loopback port, in a thread of this process."""

import asyncio
import socket
import threading
from typing import NamedTuple

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.api import create_app
from demo.data import Row, load
from demo.faults import NO_FAULTS, Faults

LOOPBACK = "127.0.0.1"


class Seen(NamedTuple):
    """A request that came in: `url` is the path with its query, header names are lower case."""

    method: str
    url: str
    headers: dict[str, str]


class DemoApi:
    """Serves a copy of `rows` (default: the real data) on loopback between enter and exit.

    `rows` is the list being served: a change applies to the next answer. `faults` may be assigned
    at any time. `requests` has every request in the order of arrival. Port 0 means a free port.
    """

    def __init__(
        self,
        rows: list[Row] | None = None,
        *,
        faults: Faults = NO_FAULTS,
        requests_per_minute: int | None = 120,
        minute: float = 60.0,
        port: int = 0,
    ) -> None:
        copy = [dict(row) for row in (load() if rows is None else rows)]
        self._app = create_app(
            copy, faults=faults, requests_per_minute=requests_per_minute, minute=minute
        )
        self.requests: list[Seen] = []
        self.port = port
        self.host = LOOPBACK

    @property
    def rows(self) -> list[Row]:
        """The rows being served; the list may be changed."""
        rows: list[Row] = self._app.state.source.rows
        return rows

    @property
    def faults(self) -> Faults:
        """The current faults; assigning them resets their counters and random numbers."""
        faults: Faults = self._app.state.source.faults
        return faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._app.state.source.faults = faults

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://{self.host}:{self.port}/v1"

    def start(self) -> None:
        """Starts to listen; clients can connect when it returns.

        Raises:
            OSError: the port is taken.
        """
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._recorded,
            interface="asgi3",
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="demo-api", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Closes every connection and ends the thread."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> "DemoApi":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _recorded(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        url = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self.requests.append(Seen(scope["method"], url, headers))
        await self._app(scope, receive, send)


class _Protocol(H11Protocol):
    """Adds the transport to `scope["state"]`, so that a fault can close the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this only on sockets with a protocol number; otherwise answers take 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for unfinished answers, and those of hanging requests never end.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await super().shutdown(sockets)
