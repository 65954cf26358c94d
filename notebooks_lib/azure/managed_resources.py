"""The resources that `nbops azure up` made, found by their tags, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notebooks_lib import errors
from notebooks_lib.azure.rest_client import RestClient

MANAGED_BY = "nbops.managed-by"
UP = "nbops azure up"
STAGE = "nbops.stage"
"""The tags of every resource that production/infra/main.bicep declares."""
API_VERSIONS = {
    "Microsoft.EventGrid/systemTopics": "2022-06-15",
    "Microsoft.Logic/workflows": "2019-05-01",
    "Microsoft.MachineLearningServices/workspaces": "2025-12-01",
    "Microsoft.MachineLearningServices/registries": "2024-10-01",
    "Microsoft.AlertsManagement/smartDetectorAlertRules": "2021-04-01",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.OperationalInsights/workspaces": "2023-09-01",
    "Microsoft.ContainerRegistry/registries": "2023-07-01",
    "Microsoft.Storage/storageAccounts": "2023-05-01",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
}
"""Type -> version of its API, in the order in which they are removed: first what needs others."""
WAIT = 900.0
"""Seconds in which one resource must be gone."""
_WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
_VAULT = "Microsoft.KeyVault/vaults"
_BY_INSIGHTS = ("Application Insights Smart Detection", "Failure Anomalies - ")
"""How the names begin of what Application Insights makes by itself, without tags."""
_ORDER = [each.casefold() for each in API_VERSIONS]


@dataclass(frozen=True)
class ManagedResource:
    """One resource of a resource group."""

    id: str
    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type}/{self.name}"

    @property
    def stays_deleted(self) -> bool:
        """Whether Azure keeps it for some days after it was removed, so that it can be restored."""
        return self.type.casefold() == _VAULT.casefold()


@dataclass(frozen=True)
class ResourceGroup:
    """What a resource group holds, seen from one stage."""

    ours: Sequence[ManagedResource]
    """In the order in which they can be removed."""
    inside: Sequence[ManagedResource]
    """What lies in ours and goes with it, such as the endpoints of the workspace."""
    others: Sequence[ManagedResource]
    """What `nbops azure up` did not make, for no stage."""


def read_group(client: RestClient, subscription: str, name: str, stage: str) -> ResourceGroup:
    """Return what a resource group holds. Raises AzureError."""
    path = f"/subscriptions/{subscription}/resourceGroups/{name}/resources"
    documents = list(client.pages(path, "2021-04-01", what=f"resource group {name!r}"))
    made = [each for each in documents if (each.get("tags") or {}).get(MANAGED_BY) == UP]
    ours = [each for each in made if each["tags"].get(STAGE) == stage]
    rest = [each for each in documents if each not in made]
    inside = [each for each in rest if _lies_in(each["id"], made)]
    rest = [each for each in rest if each not in inside]
    by_insights = [each for each in rest if ours and made == ours and str(each["name"]).startswith(_BY_INSIGHTS)]
    return ResourceGroup(
        sorted(map(_resource, [*ours, *by_insights]), key=_position),
        [_resource(each) for each in inside if _lies_in(each["id"], ours)],
        [_resource(each) for each in rest if not str(each["name"]).startswith(_BY_INSIGHTS)],
    )


def remove(
    client: RestClient,
    resources: Sequence[ManagedResource],
    *,
    tell: Callable[[str], None] = lambda line: None,
    wait_seconds: float = WAIT,
) -> None:
    """Remove resources one after the other; `tell` gets a line for each. One that is gone already is no fault.

    A workspace is removed for good: as merely deleted it would keep its name for two weeks.
    Raises AzureError at the first that cannot be removed, or is not gone after `wait_seconds`.
    """
    for resource in resources:
        tell(f"removing {resource}")
        version = next(API_VERSIONS[each] for each in API_VERSIONS if each.casefold() == resource.type.casefold())
        for_good = "?forceToPurge=true" if resource.type.casefold() == _WORKSPACE.casefold() else ""
        path = f"{resource.id}{for_good}"
        try:
            client.operation("DELETE", path, version, what=str(resource), wait_seconds=wait_seconds)
        except errors.AzureError as error:
            if error.status != 404:
                raise


def _resource(document: dict[str, str]) -> ManagedResource:
    return ManagedResource(document["id"], document["type"], document["name"])


def _lies_in(path: str, documents: Sequence[dict[str, str]]) -> bool:
    return any(path.casefold().startswith(f"{each['id']}/".casefold()) for each in documents)


def _position(resource: ManagedResource) -> int:
    kind = resource.type.casefold()
    return _ORDER.index(kind) if kind in _ORDER else -1
