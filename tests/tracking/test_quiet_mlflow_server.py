"""MLflow's server for `nbops ui`: what it prints is ours, or a warning or an error."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.tracking import quiet_mlflow_server
from notebooks_lib.tracking.store import connect


def test_only_the_notice_is_left_out_and_filters_of_the_user_stay() -> None:
    printed = io.StringIO()
    stream = quiet_mlflow_server._WithoutNotice(printed)
    stream.write("[MLflow] Security middleware enabled with default settings (localhost-only). To allow …\n")
    stream.write("[MLflow] WARNING: Security middleware is DISABLED.\n")
    assert printed.getvalue() == "[MLflow] WARNING: Security middleware is DISABLED.\n"
    environment = quiet_mlflow_server.environment({"PYTHONWARNINGS": "error"})
    assert environment["PYTHONWARNINGS"].startswith("error,ignore:")


@pytest.mark.proof
@pytest.mark.tracking
def test_the_pages_are_served_with_one_line_printed(project: Settings) -> None:
    connect(project)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "notebooks_lib", "ui", "--port", str(port)],
        cwd=project.root,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        server.terminate()
        output = server.stdout.read()
    assert output == f"http://127.0.0.1:{port}  (ready in a few seconds; Ctrl-C ends it)\n"


def _answers(port: int) -> bool:
    with socket.socket() as client:
        if client.connect_ex(("127.0.0.1", port)) != 0:
            return False
        client.settimeout(20)
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        return client.recv(12).endswith(b"200")
