"""The API's contract over HTTP: addresses, validation, answers.

Source: openbrewerydb/openbrewerydb-laravel-api, its routes, rules and resources of 2026-08.
"""

import json
from collections.abc import Mapping
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from demo.data import Row
from demo.delivery import FaultyDelivery
from demo.faults import NO_FAULTS, Faults
from demo.limit import RateLimit
from demo.source import Source
from demo.validation import Refused, validated, whole_number

CACHED = {"Cache-Control": "public, max-age=300"}
MISSING = "Couldn't find Brewery"


def create_app(
    rows: list[Row],
    *,
    faults: Faults = NO_FAULTS,
    requests_per_minute: int | None = 120,
    minute: float = 60.0,
) -> Starlette:
    """The API under /v1, over the current `rows` at each request.

    `app.state.source.faults` may be assigned while it runs. `requests_per_minute` None means no
    limit; `minute` shortens the limit's window (seconds) for tests. Faults that close the
    connection need the transport that `demo.server` adds to the scope.
    """
    source = Source(rows, faults)
    v1 = Mount(
        "/v1",
        routes=[
            Route("/breweries", _breweries),
            Route("/breweries/meta", _meta),
            Route("/breweries/random", _random),
            Route("/breweries/search", _search),
            Route("/breweries/{id}", _brewery),
        ],
        middleware=[
            Middleware(RateLimit, requests=requests_per_minute, seconds=minute),
            Middleware(FaultyDelivery, source=source),
        ],
    )
    app = Starlette(
        routes=[Route("/", _home), v1],
        exception_handlers={Refused: _refused, HTTPException: _failed},
    )
    app.state.source = source
    return app


async def _breweries(request: Request) -> Response:
    return _json(_source(request).page(validated(request.query_params)), headers=CACHED)


async def _meta(request: Request) -> Response:
    if _source(request).faults.no_meta:
        raise HTTPException(404, MISSING)
    return _json(_source(request).meta(validated(request.query_params)), headers=CACHED)


async def _random(request: Request) -> Response:
    errors: dict[str, list[str]] = {}
    size = whole_number(request.query_params, "size", default=1, most=50, errors=errors)
    if errors:
        raise Refused(errors)
    return _json(_source(request).sample(size))


async def _search(request: Request) -> Response:
    query = validated(request.query_params)
    wanted = request.query_params.get("query", "").replace("_", " ").strip().casefold()
    if not wanted:
        raise Refused({"query": ["The query field is required."]})
    return _json(_source(request).search(wanted, query), headers=CACHED)


async def _brewery(request: Request) -> Response:
    row = _source(request).row(request.path_params["id"])
    if row is None:
        raise HTTPException(404, MISSING)
    return _json(row, headers=CACHED)


async def _home(_: Request) -> Response:
    return _json({"name": "Open Brewery DB API, a local copy", "breweries": "/v1/breweries"})


async def _refused(request: Request, refusal: Exception) -> Response:
    accept = request.headers.get("accept", "")
    if "/json" not in accept and "+json" not in accept:
        # Laravel redirects a browser to the form that it assumes as the origin.
        return RedirectResponse("/", 302)
    errors: dict[str, list[str]] = refusal.args[0]
    return _json({"message": next(iter(errors.values()))[0], "errors": errors}, 422)


async def _failed(request: Request, failure: Exception) -> Response:
    http = cast("HTTPException", failure)
    message = http.detail
    if http.status_code == 404 and message != MISSING:
        message = f"The route {request.url.path.lstrip('/')} could not be found."
    return _json({"message": message}, http.status_code, http.headers)


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # Like PHP's json_encode: no spaces, and \u escapes for non-ASCII text.
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/json")


def _source(request: Request) -> Source:
    source: Source = request.app.state.source
    return source
