"""The resources that `nbops azure up` made, found by their tags, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient

MANAGED_BY = "nbops.managed-by"
UP = "nbops azure up"
STAGE = "nbops.stage"
PREFIX = "nbops.prefix"
"""The tags of every resource that production/infra/main.bicep declares for one workspace."""
REGISTRY = "nbops.registry"
"""In place of stage and prefix: the tag of an Azure ML registry, which several workspaces share."""
TAGS = (MANAGED_BY, STAGE, PREFIX, REGISTRY)
API_VERSIONS = {
    "Microsoft.Logic/workflows": "2019-05-01",
    "Microsoft.MachineLearningServices/workspaces": "2025-12-01",
    "Microsoft.MachineLearningServices/registries": "2024-10-01",
    "Microsoft.AlertsManagement/smartDetectorAlertRules": "2021-04-01",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.OperationalInsights/workspaces": "2023-09-01",
    "Microsoft.ContainerRegistry/registries": "2023-07-01",
    "Microsoft.Storage/storageAccounts": "2023-05-01",
    "Microsoft.EventGrid/systemTopics": "2022-06-15",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
}
"""Type -> version of its API, in the order in which they are removed: first what needs others."""
WAIT = 900.0
"""Seconds in which one resource must be gone."""
_LISTED = "2021-04-01"
"""The version of the API that lists resources and the types of their providers."""
_ROLES = "Microsoft.Authorization/roleAssignments"
_ROLES_VERSION = "2022-04-01"
_WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
_VAULT = "Microsoft.KeyVault/vaults"
_TOPIC = "Microsoft.EventGrid/systemTopics"
_INSIGHTS = "Microsoft.Insights/components"
_INSIGHTS_ACTIONS = ("Microsoft.Insights/actionGroups", "Application Insights Smart Detection")
_INSIGHTS_ALERT = ("Microsoft.AlertsManagement/smartDetectorAlertRules", "Failure Anomalies - {}")
"""Type and name of what Application Insights makes by itself, without tags: once a group, and for each component."""
_VERSIONS = {kind.casefold(): version for kind, version in API_VERSIONS.items()}
_ORDER = list(_VERSIONS)
_OTHER_TYPES = _ORDER.index(_VAULT.casefold())
"""When types of a template's own are removed: what of ours needs them is gone by then."""


@dataclass(frozen=True)
class ManagedResource:
    """One resource of a resource group."""

    id: str
    type: str
    name: str
    api_version: str = ""
    """Empty: it has not been looked for."""

    def __str__(self) -> str:
        return f"{self.type}/{self.name}"

    @property
    def stays_deleted(self) -> bool:
        """Whether Azure keeps it for some days after it was removed, so that it can be restored."""
        return self.type.casefold() == _VAULT.casefold()


@dataclass(frozen=True)
class ResourceGroup:
    """What a resource group holds, seen from one deployment of `nbops azure up`."""

    ours: Sequence[ManagedResource]
    """What that deployment made, in the order in which it can be removed."""
    inside: Sequence[ManagedResource]
    """What lies in ours and goes with it, such as the endpoints of the workspace."""
    others: Sequence[ManagedResource]
    """What `nbops azure up` did not make, for nobody."""
    deployments: Sequence[str]
    """The other deployments of `nbops azure up` in it, such as those of other projects."""
    registries: Sequence[ManagedResource]
    """Azure ML registries that `nbops azure up` made, which serve several workspaces."""


def read_group(client: RestClient, subscription: str, name: str, stage: str, prefix: str = "") -> ResourceGroup:
    """Return what a resource group holds, seen from the deployment of a stage with a prefix. Raises AzureError.

    An empty prefix is that of a template without one.
    """
    path = f"/subscriptions/{subscription}/resourceGroups/{name}"
    documents = list(client.pages(f"{path}/resources", _LISTED, what=f"resource group {name!r}"))
    by_up = [each for each in documents if _tags(each).get(MANAGED_BY) == UP]
    registries = [each for each in by_up if _tags(each).get(REGISTRY)]
    made = [each for each in by_up if each not in registries]
    ours = [each for each in made if _deployment(each) == (stage, prefix)]
    rest = [each for each in documents if each not in by_up]
    inside = [each for each in rest if _lies_in(each["id"], by_up)]
    rest = [each for each in rest if each not in inside]
    for topic in [each for each in rest if each["type"].casefold() == _TOPIC.casefold()]:
        source = _source(client, topic)
        if _lies_in(f"{source}/", made):  # as Defender for Storage makes one
            rest.remove(topic)
            ours += [topic] if _lies_in(f"{source}/", ours) else []
    by_insights = [each for each in rest if _key(each) in _insights_keys(made)]
    alone = bool(ours) and all(_deployment(each) == (stage, prefix) for each in made)
    ours += [each for each in by_insights if _key(each) in _insights_keys(ours, actions=alone)]
    return ResourceGroup(
        sorted((_resource(each, client) for each in ours), key=_position),
        [_resource(each) for each in inside if _lies_in(each["id"], ours)],
        [_resource(each) for each in rest if each not in by_insights],
        sorted({_shown(_deployment(each)) for each in made if each not in ours}),
        [_resource(each, client) for each in registries],
    )


def remove(
    client: RestClient,
    resources: Sequence[ManagedResource],
    *,
    tell: Callable[[str], None] = lambda line: None,
    wait_seconds: float = WAIT,
) -> None:
    """Remove resources one after the other; `tell` gets a line for each. One that is gone already is no fault.

    A workspace is removed for good: as merely deleted it would keep its name for two weeks. Before it go the roles that
    Azure gave its identity on the resource group: nobody would find them after it.
    Raises AzureError at the first that cannot be removed, or is not gone after `wait_seconds`.
    """
    waiting = list(resources)
    while waiting:
        refused: list[tuple[ManagedResource, errors.AzureError]] = []
        for resource in waiting:
            tell(f"removing {resource}")
            try:
                _remove(client, resource, tell, wait_seconds)
            except errors.AzureError as error:
                if resource.type.casefold() in _VERSIONS or error.status not in (400, 409):
                    raise
                refused.append((resource, error))  # of two types that we do not know, one may need the other
        if len(refused) == len(waiting):
            raise refused[0][1]
        waiting = [resource for resource, _ in refused]


def _remove(client: RestClient, resource: ManagedResource, tell: Callable[[str], None], wait_seconds: float) -> None:
    of_workspace = resource.type.casefold() == _WORKSPACE.casefold()
    version = resource.api_version or _VERSIONS[resource.type.casefold()]
    path = f"{resource.id}?forceToPurge=true" if of_workspace else resource.id
    try:
        for role in list(_roles_on_group(client, resource, version)) if of_workspace else ():
            try:
                client.request("DELETE", role, _ROLES_VERSION, what="the role of the workspace's identity")
            except errors.AzureError as error:
                tell(f"a role of the workspace stays on the resource group: {error}")
        client.operation("DELETE", path, version, what=str(resource), wait_seconds=wait_seconds)
    except errors.AzureError as error:
        if error.status != 404:
            raise


def _roles_on_group(client: RestClient, workspace: ManagedResource, version: str) -> Iterator[str]:
    """Yield the role assignments on the resource group that Azure gave the identity of a workspace."""
    document = client.request("GET", workspace.id, version, what=str(workspace))
    principal = (document.get("identity") or {}).get("principalId")
    if principal:
        path = f"{workspace.id.partition('/providers/')[0]}/providers/{_ROLES}"
        query = {"$filter": f"principalId eq '{principal}'"}
        for role in client.pages(path, _ROLES_VERSION, what="the roles on the resource group", query=query):
            if role["id"].casefold().startswith(f"{path}/".casefold()):
                yield role["id"]


def _resource(document: Mapping[str, Any], client: RestClient | None = None) -> ManagedResource:
    version = _api_version(client, document) if client else ""
    return ManagedResource(document["id"], document["type"], document["name"], version)


def _api_version(client: RestClient, document: Mapping[str, Any]) -> str:
    """Return the version by which a resource is removed: for a type that is not ours, the newest of its provider."""
    kind = str(document["type"])
    if kind.casefold() in _VERSIONS:
        return _VERSIONS[kind.casefold()]
    namespace, _, name = kind.partition("/")
    # Not that of the subscription: every signed-in user may read this one.
    provider = client.request("GET", f"/providers/{namespace}", _LISTED, what=f"the resource provider {namespace}")
    types = {each["resourceType"].casefold(): each["apiVersions"] for each in provider.get("resourceTypes") or ()}
    versions = sorted(types.get(name.casefold(), ()), key=lambda version: ("preview" not in version, version))
    if not versions:
        raise errors.AzureError(f"no version of the API for {kind} is known", "remove it in the portal")
    return str(versions[-1])


def _source(client: RestClient, topic: Mapping[str, Any]) -> str:
    """Return the resource whose events a system topic has."""
    answer = client.request("GET", topic["id"], API_VERSIONS[_TOPIC], what=f"{_TOPIC}/{topic['name']}")
    return str((answer.get("properties") or {}).get("source") or "")


def _key(document: Mapping[str, Any]) -> tuple[str, str]:
    return str(document["type"]).casefold(), str(document["name"]).casefold()


def _insights_keys(documents: Sequence[Mapping[str, Any]], *, actions: bool = True) -> set[tuple[str, str]]:
    """Return the keys of what the Application Insights among some resources make by themselves."""
    kind, name = _INSIGHTS_ALERT
    found = [(kind, name.format(each["name"])) for each in documents if each["type"].casefold() == _INSIGHTS.casefold()]
    return {(kind.casefold(), name.casefold()) for kind, name in [*found, *([_INSIGHTS_ACTIONS] if actions else [])]}


def _tags(document: Mapping[str, Any]) -> Mapping[str, str]:
    return document.get("tags") or {}


def _deployment(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return stage and prefix of the deployment that made a resource."""
    return _tags(document).get(STAGE, ""), _tags(document).get(PREFIX, "")


def _shown(deployment: tuple[str, str]) -> str:
    stage, prefix = deployment
    return f"stage {stage}" + (f" with prefix {prefix}" if prefix else "")


def _lies_in(path: str, documents: Sequence[Mapping[str, Any]]) -> bool:
    return any(path.casefold().startswith(f"{each['id']}/".casefold()) for each in documents)


def _position(resource: ManagedResource) -> float:
    kind = resource.type.casefold()
    return _ORDER.index(kind) if kind in _ORDER else _OTHER_TYPES - 0.5
