"""Check what an Azure ML workspace needs: sign-in, workspace, permissions, resource provider. It only reads."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, error_messages, rest_client, workspace
from notebooks_lib.azure.client.credential import credential, signed_in_as
from notebooks_lib.azure.client.http_pipeline import QUICK
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.health_check import HealthCheck

_ACTIONS = {
    "runs": ("experiments/write", "experiments/runs/write"),
    "models": ("models/write",),
    "jobs": ("jobs/write",),
    "endpoints": ("onlineEndpoints/write", "onlineEndpoints/deployments/write"),
}
"""What nbops writes -> the actions that it needs, below those of a workspace."""
_WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
_PROVIDER = "Microsoft.MachineLearningServices"


def examine(chosen: Workspace) -> Iterator[HealthCheck]:
    """Check the sign-in; then, all at once, the workspace, its permissions and the resource provider."""
    shared = credential()
    try:
        token = shared.get_token_info(clouds.current().scope)
    except errors.NbopsError as error:
        yield _failed("azure sign-in", error)
        return
    method = shared.method.name if shared.method else ""
    yield HealthCheck("azure sign-in", True, f"{signed_in_as(token.token) or 'signed in'}, by {method}")
    client = rest_client.resource_manager(QUICK)
    with ThreadPoolExecutor(3) as pool:
        checks = [pool.submit(check, client, chosen) for check in (_workspace, _permissions, _provider)]
    found, permitted, registered = (check.result() for check in checks)
    yield found
    if found.ok:
        yield permitted
    yield registered


def allowed(permissions: Sequence[Mapping[str, Any]], action: str) -> bool:
    """Return whether one of the permissions of a role assignment allows an action and does not take it back."""
    return any(
        _matches(permission.get("actions", ()), action) and not _matches(permission.get("notActions", ()), action)
        for permission in permissions
    )


def _matches(patterns: Sequence[str], action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.casefold(), pattern.casefold()) for pattern in patterns)


def _workspace(client: RestClient, chosen: Workspace) -> HealthCheck:
    try:
        content = workspace.read(client, chosen)
    except errors.AzureError as error:
        return _failed("azure workspace", error)
    state = content.get("properties", {}).get("provisioningState", "Succeeded")
    advice = "wait until it is there" if state in ("Creating", "Updating") else "look at it in the portal"
    return HealthCheck(
        "azure workspace", state == "Succeeded", f"{chosen} in {content.get('location')}: {state}", advice
    )


def _permissions(client: RestClient, chosen: Workspace) -> HealthCheck:
    """Ask Azure what is permitted, instead of trying."""
    path = f"{chosen.path}/providers/Microsoft.Authorization/permissions"
    try:
        permissions = list(client.pages(path, "2022-04-01", what=f"the permissions on {chosen}"))
    except errors.AzureError as error:
        return _unknown("azure permissions", error)
    missing = [
        name
        for name, actions in _ACTIONS.items()
        if not all(allowed(permissions, f"{_WORKSPACES}/{action}") for action in actions)
    ]
    detail = f"may not write {_listed(missing)}" if missing else f"may write {_listed(list(_ACTIONS))}"
    advice = f"ask for the role {error_messages.DATA_SCIENTIST} on the workspace; a new role takes some minutes to hold"
    return HealthCheck("azure permissions", not missing, detail, advice)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _provider(client: RestClient, chosen: Workspace) -> HealthCheck:
    path = f"/subscriptions/{chosen.subscription}/providers/{_PROVIDER}"
    try:
        state = client.request("GET", path, "2021-04-01", what=f"the resource provider {_PROVIDER}")[
            "registrationState"
        ]
    except errors.AzureError as error:
        return _unknown("azure provider", error)
    advice = f"register it once: `az provider register --namespace {_PROVIDER}`"
    return HealthCheck("azure provider", state == "Registered", f"{_PROVIDER}: {state}", advice)


def _failed(what: str, error: errors.NbopsError) -> HealthCheck:
    if isinstance(error, errors.AzureError):
        return HealthCheck(what, False, error.cause, error.step)
    return HealthCheck(what, False, str(error), "correct it, or unset it")


def _unknown(what: str, error: errors.AzureError) -> HealthCheck:
    """Return what is known after a failure: a role that may not read this can still do all the work."""
    return HealthCheck(what, True, "your permissions do not show it") if error.status == 403 else _failed(what, error)
