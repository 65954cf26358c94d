"""The access log of a server: one line of JSON a request, bounded in size."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from notebooks_lib.serving.asgi_requests import HttpRequest, HttpResponse

LOG_BYTES = 10 * 1024 * 1024
"""Bytes after which the file is moved to access.log.1."""


_QUIET_PATHS = ("/health", "/ping", "/metrics")
"""Polled by machines every few seconds: logged only when the answer is an error."""


class AccessLog:
    """The access log of a server: a line of JSON for each request, in a file of bounded size.

    A kill -9 loses the lines written since the last `flush`.
    """

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self._path = path
        self._limit = limit
        self._file: IO[str] | None = None

    def write(self, request: HttpRequest, answer: HttpResponse, seconds: float) -> None:
        """Write a line about a request and its answer. If the disk is full, the line is lost and no error is raised."""
        if answer.status == 200 and request.path in _QUIET_PATHS:
            return
        slot, client = answer.slot, request.scope.get("client")
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request.id.decode(),
            "traceparent": request.trace.decode() or None,
            "client": client[0] if client else None,
            "method": request.method[:20],
            "path": request.path[:200],
            "status": answer.status,
            "slot": slot.name if slot else None,
            "version": slot.info.get("version") if slot else None,
            "ms": round(1000 * seconds, 2),
            "bytes_in": request.size,
            "bytes_out": len(answer.body),
        }
        with suppress(OSError):
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Write the remaining lines to disk, and close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def flush(self) -> None:
        """Write the lines to disk. If the file is full, begin a new one."""
        if self._file is None:
            return
        with suppress(OSError):
            self._file.flush()
            if self._file.tell() > self._limit:
                self.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
