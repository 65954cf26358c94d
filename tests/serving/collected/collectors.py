"""What the collectors write: the local one itself, and Azure's sidecar, which gets what azureml-ai-monitoring sends."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from notebooks_lib.serving.data_collector import INPUTS, OUTPUTS, CollectedRequest, DataCollector
from tests.azure.emulator import Emulated
from tests.azure.emulator.collector_sidecar import CollectorSidecar

AT = datetime(2026, 11, 20, 10, 59, 58, tzinfo=UTC)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """One request and its answer."""

    rows: Sequence[Any]
    predictions: Sequence[Any]
    id: str = ""
    at: datetime = AT
    version: str = "3"
    slot: str = "blue"


def collect_locally(root: Path, endpoint: str, asked: Sequence[Asked]) -> None:
    collector = DataCollector(root, endpoint)
    for number, each in enumerate(asked):
        body, answer = {"dataframe_records": each.rows}, {"predictions": each.predictions}
        texts = (json.dumps(content).encode() for content in (body, answer))
        about = (each.slot, each.version, each.id or f"r{number}", "", "application/json")
        collector.offer(CollectedRequest(*about, *texts, each.at.timestamp()))
    collector.close()
    assert (collector.collected, collector.dropped) == (len(asked), 0)


def collect_on_azure(root: Path, endpoint: str, asked: Sequence[Asked]) -> None:
    for slot in sorted({each.slot for each in asked}):
        with CollectorSidecar(root, endpoint, slot) as sidecar:
            for number, each in enumerate(asked):
                outputs = [row if isinstance(row, dict) else {"prediction": row} for row in each.predictions]
                for collection, rows in ((INPUTS, each.rows), (OUTPUTS, outputs)) if each.slot == slot else ():
                    _post(sidecar, collection, rows, each, each.id or f"r{number}")


def storage(server: Emulated) -> Path:
    """Return the folder with the files of the emulated workspace's default datastore."""
    return Path(server.environment["SSL_CERT_FILE"]).parent / "blobs" / "blobstore"


def _post(sidecar: CollectorSidecar, collection: str, rows: object, asked: Asked, request: str) -> None:
    headers = {
        "Content-Type": "application/json",
        "trace-id": str(uuid.uuid4()),
        "ce-type": f"azureml.inference.{collection}",
        "ce-time": str(int(asked.at.timestamp())),
        "ce-x-request-id": request,
        "ce-model-version": asked.version,
        "ce-collect-data-type": "pandas.core.frame.DataFrame",
        "ce-agent": "azureml-ai-monitoring/1.0.0",
    }
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=30)
    connection.request("POST", "/modeldata/log", json.dumps(rows), headers)
    assert connection.getresponse().status == 200
    connection.close()
