"""A message arrives whole, with its descriptors, or not at all; one of another version is understood as far as it goes."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.kernels import template_protocol
from notebooks_lib.kernels.template_protocol import TemplateStatus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def test_a_message_brings_its_text_and_its_descriptors(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    message = {"env": {"A": "a name that is no UTF-8: \udcff"}, "long": "x" * 100_000}
    with (tmp_path / "file").open() as file:
        template_protocol.send_message(ends[0], message, [file.fileno()])
        received, (descriptor,) = template_protocol.receive_message(ends[1])
        assert received == message
        assert os.path.sameopenfile(descriptor, file.fileno())
    os.close(descriptor)
    assert template_protocol.peer_identity(ends[1]) == (os.getpid(), os.getuid())


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0", b"\0\0\0\5{}", template_protocol.HEADER.pack(template_protocol.LIMIT + 1) + b"{}"]
)
def test_half_a_message_and_one_too_long_are_the_end(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    ends[0].sendall(sent)
    ends[0].close()
    with pytest.raises(EOFError):
        template_protocol.receive_message(ends[1])


def test_fields_of_another_version_are_left_out_and_a_missing_one_is_said() -> None:
    request = template_protocol.ForkRequest(
        ["-f", "k.json"], ["python"], {}, "/", "m.json", protocol=template_protocol.PROTOCOL
    )
    assert (
        template_protocol.decode(
            template_protocol.ForkRequest, {**vars(request), "op": "fork", "of a later version": 1}
        )
        == request
    )
    with pytest.raises(ValueError, match=r"ForkRequest.*cwd"):
        template_protocol.decode(template_protocol.ForkRequest, {"argv": [], "command": [], "env": {}, "memory": ""})


def test_the_status_of_a_template_of_another_version_tells_at_least_its_pid() -> None:
    """So that it can be listed and stopped."""
    assert template_protocol.decode(TemplateStatus, {"pid": 7, "later": True}) == TemplateStatus(7)
    with pytest.raises(ValueError, match="pid"):
        template_protocol.decode(TemplateStatus, {"open": True})
