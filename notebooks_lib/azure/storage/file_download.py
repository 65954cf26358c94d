"""Downloads files from Azure's blob storage by plain requests: in ranges, several at once, each repeated."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest, HttpResponse

from notebooks_lib import errors
from notebooks_lib.azure.client import error_messages, http_pipeline
from notebooks_lib.azure.storage import file_upload
from notebooks_lib.azure.storage.file_upload import BLOCK, LIMITS, BlobFolder


def download(folder: BlobFolder, path: str) -> bytearray:
    """Return the content of a file, whole or not at all. Raises AzureError; with status 404 when there is none.

    A file that is replaced meanwhile is an error, never a mixture of both.
    """
    with http_pipeline.pipeline(LIMITS, *file_upload.policies(folder)) as pipeline:
        receiver = _Receiver(folder, path, pipeline)
        content = bytearray(receiver.size())
        ranges = [(start, min(start + BLOCK, len(content))) for start in range(0, len(content), BLOCK)]
        file_upload.in_parallel((partial(receiver.fill, content, *part) for part in ranges), threading.Event())
        return content


class _Receiver:
    def __init__(self, folder: BlobFolder, path: str, pipeline: Any) -> None:
        self._folder = folder
        self._path = path
        self._pipeline = pipeline
        self._unchanged: dict[str, str] = {}

    def size(self) -> int:
        """Return the number of bytes of the file, and remember its state."""
        answer = self._ask("HEAD")
        self._unchanged = {"If-Match": answer.headers["ETag"]}
        return int(answer.headers["Content-Length"])

    def fill(self, content: bytearray, start: int, end: int) -> None:
        """Put a range of the file into its place in `content`."""
        part = self._ask("GET", {"x-ms-range": f"bytes={start}-{end - 1}", **self._unchanged}).content
        if len(part) != end - start:
            raise errors.AzureError(
                f"{self._path} cannot be downloaded: {len(part)} of {end - start} bytes came", "do it again"
            )
        content[start:end] = part

    def _ask(self, method: str, headers: dict[str, str] | None = None) -> HttpResponse:
        request = HttpRequest(method, self._folder.blob(self._path), headers={**file_upload.VERSION, **(headers or {})})
        try:
            answer: HttpResponse = self._pipeline.run(request).http_response
        except AzureError as error:
            why = error_messages.describe(error, f"the download of {self._path}")
            raise errors.AzureError(f"{self._path} cannot be downloaded: {why.cause}", why.step) from error
        if answer.status_code >= 300:
            raise file_upload.refusal(self._path, answer, "downloaded", "do it again")
        return answer
