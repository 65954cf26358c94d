"""The client process of a profile: sends requests over HTTP in closed loops, or at times that are fixed beforehand.

`python -m notebooks_lib.serving.profile.driver PARENT_PID`. Standard library only: it shares a small machine with the
server that it measures. It talks in lines of JSON:

    reads   {"port", "body", "concurrency", "arrivals", "warm_up", "seconds", "patience"}
    writes  {"rate", "requests", "p50", "p95", "p99", "errors", "client"}, then reads the next line

Without `arrivals`, each of `concurrency` clients sends its next request once the last is answered. A server that stalls
receives fewer requests meanwhile, so these are the times of that many patient clients (coordinated omission). With
`arrivals`, requests fall due at random times at that rate, and times count from when a request was due.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from notebooks_lib.serving import parent_process

MAX_FAILURES = 20
"""Failed connections in a row after which the server counts as gone."""


class LoadDriver:
    """Execute one order."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        body = str(order["body"]).encode()
        head = "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._port, self._concurrency = int(order["port"]), int(order["concurrency"])
        self._arrivals, self._seconds = float(order["arrivals"]), float(order["seconds"])
        self._warm_up, self._patience = float(order["warm_up"]), float(order["patience"])
        self._failures = 0
        self._answers = 0
        self._times: list[float] = []
        self._cpu_times: list[float] = []
        self._errors: Counter[str] = Counter()

    def run(self) -> dict[str, Any]:
        """Send the requests and return the results. Requests begun or due during the warm-up do not count."""
        ended = asyncio.run(self._drive())
        times = sorted(self._times)
        # Requests that all outlast the measurement: their number by the time that they took.
        late = len(times) / max(ended - self._first, 1e-9)
        return {
            "rate": self._answers / self._seconds if self._answers else late,
            "requests": len(times),
            **{name: percentile(times, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
            "errors": dict(self._errors),
            "client": (self._cpu_times[-1] - self._cpu_times[0]) / self._seconds if self._cpu_times else 0.0,
        }

    async def _drive(self) -> float:
        """Run all clients to their end, or until patience ends; return the time of the last answer."""
        began = time.perf_counter()
        self._first = began + self._warm_up
        self._last = self._first + self._seconds
        self._due = deque(due_times(self._arrivals, (began, self._first), (self._first, self._last)))
        clients = [asyncio.create_task(self._client()) for _ in range(self._concurrency)]
        _, unanswered = await asyncio.wait(clients, timeout=self._last + self._patience - began)
        ended = time.perf_counter()
        if unanswered:
            self._errors["no answer"] += len(unanswered)
            for client in unanswered:
                client.cancel()
            await asyncio.wait(unanswered)
        return ended

    async def _client(self) -> None:
        connection = HttpConnection(self._port)
        try:
            while self._failures < MAX_FAILURES:
                due = time.perf_counter()
                if self._arrivals:
                    if not self._due:
                        return
                    due = self._due.popleft()
                    await asyncio.sleep(due - time.perf_counter())
                elif due >= self._last:
                    return
                await self._send(connection, due)
        finally:
            connection.close()

    async def _send(self, connection: HttpConnection, due: float) -> None:
        try:
            status = str(await connection.ask(self._request))
            self._failures = 0
        except (OSError, ValueError) as error:
            status = type(error).__name__
            self._failures += 1
            connection.close()
            await asyncio.sleep(0.01)
        now = time.perf_counter()
        if self._first < now <= self._last:
            self._cpu_times.append(time.process_time())
            self._answers += status == "200"
        if due < self._first:
            return
        if status == "200":
            self._times.append(now - due)
        else:
            self._errors[status] += 1


class HttpConnection:
    """One connection to the server, opened when a request needs it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Send a request, read the whole answer and return its status. Raises OSError or ValueError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, header, length = head.partition(b"\r\ncontent-length:")
            if not header:
                raise ConnectionError("an answer without its length")
            await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        except EOFError:
            raise ConnectionResetError("the server hung up") from None
        return int(head[9:12])

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def due_times(rate: float, *windows: tuple[float, float]) -> list[float]:
    """Return when requests are due: at random, the number in each window as the rate says, the same at every call.

    Poisson arrivals are distributed like this once their number is known.
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
    """Return the smallest value that `share` of all values do not exceed; None without any."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def main() -> None:
    """Run as a process of its own; see the module."""
    parent_process.bind(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(LoadDriver(json.loads(line)).run()), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
