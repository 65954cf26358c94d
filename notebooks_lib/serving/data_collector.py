"""Write requests and predictions to Parquet files. It never blocks a request and never makes one fail.

    ROOT/ENDPOINT/SLOT/model_inputs/2026/01/31/23/ID.parquet      and model_outputs beside it

as Azure's data collector lays its files out, and with the fields of its records; `data` holds the rows as JSON.
The queue is bounded: when the writer does not keep up, further requests are dropped, and counted. A file is written
after `rotate` seconds or `_FILE_BYTES`; a kill -9 loses the requests since then, never a file that was written.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from notebooks_lib.models.input_schema import Column

WAITING = 1000
"""Requests in the queue, at most."""
WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of them, at most."""
_FILE_BYTES = 16 * 1024 * 1024
STEP = 0.6180339887498949  # as in slots.py: any share, evenly

INPUTS, OUTPUTS = "model_inputs", "model_outputs"
FIELDS = (
    *("specversion", "id", "source", "type", "datacontenttype", "time", "data", "contentrange", "correlationid"),
    *("xrequestid", "modelversion", "collectdatatype", "agent", "traceparent"),
)

log = logging.getLogger("nbops.endpoint")


@dataclass(frozen=True)
class CollectedRequest:
    """A request that was answered with predictions, to be written to a file."""

    slot: str
    version: str
    id: str
    trace: str
    kind: str
    body: bytes
    answer: bytes
    at: float
    columns: Sequence[Column] = ()
    """What the model takes."""


@dataclass
class _File:
    """Rows that go to one file."""

    since: float
    records: list[dict[str, str]] = field(default_factory=list)
    size: int = 0


class DataCollector:
    """Collects requests in a bounded queue. A thread writes them to files."""

    def __init__(
        self, root: Path, endpoint: str, *, share: float = 1.0, rotate: float = 60.0, waiting: int = WAITING
    ) -> None:
        self.collected = 0
        self.dropped = 0
        self._endpoint = endpoint
        self._root = root / endpoint
        self._share = share
        self._rotate = rotate
        self._waiting = waiting
        self._turn = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self._files: dict[tuple[str, str, str], _File] = {}
        self._queue: queue.SimpleQueue[CollectedRequest | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="collect", daemon=True)
        self._thread.start()

    def offer(self, request: CollectedRequest) -> None:
        """Queue the request, if it belongs to the sample and the queue has room. Takes microseconds."""
        self._turn += 1
        if (self._turn * STEP) % 1.0 >= self._share:
            return
        size = len(request.body) + len(request.answer)
        with self._lock:
            if self._queue.qsize() >= self._waiting or self._bytes + size > WAITING_BYTES:
                self.dropped += 1
                return
            self._bytes += size
        self._queue.put(request)

    def close(self, timeout: float = 5.0) -> None:
        """Write the queued requests to disk, for at most `timeout` seconds, and stop the writer."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        running = True
        while running:
            try:
                request = self._queue.get(timeout=min(1.0, self._rotate / 4))
                running = request is not None
                if request is not None:
                    self._take(request)
            except queue.Empty:
                pass
            now = time.monotonic()
            for place, file in list(self._files.items()):
                if not running or now - file.since >= self._rotate or file.size >= _FILE_BYTES:
                    self._write(place, self._files.pop(place))

    def _take(self, request: CollectedRequest) -> None:
        with self._lock:
            self._bytes -= len(request.body) + len(request.answer)
        try:
            pairs = (
                (INPUTS, input_rows(request.kind, request.body, request.columns)),
                (OUTPUTS, output_rows(request.answer)),
            )
        except Exception:
            log.exception("a request could not be collected")
            self.dropped += 1
            return
        hour = datetime.fromtimestamp(request.at, UTC).strftime("%Y/%m/%d/%H")
        for collection, data in pairs:
            record = self._record(request, collection, data)
            file = self._files.setdefault((request.slot, collection, hour), _File(time.monotonic()))
            file.records.append(record)
            file.size += len(record["data"]) + 500

    def _record(self, request: CollectedRequest, collection: str, data: Any) -> dict[str, str]:
        text = json.dumps(data)
        at = datetime.fromtimestamp(request.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": f"/onlineEndpoints/{self._endpoint}/deployments/{request.slot}",
            "type": f"azureml.inference.{collection}",
            "datacontenttype": "application/json",
            "time": at,
            "data": text,
            "contentrange": f"bytes 0-{len(text) - 1}/{len(text)}",
            "correlationid": request.id,
            "xrequestid": request.id,
            "modelversion": request.version,
            "collectdatatype": "pandas.core.frame.DataFrame",
            "agent": "nbops",
            "traceparent": request.trace,
        }

    def _write(self, place: tuple[str, str, str], file: _File) -> None:
        slot, collection, hour = place
        folder = self._root / slot / collection / hour
        name = uuid.uuid4().hex
        requests = len(file.records) if collection == INPUTS else 0  # each has a record in the other collection too
        part = folder / f".{name}.part"
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq

            folder.mkdir(parents=True, exist_ok=True)
            columns = {key: [record[key] for record in file.records] for key in FIELDS}
            pq.write_table(pa.table(columns, schema=pa.schema([(key, pa.string()) for key in FIELDS])), part)
            part.replace(folder / f"{name}.parquet")
        except Exception:
            log.exception("%d collected records could not be written", len(file.records))
            self.dropped += requests
            with suppress(OSError):
                part.unlink(missing_ok=True)
        else:
            self.collected += requests


def input_rows(kind: str, body: bytes, columns: Sequence[Column] = ()) -> list[Any]:
    """Return the rows of a request: as objects if it or the model's `columns` name them, else as they were sent."""
    if kind == "text/csv":
        return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    payload = json.loads(body)
    value = next(value for key, value in payload.items() if key != "params")
    if not isinstance(value, Mapping):
        return _named(value if isinstance(value, list) else [value], columns)
    if "data" in value and isinstance(value["data"], list):
        names = value.get("columns")
        rows = value["data"]
        return [dict(zip(names, row, strict=True)) for row in rows] if names else _named(rows, columns)
    by_column = {name: items if isinstance(items, list) else [items] for name, items in value.items()}
    return [dict(zip(by_column, row, strict=True)) for row in zip(*by_column.values(), strict=True)]


def _named(rows: list[Any], columns: Sequence[Column]) -> list[Any]:
    """Return rows that are lists as objects, where the model takes a table of as many columns: in their order."""
    names = [column.name for column in columns if column.name is not None and column.shape is None]
    fits = bool(names) and all(isinstance(row, list) and len(row) == len(names) for row in rows)
    return [dict(zip(names, row, strict=True)) for row in rows] if fits else rows


def output_rows(answer: bytes) -> list[Any]:
    """Return the predictions, one object for each row."""
    predictions = json.loads(answer)["predictions"]
    rows = predictions if isinstance(predictions, list) else [predictions]
    return [row if isinstance(row, dict) else {"prediction": row} for row in rows]
