"""Blob storage: block blobs, for who has a signed address or a token for storage."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from tests.azure.sign_in import SignIn

AUDIENCES = ("https://storage.azure.com",)
ACCOUNT = "account.blob.core.windows.net"
SIGNED = "sv=2025-01-05&sig=signed"
"""The query of a signed address."""
_STAMP = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}


class Blobs:
    """The blobs of one account: each a file under `root`, in the folder of its container."""

    def __init__(self, root: Path, sign_in: SignIn) -> None:
        self.root, self._sign_in = root, sign_in
        self._blocks: dict[str, bytes] = {}
        route = Route("/{container}/{path:path}", self.blob, methods=["GET", "PUT", "HEAD"])
        self.router = Router([route])

    async def blob(self, request: Request) -> Response:
        """Put at once or in blocks, never over an existing blob when told so; get in ranges."""
        if request.query_params.get("sig") != "signed" and self._sign_in.refuse(request, AUDIENCES):
            return Response(status_code=403, headers={"x-ms-error-code": "AuthenticationFailed"})
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
