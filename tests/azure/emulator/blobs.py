"""Blob storage: block blobs, for who has a signed address or a token for storage."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from tests.azure.emulator.sign_in import SignIn

AUDIENCES = ("https://storage.azure.com",)
ACCOUNT = "account.blob.core.windows.net"
SIGNED = "sv=2025-01-05&sig=signed"
"""The query of a signed address."""
PAGE = 3
"""Blobs of one page of a list. The service has 5,000: a test needs few to have several pages."""
_STAMP = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}


_DATASTORE = re.compile(r"datastores/([^/]+)/paths/(.+?)/?$")
_CONTAINERS = {"workspaceblobstore": "blobstore", "workspaceartifactstore": "azureml"}


def folder_of(uri: str) -> str:
    """Return container and path of the files that an asset names, by a datastore or by their address."""
    place = _DATASTORE.search(uri)
    return f"{_CONTAINERS[place[1]]}/{place[2]}" if place else urlsplit(uri).path.lstrip("/")


class Blobs:
    """The blobs of one account: each a file under `root`, in the folder of its container."""

    def __init__(self, root: Path, sign_in: SignIn) -> None:
        self.root, self._sign_in = root, sign_in
        self._blocks: dict[str, bytes] = {}
        one = Route("/{container}/{path:path}", self.blob, methods=["GET", "PUT", "HEAD"])
        self.router = Router([Route("/{container}", self.list_blobs), one])

    def _refuse(self, request: Request) -> Response | None:
        if request.query_params.get("sig") == "signed" or not self._sign_in.refuse(request, AUDIENCES):
            return None
        return Response(status_code=403, headers={"x-ms-error-code": "AuthenticationFailed"})

    async def list_blobs(self, request: Request) -> Response:
        """The blobs of a container by name, `PAGE` at a time: the marker is the first name of the next page."""
        if refused := self._refuse(request):
            return refused
        if (request.query_params.get("restype"), request.query_params.get("comp")) != ("container", "list"):
            return Response(status_code=400, headers={"x-ms-error-code": "InvalidQueryParameterValue"})
        root = self.root / request.path_params["container"]
        files = {file.relative_to(root).as_posix(): file.stat().st_size for file in root.rglob("*") if file.is_file()}
        prefix, marker = (request.query_params.get(name, "") for name in ("prefix", "marker"))
        names = sorted(name for name in files if name.startswith(prefix) and name >= marker)
        blobs = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{files[name]}</Content-Length>"
            "<BlobType>AppendBlob</BlobType></Properties></Blob>"
            for name in names[:PAGE]
        )
        after = f"<NextMarker>{escape(names[PAGE])}</NextMarker>" if len(names) > PAGE else "<NextMarker />"
        text = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{blobs}</Blobs>{after}'
        return Response(f"{text}</EnumerationResults>", media_type="application/xml")

    async def blob(self, request: Request) -> Response:
        """Put at once or in blocks, never over an existing blob when told so; get in ranges."""
        if refused := self._refuse(request):
            return refused
        file = self.root / request.path_params["container"] / request.path_params["path"]
        if request.method == "PUT":
            return self._put(file, request, await request.body())
        if request.query_params.get("comp") == "blocklist":
            return self._uncommitted(file)
        if not file.is_file():
            return Response(status_code=404, headers={"x-ms-error-code": "BlobNotFound"})
        content = file.read_bytes()
        wanted = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range", request.headers.get("Range", "")))
        if not wanted:
            return Response(content, headers=_STAMP)
        start = int(wanted[1])
        if start >= len(content):
            return Response(status_code=416, headers={"x-ms-error-code": "InvalidRange"})
        some = content[start : int(wanted[2]) + 1 if wanted[2] else None]
        stamp = _STAMP | {"Content-Range": f"bytes {start}-{start + len(some) - 1}/{len(content)}"}
        return Response(some, 206, headers=stamp)

    def _uncommitted(self, file: Path) -> Response:
        blocks = {key.partition("?")[2]: body for key, body in self._blocks.items() if key.startswith(f"{file}?")}
        if not blocks:
            return Response(status_code=404, headers={"x-ms-error-code": "BlobNotFound"})
        listed = "".join(f"<Block><Name>{name}</Name><Size>{len(body)}</Size></Block>" for name, body in blocks.items())
        return Response(f"<BlockList><UncommittedBlocks>{listed}</UncommittedBlocks></BlockList>")

    def _put(self, file: Path, request: Request, body: bytes) -> Response:
        part = request.query_params.get("comp")
        if part == "block":
            self._blocks[f"{file}?{request.query_params['blockid']}"] = body
            return Response(status_code=201)
        if file.exists() and request.headers.get("If-None-Match") == "*":
            return Response(status_code=409, headers={"x-ms-error-code": "BlobAlreadyExists"})
        if part == "blocklist":
            ids = re.findall(r"<Latest>(.*?)</Latest>", body.decode())
            body = b"".join(self._blocks.pop(f"{file}?{each}") for each in ids)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        return Response(status_code=201, headers=_STAMP)
