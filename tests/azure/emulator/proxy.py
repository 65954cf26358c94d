"""A CONNECT proxy that leads Azure's names to one TLS server on this machine and refuses every other host."""

from __future__ import annotations

import asyncio
import contextlib

from tests.azure.emulator.certificates import known_host
from tests.azure.emulator.record import REFUSED_HOST, Record, Seen

CHUNK = 1 << 18


class Proxy:
    """`serve` handles one client's connection; `cut` ends the one that a request came through."""

    def __init__(self, port: int, record: Record) -> None:
        self.port = port
        self.record = record
        self._clients: dict[int, asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the CONNECT line, then copy both ways until one side is done."""
        try:
            method, target, *_ = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split()
        except (asyncio.IncompleteReadError, ValueError):
            writer.close()
            return
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or port != "443" or not known_host(host):
            self.record.add(Seen(method, host if method == "CONNECT" else target, "", "", REFUSED_HOST))
            writer.write(b"HTTP/1.1 403 Not a host of Azure\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.port)
        own = up_writer.get_extra_info("sockname")[1]
        self._clients[own] = writer
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))
        finally:
            del self._clients[own]

    def cut(self, port: int) -> None:
        """Reset the client's connection that reaches the server from `port`."""
        if port in self._clients:
            self._clients[port].transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
