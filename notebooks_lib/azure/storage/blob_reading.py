"""Lists the files of a folder in Azure's blob storage, and reads many of them one after the other, in bounded memory.

Unlike `file_download`, it reads files that grow meanwhile: each up to the size that it had when it was listed.
"""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest, HttpResponse

from notebooks_lib import errors
from notebooks_lib.azure.client import error_messages, http_pipeline
from notebooks_lib.azure.storage import file_upload
from notebooks_lib.azure.storage.file_upload import BLOCK, LIMITS, PARALLEL, BlobFolder

_BLOB = re.compile(r"<Blob>(.*?)</Blob>", re.DOTALL)
_NAME = re.compile(r"<Name>(.*?)</Name>", re.DOTALL)
_SIZE = re.compile(r"<Content-Length>(\d+)</Content-Length>")
_NEXT = re.compile(r"<NextMarker>(.+?)</NextMarker>")
_STEP = "do it again"


@dataclass(frozen=True)
class BlobFile:
    """A file in a folder, as it was when it was listed."""

    path: str
    """Relative to the folder."""
    size: int


def list_files(folder: BlobFolder) -> Iterator[BlobFile]:
    """Yield the files at or below a folder, by name; none if there is no such folder. Raises AzureError."""
    parts = urlsplit(folder.url)
    container, _, path = parts.path.strip("/").partition("/")
    whole = BlobFolder(f"{parts.scheme}://{parts.netloc}/{container}", folder.signature, folder.renew)
    prefix = f"{unquote(path).rstrip('/')}/"
    marker = ""
    with http_pipeline.pipeline(LIMITS, *file_upload.policies(folder)) as pipeline:
        while True:
            query = f"restype=container&comp=list&prefix={quote(prefix, safe='')}"
            query += f"&marker={quote(marker, safe='')}" if marker else ""
            address = f"{whole.url}?{'&'.join(filter(None, (folder.signature, query)))}"
            text = _get(pipeline, address, f"the list of files in {prefix}").text()
            for blob in _BLOB.findall(text):
                name, size = _NAME.search(blob), _SIZE.search(blob)
                if name and size:
                    yield BlobFile(html.unescape(name[1]).removeprefix(prefix), int(size[1]))
            found = _NEXT.search(text)
            if found is None:
                return
            marker = html.unescape(found[1])


def read_parts(folder: BlobFolder, files: Iterable[BlobFile]) -> Iterator[tuple[BlobFile, bytes | None]]:
    """Yield the content of files in order, each in parts of at most BLOCK bytes; None for one that is gone.

    Some parts are fetched ahead. Raises AzureError for any other failure.
    """
    pending: deque[tuple[BlobFile, Future[bytes | None]]] = deque()
    with (
        http_pipeline.pipeline(LIMITS, *file_upload.policies(folder)) as pipeline,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        try:
            for file in files:
                for start in range(0, file.size, BLOCK):
                    end = min(start + BLOCK, file.size)
                    pending.append((file, pool.submit(_fetch, pipeline, folder, file.path, start, end)))
                    if len(pending) > PARALLEL:
                        first, part = pending.popleft()
                        yield first, part.result()
            while pending:
                first, part = pending.popleft()
                yield first, part.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _fetch(pipeline: Any, folder: BlobFolder, path: str, start: int, end: int) -> bytes | None:
    """Return a range of a file; None when the file is gone."""
    try:
        content = _get(pipeline, folder.blob(path), path, {"x-ms-range": f"bytes={start}-{end - 1}"}).content
    except errors.AzureError as error:
        if error.status == 404:
            return None
        raise
    if len(content) != end - start:
        raise errors.AzureError(f"{path} cannot be read: {len(content)} of {end - start} bytes came", _STEP)
    return content


def _get(pipeline: Any, address: str, what: str, headers: dict[str, str] | None = None) -> HttpResponse:
    request = HttpRequest("GET", address, headers={**file_upload.VERSION, **(headers or {})})
    try:
        answer: HttpResponse = pipeline.run(request).http_response
    except AzureError as error:
        why = error_messages.describe(error, f"reading {what}")
        raise errors.AzureError(f"{what} cannot be read: {why.cause}", why.step) from error
    if answer.status_code >= 300:
        raise file_upload.refusal(what, answer, "read", _STEP)
    return answer
