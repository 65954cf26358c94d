"""Start a server for a wanted state, or make the running one follow it. It does not choose what is served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import endpoint_state, http_client, server_process
from notebooks_lib.serving.endpoint_state import EndpointState, FollowReport, SlotReport
from notebooks_lib.serving.http_client import Address
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder
from notebooks_lib.serving.server_config import ServerConfig, ServerOptions
from notebooks_lib.serving.server_launch import StartError, StartingServer
from notebooks_lib.serving.server_process import ServerProcess
from notebooks_lib.settings import Settings

PROBE_TIMEOUT = 5.0
"""Seconds in which a healthy endpoint answers."""
PROTOCOL = 2
"""Version of what a server understands; one started by an older nbops does not follow the state."""
_LOOK_EVERY = 0.01


def launch_server(settings: Settings, folder: EndpointFolder, new: EndpointState, *, must: set[str]) -> EndpointState:
    """Start a server, wait until the slots in `must` are loaded, write the state `new`, and return it.

    If this is interrupted before the state is written, the old state remains; after that, `start` resumes the new one.
    Raises EndpointError when the server does not start.
    """
    host, port = settings.endpoint.host, settings.endpoint.port or new.port
    address = Address(host, port)
    config = ServerConfig(
        state=new,
        must=frozenset(must),
        endpoint=folder.name,
        host=host,
        port=port,
        protocol=PROTOCOL,
        key=None if address.loopback else folder.secret(),
        collected=settings.layout.collected,
        options=ServerOptions.from_settings(settings.endpoint),
    )
    try:
        with StartingServer(folder, config, settings.endpoint.start_timeout) as starting:
            loaded = starting.loaded()
            slots = {
                name: replace(slot, example=loaded["examples"].get(name, slot.example))
                for name, slot in new.slots.items()
            }
            new = replace(new, host=host, port=loaded["port"], slots=slots)
            # All that needs room on the disk is written by now.
            with folder.staged(new) as commit:
                folder.serving.unlink(missing_ok=True)
                commit()
            starting.go()
    except StartError as error:
        if error.kind == "host":
            raise EndpointError(
                f"endpoint {folder.name!r}: host {host} is no address of this machine ({error}); "
                "change [endpoint] host in production/settings.toml, or NBOPS_ENDPOINT_HOST"
            ) from error
        if error.kind == "rights":
            raise EndpointError(
                f"endpoint {folder.name!r}: this user may not listen at port {port} ({error}); choose one above 1023, "
                f"as in: NBOPS_ENDPOINT_PORT={port + 8000} nbops endpoint start {folder.name}"
            ) from error
        if error.kind == "port":
            raise EndpointError(
                f"endpoint {folder.name!r}: port {port} is taken by {server_process.port_holder(port)} ({error}); "
                f"end that process, or choose another port as in: "
                f"NBOPS_ENDPOINT_PORT={port % 65535 + 1} nbops endpoint start {folder.name}"
            ) from error
        versions = ", ".join(new.slots[name].version for name in sorted(must))
        raise EndpointError(f"endpoint {folder.name!r} cannot serve version {versions}: {error}") from error
    except OSError as error:
        raise EndpointError(f"endpoint {folder.name!r}: its server process cannot be started: {error}") from error
    wait_until_followed(folder, settings.endpoint.start_timeout)
    _check_live(folder, new)
    return new


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


def follows_state(server: ServerProcess) -> bool:
    """Return True if the server is of a version that applies changes of the state while it runs."""
    return server.record.protocol == PROTOCOL


def _check_live(folder: EndpointFolder, new: EndpointState) -> None:
    """Ask the new server for its identity over HTTP, as a client would."""
    address = listens_at(new)
    key = "" if address.loopback else folder.secret()
    try:
        healthy, _ = http_client.send_request(address, "GET", "/health", timeout=PROBE_TIMEOUT)
        _, answer = http_client.send_request(address, "GET", "/slots", key=key, timeout=PROBE_TIMEOUT)
    except OSError as error:
        raise EndpointError(f"endpoint {folder.name!r} does not answer at {address.url}: {error}") from error
    if healthy != 200 or not isinstance(answer, dict) or answer.get("endpoint") != folder.name:
        raise EndpointError(f"endpoint {folder.name!r}: {address.url} answers as {answer}, expected {folder.name}")


def listens_at(current: EndpointState) -> Address:
    """Return the address at which the state's server listens."""
    return Address(current.host, current.port)
