"""Read the status of an endpoint from its folder and its process. It changes nothing and waits for no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import endpoint_client, endpoint_state, server_launch, server_process
from notebooks_lib.serving.endpoint_client import Address
from notebooks_lib.serving.endpoint_state import EndpointFolder, State

_GONE = "its server process is gone: it was killed, or the machine was started anew"


@dataclass(frozen=True)
class SlotStatus:
    """The status of one slot."""

    version: str
    detail: Mapping[str, Any]
    """What was given at the deployment: model, run_id, dataset, reason."""
    since: str
    """When this version was deployed to the slot."""
    traffic: int
    """Percent of the requests that name no slot."""
    mirror: int
    """Percent of the requests that are mirrored to it."""
    state: Literal["ready", "loading", "failed", "stopped"]
    error: str = ""
    sha256: str = ""
    """Digest of the model's files; empty where an older nbops deployed it."""


@dataclass(frozen=True)
class EndpointStatus:
    """The status of an endpoint. The key is not part of it."""

    name: str
    state: Literal["running", "stopped", "broken"]
    """broken: it should run but does not; `last_error` says why."""
    address: str
    port: int
    pid: int | None
    version: str
    """Version in the slot with most of the traffic; empty without traffic."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Details of the same slot: model, run_id, dataset, reason."""
    curl: str = ""
    """A request that works as it stands; empty for a model without an example."""
    since: str = ""
    """When that version was deployed."""
    memory_mb: float | None = None
    last_error: str = ""
    changed: bool = True
    """False when there was nothing to do."""
    slots: Mapping[str, SlotStatus] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops endpoint status --json` prints."""
        return asdict(self)


def read_status(folder: EndpointFolder, current: State) -> EndpointStatus:
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
    return EndpointStatus(
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
