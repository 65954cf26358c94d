"""A server that answers as GitHub's REST does, for what the workflows ask; `gh` reaches it by a Unix socket."""

from __future__ import annotations

import json
import re
import socketserver
import threading
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

BOT = "github-actions[bot]"
MOST_ON_A_PAGE = 100


@dataclass
class Repository:
    """What the server knows of `owner/project`, what it was asked, and the faults that it will answer with first."""

    name: str = "owner/project"
    pulls: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[tuple[str, bytes]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[str, list[str]] = field(default_factory=dict)
    """Environment -> the types of its protection rules."""
    faults: dict[str, deque[int]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def open_pull(self, number: int, repository: str, branch: str, sha: str, state: str = "open") -> None:
        head = {"ref": branch, "sha": sha, "repo": {"full_name": repository}}
        self.pulls.append({"number": number, "state": state, "head": head})

    def comment(self, pull: int, body: str, login: str = BOT) -> int:
        comment = {"id": 1000 + len(self.comments), "pull": pull, "body": body, "user": {"login": login}}
        self.comments.append(comment)
        return int(comment["id"])

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and content; lists are cut into pages by the caller."""
        for part, statuses in self.faults.items():
            if part in f"{method} {path}" and statuses:
                status = statuses.popleft()
                return status, {"message": {403: "Resource not accessible by integration"}.get(status, "No")}
        if method == "GET" and path == "pulls":
            owner, _, branch = query["head"].partition(":")
            return 200, [
                pull
                for pull in self.pulls
                if pull["state"] == query["state"]
                and pull["head"]["repo"]["full_name"].split("/")[0] == owner
                and pull["head"]["ref"] == branch
            ]
        if method == "GET" and path == "actions/runs/7/artifacts":
            facts = [
                {"id": 70 + index, "name": name, "expired": False, "size_in_bytes": len(content)}
                for index, (name, content) in enumerate(self.artifacts)
            ]
            return 200, {"total_count": len(facts), "artifacts": facts}
        if method == "GET" and (match := re.fullmatch(r"actions/artifacts/(\d+)/zip", path)):
            return 200, self.artifacts[int(match[1]) - 70][1]
        if match := re.fullmatch(r"issues/(\d+)/comments", path):
            if method == "POST":
                self.comment(int(match[1]), body["body"])
                return 201, self.comments[-1]
            return 200, [comment for comment in self.comments if comment["pull"] == int(match[1])]
        if method == "PATCH" and (match := re.fullmatch(r"issues/comments/(\d+)", path)):
            for comment in self.comments:
                if comment["id"] == int(match[1]):
                    comment["body"] = body["body"]
                    return 200, comment
        if method == "GET" and (rules := self.rules.get(path.removeprefix("environments/"))) is not None:
            return 200, {"protection_rules": [{"id": 1, "type": each} for each in rules]}
        return self._answer_issues(method, path, query, body)

    def _answer_issues(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if path == "issues" and method == "GET":
            return 200, [issue for issue in self.issues if issue["state"] == query["state"]]
        if path == "issues" and method == "POST":
            self.issues.append({"number": len(self.issues) + 1, "state": "open", "user": {"login": BOT}, **body})
            return 201, self.issues[-1]
        if method == "PATCH" and (match := re.fullmatch(r"issues/(\d+)", path)):
            self.issues[int(match[1]) - 1].update(body)
            return 200, self.issues[int(match[1]) - 1]
        return 404, {"message": "Not Found"}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    repository: Repository


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def address_string(self) -> str:
        return "gh"

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        repository, url = self.server.repository, urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        repository.requests.append((self.command, self.path))
        prefix = f"/repos/{repository.name}/"
        if not self.headers.get("Authorization") or not url.path.startswith(prefix):
            status, content = 401, {"message": "Bad credentials"}
        else:
            path = url.path.removeprefix(prefix)
            status, content = repository.answer(self.command, path, query, json.loads(text or "{}"))
        self.send_response(status)
        if isinstance(content, list):
            number, size = int(query.get("page", 1)), int(query.get("per_page", 30))
            assert size <= MOST_ON_A_PAGE
            if number * size < len(content):
                following = f"https://api.github.com{url.path}?per_page={size}&page={number + 1}"
                self.send_header("Link", f'<{following}>; rel="next"')
            content = content[(number - 1) * size : number * size]
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_header("Content-Type", "application/zip" if isinstance(content, bytes) else "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PATCH = _answer


@contextmanager
def serve(folder: Path) -> Iterator[_Server]:
    """Serve on a socket in `folder`, whose path must be short; set `repository` before asking."""
    with _Server(str(folder / "github"), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def zipped(files: Sequence[tuple[str, bytes]]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return content.getvalue()
