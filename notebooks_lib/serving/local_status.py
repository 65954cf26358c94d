"""Read the status of a local endpoint from its folder and its process. It changes nothing and waits for no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import http_client, server_launch, server_process, wait_for_reload
from notebooks_lib.serving.endpoint import DeploymentDetail, EndpointStatus, SlotStatus
from notebooks_lib.serving.endpoint_state import EndpointState
from notebooks_lib.serving.http_client import Address
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder

_GONE = "its server process is gone: it was killed, or the machine was restarted"


@dataclass(frozen=True, kw_only=True)
class LocalStatus(EndpointStatus):
    """The status of an endpoint on this machine."""

    port: int = 0
    pid: int | None = None
    memory_mb: float | None = None

    @property
    def facts(self) -> Mapping[str, str]:
        """Return the pid and memory of the server process, as label and text."""
        memory = f"{self.memory_mb:.0f} MB" if self.memory_mb is not None else ""
        return {"process": f"{self.pid}, {memory}"} if self.pid else {}


def read_status(folder: EndpointFolder, current: EndpointState) -> LocalStatus:
    """Return whether an endpoint runs, is stopped or is broken, with its address and slots.

    The wanted state, `current`, is compared with the server process and with what its health check answers.
    """
    server = server_process.running_server(folder)
    address = server_launch.listens_at(current)
    fault = current.last_error
    state: Literal["running", "stopped", "broken"]
    if server is not None:
        wrong = _health(address)
        state, fault = ("broken", wrong) if wrong else ("running", fault)
    elif current.wanted == "running":
        state, fault = "broken", fault or _GONE
    else:
        state = "stopped"
    main = current.main_slot
    serving = current.slots[main] if current.traffic.get(main) else None
    example = serving.example if serving else None
    return LocalStatus(
        name=folder.name,
        state=state,
        address=address.url,
        port=address.port,
        pid=server.process.pid if server else None,
        version=serving.version if serving else "",
        detail=serving.detail if serving else DeploymentDetail(),
        curl=http_client.curl_command(address, example, example_file=folder.example(main), key_file=folder.key)
        if example
        else "",
        since=serving.since if serving else "",
        memory_mb=server.memory_mb if server else None,
        last_error=fault,
        slots=_slots(folder, current, server),
    )


def _slots(
    folder: EndpointFolder, current: EndpointState, server: server_process.ServerProcess | None
) -> dict[str, SlotStatus]:
    reports, statuses = wait_for_reload.server_report(folder, server).slots, {}
    for name, slot in current.slots.items():
        report = reports.get(name)
        # A report from before the last change may be about another model.
        if report is None or report.of not in ((), slot.deployment):
            report = None
        statuses[name] = SlotStatus(
            version=slot.version,
            detail=slot.detail,
            since=slot.since,
            traffic=current.traffic.get(name, 0),
            mirror=current.mirror.get(name, 0),
            sha256=slot.sha256,
            state=report.state if report else "loading" if server else "stopped",
            error=report.error if report else "",
        )
    return statuses


def _health(address: Address) -> str:
    """Return what is wrong with the endpoint; empty when it is healthy."""
    try:
        code, _ = http_client.send_request(address, "GET", "/health", timeout=server_launch.PROBE_TIMEOUT)
    except (OSError, EndpointError) as error:
        return f"its server process runs, but {address.url}/health does not answer: {error}"
    return "" if code == 200 else f"{address.url}/health answers {code}"
