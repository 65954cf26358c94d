"""The protocol between a template and its clients: JSON objects with file descriptors over a Unix socket.

Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T", "ForkRequest", "TemplateStatus")
HEADER = struct.Struct("!I")
LIMIT = 32 * 2**20
"""Bytes of one message. An environment has a few kilobytes; a greater length is not a message of this protocol."""
FDS = 8
PROTOCOL = 1
"""Raised when messages change: a client that has run since before an upgrade must not get a kernel it cannot take."""


@dataclass(frozen=True)
class ForkRequest:
    """A client's request for a kernel, with all that a child process would inherit from the client."""

    argv: Sequence[str]
    """Arguments of ipykernel; `command` is the whole command line."""
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    memory: str
    """File with the project's import history."""
    independent: bool = False
    """True if the kernel outlives its client."""
    umask: int = 0o022
    limits: Sequence[tuple[int, tuple[int, int]]] = ()
    """Numbers of resource limits, each with its soft and its hard limit."""
    ignored: Sequence[int] = ()
    """Signals that the client ignores."""
    watch: Sequence[str] = ()
    """Files whose change makes the template stale."""
    protocol: int = -1


@dataclass(frozen=True)
class TemplateStatus:
    """What a template reports about itself. A template of another version may leave out all but its pid."""

    pid: int
    open: bool = False
    """True if the template still forks kernels."""
    modules: int = 0
    importing: str = ""
    """The module that its successor imports now; empty when there is none."""
    kernels: Sequence[int] = ()
    forks: int = 0
    idle: float = 0.0
    idle_left: float = 0.0
    """Seconds until it leaves, unless a kernel is requested."""
    never: Mapping[str, str] = field(default_factory=dict)
    """Modules that it does not import, with the reason."""
    python: str = ""
    memory: Sequence[str] = ()
    """Import histories of the projects that it serves."""


def decode(kind: type[T], message: Mapping[str, Any]) -> T:
    """Return the message as a ForkRequest or TemplateStatus; fields of another version are left out.

    Raises ValueError when a field is missing.
    """
    try:
        return kind(**{field.name: message[field.name] for field in fields(kind) if field.name in message})
    except TypeError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from None


def send_message(connection: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message, with the file descriptors `fds`.

    Raises OSError when the other side has closed the connection.
    """
    body = json.dumps(message).encode("utf-8", "surrogateescape")
    header = HEADER.pack(len(body))
    if fds:
        socket.send_fds(connection, [header], list(fds))
    else:
        connection.sendall(header)
    connection.sendall(body)


def receive_message(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the next message and its file descriptors.

    Raises EOFError when the other side has closed the connection.
    """
    header, fds, _, _ = socket.recv_fds(connection, HEADER.size, FDS)
    try:
        while len(header) < HEADER.size:
            header += _receive_some(connection, HEADER.size - len(header))
        (length,) = HEADER.unpack(header)
        if length > LIMIT:
            raise EOFError("not a message")
        body = b""
        while len(body) < length:
            body += _receive_some(connection, min(length - len(body), 2**16))
        return json.loads(body.decode("utf-8", "surrogateescape")), list(fds)
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise


def _receive_some(connection: socket.socket, size: int) -> bytes:
    data = connection.recv(size)
    if not data:
        raise EOFError("the other side has gone")
    return data


def peer_identity(connection: socket.socket) -> tuple[int, int]:
    """Return the process id and user id of the other side, as the Linux kernel reports them."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid
