"""The client process of a profile: closed loops over HTTP, each connection asking again once it is answered.

`python -m notebooks_lib.serving.profiling.driver STARTER`. Standard library only: it shares a small machine with what
it measures. In lines of JSON:

    reads   {"port", "body", "concurrency", "warm_up", "seconds", "patience"}
    writes  {"rate", "requests", "p50", "p95", "p99", "errors", "client", "wall"}; then the next

A closed loop at a fixed concurrency never has more requests open than that, so a server that stalls is asked less
meanwhile: its times are those of that many patient clients, not of arrivals at a rate (coordinated omission).
"""

from __future__ import annotations

import json
import math
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from notebooks_lib.serving.profiling import bound

GIVEN_UP = 20
"""Failed connections in a row after which nobody is there any more."""


class Connection:
    """One client: a request out, its answer in, and again."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self.socket: socket.socket | None = None
        self.began = 0.0
        self._out = memoryview(b"")
        self._in = bytearray()
        self._wanted = -1
        self.status = 0

    def ask(self) -> None:
        """Send the request anew. Raises OSError."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)
        self._in.clear()
        self._wanted, self.status = -1, 0
        self._out = memoryview(self._request)
        self.began = time.perf_counter()
        self.push()

    def push(self) -> None:
        """Send as much as the system takes. Raises OSError."""
        assert self.socket is not None
        while self._out:
            try:
                self._out = self._out[self.socket.send(self._out) :]
            except BlockingIOError:
                return

    @property
    def pushing(self) -> bool:
        """Whether a part of the request is still to be sent."""
        return bool(self._out)

    def pull(self) -> bool:
        """Take what has come; whether the answer is whole. Raises OSError, also when the other side hangs up."""
        assert self.socket is not None
        while True:
            try:
                part = self.socket.recv(1 << 18)
            except BlockingIOError:
                return False
            if not part:
                raise ConnectionResetError("the server hung up")
            self._in += part
            if self._wanted < 0:
                self._read_head()
            if 0 <= self._wanted <= len(self._in):
                return True

    def _read_head(self) -> None:
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._in[:end]).lower()
        self.status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise ConnectionError("an answer without its length")
        self._wanted = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])

    def close(self) -> None:
        """Hang up."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def drive(order: Mapping[str, Any]) -> dict[str, Any]:
    """Ask as ordered, and say what came of it. Requests begun during the warm-up are not counted."""
    body = str(order["body"]).encode()
    request = (
        b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    selector = selectors.DefaultSelector()
    connections = [Connection(int(order["port"]), request) for _ in range(int(order["concurrency"]))]
    errors: Counter[str] = Counter()
    times: list[float] = []
    inside = 0
    first = time.perf_counter() + float(order["warm_up"])
    last = first + float(order["seconds"])
    deadline = last + float(order["patience"])
    cpu_began, cpu_ended = -1.0, 0.0
    open_ones, failures = 0, 0

    def begin(connection: Connection) -> None:
        nonlocal open_ones, failures
        while failures < GIVEN_UP:
            try:
                connection.ask()
            except OSError as error:
                failures += 1
                errors[type(error).__name__] += 1
                connection.close()
                time.sleep(0.01)
                continue
            assert connection.socket is not None
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.pushing else 0)
            selector.register(connection.socket, wanted, connection)
            open_ones += 1
            return

    for connection in connections:
        begin(connection)
    while open_ones and failures < GIVEN_UP and time.perf_counter() < deadline:
        for key, events in selector.select(0.5):
            connection = key.data
            done, status = False, ""
            try:
                if events & selectors.EVENT_WRITE:
                    connection.push()
                    if not connection.pushing:
                        selector.modify(key.fileobj, selectors.EVENT_READ, connection)
                if events & selectors.EVENT_READ:
                    done = connection.pull()
                    status = str(connection.status)
            except (OSError, ValueError) as error:
                done, status = True, type(error).__name__
                failures += 1
            if not done:
                continue
            now = time.perf_counter()
            if cpu_began < 0 and now >= first:
                cpu_began = time.process_time()
            if now <= last:
                cpu_ended = time.process_time()
                inside += now > first and status == "200"
            if connection.began >= first:
                if status == "200":
                    failures = 0
                    times.append(now - connection.began)
                else:
                    errors[status] += 1
            assert connection.socket is not None
            selector.unregister(connection.socket)
            open_ones -= 1
            if not status.isdigit():
                connection.close()
            if now < last:
                begin(connection)
    ended = time.perf_counter()
    if open_ones:
        errors["no answer"] += open_ones
    for connection in connections:
        connection.close()
    selector.close()
    wall = float(order["seconds"])
    # Requests that take longer than the measurement: what was answered, by the time that it took.
    rate = inside / wall if inside else len(times) / max(ended - first, 1e-9)
    client = max(0.0, cpu_ended - cpu_began) / wall if cpu_began >= 0 else 0.0
    return {
        "rate": rate,
        "requests": len(times),
        **{name: percentile(sorted(times), share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        "errors": dict(errors),
        "client": client,
    }


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all do not exceed; None without any."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def main() -> None:
    """Run as a process of its own; see the module."""
    bound.to_starter(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(drive(json.loads(line))), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
