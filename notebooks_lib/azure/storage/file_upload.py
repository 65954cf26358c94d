"""Uploads files to Azure's blob storage by plain requests: several at once, each repeated, none that hangs.

The name of a folder holds the hash of its content. So what is there is not sent again, and an upload that was cut goes
on at the next try.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HTTPPolicy
from azure.core.rest import HttpRequest, HttpResponse

from notebooks_lib import errors
from notebooks_lib.azure.client import error_messages, http_pipeline
from notebooks_lib.azure.client.credential import credential
from notebooks_lib.azure.client.http_pipeline import HttpLimits

Content = Path | bytes
"""A file on disk, or the content of one that is on no disk."""
BLOCK = 8 * 2**20
"""Bytes of one request; larger files are sent in several, so that none takes long on a slow line."""
PARALLEL = 8
LIMITS = HttpLimits(read=60, total=180)
_EXISTS = "BlobAlreadyExists"
"""Storage's code for a file that may be written only once and exists. Other conflicts are failures."""
_EXPIRED = "AuthenticationFailed"
"""Storage's code for a signature that is not valid, or not any more."""
VERSION = {"x-ms-version": "2023-11-03"}
_Result = TypeVar("_Result")
_STEPS = {
    "AuthorizationPermissionMismatch": "ask for the role Storage Blob Data Contributor on the storage account",
    "AuthorizationFailure": "ask whether the firewall of the storage account allows this network",
    "KeyBasedAuthenticationNotPermitted": "set systemDatastoresAuthMode: identity when the workspace is created",
    "AuthenticationFailed": "do it again: the address was signed for an hour, and the clock here must be right",
}


@dataclass(frozen=True)
class BlobFolder:
    """A folder in blob storage."""

    url: str
    signature: str = field(default="", repr=False)
    """Grants access to the folder; without it, requests are signed with this process's credential."""
    renew: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    """Returns another signature, for when this one has expired."""

    @classmethod
    def signed(cls, url: str) -> BlobFolder:
        """Return the folder of an address that holds its signature."""
        address, _, signature = url.partition("?")
        return cls(address.rstrip("/"), signature)

    def blob(self, path: str, query: str = "") -> str:
        """Return the address of a file in the folder."""
        return f"{self.url}/{quote(path)}?{'&'.join(filter(None, (self.signature, query)))}".rstrip("?")


def upload(folder: BlobFolder, files: Mapping[str, Content], *, block_size: int = BLOCK) -> int:
    """Send the files that are not there yet; return how many were sent. Raises AzureError for the first that fails.

    After a failure and after Ctrl-C, only the requests that are under way are finished.
    """
    with http_pipeline.pipeline(LIMITS, *policies(folder)) as pipeline:
        sender = _Sender(folder, pipeline, block_size)
        return sum(in_parallel((partial(sender.send, path, files[path]) for path in files), sender.stopped))


def in_parallel(tasks: Iterable[Callable[[], _Result]], stopped: threading.Event) -> list[_Result]:
    """Run tasks, PARALLEL at a time; return their results. Raises the first failure.

    At the end, also after a failure or Ctrl-C, `stopped` is set, for the tasks that are running; no other one begins.
    """
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            futures = [pool.submit(task) for task in tasks]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            stopped.set()


def policies(folder: BlobFolder) -> list[Any]:
    """Return the policies that sign requests to a folder in; a signature is renewed when it has expired."""
    if not folder.signature:
        return [BearerTokenCredentialPolicy(credential(), "https://storage.azure.com/.default")]
    return [] if folder.renew is None else [_RenewedSignature(folder.signature, folder.renew)]


def refusal(path: str, answer: HttpResponse, what: str, step: str) -> errors.AzureError:
    """Return why storage refuses a file. Its address is not shown, as its signature grants access."""
    code = answer.headers.get("x-ms-error-code", "")
    host = urlsplit(str(answer.request.url)).hostname
    cause = f"{path} cannot be {what}: {host} answers {answer.status_code} {code or answer.reason}"
    return errors.AzureError(cause, _STEPS.get(code, step), status=answer.status_code, code=code)


def sha256(content: Content) -> str:
    """Return the digest of a file's content."""
    digest = hashlib.sha256()
    for block in _blocks(content):
        digest.update(block)
    return digest.hexdigest()


def size(content: Content) -> int:
    """Return the number of bytes of a file."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


class _RenewedSignature(HTTPPolicy[HttpRequest, HttpResponse]):
    """Puts the latest signature into each address, and gets another one when storage refuses it.

    A signature lasts an hour, and a large table may take longer.
    """

    def __init__(self, signature: str, renew: Callable[[], str]) -> None:
        super().__init__()
        self._signatures, self._renew = [signature], renew
        self._lock = threading.Lock()

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        """Send a request, and once more if its signature was renewed."""
        signature = self._sign(request)
        answer = self.next.send(request)
        if answer.http_response.headers.get("x-ms-error-code") != _EXPIRED:
            return answer
        with self._lock:
            if self._signatures[-1] == signature:  # no other thread has renewed it meanwhile
                self._signatures.append(self._renew())
        return answer if self._sign(request) == signature else self.next.send(request)

    def _sign(self, request: PipelineRequest[HttpRequest]) -> str:
        *earlier, latest = self._signatures
        for signature in earlier:
            request.http_request.url = request.http_request.url.replace(signature, latest)
        return latest


class _Sender:
    def __init__(self, folder: BlobFolder, pipeline: Any, block_size: int) -> None:
        self._folder = folder
        self._pipeline = pipeline
        self._block_size = block_size
        self.stopped = threading.Event()
        """Set when no further block is to be sent."""

    def send(self, path: str, content: Content) -> bool:
        """Send a file unless it is there; return whether it was sent."""
        once = {"If-None-Match": "*"}
        if size(content) <= self._block_size:
            body = content if isinstance(content, bytes) else content.read_bytes()
            return self._ask("PUT", path, headers={"x-ms-blob-type": "BlockBlob", **once}, body=body)
        if self._ask("HEAD", path):
            return False
        names, there = [], self._blocks_that_arrived(path)
        for number, block in enumerate(_blocks(content, self._block_size)):
            if self.stopped.is_set():
                return False
            names.append(base64.b64encode(f"{number:08d}".encode()).decode())
            if there.get(names[-1]) == len(block):
                continue
            self._ask("PUT", path, query=f"comp=block&blockid={quote(names[-1], safe='')}", body=block)
        listed = "".join(f"<Latest>{escape(name)}</Latest>" for name in names)
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'
        return self._ask("PUT", path, query="comp=blocklist", headers=once, body=document.encode())

    def _blocks_that_arrived(self, path: str) -> dict[str, int]:
        """Return the blocks of an upload that was cut, with their sizes; none where storage does not list them."""
        answer = self._send("GET", path, "comp=blocklist&blocklisttype=uncommitted")
        text = answer.text() if answer.status_code < 300 else ""
        return {name: int(length) for name, length in re.findall(r"<Name>(.+?)</Name>\s*<Size>(\d+)</Size>", text)}

    def _ask(
        self, method: str, path: str, *, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> bool:
        """Return whether storage did what it was asked; False for a file that is there already, or is not there.

        Raises AzureError for any other refusal.
        """
        answer = self._send(method, path, query, headers, body)
        if answer.status_code < 300:
            return True
        if answer.headers.get("x-ms-error-code") == _EXISTS or (method == "HEAD" and answer.status_code == 404):
            return False
        raise refusal(path, answer, "uploaded", "do it again: what has arrived is not sent twice")

    def _send(
        self, method: str, path: str, query: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> HttpResponse:
        every = {**VERSION, **(headers or {})}
        request = HttpRequest(method, self._folder.blob(path, query), headers=every, content=body or None)
        try:
            answer: HttpResponse = self._pipeline.run(request).http_response
        except AzureError as error:
            why = error_messages.describe(error, f"the upload of {path}")
            raise errors.AzureError(f"{path} cannot be uploaded: {why.cause}", why.step) from error
        return answer


def _blocks(content: Content, block_size: int = BLOCK) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield from (content[start : start + block_size] for start in range(0, len(content), block_size))
        return
    with content.open("rb") as file:
        while block := file.read(block_size):
            yield block
