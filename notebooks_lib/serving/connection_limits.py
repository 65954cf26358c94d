"""Limit what one connection may hold in uvicorn's HTTP protocol before the application sees a request.

With httptools, uvicorn limits neither headers nor pipelined requests. It waits without limit for the head of a first
request and for a client that reads no answer. A client needs no key for any of this.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = logging.getLogger("nbops.endpoint")

SWEEP_EVERY = 1.0
"""Seconds between two looks at all connections."""
_RESERVED_FILES = 64
"""Files that the process itself needs: logs, models, the state, collected data."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of a connection, and of the number of connections."""

    head: int = 64 * 1024
    """Bytes of a request line with its headers, of trailers, or of the framing between two pieces of a body."""
    headers: int = 200
    """Header fields of one request, trailers included."""
    pipelined: int = 32
    """Requests sent before the first of them is answered."""
    idle: float = 10.0
    """Seconds in which the head of a request must arrive, and for which a refused body is still read."""
    unread: float = 30.0
    """Seconds that a client may leave an answer unread."""
    connections: int = 1000
    """Open connections. One more closes the one that has waited longest for its client."""


def limits_of_this_process() -> ConnectionLimits:
    """Return the default limits, with no more connections than the process may have open files.

    Raises the limit of open files first where the system allows it.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return ConnectionLimits()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed_files = ConnectionLimits.connections + backlog(ConnectionLimits.connections) + _RESERVED_FILES
    if soft < needed_files and (hard == resource.RLIM_INFINITY or hard > soft):
        soft = needed_files if hard == resource.RLIM_INFINITY else min(hard, needed_files)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return ConnectionLimits()
    return ConnectionLimits(connections=max(16, min(ConnectionLimits.connections, (soft - _RESERVED_FILES) * 3 // 4)))


def backlog(connections: int) -> int:
    """Return the size of the listen backlog: asyncio accepts that many connections before it can close any."""
    return max(16, connections // 4)


class BoundedConnection(HttpToolsProtocol):
    """An HTTP connection with limits. `bounded` sets the limits, which are the same for the whole process."""

    bounds = ConnectionLimits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unframed = 0
        self._fields = 0
        self.head_due_since: float | None = time.monotonic()
        """When the wait for a request's head began; None while a request is being answered."""
        self._unread_since: float | None = None
        self._arrived = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection. If there are too many, close the one that has waited longest for its client."""
        if len(self.connections) >= self.bounds.connections:
            _longest_waiting(self.connections).abort()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived. Refuses a head that is longer than the limit before it is complete."""
        if self.transport.is_closing():
            return
        self._unframed += len(data)
        super().data_received(data)
        if self._unframed > self.bounds.head and not self.transport.is_closing():
            # All of it is head: neither the head's end nor a byte of a body was found.
            self._refuse(f"the head of the request is longer than {self.bounds.head} bytes")

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to an invalid request, 431 to too many headers.

        Close the connection if too many requests are pending.
        """
        if self._fields > self.bounds.headers:
            self._refuse(f"the request has more than {self.bounds.headers} header fields")
        elif len(self.pipeline) > self.bounds.pipelined:
            self.abort()
        else:
            self._answer(400, "BAD_REQUEST", "this is not an HTTP/1.1 request")

    def on_message_begin(self) -> None:
        """Begin a request, and count its header fields from zero."""
        super().on_message_begin()
        self._fields = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header field; one above the limit makes the parser stop. Trailers are dropped."""
        self._fields += 1
        if self._fields > self.bounds.headers:
            raise _LimitExceeded
        if self.cycle is None or self.scope is not self.cycle.scope:  # trailers are not read
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the wait for the head, unless too many requests are pending on this connection."""
        self._unframed = 0
        self.head_due_since = None
        if len(self.pipeline) > self.bounds.pipelined:
            raise _LimitExceeded
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, whose bytes do not count as head."""
        self._unframed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Begin the wait for the next head if no request is pending."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.pipeline:
            self.head_due_since = time.monotonic()

    def pause_writing(self) -> None:
        """Begin the wait for a client that does not read its response."""
        self._unread_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """End the wait for the client to read."""
        self._unread_since = None
        super().resume_writing()

    def waiting_since(self) -> float:
        """Return the monotonic time since which the server waits for the client; infinity if it does not wait."""
        if self.head_due_since is not None:
            return self.head_due_since
        if self._unread_since is not None:
            return self._unread_since
        unfinished = self.cycle is not None and self.cycle.more_body
        return self._arrived if unfinished else float("inf")

    def overdue(self, now: float) -> bool:
        """Return True if the client has exceeded its time limit at the monotonic time `now`."""
        if self.head_due_since is not None and now - self.head_due_since > self.bounds.idle:
            return True
        return self._unread_since is not None and now - self._unread_since > self.bounds.unread

    def abort(self) -> None:
        """Close the connection at once; data not yet sent are discarded."""
        self.connections.discard(self)
        self.transport.abort()

    def _refuse(self, message: str) -> None:
        self._answer(431, "REQUEST_HEADER_TOO_LARGE", message)

    def _answer(self, status: int, code: str, message: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.abort()  # the client would take a refusal for the answer to the request before
            return
        body = json.dumps({"error_code": code, "message": message}).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


class _LimitExceeded(httptools.HttpParserError):
    """A limit is exceeded; uvicorn handles it like any head that cannot be read."""


def bounded(bounds: ConnectionLimits) -> type[BoundedConnection]:
    """Return a protocol class with these limits, for `uvicorn.Config(http=…)`."""
    return type("Connection", (BoundedConnection,), {"bounds": bounds})


async def sweep(connections: set[Any]) -> None:
    """Close connections whose clients have exceeded a time limit; run until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_EVERY)
        now = time.monotonic()
        late = [client for client in connections if isinstance(client, BoundedConnection) and client.overdue(now)]
        for client in late:
            client.abort()


def _longest_waiting(connections: set[Any]) -> BoundedConnection:
    connection: BoundedConnection = min(connections, key=lambda waiting: waiting.waiting_since())
    return connection
