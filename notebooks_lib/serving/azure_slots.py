"""The slots of an online endpoint of Azure: what each holds is kept as tags, and read from them again.

A slot that serves is a deployment, and has the tags itself. When the endpoint is stopped its deployments are deleted;
the endpoint's own tags note what they held, with what is needed to deploy them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from notebooks_lib.azure.assets.asset_registry import registry_of
from notebooks_lib.azure.endpoints.online_deployment import OnlineDeployment
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.errors import EndpointError
from notebooks_lib.serving.endpoint import DeploymentDetail, SlotStatus
from notebooks_lib.tags import Tag

LONGEST_TAG = 256
"""Characters of a tag's value that Azure takes."""
_IDS = ("model_id", "environment_id", "code_id")
_DETAIL = ("model", "run_id", "dataset", "reason", "files")
_OWN = ("version", "sha256", "since", "settings")
SlotState = Literal["ready", "loading", "failed", "stopped"]


@dataclass(frozen=True)
class AzureSlot:
    """What a slot holds, or holds again once the endpoint is started."""

    version: str
    sha256: str
    since: str
    """When it was deployed, in ISO form."""
    detail: DeploymentDetail
    settings: str = ""
    """Digest of the settings with which it was deployed, to know whether the same is deployed again."""
    model_id: str = ""
    environment_id: str = ""
    code_id: str = ""
    state: SlotState = "ready"
    traffic: int = 0
    mirror: int = 0

    def status(self) -> SlotStatus:
        """Return the slot as an endpoint's status shows it."""
        error = "its deployment failed: nbops endpoint logs" if self.state == "failed" else ""
        return SlotStatus(
            self.version, self.detail, self.since, self.traffic, self.mirror, self.state, error, self.sha256
        )

    def tags(self) -> dict[str, str]:
        """Return the tags of its deployment."""
        values = {name: str(getattr(self, name)) for name in _OWN} | asdict(self.detail)
        return {f"{Tag.SLOT_PREFIX}{name}": _short(value) for name, value in values.items() if value}

    def notes(self, slot: str) -> dict[str, str]:
        """Return the tags by which a stopped endpoint notes it."""
        ids = {name: _without_workspace(getattr(self, name)) for name in _IDS}
        shares = {"traffic": str(self.traffic), "mirror": str(self.mirror)}
        begin = f"{Tag.SLOT_PREFIX}{slot}."
        own = {name.replace(Tag.SLOT_PREFIX, begin): value for name, value in self.tags().items()}
        return own | {f"{begin}{name}": value for name, value in (ids | shares).items()}


def read_slots(
    endpoint: OnlineEndpoint, deployments: Iterable[OnlineDeployment], workspace_path: str
) -> dict[str, AzureSlot]:
    """Return the slots of an endpoint by name: its deployments, and those that it notes.

    A stop notes all slots and takes their traffic before it deletes the first. So while no deployment has traffic, a
    noted slot is stopped, with the noted share, whether or not its deployment is still there. While one has traffic,
    only a slot without a deployment is stopped: it could not be started, and has no share. Raises EndpointError for a
    note that nbops did not write.
    """
    slots = _noted(endpoint, workspace_path)
    if endpoint.traffic:
        slots = {name: replace(slot, traffic=0, mirror=0) for name, slot in slots.items()}
    for deployment in deployments:
        if endpoint.traffic or deployment.name not in slots:
            slots[deployment.name] = _deployed(endpoint, deployment)
    return dict(sorted(slots.items()))


def is_stopped(slots: Mapping[str, AzureSlot]) -> bool:
    """Return True if none of the slots serves, and what the endpoint notes is to be deployed again."""
    serves = any(slot.traffic and slot.state != "stopped" for slot in slots.values())
    return not serves and any(slot.state == "stopped" for slot in slots.values())


def holds(deployment: OnlineDeployment, slot: AzureSlot) -> bool:
    """Return True if a deployment is ready and is the one that was made for a slot."""
    own = {name: value for name, value in deployment.tags.items() if name.startswith(Tag.SLOT_PREFIX)}
    return _STATES.get(deployment.state) == "ready" and own == slot.tags()


def has_failed(deployment: OnlineDeployment) -> bool:
    """Return True if Azure says that a deployment has failed."""
    return _STATES.get(deployment.state) == "failed"


def has_ended(deployment: OnlineDeployment) -> bool:
    """Return True if Azure says that a deployment is made, or has failed."""
    return deployment.state in _STATES


def main_slot(slots: Mapping[str, AzureSlot]) -> str:
    """Return the slot with most traffic; if none has traffic, the first; empty if there is no slot."""
    return min(slots, key=lambda name: -slots[name].traffic, default="")


def without_notes(tags: Mapping[str, str], slots: Iterable[str] | None = None) -> dict[str, str]:
    """Return the tags of an endpoint without those that note these slots; None: without all such."""
    begins = (Tag.SLOT_PREFIX,) if slots is None else tuple(f"{Tag.SLOT_PREFIX}{slot}." for slot in slots)
    return {name: value for name, value in tags.items() if not name.startswith(begins)}


_STATES: Mapping[str, SlotState] = {"Succeeded": "ready", "Failed": "failed", "Canceled": "failed"}


def _deployed(endpoint: OnlineEndpoint, deployment: OnlineDeployment) -> AzureSlot:
    return replace(
        _read(deployment.tags, Tag.SLOT_PREFIX),
        since=deployment.tags.get(f"{Tag.SLOT_PREFIX}since") or deployment.created,
        model_id=deployment.model,
        environment_id=deployment.environment,
        code_id=deployment.code,
        state=_STATES.get(deployment.state, "loading"),
        traffic=endpoint.traffic.get(deployment.name, 0),
        mirror=endpoint.mirror.get(deployment.name, 0),
    )


def _noted(endpoint: OnlineEndpoint, workspace_path: str) -> dict[str, AzureSlot]:
    tags = endpoint.tags
    names = {name.removeprefix(Tag.SLOT_PREFIX).partition(".")[0] for name in tags if name.startswith(Tag.SLOT_PREFIX)}
    slots = {}
    for slot in names:
        begin = f"{Tag.SLOT_PREFIX}{slot}."
        kept = {name: tags.get(begin + name, "") for name in _IDS}
        ids = {name: own if registry_of(own) else f"{workspace_path}/{own}" for name, own in kept.items()}
        shares = {name: _share(endpoint, begin + name) for name in ("traffic", "mirror")}
        slots[slot] = replace(_read(tags, begin), state="stopped", **ids, **shares)  # type: ignore[arg-type]
    return slots


def _share(endpoint: OnlineEndpoint, tag: str) -> int:
    text = endpoint.tags.get(tag, "0")
    if not (text.isascii() and text.isdecimal() and int(text) <= 100):
        raise EndpointError(
            f"endpoint {endpoint.name!r}: its tag {tag} is {text!r}, and nbops writes a number from 0 to 100: put the"
            " number back, or remove the tag, in Studio"
        )
    return int(text)


def _read(tags: Mapping[str, str], begin: str) -> AzureSlot:
    own = {name: tags.get(begin + name, "") for name in _OWN}
    return AzureSlot(**own, detail=DeploymentDetail(**{name: tags.get(begin + name, "") for name in _DETAIL}))  # type: ignore[arg-type]


def _without_workspace(asset_id: str) -> str:
    """Return what a tag keeps of an id: a registry's id is whole, another is below the endpoint's workspace."""
    return asset_id if registry_of(asset_id) else asset_id.rpartition("/workspaces/")[2].partition("/")[2]


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_TAG else f"{value[: LONGEST_TAG - 1]}…"
