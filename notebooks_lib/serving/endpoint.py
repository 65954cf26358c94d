"""Local endpoints: slots, traffic, mirror; start, stop, status, invoke, logs. The folder's state file is the truth.

Every change is made under the endpoint's lock, in an order that leaves either the old or the new state when it is cut
short. A running server follows the state without a restart; this module never loads a model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from notebooks_lib.errors import EndpointError, UnknownNameError, UsageError
from notebooks_lib.serving import (
    champion_source,
    deployment,
    endpoint_client,
    endpoint_state,
    server_launch,
    server_process,
    slots,
)
from notebooks_lib.serving.endpoint_state import EndpointFolder, State, check_name
from notebooks_lib.serving.slots import SlotCounts
from notebooks_lib.serving.status import EndpointStatus, SlotStatus, read_status
from notebooks_lib.settings import Settings

__all__ = ["EndpointStatus", "SlotCounts", "SlotStatus"]


def deploy(
    settings: Settings,
    name: str,
    slot: str,
    model_dir: Path,
    *,
    version: str,
    detail: Mapping[str, Any],
    traffic: bool = False,
    sha256: str = "",
) -> EndpointStatus:
    """Load the model in `model_dir` into `slot` of endpoint `name`, beside what serves there; without traffic.

    With `traffic` the slot gets all of it once the model has answered its example, also if it had some before.
    `sha256` is the digest that its files must have; each later load wants the same again, given or not.
    Starts the server when it does not run. Raises UsageError when the slot has traffic and `traffic` is not set,
    EndpointError with the reason when the model cannot be served; what served before serves on then.
    """
    folder = EndpointFolder(settings, name)
    check_name("slot", slot)
    if not (model_dir / "MLmodel").is_file():
        raise UsageError(f"{model_dir}: holds no MLmodel file; expected the folder of an MLflow model")
    with folder.locked():
        deployment.deploy(
            settings, folder, slot, model_dir, version=version, detail=detail, traffic=traffic, sha256=sha256
        )
        return _now(folder)


def split(settings: Settings, name: str, traffic: Mapping[str, int]) -> EndpointStatus:
    """Give each slot its percentage of the requests that name none; 100 in all, or 0. Slots not named get nothing.

    A slot that gets traffic is no longer mirrored to. A stopped endpoint does so from its next start on.
    """
    return _share(settings, name, "traffic", traffic)


def mirror(settings: Settings, name: str, shares: Mapping[str, int]) -> EndpointStatus:
    """Mirror this percentage of the requests to a slot without traffic; its answers are compared, not sent.

    One slot at most; an empty mapping ends it.
    """
    return _share(settings, name, "mirror", shares)


def delete(settings: Settings, name: str, slot: str) -> EndpointStatus:
    """Delete a slot. Raises UsageError while it has traffic. Without any slot left the server stops."""
    folder = _existing(settings, name)
    with folder.locked():
        current = _known(_state(folder), slot)
        if current["traffic"].get(slot):
            raise UsageError(
                f"slot {slot!r} of endpoint {name!r} has {current['traffic'][slot]} % of the traffic; give it to "
                f"another slot first: nbops endpoint traffic {name} OTHER=100"
            )
        rest = {other: entry for other, entry in current["slots"].items() if other != slot}
        shares = {share: {o: p for o, p in current[share].items() if o != slot} for share in ("traffic", "mirror")}
        server = server_process.running(folder)
        wanted = current["wanted"] if rest else "stopped"
        folder.write({**current, **shares, "slots": rest, "wanted": wanted, "last_error": None})
        if server is not None and rest:
            server_launch.follow(folder, settings.endpoint.start_timeout)
        elif server is not None:
            server_process.stop(server)
        folder.prune({entry["model"] for entry in rest.values()})
        return _now(folder)


def start(settings: Settings, name: str) -> EndpointStatus:
    """Start the server with what `name` served last, on the same port with the same key.

    Where it has nothing to serve (at first, removed, or all slots deleted) that is the champion of its stage; `name`
    may also be a model's. Does nothing when it runs. Raises UnknownNameError when nothing bears that name,
    EndpointError when there is no champion, or a model's files are gone.
    """
    folder = EndpointFolder(settings, name)
    champion = champion_source.find_champion(settings, name) if _bare(folder.read()) else None
    with folder.locked():
        current = folder.read()
        if _bare(current) and champion is not None:
            with tempfile.TemporaryDirectory() as scratch:
                model_dir = champion.fetch(Path(scratch))
                slot = endpoint_state.SLOTS[0]
                deployment.deploy(
                    settings,
                    folder,
                    slot,
                    model_dir,
                    version=champion.version,
                    detail=champion.detail,
                    traffic=True,
                    sha256=champion.sha256,
                )
                return _now(folder)
        current = _state(folder)
        if not current["slots"]:
            raise EndpointError(f"endpoint {name!r} has no slot left to serve; promote or deploy a model to it first")
        if read_status(folder, current).state == "running":
            if current["wanted"] != "running":
                folder.write({**current, "wanted": "running"})
            return replace(read_status(folder, _state(folder)), changed=False)
        server = server_process.running(folder)
        if server is not None:  # it is there but does not answer
            server_process.stop(server)
        deployment.resume(settings, folder, current)
        return _now(folder)


def stop(settings: Settings, name: str) -> EndpointStatus:
    """Stop the server process; models, port and key are kept for `start`."""
    folder = _existing(settings, name)
    with folder.locked():
        current = _state(folder)
        server = server_process.running(folder)
        was_running = server is not None or current["wanted"] == "running"
        try:
            folder.write({**current, "wanted": "stopped", "last_error": None})
        finally:  # also when the disk is full
            if server is not None:
                server_process.stop(server)
        folder.server.unlink(missing_ok=True)
        return replace(_now(folder), changed=was_running)


def status(settings: Settings, name: str) -> EndpointStatus:
    """Return the status. It starts nothing and waits for no lock; a damaged state is a status too."""
    folder = _existing(settings, name)
    try:
        current = folder.read()
    except EndpointError as error:
        return EndpointStatus(name, "broken", "", 0, None, "", last_error=str(error))
    if current is None:
        raise UnknownNameError("endpoint", name, endpoint_state.known(settings))
    return read_status(folder, current)


def listed(settings: Settings) -> list[EndpointStatus]:
    """Return the status of every endpoint that was ever deployed in this project."""
    return [status(settings, name) for name in endpoint_state.known(settings)]


def whole(settings: Settings, name: str, slot: str) -> bool:
    """Whether the files of a slot's model are still those that were deployed."""
    folder = _existing(settings, name)
    try:
        folder.check_model(_known(_state(folder), slot)["slots"][slot])
    except EndpointError:
        return False
    return True


def idle(settings: Settings, name: str) -> str:
    """Return the slot to deploy to next: one without traffic. Raises EndpointError when all have some."""
    folder = EndpointFolder(settings, name)
    current = folder.read() if folder.exists() else None
    taken = {slot for slot, percent in (current["traffic"] if current else {}).items() if percent}
    for slot in endpoint_state.SLOTS:
        if slot not in taken:
            return slot
    raise EndpointError(
        f"endpoint {name!r}: both slots have traffic; decide for one: nbops endpoint traffic {name} {min(taken)}=100"
    )


def invoke(settings: Settings, name: str, payload: object, *, slot: str | None = None, probe: bool = False) -> Any:
    """Return the answer of endpoint `name` to `payload`, a request in one of MLflow's formats or Azure's.

    `slot` asks that slot, whatever its traffic. A `probe` only tries the endpoint: it is not collected.
    Raises InputError when the endpoint refuses the request, EndpointError when it is not running or its model fails.
    """
    folder, current = _running(settings, name)
    if slot is not None:
        _known(current, slot)
    address = server_launch.listens_at(current)
    key = "" if address.loopback else folder.secret()
    return endpoint_client.invoke(address, payload, key=key, slot=slot, probe=probe)


def measured(settings: Settings, name: str, since: Mapping[str, SlotCounts] | None = None) -> dict[str, SlotCounts]:
    """Return the running server's counts by slot; with `since`, an earlier result, only what came after it.

    A slot whose model was deployed anew in between, or a server that was started anew, counts from then on.
    """
    folder, current = _running(settings, name)
    address = server_launch.listens_at(current)
    try:
        code, content = endpoint_client.ask(address, "GET", "/slots", key="" if address.loopback else folder.secret())
    except OSError as error:
        raise EndpointError(f"{address.url} does not answer: {error}; see nbops endpoint status") from error
    if code != 200:
        raise EndpointError(f"{address.url}/slots answered {code}: {content}")
    counts = {slot: slots.read_counts(each["counts"]) for slot, each in content["slots"].items()}
    return {slot: now - (since or {}).get(slot, SlotCounts()) for slot, now in counts.items()}


def example(settings: Settings, name: str, *, slot: str | None = None) -> dict[str, Any]:
    """Return a request that the model of `slot`, or of the slot with most of the traffic, answers.

    Raises EndpointError when the model was logged without one.
    """
    current = _state(_existing(settings, name))
    chosen = endpoint_state.main_slot(current) if slot is None else slot
    request = _known(current, chosen)["slots"][chosen].get("example")
    if not request:
        raise EndpointError(f"endpoint {name!r}: its model was logged without an example; send your own with --data")
    return dict(request)


def logs(settings: Settings, name: str, lines: int = 50) -> list[str]:
    """Return the last lines that the server processes of an endpoint wrote."""
    return _existing(settings, name).lines(lines)


def _share(settings: Settings, name: str, what: str, shares: Mapping[str, int]) -> EndpointStatus:
    folder = _existing(settings, name)
    with folder.locked():
        current = _state(folder)
        deployment.share(settings, folder, current, what, shares)
        return _now(folder)


def _running(settings: Settings, name: str) -> tuple[EndpointFolder, State]:
    now = status(settings, name)
    if now.state != "running":
        reason = f" ({now.last_error})" if now.last_error else ""
        raise EndpointError(f"endpoint {name!r} is {now.state}{reason}; start it with: nbops endpoint start {name}")
    folder = EndpointFolder(settings, name)
    return folder, _state(folder)


def _known(current: State, slot: str) -> State:
    if slot not in current["slots"]:
        raise UnknownNameError("slot", slot, current["slots"])
    return current


def _bare(current: State | None) -> bool:
    return current is None or not current["slots"]


def _now(folder: EndpointFolder) -> EndpointStatus:
    return read_status(folder, _state(folder))


def _state(folder: EndpointFolder) -> State:
    current = folder.read()
    if current is None:
        raise EndpointError(f"{folder.path}: the endpoint was removed meanwhile")
    return current


def _existing(settings: Settings, name: str) -> EndpointFolder:
    folder = EndpointFolder(settings, name)
    if not folder.exists():
        raise UnknownNameError("endpoint", name, endpoint_state.known(settings))
    return folder
