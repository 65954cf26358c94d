"""What would stop a removal half-way: locks and missing permissions. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from notebooks_lib import errors
from notebooks_lib.azure.checks.workspace_checks import allowed
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.infrastructure.managed_resources import ManagedResource

_AUTHORIZATION = "Microsoft.Authorization"


def obstacles(client: RestClient, group: str, resources: Sequence[ManagedResource]) -> list[str]:
    """Return, for a resource group's path, a line for each lock and each permission that keeps resources from removal.

    A permission that somebody has only on single resources is not seen, nor is a lock on the subscription: that one
    stops the removal before anything is gone.
    """
    return [*_locks(client, group, resources), *_missing_rights(client, group, resources)]


def _locks(client: RestClient, group: str, resources: Sequence[ManagedResource]) -> Iterator[str]:
    """Yield the locks on the group, on the resources, and within them."""
    ids = [each.id.casefold() for each in resources]
    for lock in client.pages(f"{group}/providers/{_AUTHORIZATION}/locks", "2016-09-01", what="the locks of the group"):
        place = lock["id"].partition(f"/providers/{_AUTHORIZATION}/locks/")[0]
        if place.casefold() == group.casefold() or f"{place}/".casefold().startswith(tuple(f"{id}/" for id in ids)):
            where = place.rpartition("/providers/")[2] if "/providers/" in place else "the resource group"
            yield f"lock {lock['name']!r} on {where}"


def _missing_rights(client: RestClient, group: str, resources: Sequence[ManagedResource]) -> Iterator[str]:
    path = f"{group}/providers/{_AUTHORIZATION}/permissions"
    try:
        permissions = list(client.pages(path, "2022-04-01", what="the permissions on the group"))
    except errors.AzureError as error:
        if error.status != 403:
            raise
        return  # it is tried, then
    for kind in dict.fromkeys(each.type for each in resources):
        if not allowed(permissions, f"{kind}/delete"):
            yield f"no permission for {kind}/delete (the role Contributor has it)"
