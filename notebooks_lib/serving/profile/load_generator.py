"""The client process of a profile: sends requests over HTTP in closed loops, or at times that are fixed beforehand.

`python -m notebooks_lib.serving.profile.load_generator PARENT_PID`. Standard library only, and sockets without asyncio:
it may share a core with the server that it measures, and there asyncio lowered the measured rate by a tenth. It speaks
in lines of JSON:

    reads   a LoadConfig
    writes  {"rate", "requests", "p50", "p95", "p99", "errors", "client"}, then reads the next line

Without `arrivals`, each of `concurrency` clients sends its next request once the last is answered. A server that stalls
receives fewer requests meanwhile, so these are the times of that many patient clients (coordinated omission). With
`arrivals`, requests fall due at random times at that rate, and times count from when a request was due.
"""

from __future__ import annotations

import json
import math
import random
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from notebooks_lib import parent_process

MAX_FAILURES = 20
"""Failed connections in a row after which the server counts as gone."""


class LoadConnection:
    """The connection of one simulated client, which repeatedly sends a request and reads the answer."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self.socket: socket.socket | None = None
        self.due = 0.0
        self._out = memoryview(b"")
        self._in = bytearray()
        self._wanted = -1
        self.status = 0

    def ask(self) -> None:
        """Begin to send the request. Raises OSError when the server cannot be reached."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)
        self._in.clear()
        self._wanted, self.status = -1, 0
        self._out = memoryview(self._request)
        self.push()

    def push(self) -> None:
        """Send as much of the request as the system accepts. Raises OSError when the connection fails."""
        assert self.socket is not None
        while self._out:
            try:
                self._out = self._out[self.socket.send(self._out) :]
            except BlockingIOError:
                return

    @property
    def pushing(self) -> bool:
        """True if a part of the request has not been sent yet."""
        return bool(self._out)

    def pull(self) -> bool:
        """Read what has arrived; return whether the answer is complete.

        Raises OSError when the connection fails or the server closes it.
        """
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
        """Close the connection."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


@dataclass(frozen=True)
class LoadConfig:
    """What one measurement sends: the request, for how long, and how many clients or which rate."""

    port: int
    body: str
    concurrency: int
    """Clients, or with `arrivals` the most connections at once."""
    warm_up: float
    """Seconds before the measured ones."""
    seconds: float
    patience: float
    """Seconds after the measured ones for which a request is still waited for."""
    arrivals: float = 0.0
    """Requests a second that fall due, whether or not earlier ones were answered; 0: closed loops."""

    def to_json(self) -> str:
        """Return the configuration as one line; `from_json` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a configuration from the line that `to_json` returned."""
        return cls(**json.loads(line))


class LoadGenerator:
    """Makes one measurement: sends the requests of a configuration and measures the answers."""

    def __init__(self, config: LoadConfig) -> None:
        body = config.body.encode()
        head = "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._idle = [LoadConnection(config.port, request) for _ in range(config.concurrency)]
        self._selector = selectors.DefaultSelector()
        self._first = time.perf_counter() + config.warm_up
        self._seconds = config.seconds
        self._last = self._first + self._seconds
        self._deadline = self._last + config.patience
        now = time.perf_counter()
        due = _arrivals(config.arrivals, (now, self._first), (self._first, self._last))
        self._due = deque(due)
        self._closed = not config.arrivals
        self._failures = 0
        self._inside = 0
        self._times: list[float] = []
        self._errors: Counter[str] = Counter()
        self._cpu: list[float] = []

    def run(self) -> dict[str, Any]:
        """Send the requests and return the results. Requests begun or due during the warm-up do not count."""
        connections = list(self._idle)
        self._begin()
        while self._failures < MAX_FAILURES and time.perf_counter() < self._deadline:
            waiting = self._due[0] - time.perf_counter() if self._due and self._idle else 0.5
            for key, events in self._selector.select(max(0.0, min(waiting, 0.5))):
                self._go_on(key.data, events)
            self._begin()
            if len(self._idle) == len(connections) and not self._more():
                break
        ended = time.perf_counter()
        unanswered = len(connections) - len(self._idle)
        if unanswered:
            self._errors["no answer"] += unanswered
        for connection in connections:
            connection.close()
        self._selector.close()
        # Requests that take longer than the measurement: what was answered, by the time that it took.
        late = len(self._times) / max(ended - self._first, 1e-9)
        ordered = sorted(self._times)
        return {
            "rate": self._inside / self._seconds if self._inside else late,
            "requests": len(ordered),
            **{name: percentile(ordered, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
            "errors": dict(self._errors),
            "client": (self._cpu[-1] - self._cpu[0]) / self._seconds if self._cpu else 0.0,
        }

    def _more(self) -> bool:
        return bool(self._due) if not self._closed else time.perf_counter() < self._last

    def _begin(self) -> None:
        """Send a request on every idle connection that has one to send."""
        while self._idle and self._failures < MAX_FAILURES:
            now = time.perf_counter()
            if self._closed and now >= self._last:
                return
            if not self._closed and not (self._due and self._due[0] <= now):
                return
            connection = self._idle.pop()
            connection.due = now if self._closed else self._due.popleft()
            try:
                connection.ask()
            except OSError as error:
                self._done(connection, type(error).__name__)
                time.sleep(0.01)
                continue
            assert connection.socket is not None
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.pushing else 0)
            self._selector.register(connection.socket, events, connection)

    def _go_on(self, connection: LoadConnection, events: int) -> None:
        assert connection.socket is not None
        try:
            if events & selectors.EVENT_WRITE:
                connection.push()
                if not connection.pushing:
                    self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
            if not (events & selectors.EVENT_READ and connection.pull()):
                return
            status = str(connection.status)
        except (OSError, ValueError) as error:
            status = type(error).__name__
        self._selector.unregister(connection.socket)
        self._done(connection, status)

    def _done(self, connection: LoadConnection, status: str) -> None:
        now = time.perf_counter()
        self._idle.append(connection)
        if status.isdigit():
            self._failures = 0
        else:
            self._failures += 1
            connection.close()
        if self._first < now <= self._last:
            self._cpu.append(time.process_time())
            self._inside += status == "200"
        if connection.due >= self._first:
            if status == "200":
                self._times.append(now - connection.due)
            else:
                self._errors[status] += 1


def _arrivals(rate: float, *windows: tuple[float, float]) -> list[float]:
    """Return when requests are due: at random, but as many in each window as the rate says, and the same at every call.

    This is how Poisson arrivals are distributed, once their number is known.
    """
    chance = random.Random(0)
    return [
        due
        for began, ended in windows
        for due in sorted(chance.uniform(began, ended) for _ in range(_number(rate * (ended - began))))
    ]


def _number(expected: float) -> int:
    return max(1, round(expected)) if expected > 0 else 0


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest of the sorted values `ordered` that at least a `share` of them do not exceed.

    None if there are no values.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def main() -> None:
    """Run the client process: read configurations from standard input, and print results as lines of JSON."""
    parent_process.exit_with_parent(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(LoadGenerator(LoadConfig.from_json(line)).run()), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
