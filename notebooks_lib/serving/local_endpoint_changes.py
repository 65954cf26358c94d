"""Change what an endpoint serves, under its lock: the model in a slot, traffic and mirror between slots.

The steps of a deployment into a running server, and what a crash after each step leaves behind:

    copy     a model folder that no slot uses; the next deployment removes it
    check    the same folder; the model was loaded in a child process and predicted its example
    write    the state names the slot; the server loads it, even if this process has ended
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from notebooks_lib.errors import EndpointError, UsageError, reason
from notebooks_lib.models import model_files
from notebooks_lib.serving import endpoint_state, load_check, server_launch, server_process, wait_for_reload
from notebooks_lib.serving.endpoint import FetchedModel, ServedVersion, check_shares
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder
from notebooks_lib.serving.server_process import ServerProcess
from notebooks_lib.settings import Settings


def load_into_slot(
    settings: Settings,
    folder: EndpointFolder,
    slot: str,
    version: ServedVersion,
    model: FetchedModel,
    *,
    traffic: bool,
) -> None:
    """Load a version into a slot. `model` holds the version's fetched files; `Endpoint.deploy` says more."""
    try:
        old = folder.read()
    except EndpointError:
        old = None  # the state file is damaged; a new deployment repairs it
    has = old.traffic.get(slot) if old else None
    if has and not traffic:
        raise UsageError(
            f"slot {slot!r} of endpoint {folder.name!r} has {has} % of the traffic; deploy to another slot, "
            f"or give its traffic to another first"
        )
    base = old or EndpointState(folder.name, settings.endpoint.host, 0)
    new = _with(base, slot, _slot_state(folder, version, model), traffic=traffic)
    server = _following(folder)
    try:
        if server is None:
            new = server_launch.launch_server(settings, folder, new, must={slot})
        else:
            new = _beside(settings, folder, new, slot)
    except EndpointError as error:
        if old is None:
            raise
        _back(settings, folder, old, server)
        _noted(folder, old, error)
        serves = old.main_slot
        remark = f"\nVersion {old.slots[serves].version} serves as before." if server and serves else ""
        raise EndpointError(f"{error}{remark}") from error
    folder.prune({state.model for state in new.slots.values()})
    with suppress(OSError):  # the curl command of a long example names this file; the state has the example too
        example = folder.example(slot)
        endpoint_state.write_draft(example, new.slots[slot].example or {}, durable=False).replace(example)


def remove_slot(settings: Settings, folder: EndpointFolder, current: EndpointState, slot: str) -> None:
    """Remove a slot without traffic from the state, and delete its files. Stop the server if no slot is left."""
    rest = {other: held for other, held in current.slots.items() if other != slot}
    traffic = {other: percent for other, percent in current.traffic.items() if other != slot}
    mirror = {other: percent for other, percent in current.mirror.items() if other != slot}
    server = server_process.running_server(folder)
    wanted = current.wanted if rest else "stopped"
    folder.write(replace(current, slots=rest, traffic=traffic, mirror=mirror, wanted=wanted, last_error=""))
    if server is not None and rest:
        wait_for_reload.wait_until_followed(folder, settings.endpoint.start_timeout)
    elif server is not None:
        server_process.stop_server(server)
    folder.prune({held.model for held in rest.values()})


def set_shares(
    settings: Settings,
    folder: EndpointFolder,
    current: EndpointState,
    *,
    traffic: Mapping[str, int] | None,
    mirror: Mapping[str, int] | None,
) -> None:
    """Write new percentages of traffic, of mirrored requests, or of both, and wait until the server applies them.

    None keeps the present percentages, except that a slot with traffic no longer gets mirrored requests.
    """
    check_shares(folder.name, current.slots, current.traffic, shares=traffic, mirror=mirror)
    shares = current.traffic if traffic is None else _positive(traffic)
    mirrored = {slot: percent for slot, percent in current.mirror.items() if slot not in shares}
    new = replace(current, traffic=shares, mirror=mirrored if mirror is None else _positive(mirror))
    if new == current:
        return
    server = server_process.running_server(folder)
    if server is not None:
        reports = wait_for_reload.server_report(folder, server).slots
        slots = {**_positive(traffic or {}), **_positive(mirror or {})}
        broken = [slot for slot in slots if slot in reports and reports[slot].state == "failed"]
        if broken:
            raise EndpointError(
                f"slot {broken[0]!r} of endpoint {folder.name!r} could not be loaded ({reports[broken[0]].error}); "
                "deploy to it again first"
            )
    folder.write(new)
    if server is not None:
        wait_for_reload.wait_until_followed(folder, settings.endpoint.start_timeout)


def _positive(shares: Mapping[str, int]) -> dict[str, int]:
    return {slot: percent for slot, percent in shares.items() if percent}


def start_server(settings: Settings, folder: EndpointFolder, current: EndpointState) -> None:
    """Start the server with all slots of the state. Those with traffic must load; the others may fail."""
    must = {slot for slot, percent in current.traffic.items() if percent} or set(list(current.slots)[:1])
    try:
        for slot in sorted(must):
            _check_files(folder, current.slots[slot])
        server_launch.launch_server(settings, folder, replace(current, wanted="running", last_error=""), must=must)
    except EndpointError as error:
        _noted(folder, current, error)
        raise


def _check_files(folder: EndpointFolder, slot: SlotState) -> None:
    try:
        folder.check_model(slot)
    except EndpointError as error:
        raise EndpointError(
            f"endpoint {folder.name!r} cannot serve version {slot.version}: {error}: nbops promote --live does so "
            f"in prod; else remove {folder.path} and run nbops endpoint start {folder.name} (new port and key)"
        ) from error


def _slot_state(folder: EndpointFolder, version: ServedVersion, model: FetchedModel) -> SlotState:
    """Copy the model's files into the endpoint's folder, and return the new state of the slot."""
    copy = folder.keep_model(model.folder, version.version)
    slot = SlotState(
        id=uuid.uuid4().hex,
        version=version.version,
        model=copy.name,
        sha256=model.sha256 or model_files.read_model_files(copy).sha256,
        detail=replace(version.detail, files=model.note),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if model.sha256:  # a decision chose these files, so check the copy, which will serve
        folder.check_model(slot)
    return slot


def _with(old: EndpointState, name: str, slot: SlotState, *, traffic: bool) -> EndpointState:
    return replace(
        old.with_slot(name, slot),
        traffic={name: 100} if traffic else old.traffic,
        mirror={other: percent for other, percent in old.mirror.items() if other != name},
        wanted="running",
        last_error="",
    )


def _following(folder: EndpointFolder) -> ServerProcess | None:
    """Return the running server, if any. Stop a server of an older nbops, which cannot follow the state."""
    server = server_process.running_server(folder)
    if server is not None and not server_launch.follows_state(server):
        server_process.stop_server(server)
        return None
    return server


def _beside(settings: Settings, folder: EndpointFolder, new: EndpointState, name: str) -> EndpointState:
    """Let the running server load one slot of `new` beside the others; return the state with the model's example."""
    slot, timeout = new.slots[name], settings.endpoint.start_timeout
    try:
        loaded = load_check.check_load(
            folder.models / slot.model, folder.log, timeout, server_launch.server_environment()
        )
        new = new.with_slot(name, replace(slot, example=loaded["example"]))
        folder.write(new)
        reported = wait_for_reload.wait_until_followed(folder, timeout)[name]
        if reported.state != "ready":
            raise EndpointError(reported.error)
    except EndpointError as error:
        raise EndpointError(f"endpoint {folder.name!r} cannot serve version {slot.version}: {error}") from error
    return new


def _back(settings: Settings, folder: EndpointFolder, old: EndpointState, server: ServerProcess | None) -> None:
    """Restore the old state. After most failures there is nothing to restore."""
    with suppress(EndpointError):  # the first error is the one to report
        current = folder.read()
        if current is None or current.slots != old.slots:
            folder.write(old)
        now = server_process.running_server(folder)
        if server is None and now is not None:
            server_process.stop_server(now)
        elif server is not None and now is None:
            server_launch.launch_server(settings, folder, old, must=set(old.traffic))
        elif server is not None:
            wait_for_reload.wait_until_followed(folder, settings.endpoint.start_timeout)


def _noted(folder: EndpointFolder, current: EndpointState, error: EndpointError) -> None:
    """Record the error for `status`; a failure to write it must not hide it."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with suppress(EndpointError):
        folder.write(replace(current, last_error=f"{when}: {reason(error)}"))
