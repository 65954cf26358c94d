"""Read an ASGI request within limits of size and time, and write the answer. It knows no models."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from notebooks_lib.serving import invocation
from notebooks_lib.serving.invocation import InvocationAnswer, RefusedRequest
from notebooks_lib.serving.slots import Slot

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{0,200})?")
_MORE: Mapping[int, tuple[tuple[bytes, bytes], ...]] = {
    401: ((b"www-authenticate", b"Bearer"),),
    429: ((b"retry-after", b"1"),),
    503: ((b"retry-after", b"1"),),
}
SLOT_HEADER = b"azureml-model-deployment"
"""Names a slot in a request, and in the answer the slot that gave it, as Azure's endpoints do."""
UNCOUNTED = 64 * 1024
"""Bytes of each body that do not count against the memory limit of all bodies."""
PROBE_HEADER = b"x-nbops-probe"
"""Marks, with the value 1, a request that nbops itself sends to test a slot."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete: no answer is needed."""


@dataclass
class HttpResponse:
    """The answer that the client gets."""

    status: int
    body: bytes
    kind: bytes = b"application/json"
    slot: Slot | None = None
    """The slot that answered."""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass
class HttpRequest:
    """An HTTP request. Its body is read when it is asked for."""

    scope: Scope
    receive: Receive
    headers: dict[bytes, bytes] = field(init=False)
    id: bytes = field(init=False)
    """The client's id, if it sent a valid one."""
    trace: bytes = field(init=False)
    """Its `traceparent`, if that is valid."""
    size: int = 0
    """Bytes of the body received so far."""
    held: int = 0
    """Bytes of it that count against the memory limit."""

    def __post_init__(self) -> None:
        self.headers = headers = dict(self.scope["headers"])
        client_id = headers.get(b"x-request-id") or headers.get(b"x-ms-client-request-id") or b""
        self.id = client_id if client_id and _ID.fullmatch(client_id) else os.urandom(16).hex().encode()
        trace = headers.get(b"traceparent", b"")
        self.trace = trace if trace and _TRACE.fullmatch(trace) else b""

    @property
    def probe(self) -> bool:
        """True if nbops itself sent the request, to test a slot."""
        return self.headers.get(PROBE_HEADER) == b"1"

    @property
    def method(self) -> str:
        """The HTTP method, such as "POST"."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """The path of the URL, percent-decoded and without the query."""
        return str(self.scope["path"])

    def kind(self) -> str:
        """Return the body's media type. Raises RefusedRequest unless it is JSON or CSV in UTF-8."""
        return invocation.media_type(self.headers.get(b"content-type", b"").decode("latin-1"))

    async def body(self, limit: int, timeout: float, hold: Callable[[int], None]) -> bytes:
        """Return the body, of at most `limit` bytes.

        A longer body is read up to READ_AT_MOST times `limit`. Before bytes beyond the first UNCOUNTED are kept, `hold`
        is called with their number, and may raise an error. Raises RefusedRequest when the body is too long or does not
        arrive within `timeout` seconds, ClientGone when the client closed the connection.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > invocation.READ_AT_MOST * limit:
            raise invocation.too_large(limit)
        try:
            async with asyncio.timeout(timeout):
                return await self._read(limit, hold)
        except TimeoutError:
            raise RefusedRequest(408, f"the body did not come within {timeout:g} s") from None

    async def _read(self, limit: int, hold: Callable[[int], None]) -> bytes:
        parts, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            self.size = size
            if size > invocation.READ_AT_MOST * limit:
                raise invocation.too_large(limit)
            if size <= limit:
                if size > UNCOUNTED:
                    hold(len(part))
                    self.held += len(part)
                parts.append(part)
            if not message.get("more_body", False):
                break
        if size > limit:
            raise invocation.too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def as_json(status: int, content: Any, *, slot: Slot | None = None) -> HttpResponse:
    """Return an answer in JSON. It is ASCII, because a message may quote half of a surrogate pair from the request."""
    return _in_json(status, json.dumps(content, default=str).encode(), slot)


def refusal_response(status: int, message: str, *, code: str = "", slot: Slot | None = None) -> HttpResponse:
    """Return the answer to a refused request: status, message and error code."""
    return _in_json(status, invocation.error_json(status, message, code), slot)


def invocation_response(answer: InvocationAnswer, slot: Slot) -> HttpResponse:
    """Return the response that carries what `slot` answers."""
    return _in_json(answer.status, answer.body, slot)


def _in_json(status: int, body: bytes, slot: Slot | None) -> HttpResponse:
    return HttpResponse(status, body, slot=slot, headers=_MORE.get(status, ()))


async def write_response(send: Send, request: HttpRequest, answer: HttpResponse) -> None:
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


_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def foreign_origin(headers: Iterable[tuple[bytes, bytes]], allowed: Sequence[str] = ()) -> str:
    """Return why, by its headers, a request may come from a foreign web page; empty if it cannot.

    Host names in `allowed` count as names of this machine.
    """
    for name, value in headers:
        if name == b"host":
            match = _HOST.fullmatch(value.decode("latin-1").strip())
            if match is None or not _is_local_name(match["name"], allowed):
                return f"Host {_escaped(value)} is no name of this machine"
        elif name == b"origin" and not _is_local_name(_host_of(value), allowed):
            return f"Origin {_escaped(value)} is another than this machine's"
    return ""


def _is_local_name(name: str, allowed: Sequence[str]) -> bool:
    name = name.strip("[]").rstrip(".").lower()
    if name == "localhost" or name in (host.lower() for host in allowed):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_of(origin: bytes) -> str:
    """Return the host of an origin; empty for an origin without one, as "null" of a sandboxed frame or a local file."""
    scheme, _, rest = origin.decode("latin-1").strip().partition("://")
    match = _HOST.fullmatch(rest) if scheme in ("http", "https") else None
    return match["name"] if match else ""


def _escaped(value: bytes) -> str:
    return ascii(value[:100].decode("latin-1"))
