"""Check what the files of a project ask of its workspace: storage, computes, cores and images. It only reads."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.http_pipeline import QUICK
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import compute, core_quota
from notebooks_lib.azure.jobs.core_quota import CoreNeed
from notebooks_lib.azure.project_files import file_check, file_kinds, file_secrets
from notebooks_lib.azure.project_files.file_check import CheckedFile
from notebooks_lib.azure.storage import datastore
from notebooks_lib.health_check import HealthCheck

RETIRED_IMAGES = ("*ubuntu16.04*", "*ubuntu18.04*", "*ubuntu20.04*", "*openmpi4.1-cuda11.8*")
"""Names of Microsoft's images that are patched no more (Azure/azureml-assets#3714, #3795, #4446)."""
STORAGE_ROLE = "Storage Blob Data Contributor"
_WRITE_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"


def examine(chosen: Workspace, root: Path, environ: Mapping[str, str]) -> Iterator[HealthCheck]:
    """Check the files, then, all at once, what they need of the workspace, which must be there."""
    folder = file_check.check(root, environ, by_sdk=False)
    if folder.faults:
        more = f", and {len(folder.faults) - 1} more" if len(folder.faults) > 1 else ""
        yield HealthCheck(
            "azure files", False, f"{folder.faults[0].shown(root)}{more}", "correct it: nbops azure check"
        )
    sound = [file for file in folder.files if not file.faults]
    client = rest_client.resource_manager(QUICK)
    checks: list[Callable[[], HealthCheck | None]] = [partial(_storage, client, chosen)]
    checks += [
        partial(_compute, client, chosen, file) for file in sound if file.exists and file.kind is file_kinds.COMPUTE
    ]
    if needs := list(_needs(sound, environ)):
        checks.append(partial(_cores, client, chosen, needs))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda check: check(), checks))
    yield from (each for each in done if each is not None)
    yield from (_image(file) for file in sound if file.kind is file_kinds.ENVIRONMENT and file.values.get("image"))


def _storage(client: RestClient, chosen: Workspace) -> HealthCheck:
    """Ask whether snapshots, environments and data can be written to the default datastore."""
    try:
        store = datastore.default_datastore(client, chosen)
        account = str(workspace.read(client, chosen)["properties"].get("storageAccount") or "")
        if store.signature:
            return HealthCheck("azure storage", True, f"datastore {store.name} gives out keys to write with")
        path = f"{account}/providers/Microsoft.Authorization/permissions"
        permissions = list(client.pages(path, "2022-04-01", what=f"the permissions on {account}"))
    except errors.AzureError as error:
        return _of_error("azure storage", error)
    allowed = any(
        _matches(each.get("dataActions", ())) and not _matches(each.get("notDataActions", ())) for each in permissions
    )
    name = account.rpartition("/")[2]
    detail = f"datastore {store.name}: you {'may' if allowed else 'may not'} write to storage account {name}"
    advice = f"ask for the role {STORAGE_ROLE} on storage account {name}; a new role takes some minutes to hold"
    return HealthCheck("azure storage", allowed, detail, advice)


def _matches(patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(_WRITE_BLOBS.casefold(), pattern.casefold()) for pattern in patterns)


def _compute(client: RestClient, chosen: Workspace, file: CheckedFile) -> HealthCheck:
    name = file.path.stem
    what = f"azure compute {name}"
    try:
        path = f"{chosen.path}/computes/{name}"
        existing = client.request("GET", path, compute.API_VERSION, what=f"compute {name}")
    except errors.AzureError as error:
        if error.status == 404:
            return HealthCheck(what, True, "not there yet: the first job on it makes it")
        return _of_error(what, error)
    differing = list(compute.differences(file.values, existing, chosen))
    if fixed := [each for each in differing if not each.changeable]:
        detail = "; ".join(f"{each.key} is {each.current}, the file says {each.wanted}" for each in fixed)
        return HealthCheck(what, False, detail, f"Azure does not change it: correct or rename {file.path.name}")
    state = str(existing["properties"].get("provisioningState"))
    changes = "".join(f"; the next job changes {each.key} to {each.wanted}" for each in differing)
    advice = "the next job makes it again; if that fails as well, see what Azure ML Studio says about it"
    return HealthCheck(what, state != "Failed", f"{state}{changes}", advice)


def _needs(files: Sequence[CheckedFile], environ: Mapping[str, str]) -> Iterator[CoreNeed]:
    """Yield the machines that the files ask for. Low-priority VMs have a quota of their own, not checked here."""
    for file in files:
        values = file_secrets.filled(dict(file.values), environ)
        resources = values.get("resources") or {}
        low_priority = str(values.get("tier")).casefold().replace("_", "") == "lowpriority"
        if file.kind is file_kinds.COMPUTE and values.get("size") and not low_priority:
            most = int(values.get("max_instances") or file_kinds.MAX_INSTANCES)
            yield CoreNeed(f"{file_check.COMPUTES}/{file.path.name}", str(values["size"]), most)
        if file.kind is file_kinds.JOB and resources.get("instance_type"):
            count = int(resources.get("instance_count") or 1)
            yield CoreNeed(file.path.name, str(resources["instance_type"]), count)


def _cores(client: RestClient, chosen: Workspace, needs: Sequence[CoreNeed]) -> HealthCheck:
    try:
        quota = core_quota.read(client, chosen.subscription, str(workspace.read(client, chosen)["location"]))
    except errors.AzureError as error:
        return _of_error("azure cores", error)
    answers = [core_quota.check(need, quota) for need in needs]
    lacking = [answer for answer in answers if not answer.enough]
    detail = "; ".join(answer.text for answer in lacking or answers)
    advice = "ask for more under Quota in Azure ML Studio, or take a smaller size"
    return HealthCheck("azure cores", not lacking, detail, advice)


def _image(file: CheckedFile) -> HealthCheck:
    image = str(file.values["image"])
    retired = any(fnmatch.fnmatchcase(image.casefold(), pattern) for pattern in RETIRED_IMAGES)
    detail = f"{image} is retired: it gets no patches, and may be taken away" if retired else image
    return HealthCheck("azure image", not retired, detail, f"take another, such as {file_kinds.BASE_IMAGE}")


def _of_error(what: str, error: errors.AzureError) -> HealthCheck:
    """Return what is known after a failure: a role that may not read this can still do all the work."""
    if error.status == 403:
        return HealthCheck(what, True, "your permissions do not show it")
    return HealthCheck(what, False, error.cause, error.step)
