"""Where alerts arrive in the tests: a mail server and a web hook, both real and on loopback."""

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
PATIENT = "cto=60&rto=60"  # seconds to connect and to answer: Apprise gives a busy machine four


class MailServer:
    """Keeps the messages that it is handed; while it is closed, nobody answers."""

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
    """Keeps the JSON that is posted to it; refuses it with the status that it is told."""

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


SECRET, TOKEN = "a-password-of-the-hook", "a-token-in-its-path"  # of no worth
