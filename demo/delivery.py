"""Faults of the delivery: a good answer that is late, broken, replaced or never sent."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.exchange import Exchange, whole_answer
from demo.source import Source

DRIP_SECONDS = 0.2
PAGES = "/v1/breweries"


class FaultyDelivery:
    """Damages answers according to the source's `Faults`; the first matching fault applies."""

    def __init__(self, app: ASGIApp, source: Source) -> None:
        self.app = app
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        faults, path = self._source.faults, scope["path"]
        url = f"{path}?{scope['query_string'].decode('latin-1')}"
        self._source.attempts[url] += 1
        attempt = self._source.attempts[url]
        if path == PAGES and faults.always_status is not None:
            await _status(faults.always_status)(scope, receive, send)
        elif attempt <= faults.fail_first:
            await _status(503)(scope, receive, send)
        else:
            shares = SHARES if path != PAGES else SHARES | PAGE_SHARES
            struck = (share for share in shares if faults.strikes(share, url, attempt))
            share = next(struck, None)
            if share is None:
                await self.app(scope, receive, send)
            else:
                answer = await whole_answer(self.app, scope, receive)
                chance = faults.draw("status", url, attempt)
                await shares[share](Exchange(answer, chance, scope, receive, send))


async def _server_error(exchange: Exchange) -> None:
    await exchange.reply(_status(exchange.chance.choice((500, 502, 503, 504))))


async def _cut_body(exchange: Exchange) -> None:
    await exchange.send_headers()
    await exchange.send_part(exchange.body[: len(exchange.body) // 2])
    await exchange.hang_up()


async def _drip(exchange: Exchange) -> None:
    await exchange.send_headers()
    for byte in exchange.body:
        await exchange.send_part(bytes((byte,)))
        try:
            await asyncio.wait_for(exchange.client_gone(), DRIP_SECONDS)
        except asyncio.TimeoutError:  # an alias of the builtin one only from Python 3.11 on
            continue
        return
    await exchange.send({"type": "http.response.body", "body": b""})


async def _cut_json(exchange: Exchange) -> None:
    await exchange.reply_with_body(exchange.body[: len(exchange.body) // 2])


async def _html(exchange: Exchange) -> None:
    await exchange.reply(HTMLResponse("<!DOCTYPE html><title>Open Brewery DB</title>"))


async def _object(exchange: Exchange) -> None:
    await exchange.reply(JSONResponse({"message": "Server busy."}))


async def _no_rows(exchange: Exchange) -> None:
    refused = exchange.answer.status_code != HTTPStatus.OK
    await exchange.reply_with_body(exchange.body if refused else b"[]")


Delivery = Callable[[Exchange], Awaitable[None]]
SHARES: dict[str, Delivery] = {
    "server_errors": _server_error,
    "dropped_connections": Exchange.hang_up,
    "hanging": Exchange.client_gone,
    "dripping": _drip,
    "cut_bodies": _cut_body,
    "cut_json": _cut_json,
    "html": _html,
}
PAGE_SHARES: dict[str, Delivery] = {"objects": _object, "empty_pages": _no_rows}


def _status(status: int) -> Response:
    headers = {"Retry-After": "1"} if status == HTTPStatus.TOO_MANY_REQUESTS else None
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return Response(status_code=status)
    return JSONResponse({"message": "Server Error"}, status, headers)
