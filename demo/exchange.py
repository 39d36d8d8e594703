"""A request with its unsent answer, and the ways to send the answer badly."""

from dataclasses import dataclass
from random import Random

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Exchange:
    """A request, its answer from the API, and what a fault can do with the answer."""

    answer: Response
    chance: Random
    scope: Scope
    receive: Receive
    send: Send

    @property
    def body(self) -> bytes:
        return bytes(self.answer.body)

    async def reply(self, response: Response) -> None:
        await response(self.scope, self.receive, self.send)

    async def reply_with_body(self, body: bytes) -> None:
        headers = {k: v for k, v in self.answer.headers.items() if k != "content-length"}
        await self.reply(Response(body, self.answer.status_code, headers))

    async def send_headers(self) -> None:
        status, headers = self.answer.status_code, self.answer.raw_headers
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_part(self, body: bytes) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def client_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def hang_up(self) -> None:
        # ASGI has no message for this, so demo.server adds the transport to the scope.
        self.scope["state"]["transport"].close()
        await self.client_gone()


async def whole_answer(app: ASGIApp, scope: Scope, receive: Receive) -> Response:
    """The app's complete answer, without sending it."""
    answer = Response()
    parts: list[bytes] = []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status_code, answer.raw_headers = message["status"], message["headers"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, keep)
    answer.body = b"".join(parts)
    return answer
