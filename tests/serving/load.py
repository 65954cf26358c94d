"""A constant load on an endpoint, whose every answer is counted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import Any


class Load:
    """Asks an endpoint from several connections at once until the `with` block ends."""

    def __init__(self, port: int, payload: Any, *, connections: int = 4, pause: float = 0.0) -> None:
        self._port = port
        self._body = json.dumps(payload).encode()
        self._pause = pause
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]
        self._lock = threading.Lock()
        self.answers: Counter[tuple[int, str, str]] = Counter()
        """(status, slot, body) -> how often."""
        self.errors: list[str] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def total(self) -> int:
        return sum(self.answers.values())

    @property
    def failed(self) -> dict[Any, int]:
        """All that was not answered with 200."""
        return {key: count for key, count in self.answers.items() if key[0] != 200} | Counter(self.errors)

    def wait(self, more: int) -> None:
        """Until so many more requests are answered."""
        goal, deadline = self.total + more, time.monotonic() + 300
        while self.total < goal and not self.errors and time.monotonic() < deadline:
            time.sleep(0.005)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Content-Type": "application/json"}
        while not self._ending.wait(self._pause):
            try:
                connection.request("POST", "/invocations", self._body, headers)
                answer = connection.getresponse()
                key = answer.status, answer.getheader("azureml-model-deployment", ""), answer.read().decode()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
                time.sleep(0.05)
            else:
                with self._lock:
                    self.answers[key] += 1
        connection.close()
