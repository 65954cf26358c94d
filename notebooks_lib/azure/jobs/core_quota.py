"""The cores that a subscription has left for machines of a size in a region, and whether they suffice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient

API_VERSION = "2023-08-01-preview"


@dataclass(frozen=True)
class CoreNeed:
    """Machines that a file asks for."""

    file: str
    size: str
    instances: int
    """At most; one is enough to begin."""


@dataclass(frozen=True)
class CoreQuota:
    """The sizes of a region and what is left of the quota of each family of sizes."""

    sizes: Mapping[str, tuple[str, int]]
    """Size, in small letters -> its family and its cores."""
    left: Mapping[str, tuple[int, int]]
    """Family, in small letters -> the cores that are left, and the quota."""


@dataclass(frozen=True)
class QuotaAnswer:
    """Whether there are cores for at least one machine, and how many there are."""

    enough: bool
    text: str


def read(client: RestClient, subscription: str, location: str) -> CoreQuota:
    """Return the sizes and quotas of a region. Raises AzureError."""
    region = f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}"
    what = f"the quota of subscription {subscription} in {location}"
    sizes = {
        str(each["name"]).casefold(): (str(each["family"]), int(each["vCPUs"]))
        for each in client.pages(f"{region}/vmSizes", API_VERSION, what=what)
    }
    left: dict[str, tuple[int, int]] = {}
    for each in client.pages(f"{region}/usages", API_VERSION, what=what):
        name = str((each.get("name") or {}).get("value") or "").casefold()
        limit = int(each["limit"])
        rest = limit - int(each["currentValue"])
        if limit >= 0:  # of several entries of one family, as for a workspace with a share, the least counts
            left[name] = min((rest, limit), left.get(name, (rest, limit)))
    return CoreQuota(sizes, left)


def check(need: CoreNeed, quota: CoreQuota) -> QuotaAnswer:
    """Return whether there are cores left for one machine of this size, and for how many."""
    size = quota.sizes.get(need.size.casefold())
    if size is None:
        near = errors.nearest(need.size.casefold(), list(quota.sizes))
        hint = f", did you mean {near}?" if near else ""
        return QuotaAnswer(False, f"{need.file}: this region has no size {need.size}{hint}")
    family, cores = size
    if family.casefold() not in quota.left:
        return QuotaAnswer(True, f"{need.file}: Azure names no quota for {family}")
    left, limit = quota.left[family.casefold()]
    wanted = cores * need.instances
    text = f"{need.file}: {wanted} cores of {family} for {need.instances} x {need.size}, {left} of {limit} are left"
    return QuotaAnswer(left >= cores, text if left >= wanted else f"{text}, enough for {max(left, 0) // cores}")
