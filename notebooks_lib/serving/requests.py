"""Reads an ASGI request, within limits of size and time, and writes the answer. It knows no models."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from notebooks_lib.serving.slots import Slot

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{0,200})?")
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "ENDPOINT_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "PREDICTION_TIMEOUT",
}
_MORE: Mapping[int, tuple[tuple[bytes, bytes], ...]] = {
    401: ((b"www-authenticate", b"Bearer"),),
    429: ((b"retry-after", b"1"),),
    503: ((b"retry-after", b"1"),),
}
SLOT_HEADER = b"azureml-model-deployment"
"""Names a slot in a request, and in the answer the one that gave it; as Azure's endpoints do."""
UNCOUNTED = 64 * 1024
"""Bytes of every body that always have room, however much others send."""
PROBE_HEADER = b"x-nbops-probe"
"""Marks a request by which nbops itself tries a slot, with the value 1: no caller sent it."""


class Refused(Exception):
    """A request that ends here, with the status and the reason that the client reads."""

    def __init__(self, status: int, message: str, *, code: str = "") -> None:
        self.status = status
        self.message = message
        self.code = code
        super().__init__(message)


class Gone(Exception):
    """The client closed the connection before it had sent everything: nobody reads an answer."""


@dataclass
class Answer:
    """What the client gets."""

    status: int
    body: bytes
    kind: bytes = b"application/json"
    slot: Slot | None = None
    """Which slot gave it."""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass
class Request:
    """One request, as far as it has been read."""

    scope: Scope
    receive: Receive
    headers: dict[bytes, bytes] = field(init=False)
    id: bytes = field(init=False)
    """From the client, if it sent a proper one."""
    trace: bytes = field(init=False)
    """Its `traceparent`, if that is one."""
    size: int = 0
    """Bytes of the body that have come."""
    kept: int = 0
    """Bytes of it that were held in memory, as far as they were counted."""

    def __post_init__(self) -> None:
        self.headers = headers = dict(self.scope["headers"])
        given = headers.get(b"x-request-id") or headers.get(b"x-ms-client-request-id") or b""
        self.id = given if given and _ID.fullmatch(given) else os.urandom(16).hex().encode()
        trace = headers.get(b"traceparent", b"")
        self.trace = trace if trace and _TRACE.fullmatch(trace) else b""

    @property
    def probe(self) -> bool:
        """Whether nbops itself sent it, to try a slot."""
        return self.headers.get(PROBE_HEADER) == b"1"

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    def kind(self) -> str:
        """The body's media type. Raises Refused when it is one that no model reads."""
        given = self.headers.get(b"content-type", b"")  # which a page may leave out without asking the server first
        if given == b"application/json":
            return "application/json"
        kind, *options = given.decode("latin-1").lower().split(";")
        kind = kind.strip()
        if kind not in ("application/json", "text/csv"):
            raise Refused(415, f"content type {kind[:80]!r}; expected application/json or text/csv")
        for option in options:
            name, _, value = option.partition("=")
            if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
                raise Refused(415, f"charset {value.strip()[:40]!r}; expected utf-8")
        return kind

    async def body(self, limit: int, timeout: float, hold: Callable[[int], None]) -> bytes:
        """The body, up to `limit` bytes. A longer one is read a while to its end, so that the client hears why not.

        Before bytes beyond the first UNCOUNTED are kept, `hold` is called with their number, and may raise.
        Raises Refused when it is too long or does not come within `timeout` seconds, Gone when the client has left.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > 4 * limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(timeout):
                return await self._read(limit, hold)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {timeout:g} s") from None

    async def _read(self, limit: int, hold: Callable[[int], None]) -> bytes:
        parts, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part = message.get("body", b"")
            size += len(part)
            self.size = size
            if size > 4 * limit:
                raise _too_large(limit)
            if size <= limit:
                if size > UNCOUNTED:
                    hold(len(part))
                    self.kept += len(part)
                parts.append(part)
            if not message.get("more_body", False):
                break
        if size > limit:
            raise _too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit} bytes; send fewer rows at once")


def as_json(status: int, content: Any, *, slot: Slot | None = None) -> Answer:
    """An answer in JSON. ASCII, because a message may quote half of a surrogate pair that was sent."""
    return Answer(status, json.dumps(content, default=str).encode(), slot=slot, headers=_MORE.get(status, ()))


def refusal(status: int, message: str, *, code: str = "", slot: Slot | None = None) -> Answer:
    """An answer that says why there is no other."""
    return as_json(status, {"error_code": code or _CODES.get(status, "BAD_REQUEST"), "message": message}, slot=slot)


async def write(send: Send, request: Request, answer: Answer) -> None:
    """Send the answer, with the request's id and the slot's name."""
    headers = [
        (b"content-type", answer.kind),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-request-id", request.id),
        *answer.headers,
    ]
    if answer.slot is not None:
        headers.append((SLOT_HEADER, answer.slot.header))
    if request.trace:
        headers.append((b"traceparent", request.trace))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
