"""Find and stop the server process of an endpoint, by its pid. It knows no models."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from notebooks_lib import process_identity
from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import endpoint_state
from notebooks_lib.serving.endpoint_state import ServerRecord
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL: longer than the server waits for its last requests."""


@dataclass(frozen=True)
class ServerProcess:
    """A running server process, as server.json describes it."""

    process: psutil.Process
    record: ServerRecord

    @property
    def memory_mb(self) -> float | None:
        """Return the resident memory of the process; None when it has ended."""
        try:
            return float(self.process.memory_info().rss) / 1e6
        except psutil.Error:
            return None


def running_server(folder: EndpointFolder) -> ServerProcess | None:
    """Return the endpoint's running server process; None when it has ended, even if another process has its pid now."""
    record = endpoint_state.read_server(folder.server)
    try:
        if record is None or not process_identity.alive(record.pid, record.born):
            return None
        return ServerProcess(psutil.Process(record.pid), record)
    except psutil.Error:
        return None


def stop_server(server: ServerProcess) -> None:
    """Stop the server process, first with SIGTERM. Raises EndpointError when it does not end."""
    try:
        server.process.terminate()
        if not wait_for_end(server.process, GRACE):
            server.process.kill()
            if not wait_for_end(server.process, GRACE):
                raise EndpointError(
                    f"process {server.process.pid} does not end, not even after SIGKILL; inspect it with ps"
                )
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise EndpointError(
            f"process {server.process.pid} belongs to another user; ask its owner to stop the endpoint"
        ) from error


def port_holder(port: int) -> str:
    """Describe the process that listens on `port`, for a message; "another process" if it cannot be found."""
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid
            ):
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.Error, OSError):
        pass
    return "another process"


def wait_for_end(process: psutil.Process, timeout: float) -> bool:
    """Return True if the process ends within `timeout` seconds. A zombie counts as ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
            process.wait(timeout=0.05)
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            return True
        else:
            return True
    return False
