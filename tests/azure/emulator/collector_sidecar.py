"""The process that Azure runs beside score.py: it receives what azureml-ai-monitoring sends, and writes JSON Lines.

    ROOT/modelDataCollector/ENDPOINT/DEPLOYMENT/COLLECTION/2026/01/31/23/INSTANCE.jsonl

One CloudEvent a line, as Azure's data collector writes them to blob storage.
"""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PREFIX = "azureml.inference."


class CollectorSidecar:
    """Receives on a free port of 127.0.0.1, within a `with` block. `refusing` makes it answer 500 and write nothing."""

    def __init__(self, root: Path, endpoint: str, deployment: str, *, workspace: str = "") -> None:
        self.root = root / "modelDataCollector" / endpoint / deployment
        self.refusing = False
        self.received = 0
        self._source = f"{workspace}/onlineEndpoints/{endpoint}/deployments/{deployment}"
        self._instance = uuid.uuid4().hex
        self._writing = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> CollectorSidecar:
        threading.Thread(target=self._server.serve_forever, name="sidecar", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self, collection: str) -> list[dict[str, Any]]:
        """The events of a collection, in the order of their arrival."""
        files = sorted((self.root / collection).rglob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sidecar = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sidecar.received += 1
                taken = self.path == "/modeldata/log" and not sidecar.refusing
                if taken:
                    sidecar._write({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(200 if taken else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _write(self, headers: dict[str, str], body: bytes) -> None:
        collection = headers["ce-type"].removeprefix(PREFIX)
        at = datetime.fromtimestamp(int(headers["ce-time"]), UTC)
        event = {
            "specversion": "1.0",
            "id": headers["trace-id"],
            "source": self._source,
            "type": headers["ce-type"],
            "datacontenttype": headers["content-type"],
            "time": at.isoformat().replace("+00:00", "Z"),
            "data": json.loads(body),
            "contentrange": f"bytes 0-{len(body) - 1}/{len(body)}",
            "correlationid": headers["ce-x-request-id"],
            "xrequestid": headers["ce-x-request-id"],
            "modelversion": headers["ce-model-version"],
            "collectdatatype": headers["ce-collect-data-type"],
            "agent": headers["ce-agent"],
        }
        event |= {"traceparent": headers["ce-traceparent"]} if "ce-traceparent" in headers else {}
        folder = self.root / collection / at.strftime("%Y/%m/%d/%H")
        with self._writing:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{self._instance}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
