"""Wait until the running server has taken over the state on disk, and read what it reports of it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import endpoint_state, server_process
from notebooks_lib.serving.endpoint_state import FollowReport, SlotReport
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder
from notebooks_lib.serving.server_process import ServerProcess

_LOOK_EVERY = 0.01


def wait_until_followed(folder: EndpointFolder, timeout: float) -> Mapping[str, SlotReport]:
    """Wait until the running server serves the state on disk. Return each slot's report: ready, or why it failed.

    Raises EndpointError when the server ends meanwhile, or takes longer than `timeout` seconds.
    """
    current = folder.read()
    generation = current.generation if current else 0
    deadline = time.monotonic() + timeout
    while True:
        server = server_process.running_server(folder)
        report = server_report(folder, server)
        if report.generation >= generation:
            return report.slots
        if server is None:
            raise EndpointError(
                f"endpoint {folder.name!r}: its server process ended meanwhile; look at: nbops endpoint logs "
                f"{folder.name}, then: nbops endpoint start {folder.name}"
            )
        if time.monotonic() > deadline:
            raise EndpointError(
                f"endpoint {folder.name!r}: its server did not take the change up within {timeout:.0f} s; raise "
                f"endpoint.start_timeout, or: nbops endpoint stop {folder.name} and start it again"
            )
        time.sleep(_LOOK_EVERY)


def server_report(folder: EndpointFolder, server: ServerProcess | None) -> FollowReport:
    """Return the running server's last report in serving.json; one with generation -1 if there is none."""
    report = endpoint_state.read_report(folder.serving)
    if server is not None and report is not None and report.pid == server.process.pid:
        return report
    return FollowReport(0, -1)
