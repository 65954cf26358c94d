"""Uploads files to Azure's blob storage by plain requests: several at once, each repeated, none that hangs.

A folder bears the hash of its content in its name. So what is there is not sent again, and an upload that was cut goes
on at the next try.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest, HttpResponse

from notebooks_lib import errors
from notebooks_lib.azure import error_messages, http_pipeline
from notebooks_lib.azure.credential import credential
from notebooks_lib.azure.http_pipeline import HttpLimits

Content = Path | bytes
"""A file on disk, or the content of one that is on no disk."""
BLOCK = 8 * 2**20
"""Bytes of one request; larger files are sent in several, so that none takes long on a slow line."""
PARALLEL = 8
LIMITS = HttpLimits(read=60, total=180)
_IS_THERE = 409
"""The status for a file that may be written once only, and is there."""
VERSION = {"x-ms-version": "2023-11-03"}
_STEPS = {
    "AuthorizationPermissionMismatch": "ask for the role Storage Blob Data Contributor on the storage account",
    "AuthorizationFailure": "ask whether the storage account lets this network in",
    "KeyBasedAuthenticationNotPermitted": "make the workspace anew with systemDatastoresAuthMode: identity",
    "AuthenticationFailed": "do it again: the address was signed for an hour, and the clock here must be right",
}


@dataclass(frozen=True)
class BlobFolder:
    """A folder in blob storage."""

    url: str
    signature: str = field(default="", repr=False)
    """What lets the owner of the address in; without it, the credential of this process does."""

    @classmethod
    def signed(cls, url: str) -> BlobFolder:
        """Return the folder of an address that holds its signature."""
        address, _, signature = url.partition("?")
        return cls(address.rstrip("/"), signature)

    def blob(self, path: str, query: str = "") -> str:
        """Return the address of a file in the folder."""
        return f"{self.url}/{quote(path)}?{'&'.join(filter(None, (self.signature, query)))}".rstrip("?")


def upload(folder: BlobFolder, files: Mapping[str, Content]) -> int:
    """Send the files that are not there yet; return how many were sent. Raises AzureError for the first that fails."""
    with http_pipeline.pipeline(LIMITS, *policies(folder)) as pipeline, ThreadPoolExecutor(PARALLEL) as pool:
        sender = _Sender(folder, pipeline)
        sent = [pool.submit(sender.send, path, content) for path, content in files.items()]
        done, _ = wait(sent, return_when=FIRST_EXCEPTION)
        for future in sent:
            future.cancel()  # after a failure: what has not begun
        for future in done:
            future.result()
        return sum(future.result() for future in sent)


def policies(folder: BlobFolder) -> list[Any]:
    """Return the policies by which requests to a folder sign in; none if its address is signed."""
    return [] if folder.signature else [BearerTokenCredentialPolicy(credential(), "https://storage.azure.com/.default")]


def refusal(path: str, answer: HttpResponse, what: str, step: str) -> errors.AzureError:
    """Return why storage refuses a file. Its address is not shown: its signature would let anybody in."""
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


class _Sender:
    def __init__(self, folder: BlobFolder, pipeline: Any) -> None:
        self._folder = folder
        self._pipeline = pipeline

    def send(self, path: str, content: Content) -> bool:
        """Send a file unless it is there; return whether it was sent."""
        once = {"If-None-Match": "*"}
        if size(content) <= BLOCK:
            body = content if isinstance(content, bytes) else content.read_bytes()
            return self._ask("PUT", path, headers={"x-ms-blob-type": "BlockBlob", **once}, body=body) != _IS_THERE
        if self._ask("HEAD", path) < 300:
            return False
        names = []
        for number, block in enumerate(_blocks(content)):
            names.append(base64.b64encode(f"{number:08d}".encode()).decode())
            self._ask("PUT", path, query=f"comp=block&blockid={quote(names[-1], safe='')}", body=block)
        listed = "".join(f"<Latest>{escape(name)}</Latest>" for name in names)
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'
        return self._ask("PUT", path, query="comp=blocklist", headers=once, body=document.encode()) != _IS_THERE

    def _ask(
        self, method: str, path: str, *, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> int:
        """Return the status of the answer. Raises AzureError, except for a file that is there, or is not."""
        every = {**VERSION, **(headers or {})}
        request = HttpRequest(method, self._folder.blob(path, query), headers=every, content=body or None)
        try:
            answer: HttpResponse = self._pipeline.run(request).http_response
        except AzureError as error:
            why = error_messages.describe(error, f"the upload of {path}")
            raise errors.AzureError(f"{path} cannot be uploaded: {why.cause}", why.step) from error
        missing = method == "HEAD" and answer.status_code == 404
        if answer.status_code < 300 or missing or (answer.status_code == _IS_THERE and "If-None-Match" in every):
            return answer.status_code
        raise refusal(path, answer, "uploaded", "do it again: what has arrived is not sent twice")


def _blocks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield from (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
        return
    with content.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
