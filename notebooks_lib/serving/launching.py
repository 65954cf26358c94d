"""Brings up a server for a wanted state, in place of the one that runs. It does not choose what is served."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import client, process, state
from notebooks_lib.serving.client import Address
from notebooks_lib.serving.process import Server, StartError, Starting
from notebooks_lib.serving.state import SLOT, Folder, State
from notebooks_lib.settings import Settings

PROBE_TIMEOUT = 5.0
"""Seconds in which a healthy endpoint says so."""


def launch(settings: Settings, folder: Folder, new: State, *, replaces: Server | None) -> None:
    """Bring up a server for state `new`, and write that state down once its model is loaded.

    Cut short before the state is written, the old state holds; after it, `start` resumes the new one.
    """
    host, port = settings.endpoint.host, settings.endpoint.port or new["port"]
    address = Address(host, port)
    order = {
        "endpoint": folder.name,
        "host": host,
        "port": port,
        "early": replaces is None or replaces.record.get("port") != port,
        "key": "" if address.loopback else folder.secret(),
        "slots": {name: {"model": slot["model"], "info": _info(slot)} for name, slot in new["slots"].items()},
    }
    try:
        with Starting(folder, order, settings.endpoint.start_timeout) as starting:
            loaded = starting.loaded()
            new = {**new, "host": host, "port": loaded["port"]}
            new["slots"] = {name: {**slot, "example": loaded["example"]} for name, slot in new["slots"].items()}
            # All that needs room on the disk is written by now: what follows the old server's end cannot fail for it.
            with folder.staged(new) as commit:
                if replaces is not None:
                    process.stop(replaces)
                commit()
            starting.go()
    except StartError as error:
        if error.kind == "host":
            raise EndpointError(
                f"endpoint {folder.name!r}: {host} is no address of this machine ({error}); "
                "change [endpoint] host in production/settings.toml, or NBOPS_ENDPOINT_HOST"
            ) from error
        if error.kind == "port":
            raise EndpointError(
                f"endpoint {folder.name!r}: port {port} is taken by {process.holder(port)} ({error}); "
                f"end that process, or choose another port as in: "
                f"NBOPS_ENDPOINT_PORT={port % 65535 + 1} nbops endpoint start {folder.name}"
            ) from error
        version = new["slots"][SLOT]["version"]
        raise EndpointError(f"endpoint {folder.name!r} cannot serve version {version}: {error}") from error
    except OSError as error:
        raise EndpointError(f"endpoint {folder.name!r}: its server process cannot be started: {error}") from error
    _check_live(folder, new)
    with suppress(OSError):  # for the curl of a long example; the state holds it too
        state.stage(folder.example, loaded["example"] or {}).replace(folder.example)


def _check_live(folder: Folder, new: State) -> None:
    """Ask the new server who it is, over HTTP, as a client would."""
    address = listens_at(new)
    key = "" if address.loopback else folder.secret()
    try:
        healthy, _ = client.ask(address, "GET", "/health", timeout=PROBE_TIMEOUT)
        _, told = client.ask(address, "GET", "/version", key=key, timeout=PROBE_TIMEOUT)
    except OSError as error:
        raise EndpointError(f"endpoint {folder.name!r} does not answer at {address.url}: {error}") from error
    expected = new["slots"][SLOT]["version"]
    if healthy != 200 or not isinstance(told, dict) or told.get("version") != expected:
        raise EndpointError(f"endpoint {folder.name!r}: {address.url} answers as {told}, expected version {expected}")


def listens_at(current: State) -> Address:
    """Where the server of a state listens."""
    return Address(str(current["host"]), int(current["port"]))


def _info(slot: Mapping[str, Any]) -> dict[str, Any]:
    """What `/version` answers."""
    first = {key: slot["detail"].get(key) for key in ("model", "run_id", "dataset")}
    rest = {key: value for key, value in slot["detail"].items() if key not in first}
    return {"model": first.pop("model"), "version": slot["version"], **first, "since": slot["since"], "detail": rest}
