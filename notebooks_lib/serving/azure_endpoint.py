"""An online endpoint of an Azure Machine Learning workspace, managed or on Kubernetes; slots are its deployments.

It imports the small parts of the Azure SDK only: a status takes two requests. What Azure refuses is refused here before
anything is sent.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from notebooks_lib import safe_text
from notebooks_lib.azure.assets import model_asset
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import endpoint_metrics, online_deployment, online_endpoint
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.azure.endpoints.scoring_client import ScoringClient
from notebooks_lib.azure.project_files import endpoint_file_kinds
from notebooks_lib.errors import EndpointError, UnknownNameError, UsageError
from notebooks_lib.serving import azure_slots
from notebooks_lib.serving.azure_changes import AzureChanges
from notebooks_lib.serving.azure_counts import AzureCounts
from notebooks_lib.serving.azure_deployment import StageDeployment
from notebooks_lib.serving.azure_session import AzureSession, as_endpoint_error
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.azure_status import AzureStatus, azure_status
from notebooks_lib.serving.endpoint import SLOTS, Endpoint, EndpointSession, ServedVersion, check_name, require_slot
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.serving.request_counts import RequestCounts
from notebooks_lib.settings import Settings, endpoint_names
from notebooks_lib.tags import Tag

MOST_MIRRORED = 50
"""Percent of the requests that Azure mirrors at most."""
_REMEMBERED = 30.0
"""Seconds for which an endpoint is taken to run, once it was seen to."""
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def names(settings: Settings, stages: Sequence[str]) -> list[str]:
    """Return the names of the endpoints that nbops made in the workspaces of these stages. Raises EndpointError."""
    return sorted({name for _, name in names_by_stages(settings, stages)})


def names_by_stages(settings: Settings, stages: Sequence[str]) -> list[tuple[Sequence[str], str]]:
    """Return the same names, each with the stages whose endpoints are in its workspace. Raises EndpointError."""
    client = rest_client.resource_manager()
    places: dict[Workspace, list[str]] = {}
    for stage in stages:
        places.setdefault(workspace.stage_workspace(settings, stage), []).append(stage)
    found: list[tuple[Sequence[str], str]] = []
    with as_endpoint_error("the endpoints of the workspace cannot be listed"):
        for place, of_place in places.items():
            endpoints = online_endpoint.list_endpoints(client, place)
            found += [(of_place, endpoint.name) for endpoint in endpoints if Tag.ENDPOINT_MODEL in endpoint.tags]
    return found


def azure_capabilities(endpoint_values: Mapping[str, Any], *, lacks: str = "") -> EndpointCapabilities:
    """Return what an endpoint can do, managed or on Kubernetes, by the values of its endpoint.yml."""
    kubernetes = bool(endpoint_file_kinds.compute_of(endpoint_values))
    return EndpointCapabilities(
        runs_on=f"a {'Kubernetes' if kubernetes else 'managed'} online endpoint of Azure",
        most_mirrored=0 if kubernetes else MOST_MIRRORED,
        compares_mirrored=False,
        idle_slots_cost=True,
        counts_late=endpoint_metrics.LATE,
        logs_by_slot=True,
        lacks=lacks,
    )


def _translated(method: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Let a method raise what the protocol promises: EndpointError where Azure refuses or does not answer."""

    @functools.wraps(method)
    def translated(*given: Given.args, **named: Given.kwargs) -> Answer:
        with as_endpoint_error(f"endpoint {getattr(given[0], 'name', '')!r}"):
            return method(*given, **named)

    return translated


class AzureEndpoint(Endpoint):
    """An endpoint in a workspace; `Endpoint` says what each method promises."""

    def __init__(self, settings: Settings, name: str, stage: str) -> None:
        self.name = name
        self._plain = endpoint_names.check_azure_name("endpoint", name.rpartition(":")[2], stage)
        self._settings = settings
        self._stage = stage
        self._running_since = -_REMEMBERED
        self._scoring: ScoringClient | None = None

    @functools.cached_property
    def _at(self) -> StageDeployment:
        place = workspace.stage_workspace(self._settings, self._stage)
        return StageDeployment(self._settings, self._stage, rest_client.resource_manager(), place, self._plain)

    @functools.cached_property
    def _counts(self) -> AzureCounts:
        return AzureCounts(self._at.client, self._at.workspace, self._plain)

    def _begin_change(self) -> AzureChanges:
        """Return the changes of this endpoint; whether it runs is asked again afterwards."""
        self._running_since = -_REMEMBERED
        return AzureChanges(self._at)

    @functools.cached_property
    def capabilities(self) -> EndpointCapabilities:
        """Return what managed or Kubernetes endpoints can do; endpoint.yml of the stage says which it is."""
        return azure_capabilities(self._at.endpoint_values(), lacks=self._at.lacks())

    @_translated
    def status(self) -> AzureStatus:
        """Ask for the endpoint and its deployments."""
        endpoint = self._require()
        return azure_status(self.name, endpoint, self._slots(endpoint), self._at.workspace)

    @_translated
    def deploy(self, slot: str, version: ServedVersion, *, traffic: bool = False) -> AzureStatus:
        """Try the model here, bring its parts into the workspace, then make the deployment and wait for it."""
        endpoint_names.check_azure_name("slot", check_name("slot", slot))
        check_name("version", version.version)
        self._at.check_files()

        def ask(endpoint: OnlineEndpoint, example: Mapping[str, Any]) -> Any:
            return AzureSession(self.name, self._client(endpoint), self._counts, probe=True).ask(example, slot=slot)

        with tempfile.TemporaryDirectory() as scratch:
            model = version.fetch(Path(scratch))
            if not (model.folder / "MLmodel").is_file():
                raise UsageError(f"{model.folder}: holds no MLmodel file; expected the folder of an MLflow model")
            self._begin_change().deploy(slot, version, model, Path(scratch), traffic=traffic, ask=ask)
        return self.status()

    @_translated
    def delete_slot(self, slot: str) -> AzureStatus:
        """Delete the deployment, and what a stopped endpoint notes of it."""
        endpoint = self._require()
        slots = self._slots(endpoint)
        require_slot(slot, slots)
        if slots[slot].traffic:
            raise UsageError(
                f"slot {slot!r} of endpoint {self.name!r} has {slots[slot].traffic} % of the traffic; give it "
                f"to another slot first: nbops endpoint traffic {self.name} OTHER=100"
            )
        self._begin_change().delete_slot(endpoint, slot)
        return self.status()

    @_translated
    def set_traffic(self, shares: Mapping[str, int], *, mirror: Mapping[str, int] | None = None) -> AzureStatus:
        """Change traffic and mirrored traffic in one request."""
        self._begin_change().share(self._require(), shares, mirror, self.capabilities)
        return self.status()

    @_translated
    def set_mirror(self, shares: Mapping[str, int]) -> AzureStatus:
        """Change the mirrored traffic; the traffic stays."""
        self._begin_change().share(self._require(), None, shares, self.capabilities)
        return self.status()

    @_translated
    def start(self, first: ServedVersion | None = None) -> AzureStatus:
        """Deploy again what the endpoint noted when it was stopped."""
        endpoint = self._begin_change().find()
        slots = self._slots(endpoint) if endpoint else {}
        if endpoint is None or not slots:
            if first is not None:
                return self.deploy(SLOTS[0], first, traffic=True)
            raise EndpointError(
                f"endpoint {self.name!r} has no slot left to serve; promote or deploy a model to it first"
            )
        if not any(slot.state == "stopped" for slot in slots.values()):
            return replace(azure_status(self.name, endpoint, slots, self._at.workspace), changed=False)
        self._begin_change().restore(endpoint, slots)
        return self.status()

    @_translated
    def stop(self) -> AzureStatus:
        """Delete the deployments; endpoint, address, key and what the slots held are kept."""
        changed = self._begin_change().stop(self._require())
        return replace(self.status(), changed=changed)

    @_translated
    def idle_slot(self) -> str:
        """Return the first slot without traffic."""
        taken = {name for name, slot in self._slots(self._begin_change().find()).items() if slot.traffic}
        for slot in SLOTS:
            if slot not in taken:
                return slot
        raise EndpointError(
            f"endpoint {self.name!r}: both slots have traffic; decide for one: "
            f"nbops endpoint traffic {self.name} {min(taken)}=100"
        )

    @_translated
    def is_intact(self, slot: str) -> bool:
        """Return True if the version of the model that the slot names still has the digest that was deployed.

        The scoring code itself refuses files of another digest when it loads them.
        """
        slots = self._slots(self._require())
        require_slot(slot, slots)
        held = slots[slot]
        return held.state in ("ready", "stopped") and model_asset.has_digest(
            self._at.client, held.model_id, held.sha256
        )

    @_translated
    def bind_store(self, identity: str) -> None:
        """Write it to a tag of the endpoint."""
        endpoint = AzureChanges(self._at).find()
        if endpoint is None or Tag.ENDPOINT_MODEL not in endpoint.tags:
            return
        bound = endpoint.tags.get(Tag.ENDPOINT_STORE, "")
        if bound and bound != identity:
            raise UsageError(
                f"endpoint {self.name!r} is released by another tracking store ({bound}), not by this one ({identity}):"
                " neither would see what the other does; set uri under [tracking] to a store that all share; if the "
                f"other one is given up, delete the tag {Tag.ENDPOINT_STORE} of the endpoint in the portal"
            )
        if not bound:
            self._begin_change().change(endpoint, tags={**endpoint.tags, Tag.ENDPOINT_STORE: identity})

    @_translated
    def changed_settings(self, slot: str) -> list[str]:
        """Return the keys of deployment.yml."""
        slots = self._slots(self._require())
        require_slot(slot, slots)
        return self._at.differing_keys(slot, slots[slot]) if slots[slot].state == "ready" else []

    @_translated
    def example(self, *, slot: str | None = None) -> dict[str, Any]:
        """Return the example that was kept in the workspace's storage when the version was deployed."""
        slots = self._slots(self._require())
        chosen = azure_slots.main_slot(slots) if slot is None else slot
        require_slot(chosen, slots)
        request = model_asset.read_example(self._at.client, self._at.workspace, slots[chosen].sha256)
        if request is None:
            raise EndpointError(
                f"endpoint {self.name!r}: its model was logged without an example; send your own with --data"
            )
        return request

    @_translated
    def invoke(self, payload: object, *, slot: str | None = None, probe: bool = False) -> Any:
        """Send the request to the scoring address."""
        answer = self.session(probe=probe).ask(payload, slot=slot)
        if slot is not None and answer.status != 200:
            require_slot(slot, self._slots(self._require()))
        return answer.result()

    @_translated
    def session(self, *, probe: bool = True) -> EndpointSession:
        """Return a session that signs in by the endpoint's auth mode, and reads its key once."""
        if self._scoring is None or time.monotonic() - self._running_since > _REMEMBERED:
            self._require_running()
        assert self._scoring is not None
        return AzureSession(self.name, self._scoring, self._counts, probe)

    @_translated
    def counts(self, since: Mapping[str, RequestCounts] | None = None) -> dict[str, RequestCounts]:
        """Ask Azure Monitor, and add the requests of this object that it does not know yet."""
        return self._counts.read(self._require_running(), since)

    @_translated
    def logs(self, lines: int = 50, *, slot: str | None = None) -> list[str]:
        """Return the end of the log of one slot's server; before it has begun, that of what fetches its model.

        The default is the slot with most traffic.
        """
        slots = self._slots(self._require())
        chosen = azure_slots.main_slot(slots) if slot is None else slot
        if slot is not None:
            require_slot(slot, slots)
        if not chosen or slots[chosen].state == "stopped":
            return []
        at = self._at.client, self._at.workspace, self._plain, chosen
        for container in reversed(online_deployment.CONTAINERS):
            if log := online_deployment.container_log(*at, container, lines):
                return [safe_text.printable(line) for line in log]
        return []

    def _require(self) -> OnlineEndpoint:
        endpoint = AzureChanges(self._at).find()
        if endpoint is None:
            raise UnknownNameError("endpoint", self.name, names(self._settings, [self._stage]))
        return endpoint

    def _slots(self, endpoint: OnlineEndpoint | None) -> dict[str, AzureSlot]:
        return AzureChanges(self._at).slots(endpoint)

    def _require_running(self) -> dict[str, AzureSlot]:
        """Return the slots of an endpoint that runs, and be ready to send requests to it."""
        endpoint = self._require()
        slots = self._slots(endpoint)
        now = azure_status(self.name, endpoint, slots, self._at.workspace)
        if now.state != "running":
            reason = f" ({now.last_error})" if now.last_error else ""
            raise EndpointError(
                f"endpoint {self.name!r} is {now.state}{reason}; start it with: nbops endpoint start {self.name}"
            )
        self._client(endpoint)
        self._running_since = time.monotonic()
        return slots

    def _client(self, endpoint: OnlineEndpoint) -> ScoringClient:
        if self._scoring is None or self._scoring.address != endpoint.scoring_uri:
            secret = functools.partial(online_endpoint.read_secret, self._at.client, self._at.workspace, endpoint)
            self._scoring = ScoringClient(endpoint.scoring_uri, endpoint.auth_mode, secret)
        return self._scoring
