"""Change what an endpoint serves, under its lock: the model in a slot, traffic and mirror between slots.

The order of a deployment into a running server, and what a crash after each step leaves:

    copy     a model folder that no slot uses; the next deployment removes it
    check    the same: the model was loaded in a process of its own and predicted its example
    write    the state names the slot; the server loads it, whether or not this process still waits
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from notebooks_lib.errors import EndpointError, UsageError, reason
from notebooks_lib.models import model_files
from notebooks_lib.serving import endpoint_state, loading, server_launch, server_process
from notebooks_lib.serving.endpoint import FetchedModel, ServedVersion, check_shares
from notebooks_lib.serving.endpoint_state import EndpointFolder, State
from notebooks_lib.serving.server_process import ServerProcess
from notebooks_lib.settings import Settings


def deploy(
    settings: Settings,
    folder: EndpointFolder,
    slot: str,
    version: ServedVersion,
    model: FetchedModel,
    *,
    traffic: bool,
) -> None:
    """Load a version whose files were fetched into a slot; see `Endpoint.deploy`."""
    try:
        old = folder.read()
    except EndpointError:
        old = None  # damaged: a deployment is how one gets out of that
    has = old["traffic"].get(slot) if old else None
    if has and not traffic:
        raise UsageError(
            f"slot {slot!r} of endpoint {folder.name!r} has {has} % of the traffic; deploy to another slot, "
            f"or give its traffic to another first"
        )
    entry = _entry(folder, version, model)
    new = _with(old or _empty(settings, folder), slot, entry, traffic=traffic)
    server = _following(folder)
    try:
        if server is None:
            new = server_launch.launch(settings, folder, new, must={slot})
        else:
            _beside(settings, folder, new, slot)
    except EndpointError as error:
        if old is None:
            raise
        _back(settings, folder, old, server)
        _noted(folder, old, error)
        serves = endpoint_state.main_slot(old)
        kept = f"\nVersion {old['slots'][serves]['version']} serves as before." if server and serves else ""
        raise EndpointError(f"{error}{kept}") from error
    folder.prune({each["model"] for each in new["slots"].values()})
    with suppress(OSError):  # for the curl of a long example; the state holds it too
        example = folder.example(slot)
        endpoint_state.stage(example, new["slots"][slot].get("example") or {}, durable=False).replace(example)


def delete(settings: Settings, folder: EndpointFolder, current: State, slot: str) -> None:
    """Take a slot without traffic out of the state, and remove its files. Without any slot left the server stops."""
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


def share(
    settings: Settings,
    folder: EndpointFolder,
    current: State,
    *,
    traffic: Mapping[str, int] | None,
    mirror: Mapping[str, int] | None,
) -> None:
    """Write new percentages of traffic, mirror or both to the state, and wait until the server follows them.

    None keeps what holds, but a slot that gets traffic is no longer mirrored to.
    """
    check_shares(folder.name, current["slots"], current["traffic"], shares=traffic, mirror=mirror)
    shares = current["traffic"] if traffic is None else _positive(traffic)
    mirrored = {slot: percent for slot, percent in current["mirror"].items() if slot not in shares}
    changed = {"traffic": shares, "mirror": mirrored if mirror is None else _positive(mirror)}
    if all(current[key] == value for key, value in changed.items()):
        return
    server = server_process.running(folder)
    if server is not None:
        report = server_launch.server_report(folder, server).get("slots", {})
        wanted = {**_positive(traffic or {}), **_positive(mirror or {})}
        broken = [slot for slot in wanted if report.get(slot, {}).get("state") == "failed"]
        if broken:
            raise EndpointError(
                f"slot {broken[0]!r} of endpoint {folder.name!r} could not be loaded ({report[broken[0]]['error']}); "
                "deploy to it again first"
            )
    folder.write({**current, **changed})
    if server is not None:
        server_launch.follow(folder, settings.endpoint.start_timeout)


def _positive(shares: Mapping[str, int]) -> dict[str, int]:
    return {slot: percent for slot, percent in shares.items() if percent}


def resume(settings: Settings, folder: EndpointFolder, current: State) -> None:
    """Start the server with all slots of the state; those with traffic must load, the others may fail."""
    must = {slot for slot, percent in current["traffic"].items() if percent} or set(list(current["slots"])[:1])
    try:
        for slot in sorted(must):
            _check_files(folder, current["slots"][slot])
        server_launch.launch(settings, folder, {**current, "wanted": "running", "last_error": None}, must=must)
    except EndpointError as error:
        _noted(folder, current, error)
        raise


def _check_files(folder: EndpointFolder, entry: Mapping[str, Any]) -> None:
    try:
        folder.check_model(entry)
    except EndpointError as error:
        raise EndpointError(
            f"endpoint {folder.name!r} cannot serve version {entry['version']}: {error}: nbops promote --live does so "
            f"in prod; else remove {folder.path} and give nbops endpoint start {folder.name} (another port and key)"
        ) from error


def _entry(folder: EndpointFolder, version: ServedVersion, model: FetchedModel) -> dict[str, Any]:
    copy = folder.keep_model(model.folder, version.version)
    entry = {
        "id": uuid.uuid4().hex,
        "version": version.version,
        "model": copy.name,
        "sha256": model.sha256 or model_files.read(copy).sha256,
        "detail": {**version.detail, **({"files": model.note} if model.note else {})},
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if model.sha256:  # of what was decided on: the copy, not what it was made from, is what will serve
        folder.check_model(entry)
    return entry


def _empty(settings: Settings, folder: EndpointFolder) -> State:
    return {
        "name": folder.name,
        "host": settings.endpoint.host,
        "port": 0,
        "slots": {},
        "traffic": {},
        "mirror": {},
    }


def _with(old: State, slot: str, entry: Mapping[str, Any], *, traffic: bool) -> State:
    mirror = {name: percent for name, percent in old["mirror"].items() if name != slot}
    shares = {"traffic": {slot: 100} if traffic else old["traffic"], "mirror": mirror}
    return {**old, **shares, "slots": {**old["slots"], slot: entry}, "wanted": "running", "last_error": None}


def _following(folder: EndpointFolder) -> ServerProcess | None:
    """Return the running server; stop one that cannot follow the state, as an older nbops started it."""
    server = server_process.running(folder)
    if server is not None and not server_launch.follows(server):
        server_process.stop(server)
        return None
    return server


def _beside(settings: Settings, folder: EndpointFolder, new: State, slot: str) -> None:
    entry, timeout = new["slots"][slot], settings.endpoint.start_timeout
    try:
        loaded = loading.check_load(folder.models / entry["model"], folder.log, timeout, server_process.environment())
        entry["example"] = loaded["example"]
        folder.write(new)
        reported = server_launch.follow(folder, timeout)[slot]
        if reported["state"] != "ready":
            raise EndpointError(reported["error"])
    except EndpointError as error:
        raise EndpointError(f"endpoint {folder.name!r} cannot serve version {entry['version']}: {error}") from error


def _back(settings: Settings, folder: EndpointFolder, old: State, server: ServerProcess | None) -> None:
    """Put the old state back in force. Most failures come before it was touched."""
    with suppress(EndpointError):  # the first error is the one to report
        if (folder.read() or {}).get("slots") != old["slots"]:
            folder.write(old)
        now = server_process.running(folder)
        if server is None and now is not None:
            server_process.stop(now)
        elif server is not None and now is None:
            server_launch.launch(settings, folder, old, must=set(old["traffic"]))
        elif server is not None:
            server_launch.follow(folder, settings.endpoint.start_timeout)


def _noted(folder: EndpointFolder, current: State, error: EndpointError) -> None:
    """Record the error for `status`; a failure to write it must not hide it."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with suppress(EndpointError):
        folder.write({**current, "last_error": f"{when}: {reason(error)}"})
