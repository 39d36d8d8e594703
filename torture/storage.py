"""S3 in trouble: a proxy before SeaweedFS refuses, resets, hangs or delays requests."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import NamedTuple

from demo.s3 import S3Server
from torture.serving import serving
from torture.trial import Outcome, Trial, outcome
from torture.world import Universe, World

SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message>'
    b"</Error>"
)
DENIED = (
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)
HUNG = 15.0  # seconds
WRITES = ("PUT", "POST")


class Trouble(NamedTuple):
    """What the proxy does: shares of requests, and seconds.

    Attributes:
        writes_allowed: after so many writes each one is refused with AccessDenied.
    """

    slow_down: float = 0.0
    reset: float = 0.0
    hang: float = 0.0
    round_trip: float = 0.0
    writes_allowed: int | None = None


def of_s3(universe: Universe, random: Random) -> Iterator[Trial]:
    """Runs whose requests to S3 go through the proxy."""
    kinds = {
        "503 SlowDown for a fifth of the requests": Trouble(slow_down=0.2),
        "503 SlowDown for half of the requests": Trouble(slow_down=0.5),
        "a twentieth of the connections reset": Trouble(reset=0.05),
        "a fifth of the connections reset": Trouble(reset=0.2),
        f"one request in a hundred hangs {HUNG:g} s": Trouble(hang=0.01),
        "a round trip of 60 ms": Trouble(round_trip=0.06),
        "60 ms, SlowDown and resets": Trouble(slow_down=0.1, reset=0.05, round_trip=0.06),
        **{
            f"no right to write after {number} writes": Trouble(writes_allowed=number)
            for number in sorted(random.sample(range(120), 12))
        },
    }
    for name, trouble in kinds.items():
        seed = random.randrange(10**6)

        def act(world: World, trouble: Trouble = trouble, seed: int = seed) -> Outcome:
            with proxy(universe.s3, trouble, Random(seed)) as address:
                ended = world.run(AWS_ENDPOINT_URL=address)
            return outcome(ended)

        yield Trial("s3", "s3", name, act)


@contextmanager
def proxy(server: S3Server, trouble: Trouble, random: Random) -> Iterator[str]:
    """Runs a proxy in front of the server; yields its address."""
    with serving(_Proxy(server.port, trouble, random)) as address:
        yield address


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, trouble: Trouble, random: Random) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.trouble = trouble
        self._random = random
        self._lock = threading.Lock()
        self._writes = 0

    def chance(self) -> float:
        """A random number from 0 to 1."""
        with self._lock:
            return self._random.random()

    def may_write(self) -> bool:
        """Counts a write; whether it is still allowed."""
        with self._lock:
            self._writes += 1
            allowed = self.trouble.writes_allowed
            return allowed is None or self._writes <= allowed

    def handle_error(self, *_: object) -> None:
        """Prints nothing: the proxy resets connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    """Forwards requests unchanged, so that their signatures stay valid."""

    protocol_version = "HTTP/1.1"
    server: _Proxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble, chance = self.server.trouble, self.server.chance()
        time.sleep(trouble.round_trip)
        if self.command in WRITES and not self.server.may_write():
            self._answer(403, {}, DENIED)
        elif chance < trouble.slow_down:
            self._answer(503, {}, SLOW_DOWN)
        elif chance < trouble.slow_down + trouble.reset:
            self._reset()
        else:
            time.sleep(HUNG if chance > 1 - trouble.hang else 0)
            self._forward(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815  # the base class's names

    def _forward(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
        except OSError:  # the server or the client has closed its connection
            self._reset()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        kept = {name.lower(): value for name, value in headers.items()}
        if self.command != "HEAD":
            kept["content-length"] = str(len(content))
        for name, value in kept.items():
            if name not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if "content-length" not in kept:
            self.send_header("content-length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        # Without lingering, the client's connection is reset instead of closed.
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Prints nothing."""
