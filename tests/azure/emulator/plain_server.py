"""A plain HTTP server in the test's own process, for what needs none of Azure's hosts: it answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CUT = 0
"""The status of an answer that never comes: the connection is closed."""
SILENT = -1
"""The status of an answer for which the client waits until the test is over."""


@dataclass
class PlainServer:
    """The server; the last of its answers stays."""

    address: str
    answers: list[tuple[Any, ...]] = field(default_factory=lambda: [(404,)])
    """Status, content (JSON unless it is bytes) and headers."""
    seen: list[str] = field(default_factory=list)
    """Method and path of each request."""


@contextmanager
def running() -> Iterator[PlainServer]:
    """A server for the length of the block."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.seen.append(f"{self.command} {self.path}")
            answer = server.answers[0]
            status, content, headers = *answer, *(404, b"", {})[len(answer) :]
            if len(server.answers) > 1:
                del server.answers[0]
            if status == SILENT:
                over.wait()
            if status in (CUT, SILENT):
                return
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_CONNECT = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = PlainServer(f"http://127.0.0.1:{listening.server_port}")
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server
        finally:
            over.set()
            listening.shutdown()
