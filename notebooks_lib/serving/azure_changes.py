"""Change an online endpoint of Azure: fill and delete slots, move traffic, stop it and start it again.

The order of the requests leaves either the old or the new state when it is cut short. The same change again completes
it. Azure keeps no slot of a stopped endpoint: the endpoint's tags say what to deploy again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notebooks_lib.azure import endpoint_file_kinds, online_deployment, online_endpoint, workspace
from notebooks_lib.azure.online_endpoint import OnlineEndpoint
from notebooks_lib.errors import AzureError, EndpointError, UsageError
from notebooks_lib.serving import azure_slots
from notebooks_lib.serving.azure_deployment import StageDeployment
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.endpoint import EndpointAnswer, FetchedModel, ServedVersion, check_shares
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.tags import Tag


@dataclass(frozen=True)
class AzureChanges:
    """The changes of one endpoint."""

    at: StageDeployment

    def find(self) -> OnlineEndpoint | None:
        """Return the endpoint; None if there is none."""
        return online_endpoint.find_endpoint(self.at.client, self.at.workspace, self.at.endpoint)

    def slots(self, endpoint: OnlineEndpoint | None) -> dict[str, AzureSlot]:
        """Return the slots of an endpoint, those that it keeps while it is stopped among them."""
        if endpoint is None:
            return {}
        deployments = online_deployment.list_deployments(self.at.client, self.at.workspace, self.at.endpoint)
        return azure_slots.read_slots(endpoint, deployments, self.at.workspace.path)

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
            self._check_same(found, version)
        if has and not traffic:
            raise UsageError(
                f"slot {name!r} of endpoint {self.at.endpoint!r} has {has} % of the traffic; deploy to another slot, "
                "or give its traffic to another first"
            )
        digest, example = self.at.check_here(version, model, scratch)
        endpoint = found or self._create(version)
        if any(slot.state == "stopped" for slot in slots.values()):
            endpoint = self.restore(endpoint, {other: slot for other, slot in slots.items() if other != name})
        new, old = self.at.new_slot(version, model, digest, example), slots.get(name)
        if old is None or old.state != "ready" or (old.settings, old.sha256) != (new.settings, digest):
            in_place = bool(has) and old is not None and old.state == "ready"
            try:
                if old is not None and old.state != "stopped" and not in_place:
                    endpoint = self.delete(endpoint, name)
                self.at.fill(name, new, endpoint.document["location"], keep=in_place)
                if example:
                    self._check_answer(name, new, ask(endpoint, example), keep=in_place)
            except EndpointError as error:
                raise EndpointError(f"{error}{self._what_serves()}") from error
        if traffic and endpoint.traffic != {name: 100}:
            mirror = {other: share for other, share in endpoint.mirror.items() if other != name}
            self.change(endpoint, traffic={name: 100}, mirror=mirror)

    def _create(self, version: ServedVersion) -> OnlineEndpoint:
        at, tags = self.at, {Tag.ENDPOINT_MODEL: version.detail.model or self.at.endpoint}
        location = str(workspace.read(at.client, at.workspace)["location"])
        body = online_endpoint.endpoint_body(at.workspace, location, at.endpoint_values(), tags)
        return online_endpoint.create_endpoint(at.client, at.workspace, at.endpoint, body)

    def _check_same(self, endpoint: OnlineEndpoint, version: ServedVersion) -> None:
        """Raise UsageError when an endpoint of this name is another model's, or is not as its file wants it."""
        model, stage = endpoint.tags.get(Tag.ENDPOINT_MODEL, ""), self.at.stage
        if model and version.detail.model and model != version.detail.model:
            raise UsageError(
                f"endpoint {endpoint.name!r} of workspace {self.at.workspace.name!r} serves model {model!r}, not "
                f'{version.detail.model!r}; give the stage another: endpoint = "azureml:NAME" under [stages.{stage}]'
            )
        values = self.at.endpoint_values()
        for key, value, current in (
            ("auth_mode", online_endpoint.spelled(values.get("auth_mode")), endpoint.auth_mode),
            ("compute", endpoint_file_kinds.compute_of(values), endpoint.compute),
        ):
            if value.casefold() != current.casefold():
                raise UsageError(
                    f"endpoint {endpoint.name!r} has {key} {current or 'none'}, endpoint.yml says {value or 'none'}, "
                    f"which Azure does not change: correct the file, or name another endpoint under [stages.{stage}]"
                )

    def _check_answer(self, name: str, slot: AzureSlot, answer: EndpointAnswer, *, keep: bool) -> None:
        """Raise EndpointError, and remove the slot, when it did not answer its own example."""
        if answer.status != 200:
            message = answer.content.get("message") if isinstance(answer.content, dict) else answer.content
            cause = f"it answers its own example with {answer.status}: {str(message)[:300]}"
            raise self.at.failure(name, slot.version, AzureError(cause), keep=keep)

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
        for slot in (*live, *copies):
            if slots[slot].state in ("failed", "loading"):
                raise EndpointError(
                    f"slot {slot!r} of endpoint {endpoint.name!r} could not be loaded (its deployment is "
                    f"{slots[slot].state}); deploy to it again first"
                )
        if any(slot.state == "stopped" for slot in slots.values()):
            shared = {
                name: replace(slot, traffic=live.get(name, 0), mirror=copies.get(name, 0))
                for name, slot in slots.items()
            }
            self.keep(endpoint, shared)
        elif (live, copies) != (endpoint.traffic, endpoint.mirror):
            self.change(endpoint, traffic=live, mirror=copies)

    def restore(self, endpoint: OnlineEndpoint, slots: Mapping[str, AzureSlot]) -> OnlineEndpoint:
        """Deploy the kept slots again, then give them their shares; those with traffic must load, others may fail.

        Where `slots` are not all that had traffic, none gets any: a part of it is refused.
        """
        for name, slot in slots.items():
            if slot.state != "stopped":
                continue
            try:
                self.at.fill(name, slot, endpoint.document["location"])
            except EndpointError:
                if slot.traffic:
                    raise
        ready = [name for name, slot in self.slots(endpoint).items() if slot.state == "ready"]
        traffic = {name: slot.traffic for name, slot in slots.items() if name in ready and slot.traffic}
        traffic = traffic if sum(traffic.values()) == 100 else {}
        mirror = {name: slot.mirror for name, slot in slots.items() if name in ready and slot.mirror}
        return self.change(endpoint, traffic=traffic, mirror=mirror, tags=azure_slots.without_kept(endpoint.tags))

    def stop(self, endpoint: OnlineEndpoint) -> bool:
        """Note on the endpoint what its slots hold, then delete the deployments; return False if there were none."""
        slots = self.slots(endpoint)
        running = [name for name, slot in slots.items() if slot.state != "stopped"]
        if running:
            # A stop that was cut short has noted the shares already, and taken the traffic away.
            noted = azure_slots.read_slots(endpoint, (), self.at.workspace.path)
            for name in running:
                if name in noted:
                    slots[name] = replace(slots[name], traffic=noted[name].traffic, mirror=noted[name].mirror)
            endpoint = self.keep(endpoint, slots, traffic={}, mirror={})
            for name in running:
                self.delete(endpoint, name)
        return bool(running)

    def change(self, endpoint: OnlineEndpoint, **changes: Mapping[str, Any] | None) -> OnlineEndpoint:
        """Set traffic, mirrored traffic and tags of the endpoint in one request."""
        return online_endpoint.change_endpoint(self.at.client, self.at.workspace, endpoint, **changes)  # type: ignore[arg-type]

    def delete(self, endpoint: OnlineEndpoint, slot: str) -> OnlineEndpoint:
        """Delete a deployment; copies of requests are no longer sent to it first."""
        if endpoint.mirror.get(slot):
            endpoint = self.change(endpoint, mirror={})
        online_deployment.delete_deployment(self.at.client, self.at.workspace, self.at.endpoint, slot)
        return endpoint

    def keep(
        self,
        endpoint: OnlineEndpoint,
        slots: Mapping[str, AzureSlot],
        traffic: Mapping[str, int] | None = None,
        mirror: Mapping[str, int] | None = None,
    ) -> OnlineEndpoint:
        """Write what the slots of a stopped endpoint hold to its tags."""
        tags = azure_slots.without_kept(endpoint.tags)
        for name, slot in slots.items():
            tags |= slot.kept_tags(name)
        return self.change(endpoint, traffic=traffic, mirror=mirror, tags=tags)
