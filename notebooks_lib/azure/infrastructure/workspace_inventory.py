"""What there is in a workspace, and what of it costs money while nobody uses it. It only reads, by plain requests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import compute, jobs
from notebooks_lib.azure.schedules import schedule

RECENT_JOBS = 200
"""How many of nbops' jobs are looked at: Azure lists the newest first, and cannot list those alone that are running."""
ONLINE = "2023-04-01-preview"
BATCH = "2023-10-01"
_PARALLEL = 8
_OURS = "nbops."
"""How the tags begin that nbops gives."""
_FREE_INSTANCES = ("Stopped", "Deleting", "CreateFailed")
"""States of a compute instance that has no machine; in all others, such as Unusable, one is paid for."""
_KINDS = {"AmlCompute": "cluster", "ComputeInstance": "compute instance", "VirtualMachine": "virtual machine"}


@dataclass(frozen=True)
class InventoryItem:
    """One thing in a workspace."""

    kind: str
    """Such as cluster, online deployment, schedule, job."""
    name: str
    state: str
    """Azure's word, with what matters beside it."""
    idle_cost: str = ""
    """What is paid for while nobody uses it; empty for nothing."""
    by_nbops: bool = False
    """Whether it carries a tag of nbops."""


def list_items(client: RestClient, place: Workspace) -> list[InventoryItem]:
    """Return what there is in a workspace, all lists asked for at once. Raises AzureError."""
    readers = (_workspace, _computes, _online, _batch, _schedules, _jobs)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        parts = pool.map(lambda reader: list(reader(client, place)), readers)
        return [item for part in parts for item in part]


def _workspace(client: RestClient, place: Workspace) -> Iterator[InventoryItem]:
    content = workspace.read(client, place)
    own = content.get("properties") or {}
    where = f"{own.get('provisioningState', 'Succeeded')}, in {content.get('location')}"
    yield InventoryItem("workspace", place.name, where, by_nbops=_by_nbops(content))
    if registry := own.get("containerRegistry"):
        name = str(registry).rpartition("/")[2]
        yield InventoryItem("container registry", name, "of the workspace", "its tier, by the day")


def _computes(client: RestClient, place: Workspace) -> Iterator[InventoryItem]:
    for each in client.pages(f"{place.path}/computes", compute.API_VERSION, what=f"computes of {place}"):
        outer = each.get("properties") or {}
        own = outer.get("properties") or {}
        kind = str(outer.get("computeType") or "compute")
        state, cost = str(outer.get("provisioningState") or ""), ""
        size = str(own.get("vmSize") or "")
        if kind == "AmlCompute":
            scale = own.get("scaleSettings") or {}
            least, most = int(scale.get("minNodeCount") or 0), int(scale.get("maxNodeCount") or 0)
            state = f"{state}, {least} to {most} of {size}"
            cost = f"{least} of {size} at all times: min_instances is {least}" if least else ""
        elif kind == "ComputeInstance":
            state = str(own.get("state") or state)
            cost = "" if state in _FREE_INSTANCES else f"1 of {size} until it is stopped"
        elif outer.get("resourceId"):
            cost = f"{str(outer['resourceId']).rpartition('/')[2]}, billed as its own resource"
        yield InventoryItem(_KINDS.get(kind, kind), str(each["name"]), state, cost, _by_nbops(each))


def _online(client: RestClient, place: Workspace) -> Iterator[InventoryItem]:
    path = f"{place.path}/onlineEndpoints"
    endpoints = list(client.pages(path, ONLINE, what=f"online endpoints of {place}"))

    def deployments(endpoint: Mapping[str, Any]) -> list[Any]:
        what = f"deployments of endpoint {endpoint['name']}"
        try:
            return list(client.pages(f"{path}/{endpoint['name']}/deployments", ONLINE, what=what))
        except errors.AzureError as error:
            if error.status != 404:
                raise
            return []  # deleted meanwhile

    for endpoint, found in zip(endpoints, _each(deployments, endpoints), strict=True):
        own = endpoint.get("properties") or {}
        traffic = ", ".join(f"{slot} {share} %" for slot, share in (own.get("traffic") or {}).items()) or "no traffic"
        state = f"{own.get('provisioningState')}, {traffic}"
        cluster = str(own.get("compute") or "").rpartition("/")[2]
        yield InventoryItem("online endpoint", endpoint["name"], state, by_nbops=_by_nbops(endpoint))
        for each in found:
            own = each.get("properties") or {}
            count, size = (each.get("sku") or {}).get("capacity") or 1, own.get("instanceType")
            managed = own.get("endpointComputeType") != "Kubernetes"
            where = f"{count} of {size}" if managed else f"{count} on {cluster or 'Kubernetes'}"
            yield InventoryItem(
                "online deployment",
                f"{endpoint['name']}/{each['name']}",
                f"{own.get('provisioningState')}, {where}",
                f"{count} of {size}, with or without requests" if managed else "",
                _by_nbops(each),
            )


def _batch(client: RestClient, place: Workspace) -> Iterator[InventoryItem]:
    for each in client.pages(f"{place.path}/batchEndpoints", BATCH, what=f"batch endpoints of {place}"):
        state = str((each.get("properties") or {}).get("provisioningState"))
        yield InventoryItem("batch endpoint", each["name"], state, by_nbops=_by_nbops(each))


def _schedules(client: RestClient, place: Workspace) -> Iterator[InventoryItem]:
    for each in schedule.list_schedules(client, place):
        by_nbops = any(key.startswith(_OURS) for key in each.tags)
        yield InventoryItem("schedule", each.name, "on" if each.enabled else "off", by_nbops=by_nbops)


def _jobs(client: RestClient, place: Workspace) -> Iterator[InventoryItem]:
    for listed in (jobs.list_jobs, jobs.list_pipelines):
        for job in itertools.islice(listed(client, place), RECENT_JOBS):
            if not job.ended:
                where = "" if job.pipeline else f" on {job.compute or 'serverless'}"
                state = f"{job.status}{where}: {job.pipeline or job.notebook}"
                yield InventoryItem("job", job.name, state, by_nbops=True)


def _each(function: Callable[[Any], list[Any]], values: list[Any]) -> list[list[Any]]:
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(function, values))


def _by_nbops(document: Mapping[str, Any]) -> bool:
    every = {**(document.get("tags") or {}), **((document.get("properties") or {}).get("tags") or {})}
    return any(key.startswith(_OURS) for key in every)
