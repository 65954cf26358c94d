"""The ASGI application of an endpoint: HTTP in, HTTP out. It loads no model and keeps no state on disk."""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from notebooks_lib.errors import InputError, PredictionError
from notebooks_lib.serving import formats, openapi
from notebooks_lib.tracking import scoring
from notebooks_lib.tracking.scoring import ServedModel

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request's body."""

log = logging.getLogger("nbops.endpoint")

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    404: "ENDPOINT_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
_KEYLESS = ("/health", "/ping")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Slot:
    """One model version behind the endpoint."""

    model: ServedModel
    info: Mapping[str, Any]
    """What `/version` answers: model, version, run_id, dataset, since and more."""


class Refused(Exception):
    """A request that ends here, with the status and the reason that the client reads."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


def build(name: str, slots: Mapping[str, Slot], *, key: str | None = None, max_body: int = MAX_BODY) -> FastAPI:
    """The application of endpoint `name`. `slots` may be empty, and is looked at again for each request.

    With a `key`, every path except /health and /ping wants it as `Authorization: Bearer KEY`.
    """
    app = FastAPI(title=name, openapi_url="/openapi.json", redoc_url=None)
    # More threads than cores only take the interpreter's lock from each other, and from the event loop.
    workers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="predict")

    def live() -> Slot:
        """One slot carries all traffic for now."""
        for slot in slots.values():
            return slot
        raise Refused(503, "no model is loaded yet; ask /health again in a moment")

    async def health(_: Request) -> Response:
        live()
        return _json(200, {"status": "ok"})

    async def version(_: Request) -> Response:
        return _json(200, {"endpoint": name, **live().info})

    async def invocations(request: Request) -> Response:
        slot = live()
        kind = _content_type(request)
        body = await _body(request, max_body)
        # Parsing and predicting hold a core for milliseconds; /health must answer meanwhile.
        answer = await asyncio.get_running_loop().run_in_executor(workers, _predict, slot.model, kind, body)
        return Response(answer, media_type="application/json")

    def describe() -> dict[str, Any]:
        slot = next(iter(slots.values()), None)
        number = str(slot.info.get("version", "")) if slot else ""
        return openapi.document(name, number, slot.model if slot else None, keyed=key is not None)

    app.openapi = describe  # type: ignore[method-assign]  # the way that FastAPI documents
    for path, handler, method in (
        ("/ping", health, "GET"),
        ("/health", health, "GET"),
        ("/version", version, "GET"),
        ("/invocations", invocations, "POST"),
        ("/score", invocations, "POST"),
    ):
        # Plain routes: nothing here is for FastAPI's dependency injection to do, and it costs time per request.
        app.add_route(path, _answering(handler), methods=[method])
    if key is not None:
        app.middleware("http")(_guard(key))
    app.exception_handler(HTTPException)(_not_found)
    return app


def _answering(handler: Handler) -> Handler:
    """Turn what a handler raises into the status and the JSON that the client reads."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except InputError as error:
            return _refusal(request, 400, str(error))
        except PredictionError as error:
            log.error("%s: %s", request.url.path, error, exc_info=error)
            return _refusal(request, 500, str(error))
        except Refused as refused:
            return _refusal(request, refused.status, refused.message)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception as error:
            log.exception("%s: a fault of the endpoint itself", request.url.path)
            return _refusal(request, 500, f"the endpoint failed: {scoring.one_line(error)}; its log says where")

    return answer


def _guard(key: str) -> Callable[[Request, Handler], Awaitable[Response]]:
    expected = f"Bearer {key}".encode()

    async def guard(request: Request, forward: Handler) -> Response:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        if request.url.path in _KEYLESS or hmac.compare_digest(given, expected):
            return await forward(request)
        return _refusal(request, 401, "send the endpoint's key as the header `Authorization: Bearer KEY`")

    return guard


async def _not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    paths = "POST /invocations or /score, GET /health, /ping, /version, /openapi.json or /docs"
    return _refusal(request, status, f"found {request.method} {request.url.path}; expected {paths}")


def _predict(model: ServedModel, kind: str, body: bytes) -> bytes:
    if kind == "text/csv":
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
        data, params = model.parse_csv(text), {}
        formats.check_names(data.columns, model.columns)
    else:
        request = formats.read(body, model.columns, model.params)
        data, params = model.parse(request.payload), request.params
    if scoring.rows(data) == 0:
        raise InputError("there are no rows; expected at least one")
    return b'{"predictions":' + scoring.encode(model.predict(data, params)) + b"}"


def _content_type(request: Request) -> str:
    kind, *options = request.headers.get("content-type", "application/json").lower().split(";")
    kind = kind.strip() or "application/json"
    if kind not in ("application/json", "text/csv"):
        raise Refused(415, f"content type {kind[:80]!r}; expected application/json or text/csv")
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(415, f"charset {value.strip()[:40]!r}; expected utf-8")
    return kind


async def _body(request: Request, limit: int) -> bytes:
    """The body, up to `limit`. A longer one is read a while to its end, so that the client hears why it is refused."""
    refused = Refused(413, f"the body is larger than {limit} bytes; send fewer rows at once")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > 4 * limit:
        raise refused
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > 4 * limit:
            raise refused
        if size <= limit:
            parts.append(part)
    if size > limit:
        raise refused
    return b"".join(parts)


def _refusal(request: Request, status: int, message: str) -> Response:
    log.warning("%s %r: %d %s", request.method, request.url.path, status, message)
    return _json(status, {"error_code": _CODES.get(status, "BAD_REQUEST"), "message": message})


def _json(status: int, content: Mapping[str, Any]) -> Response:
    # ASCII, because a message may quote half of a surrogate pair that was sent.
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(json.dumps(content, default=str), status, media_type="application/json", headers=headers)
