"""The endpoint on this machine: one server process that is started, stopped and changed through the endpoint's folder.

The folder's state file is the truth. Every change is made under the endpoint's lock, in an order that leaves either the
old or the new state when it is cut short. A running server follows the state without a restart; this module never loads
a model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notebooks_lib.errors import EndpointError, UnknownNameError, UsageError
from notebooks_lib.serving import (
    http_client,
    local_endpoint_changes,
    local_endpoint_folder,
    local_status,
    request_counts,
    server_launch,
    server_process,
)
from notebooks_lib.serving.endpoint import (
    SLOTS,
    Endpoint,
    EndpointAnswer,
    EndpointSession,
    ServedVersion,
    check_name,
    require_slot,
)
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.serving.endpoint_state import EndpointState
from notebooks_lib.serving.http_client import Address
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder
from notebooks_lib.serving.local_status import LocalStatus
from notebooks_lib.serving.request_counts import RequestCounts
from notebooks_lib.settings import Settings


def names(settings: Settings) -> list[str]:
    """Return the names of all endpoints that were ever deployed on this machine for this project."""
    return local_endpoint_folder.known_endpoints(settings)


class LocalEndpoint(Endpoint):
    """An endpoint on this machine; `Endpoint` says what each method promises."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._settings = settings
        self._folder = EndpointFolder(settings, name)

    @property
    def capabilities(self) -> EndpointCapabilities:
        """Return what an endpoint on this machine can do: all there is, with one log."""
        return EndpointCapabilities()

    def status(self) -> LocalStatus:
        """Read the endpoint's folder and look at the server process. A damaged state file gives a status too."""
        self._require()
        try:
            current = self._folder.read()
        except EndpointError as error:
            return LocalStatus(name=self.name, state="broken", last_error=str(error))
        if current is None:
            raise self._unknown()
        return local_status.read_status(self._folder, current)

    def deploy(self, slot: str, version: ServedVersion, *, traffic: bool = False) -> LocalStatus:
        """Copy the model into the endpoint's folder, test it in a child process, then let the server load it."""
        check_name("slot", slot)
        with tempfile.TemporaryDirectory() as scratch:
            model = version.fetch(Path(scratch))
            if not (model.folder / "MLmodel").is_file():
                raise UsageError(f"{model.folder}: holds no MLmodel file; expected the folder of an MLflow model")
            with self._folder.locked():
                local_endpoint_changes.load_into_slot(
                    self._settings, self._folder, slot, version, model, traffic=traffic
                )
                return self._now()

    def delete_slot(self, slot: str) -> LocalStatus:
        """Remove the slot from the state, then delete its files."""
        self._require()
        with self._folder.locked():
            current = self._state()
            require_slot(slot, current.slots)
            if current.traffic.get(slot):
                raise UsageError(
                    f"slot {slot!r} of endpoint {self.name!r} has {current.traffic[slot]} % of the traffic; give it "
                    f"to another slot first: nbops endpoint traffic {self.name} OTHER=100"
                )
            local_endpoint_changes.remove_slot(self._settings, self._folder, current, slot)
            return self._now()

    def set_traffic(self, shares: Mapping[str, int], *, mirror: Mapping[str, int] | None = None) -> LocalStatus:
        """Write the new percentages to the state, and wait until the server applies them."""
        return self._share(traffic=shares, mirror=mirror)

    def set_mirror(self, shares: Mapping[str, int]) -> LocalStatus:
        """Write the new percentage to the state, and wait until the server applies it."""
        return self._share(mirror=shares)

    def start(self, first: ServedVersion | None = None) -> LocalStatus:
        """Start the server process on the same port as before. A server process that does not answer is ended first."""
        with self._folder.locked():
            current = self._folder.read()
            if (current is None or not current.slots) and first is not None:
                with tempfile.TemporaryDirectory() as scratch:
                    model = first.fetch(Path(scratch))
                    local_endpoint_changes.load_into_slot(
                        self._settings, self._folder, SLOTS[0], first, model, traffic=True
                    )
                    return self._now()
            if current is None or not current.slots:
                raise EndpointError(
                    f"endpoint {self.name!r} has no slot left to serve; promote or deploy a model to it first"
                )
            if local_status.read_status(self._folder, current).state == "running":
                if current.wanted != "running":
                    self._folder.write(replace(current, wanted="running"))
                return replace(self._now(), changed=False)
            server = server_process.running_server(self._folder)
            if server is not None:  # it is there but does not answer
                server_process.stop_server(server)
            local_endpoint_changes.start_server(self._settings, self._folder, current)
            return self._now()

    def stop(self) -> LocalStatus:
        """Stop the server process."""
        self._require()
        with self._folder.locked():
            current = self._state()
            server = server_process.running_server(self._folder)
            was_running = server is not None or current.wanted == "running"
            try:
                self._folder.write(replace(current, wanted="stopped", last_error=""))
            finally:  # also when the disk is full
                if server is not None:
                    server_process.stop_server(server)
            self._folder.server.unlink(missing_ok=True)
            return replace(self._now(), changed=was_running)

    def idle_slot(self) -> str:
        """Return the first slot without traffic in the state file."""
        current = self._folder.read() if self._folder.exists() else None
        taken = {slot for slot, percent in (current.traffic if current else {}).items() if percent}
        for slot in SLOTS:
            if slot not in taken:
                return slot
        raise EndpointError(
            f"endpoint {self.name!r}: both slots have traffic; decide for one: "
            f"nbops endpoint traffic {self.name} {min(taken)}=100"
        )

    def is_intact(self, slot: str) -> bool:
        """Return True if the slot's files have the digest that they were deployed with."""
        self._require()
        current = self._state()
        require_slot(slot, current.slots)
        try:
            self._folder.check_model(current.slots[slot])
        except EndpointError:
            return False
        return True

    def example(self, *, slot: str | None = None) -> dict[str, Any]:
        """Return the example that the server stored when it loaded the model."""
        self._require()
        current = self._state()
        chosen = current.main_slot if slot is None else slot
        require_slot(chosen, current.slots)
        request = current.slots[chosen].example
        if not request:
            raise EndpointError(
                f"endpoint {self.name!r}: its model was logged without an example; send your own with --data"
            )
        return dict(request)

    def invoke(self, payload: object, *, slot: str | None = None, probe: bool = False) -> Any:
        """Send the request over HTTP."""
        session = self.session(probe=probe)
        if slot is not None:
            require_slot(slot, self._state().slots)
        return session.ask(payload, slot=slot).result()

    def session(self, *, probe: bool = True) -> EndpointSession:
        """Return a session that opens a connection for each request."""
        return LocalSession(*self._listening(), probe)

    def counts(self, since: Mapping[str, RequestCounts] | None = None) -> dict[str, RequestCounts]:
        """Get the counts from the running server."""
        address, key = self._listening()
        try:
            code, content = http_client.send_request(address, "GET", "/slots", key=key)
        except OSError as error:
            raise EndpointError(f"{address.url} does not answer: {error}; see nbops endpoint status") from error
        if code != 200:
            raise EndpointError(f"{address.url}/slots answered {code}: {content}")
        counts = {slot: request_counts.read_counts(report["counts"]) for slot, report in content["slots"].items()}
        return {slot: now - (since or {}).get(slot, RequestCounts()) for slot, now in counts.items()}

    def logs(self, lines: int = 50, *, slot: str | None = None) -> list[str]:
        """Return the last lines that the server process wrote. It serves all slots, so `slot` is not used."""
        self._require()
        return self._folder.lines(lines)

    def _share(
        self, *, traffic: Mapping[str, int] | None = None, mirror: Mapping[str, int] | None = None
    ) -> LocalStatus:
        self._require()
        with self._folder.locked():
            local_endpoint_changes.set_shares(
                self._settings, self._folder, self._state(), traffic=traffic, mirror=mirror
            )
            return self._now()

    def _listening(self) -> tuple[Address, str]:
        """Return address and key of the running server."""
        now = self.status()
        if now.state != "running":
            reason = f" ({now.last_error})" if now.last_error else ""
            raise EndpointError(
                f"endpoint {self.name!r} is {now.state}{reason}; start it with: nbops endpoint start {self.name}"
            )
        address = server_launch.listens_at(self._state())
        return address, "" if address.loopback else self._folder.secret()

    def _now(self) -> LocalStatus:
        return local_status.read_status(self._folder, self._state())

    def _state(self) -> EndpointState:
        current = self._folder.read()
        if current is None:
            raise EndpointError(f"{self._folder.path}: the endpoint was removed meanwhile")
        return current

    def _require(self) -> None:
        if not self._folder.exists():
            raise self._unknown()

    def _unknown(self) -> UnknownNameError:
        return UnknownNameError("endpoint", self.name, local_endpoint_folder.known_endpoints(self._settings))


@dataclass(frozen=True)
class LocalSession(EndpointSession):
    """Sends requests to one server process."""

    address: Address
    key: str
    probe: bool

    def ask(self, payload: object, *, slot: str | None = None) -> EndpointAnswer:
        """Send one request over a new connection."""
        return http_client.request_predictions(self.address, payload, key=self.key, slot=slot, probe=self.probe)
