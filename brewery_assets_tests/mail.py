"""The receivers of alerts in the tests: a real mail server and a real webhook, on loopback."""

import email
import email.policy
import json
import threading
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from demo.s3 import free_port

HOST = "127.0.0.1"
# Seconds to connect and to read: Apprise's default, 4, is too short for a busy machine.
PATIENT = "cto=60&rto=60"


class MailServer:
    """A mail server that keeps its messages; while it is closed, connections fail."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._port = free_port()
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        """For ALERT_URLS."""
        people = "from=pipeline@example.org&to=oncall@example.org"
        return f"mailto://{HOST}:{self._port}?{people}&{PATIENT}"

    def open(self) -> None:
        self._controller = Controller(self, hostname=HOST, port=self._port, ready_timeout=60)
        self._controller.start()

    def close(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_DATA(  # noqa: N802  # the name that the server calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 OK"


class WebHook:
    """A webhook that keeps the JSON that it receives if its status is 200, and else refuses it."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status == 200:
                    hook.posts.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """For ALERT_URLS."""
        return f"json://hook:{SECRET}@{HOST}:{self._server.server_port}/{TOKEN}?{PATIENT}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


SECRET, TOKEN = "a-password-of-the-hook", "a-token-in-its-path"  # not real secrets
