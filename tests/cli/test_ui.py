"""`nbops ui`: a taken port is refused with another one; runs on a server have pages of their own."""

from __future__ import annotations

import socket

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings


@pytest.mark.tracking
def test_a_taken_port_is_refused_with_another_one(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert program.run(["ui", "--port", str(port)]) == 2
    assert f"port {port} is taken; try: nbops ui --port {port % 65535 + 1}" in capsys.readouterr().err
