"""The API's rate limit."""

import math
import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RateLimit:
    """Allows each client address `requests` requests in a window of `seconds`; then answers 429.

    The window starts with the client's first request, as in Laravel's throttle. Retry-After is the
    time until the window ends, in whole seconds. None for `requests` means no limit.
    """

    def __init__(self, app: ASGIApp, requests: int | None, seconds: float) -> None:
        self.app = app
        self._requests = math.inf if requests is None else requests
        self._seconds = seconds
        self._windows: dict[str, tuple[float, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client, now = scope["client"][0], time.monotonic()
        start, seen = self._windows.get(client, (now, 0))
        if now >= start + self._seconds:
            start, seen = now, 0
        self._windows[client] = start, seen + 1
        if seen < self._requests:
            await self.app(scope, receive, send)
            return
        wait = max(1, math.ceil(start + self._seconds - now))
        refusal = JSONResponse({"message": "Too Many Attempts."}, 429, {"Retry-After": str(wait)})
        await refusal(scope, receive, send)
