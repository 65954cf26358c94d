"""A server that answers as Azure DevOps' REST does, for what the pipelines ask of a pull request."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BUILD_SERVICE = "b1d1d1d1-0000-4000-8000-000000000000"
LONGEST_COMMENT = 150_000
PREFIX = "/organization/project-id/_apis/git/repositories/repository-id/pullRequests/3"
CONNECTION = "/organization/_apis/connectionData"
RETRY_AFTER = 1
"""Seconds that it asks for with 429."""


@dataclass
class PullRequest:
    """What the server knows of pull request 3, what it was asked, and the faults that it will answer with first."""

    commit: str
    token: str
    status: str = "active"
    threads: list[dict[str, Any]] = field(default_factory=list)
    attachments: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Name -> author and content."""
    faults: dict[str, deque[int]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def comment(self, content: str, author: str = BUILD_SERVICE, **more: Any) -> dict[str, Any]:
        """Add a thread with one comment; return the comment."""
        comment = {"id": 1, "content": content, "author": {"id": author}}
        self.threads.append({"id": 100 + len(self.threads), "comments": [comment], **more})
        return comment

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Return status and JSON of an answer."""
        for part, statuses in self.faults.items():
            if part in f"{method} {path}" and statuses:
                return statuses.popleft(), {"message": "TF401027: You need the Git permission."}
        if path == CONNECTION:
            assert query["api-version"].endswith("-preview.1"), "it was never released"
            return 200, {"authenticatedUser": {"id": BUILD_SERVICE}}
        assert query["api-version"] == "7.1"
        if not path.startswith(PREFIX):
            return 404, {"message": "TF401180: The requested pull request was not found."}
        return self._answer(method, path.removeprefix(PREFIX), body)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if method == "GET" and path == "":
            return 200, {"status": self.status, "lastMergeSourceCommit": {"commitId": self.commit}}
        if method == "GET" and path == "/attachments":
            facts = [{"displayName": name, "author": {"id": one[0]}} for name, one in self.attachments.items()]
            return 200, {"value": facts, "count": len(facts)}
        if method == "POST" and (match := re.fullmatch(r"/attachments/([^/]+)", path)):
            if match[1] in self.attachments:
                return 409, {"message": "An attachment of this name exists."}
            self.attachments[match[1]] = (BUILD_SERVICE, body)
            return 201, {"displayName": match[1]}
        if method == "GET" and path == "/threads":
            return 200, {"value": self.threads, "count": len(self.threads)}
        if method == "POST" and path == "/threads":
            content = json.loads(body)
            (comment,) = content["comments"]
            if len(comment["content"]) > LONGEST_COMMENT:
                return 400, {"message": "The comment is too long."}
            self.comment(comment["content"], status=content["status"])
            return 200, self.threads[-1]
        if method == "PATCH" and (match := re.fullmatch(r"/threads/(\d+)/comments/(\d+)", path)):
            (thread,) = (thread for thread in self.threads if thread["id"] == int(match[1]))
            (comment,) = (comment for comment in thread["comments"] if comment["id"] == int(match[2]))
            comment["content"] = json.loads(body)["content"]
            return 200, comment
        return 404, {"message": "Not found."}


class _Server(ThreadingHTTPServer):
    pull: PullRequest


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        pull, url = self.server.pull, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        pull.requests.append(f"{self.command} {self.path}")
        if self.headers.get("Authorization") == f"Bearer {pull.token}":
            status, content = pull.answer(self.command, url.path, query, body)
        else:
            status, content = 203, None  # Azure DevOps answers with its page to sign in, and no error
        sent = b"<html>Sign In</html>" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", str(RETRY_AFTER))
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PATCH = _answer


@contextmanager
def serve() -> Iterator[_Server]:
    """Serve on a port of this machine; set `pull` before asking."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
