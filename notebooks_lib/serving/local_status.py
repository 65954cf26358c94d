"""Read the status of a local endpoint from its folder and its process. It changes nothing and waits for no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import endpoint_client, endpoint_state, server_launch, server_process
from notebooks_lib.serving.endpoint import EndpointStatus, SlotStatus
from notebooks_lib.serving.endpoint_client import Address
from notebooks_lib.serving.endpoint_state import EndpointFolder, State

_GONE = "its server process is gone: it was killed, or the machine was started anew"


@dataclass(frozen=True, kw_only=True)
class LocalStatus(EndpointStatus):
    """The status of an endpoint on this machine."""

    port: int = 0
    pid: int | None = None
    memory_mb: float | None = None

    @property
    def facts(self) -> Mapping[str, str]:
        """Return the server process."""
        memory = f"{self.memory_mb:.0f} MB" if self.memory_mb is not None else ""
        return {"process": f"{self.pid}, {memory}"} if self.pid else {}


def read_status(folder: EndpointFolder, current: State) -> LocalStatus:
    """Return the status of the endpoint that `current` describes."""
    server = server_process.running(folder)
    address = server_launch.listens_at(current)
    fault = str(current.get("last_error") or "")
    how: Literal["running", "stopped", "broken"]
    if server is not None:
        wrong = _health(address)
        how, fault = ("broken", wrong) if wrong else ("running", fault)
    elif current["wanted"] == "running":
        how, fault = "broken", fault or _GONE
    else:
        how = "stopped"
    main = endpoint_state.main_slot(current)
    entry = current["slots"].get(main, {}) if current["traffic"].get(main) else {}
    given = entry.get("example")
    return LocalStatus(
        name=folder.name,
        state=how,
        address=address.url,
        port=address.port,
        pid=server.process.pid if server else None,
        version=str(entry.get("version", "")),
        detail=dict(entry.get("detail", {})),
        curl=endpoint_client.curl(address, given, example_file=folder.example(main), key_file=folder.key)
        if given
        else "",
        since=str(entry.get("since", "")),
        memory_mb=server.memory_mb if server else None,
        last_error=fault,
        slots=_slots(folder, current, server),
    )


def _slots(
    folder: EndpointFolder, current: State, server: server_process.ServerProcess | None
) -> dict[str, SlotStatus]:
    reported = server_launch.server_report(folder, server).get("slots", {})
    # A report from before the last change may be about another model.
    states = {
        name: {"state": one["state"], "error": one["error"]}
        for name, one in reported.items()
        if name in current["slots"]
        and tuple(one.get("of", ())) in ((), endpoint_state.deployment(current["slots"][name]))
    }
    nothing = {"state": "loading" if server else "stopped", "error": ""}
    return {
        name: SlotStatus(
            version=str(entry["version"]),
            detail=dict(entry["detail"]),
            since=str(entry["since"]),
            traffic=current["traffic"].get(name, 0),
            mirror=current["mirror"].get(name, 0),
            sha256=str(entry.get("sha256", "")),
            **states.get(name, nothing),
        )
        for name, entry in current["slots"].items()
    }


def _health(address: Address) -> str:
    """Return what is wrong with the endpoint; empty when it is healthy."""
    try:
        code, _ = endpoint_client.ask(address, "GET", "/health", timeout=server_launch.PROBE_TIMEOUT)
    except (OSError, EndpointError) as error:
        return f"its server process runs, but {address.url}/health does not answer: {error}"
    return "" if code == 200 else f"{address.url}/health answers {code}"
