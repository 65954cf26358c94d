"""Change an online endpoint of Azure: fill and delete slots, move traffic, stop it and start it again.

The order of the requests leaves either the old or the new state when it is cut short. The same change again completes
it. Azure keeps no slot of a stopped endpoint: the endpoint's tags note what to deploy again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notebooks_lib.azure.endpoints import online_deployment, online_endpoint
from notebooks_lib.azure.endpoints.online_deployment import OnlineDeployment
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.errors import AzureError, EndpointError, UsageError
from notebooks_lib.serving import azure_endpoint_file, azure_slots
from notebooks_lib.serving.azure_deployment import StageDeployment
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.endpoint import EndpointAnswer, FetchedModel, ServedVersion, check_shares
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities

log = logging.getLogger("nbops.endpoint")

ASK_SECONDS = 60.0
"""For so long a new slot is asked for its example, while it, or the gateway before it, is not ready."""
ASK_EVERY = 2.0
"""Seconds between two of these requests."""


@dataclass(frozen=True)
class AzureChanges:
    """The changes of one endpoint."""

    at: StageDeployment

    def find(self) -> OnlineEndpoint | None:
        """Return the endpoint; None if there is none."""
        return online_endpoint.find_endpoint(self.at.client, self.at.workspace, self.at.endpoint)

    def slots(self, endpoint: OnlineEndpoint | None) -> dict[str, AzureSlot]:
        """Return the slots of an endpoint, those that it notes while it is stopped among them."""
        if endpoint is None:
            return {}
        return azure_slots.read_slots(endpoint, self._deployments(), self.at.workspace.path)

    def _deployments(self) -> list[OnlineDeployment]:
        return list(online_deployment.list_deployments(self.at.client, self.at.workspace, self.at.endpoint))

    def deploy(
        self,
        name: str,
        version: ServedVersion,
        model: FetchedModel,
        scratch: Path,
        *,
        traffic: bool,
        ask: Callable[[OnlineEndpoint, Mapping[str, Any]], EndpointAnswer],
    ) -> None:
        """Fill a slot with a version; `Endpoint.deploy` says more. `ask` sends the slot a request.

        A slot with traffic is changed in place: Azure lets the old deployment serve until the new one does.
        """
        found = self.find()
        slots = self.slots(found)
        has = slots[name].traffic if name in slots else 0
        if found is not None:
            azure_endpoint_file.check_ours(self.at, found, slots, version)
            azure_endpoint_file.check_file(self.at, found)
        if has and not traffic:
            raise UsageError(
                f"slot {name!r} of endpoint {self.at.endpoint!r} has {has} % of the traffic; deploy to another slot, "
                "or give its traffic to another first"
            )
        digest, example = self.at.check_here(version, model, scratch)
        new = self.at.new_slot(version, model, digest, example)
        endpoint = azure_endpoint_file.create_or_change(self.at, found, version)
        if any(slot.state == "stopped" for slot in slots.values()):
            endpoint = self.restore(endpoint, {other: slot for other, slot in slots.items() if other != name})
        try:
            endpoint = self._fill(endpoint, name, new)
            if example:
                self._check_answer(name, new, lambda: ask(endpoint, example))
        except EndpointError as error:
            raise EndpointError(f"{error}{self._what_serves()}") from error
        if traffic and endpoint.traffic != {name: 100}:
            mirror = {other: share for other, share in endpoint.mirror.items() if other != name}
            self.change(endpoint, traffic={name: 100}, mirror=mirror)

    def _fill(self, endpoint: OnlineEndpoint, name: str, new: AzureSlot) -> OnlineEndpoint:
        """Make the deployment of a slot, unless it is there as it should be."""
        old = self.slots(endpoint).get(name)
        if old is not None and (old.state, old.settings, old.sha256) == ("ready", new.settings, new.sha256):
            return endpoint
        in_place = old is not None and old.state == "ready" and old.traffic > 0
        if old is not None and not in_place:
            endpoint = self.delete(endpoint, name)
        self.at.fill(name, new, endpoint.document["location"], delete_failed=not in_place)
        return endpoint

    def _check_answer(self, name: str, slot: AzureSlot, ask: Callable[[], EndpointAnswer]) -> None:
        """Raise EndpointError when a slot does not answer its own example.

        A slot that is too busy, or fails, is asked again for ASK_SECONDS. A slot without traffic is deleted then. One
        that cannot be asked at all is not: it may be well.
        """
        deadline = time.monotonic() + ASK_SECONDS
        while True:
            problem: EndpointError | None = None
            try:
                answer = ask()
                again = answer.status in (408, 429) or answer.status >= 500
            except EndpointError as error:
                problem, again = error, True
            if not again or time.monotonic() > deadline:
                break
            time.sleep(ASK_EVERY)
        if problem is not None:
            raise EndpointError(
                f"slot {name!r} holds version {slot.version}, but cannot be asked for its example: {problem}; the same "
                f"command asks again, nbops endpoint delete-slot {self.at.endpoint} {name} deletes it"
            ) from problem
        if answer.status != 200:
            message = answer.content.get("message") if isinstance(answer.content, dict) else answer.content
            cause = f"it answers its own example with {answer.status}: {str(message)[:300]}"
            endpoint = self.find()
            spare = endpoint is not None and not endpoint.traffic.get(name)
            raise EndpointError(self.at.explain(name, slot.version, AzureError(cause), delete=spare))

    def _what_serves(self) -> str:
        slots = self.slots(self.find())
        main = azure_slots.main_slot(slots)
        serves = main and slots[main].traffic and slots[main].state == "ready"
        return f"\nVersion {slots[main].version} serves as before." if serves else ""

    def share(
        self,
        endpoint: OnlineEndpoint,
        traffic: Mapping[str, int] | None,
        mirror: Mapping[str, int] | None,
        can: EndpointCapabilities,
    ) -> None:
        """Set traffic, mirrored traffic, or both, in one request; None keeps what is there.

        Raises UsageError for what Azure would refuse, EndpointError for a slot that does not serve.
        """
        slots = self.slots(endpoint)
        present = {name: slot.traffic for name, slot in slots.items() if slot.traffic}
        check_shares(endpoint.name, slots, present, shares=traffic, mirror=mirror)
        for slot, percent in (mirror or {}).items():
            if percent > can.most_mirrored:
                raise UsageError(
                    f"slot {slot!r}: {percent} % mirrored; {can.runs_on} takes {can.most_mirrored} at most"
                )
        live = present if traffic is None else {slot: share for slot, share in traffic.items() if share}
        asked = {name: slot.mirror for name, slot in slots.items()} if mirror is None else mirror
        copies = {slot: share for slot, share in asked.items() if share and slot not in live}
        stopped = azure_slots.is_stopped(slots)
        for slot in (*live, *copies):
            state = slots[slot].state
            if state in ("failed", "loading") or (state == "stopped" and not stopped):
                raise EndpointError(
                    f"slot {slot!r} of endpoint {endpoint.name!r} could not be loaded (its deployment is {state}); "
                    "deploy to it again first"
                )
        if stopped:
            shared = {
                name: replace(slot, traffic=live.get(name, 0), mirror=copies.get(name, 0))
                for name, slot in slots.items()
            }
            self.note(endpoint, shared)
        elif (live, copies) != (endpoint.traffic, endpoint.mirror):
            present_slots = [name for name, slot in slots.items() if slot.state != "stopped"]
            tags = azure_slots.without_notes(endpoint.tags, present_slots)  # of a stop that was cut short, and is over
            self.change(endpoint, traffic=live, mirror=copies, tags=tags)

    def restore(self, endpoint: OnlineEndpoint, slots: Mapping[str, AzureSlot]) -> OnlineEndpoint:
        """Deploy the noted slots again, then give them their shares. Raises EndpointError when one with traffic fails.

        Others may fail: they stay noted, for the next start. Where `slots` are not all that had traffic, none gets any:
        a part of it is refused.
        """
        failed: dict[str, AzureSlot] = {}
        made: list[str] = []
        for name, slot in sorted(slots.items(), key=lambda item: -item[1].traffic):
            if slot.state != "stopped":
                continue
            try:
                self._make_again(endpoint, name, slot)
            except EndpointError as error:
                if slot.traffic:
                    raise EndpointError(_with_cost(str(error), endpoint.name, made)) from error
                line = str(error).partition("\n")[0]
                log.info("slot %s of endpoint %s stays stopped: %s", name, endpoint.name, line)
                failed[name] = slot
            else:
                made.append(name)
        ready = {name for name, slot in slots.items() if slot.state == "ready"} | {*made}
        traffic = {name: slots[name].traffic for name in sorted(ready) if slots[name].traffic}
        traffic = traffic if sum(traffic.values()) == 100 else {}
        mirror = {name: slots[name].mirror for name in ready if slots[name].mirror}
        tags = azure_slots.without_notes(endpoint.tags)
        for name, slot in failed.items():
            tags |= slot.notes(name)
        return self.change(endpoint, traffic=traffic, mirror=mirror, tags=tags)

    def _make_again(self, endpoint: OnlineEndpoint, name: str, slot: AzureSlot) -> None:
        """Make the deployment of a noted slot, unless a start that was cut short, or a stop, has left it there."""
        slot = self.at.with_todays_settings(slot)
        there = online_deployment.find_deployment(self.at.client, self.at.workspace, self.at.endpoint, name)
        if there is not None and azure_slots.holds(there, slot):
            return
        if there is not None:
            self.delete(endpoint, name)
        self.at.fill(name, slot, endpoint.document["location"])

    def stop(self, endpoint: OnlineEndpoint) -> bool:
        """Note on the endpoint what its slots hold, then delete the deployments; return False if there were none."""
        deployments = self._deployments()
        if deployments:
            slots = azure_slots.read_slots(endpoint, deployments, self.at.workspace.path)
            endpoint = self.note(endpoint, slots, traffic={}, mirror={})
            for deployment in deployments:
                self.delete(endpoint, deployment.name)
        return bool(deployments)

    def delete_slot(self, endpoint: OnlineEndpoint, slot: str) -> None:
        """Delete a slot without traffic: its deployment, and what the endpoint notes of it."""
        endpoint = self.delete(endpoint, slot)
        tags = azure_slots.without_notes(endpoint.tags, [slot])
        if tags != endpoint.tags:
            self.change(endpoint, tags=tags)

    def change(self, endpoint: OnlineEndpoint, **changes: Mapping[str, Any] | None) -> OnlineEndpoint:
        """Set traffic, mirrored traffic and tags of the endpoint in one request."""
        return online_endpoint.change_endpoint(self.at.client, self.at.workspace, endpoint, **changes)  # type: ignore[arg-type]

    def delete(self, endpoint: OnlineEndpoint, slot: str) -> OnlineEndpoint:
        """Delete a deployment; copies of requests are no longer sent to it first."""
        if endpoint.mirror.get(slot):
            endpoint = self.change(endpoint, mirror={})
        online_deployment.delete_deployment(self.at.client, self.at.workspace, self.at.endpoint, slot)
        return endpoint

    def note(
        self,
        endpoint: OnlineEndpoint,
        slots: Mapping[str, AzureSlot],
        traffic: Mapping[str, int] | None = None,
        mirror: Mapping[str, int] | None = None,
    ) -> OnlineEndpoint:
        """Write to the endpoint's tags what its slots hold."""
        tags = azure_slots.without_notes(endpoint.tags)
        for name, slot in slots.items():
            tags |= slot.notes(name)
        return self.change(endpoint, traffic=traffic, mirror=mirror, tags=tags)


def _with_cost(problem: str, endpoint: str, made: list[str]) -> str:
    """Return a problem with a line about the slots that were made before it, and cost money without traffic."""
    if not made:
        return problem
    which = ", ".join(made)
    first, newline, logs = problem.partition("\n")
    return (
        f"{first}; made already, without traffic: {which}; nbops endpoint start {endpoint} tries the rest again, "
        f"nbops endpoint stop {endpoint} deletes them{newline}{logs}"
    )
