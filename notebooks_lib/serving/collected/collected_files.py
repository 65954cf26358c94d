"""The files that the collectors of this machine and of Azure wrote, with the documents in them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib import errors
from notebooks_lib.serving.collected.collected_records import CollectedFile, RecordFault

if TYPE_CHECKING:
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.azure.storage.blob_reading import BlobFile
    from notebooks_lib.azure.storage.file_upload import BlobFolder
    from notebooks_lib.settings import Settings

Documents = Iterator[tuple[str, object] | RecordFault]
"""Of one file: each with its place, or what is wrong there."""
Opened = Iterator[tuple[CollectedFile, Documents]]
PARQUET, JSON_LINES = ".parquet", ".jsonl"
DATASTORE = "azureml://datastores/workspaceblobstore/paths/modelDataCollector"
"""Where deployments of nbops let Azure's collector write (azure_deployment.py)."""
_FIELDS = ["id", "time", "data", "correlationid", "modelversion"]
_BATCH = 256
_SLACK = timedelta(hours=1)
"""The two records of one request lie in files of different hours where it came at the end of one."""


def local_files(settings: Settings, endpoint: str, since: datetime) -> Opened:
    """Yield what an endpoint of this machine collected, in files that may hold records of `since` or later."""
    folder = settings.layout.collected / endpoint
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        file = CollectedFile.at(relative, str(path.relative_to(settings.root)))
        if path.name.startswith(".") or file is None or not path.is_file() or not file.may_hold(since - _SLACK):
            continue  # a name with a dot is a file that is being written
        yield file, _parquet_documents(path) if path.suffix == PARQUET else iter([_other_kind(PARQUET)])


def workspace_files(workspace: Workspace, endpoint: str, since: datetime) -> Opened:
    """Yield what Azure's collector wrote for an endpoint of a workspace, likewise. Raises AzureError."""
    from notebooks_lib.azure.client import rest_client
    from notebooks_lib.azure.storage import blob_reading, datastore

    folder = datastore.folder_of(rest_client.resource_manager(), workspace, f"{DATASTORE}/{endpoint}")
    wanted: dict[str, CollectedFile] = {}
    others: list[CollectedFile] = []

    def choose() -> Iterator[BlobFile]:
        for blob in blob_reading.list_files(folder):
            file = CollectedFile.at(blob.path, f"modelDataCollector/{endpoint}/{blob.path}")
            if file is None or not file.may_hold(since - _SLACK):
                continue
            if blob.path.endswith(JSON_LINES):
                wanted[blob.path] = file
                yield blob
            else:
                others.append(file)

    yield from _blobs(folder, choose(), wanted)
    yield from ((file, iter([_other_kind(JSON_LINES)])) for file in others)


def _blobs(folder: BlobFolder, blobs: Iterable[BlobFile], wanted: dict[str, CollectedFile]) -> Opened:
    from notebooks_lib.azure.storage.blob_reading import read_parts

    parts = read_parts(folder, blobs)
    for blob, own in itertools.groupby(parts, key=lambda part: part[0]):
        yield wanted.pop(blob.path), line_documents(part for _, part in own)


def line_documents(parts: Iterable[bytes | None]) -> Documents:
    """Yield the document of each line of a file that comes in parts; None among them says that the file is gone."""
    number, rest = 0, b""
    for part in parts:
        if part is None:
            yield RecordFault("", "was deleted meanwhile")
            return
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            number += 1
            yield from _line_document(number, line)
    yield from _line_document(number + 1, rest)


def _line_document(number: int, line: bytes) -> Documents:
    if not line.strip():
        return
    try:
        yield f"line {number}", json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else errors.reason(error)
        yield RecordFault(f"line {number}", f"is no JSON: {reason}")


def _parquet_documents(path: Path) -> Documents:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            if missing := [name for name in _FIELDS if name not in file.schema_arrow.names]:
                yield RecordFault("", f"has no column {missing[0]}")
                return
            for batch in file.iter_batches(batch_size=_BATCH, columns=_FIELDS):
                for document in batch.to_pylist():
                    number += 1
                    yield f"record {number}", document
    except (pa.ArrowException, OSError, ValueError) as error:
        yield RecordFault(
            f"after record {number}" if number else "", f"cannot be read as Parquet: {errors.reason(error)}"
        )


def _other_kind(suffix: str) -> RecordFault:
    return RecordFault("", f"is no {suffix} file, and was not read")
