"""The Azure ML workspace that a project tracks to, its tracking URI and its one credential. It stores only the URI.

To connect, use `tracking_uri(settings)` as MLflow's tracking and registry URI. Then call
`tracking.store.sign_in_to_azure(uri)`, so that MLflow's Azure plugin uses the same credential. Both functions call
`set_azure_cloud`. A kernel needs MLFLOW_TRACKING_URI and the variable that `set_azure_cloud` sets. It gets no token: it
signs in by itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import atomic_private_files, errors, regular_file
from notebooks_lib.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CLOUD = "AZUREML_CURRENT_CLOUD"
_AUTHORITIES = {
    "AzureChinaCloud": "login.chinacloudapi.cn",
    "AzureUSGovernment": "login.microsoftonline.us",
}
"""Where to sign in to clouds other than the public one; AZURE_AUTHORITY_HOST overrides it."""
_REMEMBERED = "workspaces.json"
_LIMITS = {"connection_timeout": 10, "read_timeout": 30, "retry_total": 2, "retry_connect": 1, "retry_backoff_max": 2}
"""Without them the SDK would retry for many minutes before it reports that there is no network."""
_NO_NETWORK = ("Failed to establish a new connection", "Failed to resolve", "timed out")
"""What a failed sign-in says when the network is the reason."""


@dataclass(frozen=True)
class Workspace:
    """The subscription, resource group and name of an Azure ML workspace."""

    subscription: str
    resource_group: str
    name: str

    def __str__(self) -> str:
        return f"{self.name!r} (resource group {self.resource_group!r}, subscription {self.subscription})"


def find_workspace(settings: Settings) -> Workspace:
    """Return the workspace from the settings, else from the nearest config.json at or above the project's root.

    Raises SettingsError when neither names a workspace.
    """
    section = settings.azure
    if section.workspace:
        return Workspace(section.subscription, section.resource_group, section.workspace)
    file = find_config(settings.root)
    workspace = _from_file(file) if file else None
    if workspace is not None:
        return workspace
    raise errors.SettingsError(
        'tracking.uri is "azureml", but no workspace is named: fill subscription, resource_group and workspace under'
        f" [azure] in {settings.layout.settings_file}, or put the config.json that Azure ML Studio offers into"
        f" {settings.root}"
    )


def find_config(root: Path) -> Path | None:
    """Return the nearest config.json at or above a project's root that names a workspace; None if there is none."""
    files = (
        folder / place / "config.json" for folder in (root, *root.parents) for place in (".azureml", "aml_config", "")
    )
    return next((file for file in files if _from_file(file) is not None), None)


def tracking_uri(settings: Settings) -> str:
    """Return the MLflow tracking URI of the project's workspace, from a file in .nbops/azure, or by asking Azure once.

    Raises SettingsError when no workspace is named, TrackingError when Azure cannot be reached or has no such
    workspace.
    """
    set_azure_cloud(os.environ)
    workspace = find_workspace(settings)
    file = settings.layout.azure / _REMEMBERED
    key = f"{workspace.subscription}/{workspace.resource_group}/{workspace.name}".lower()
    uris = _remembered(file)
    if key not in uris:
        uris[key] = _ask(workspace)
        _remember(file, {**_remembered(file), key: uris[key]})
    return uris[key]


def set_azure_cloud(environ: MutableMapping[str, str]) -> None:
    """Set the variable in `environ` that names the Azure cloud.

    Without it, MLflow's plugin asks the network for up to 30 s.
    """
    if "ARM_CLOUD_METADATA_URL" not in environ:
        environ.setdefault(CLOUD, "AzureCloud")


def credential() -> TokenCredential:
    """Return Azure's default credential chain: environment, managed identity, `az login`, ... It opens no browser."""
    from azure.identity import DefaultAzureCredential

    host = _AUTHORITIES.get(os.environ.get(CLOUD, ""))
    authority = {"authority": host} if host and "AZURE_AUTHORITY_HOST" not in os.environ else {}
    return DefaultAzureCredential(exclude_interactive_browser_credential=True, **authority)


def _ask(workspace: Workspace) -> str:
    with _as_tracking_error(workspace):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK warns about itself at import
            from azure.ai.ml import MLClient
        client = MLClient(
            credential(),
            workspace.subscription,
            workspace.resource_group,
            workspace.name,
            enable_telemetry=False,
            show_progress=False,
            **_LIMITS,
        )
        answer = client.workspaces.get(workspace.name)
    uri = answer.mlflow_tracking_uri if answer else None
    if not uri:
        raise errors.TrackingError(
            f"the workspace {workspace} names no MLflow tracking URI: is it still being created?"
        )
    return str(uri)


@contextlib.contextmanager
def _as_tracking_error(workspace: Workspace) -> Iterator[None]:
    """Turn each way in which asking Azure fails into one line with the next step."""
    logger = logging.getLogger("azure.identity")  # it would log a page with every way of signing in that it tried
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as error:
        # By name, so that the SDK's exception classes are not imported before they are needed.
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if any(words in str(error) for words in _NO_NETWORK):
            kinds = {"ServiceRequestError"}
        if "ClientAuthenticationError" in kinds or getattr(error, "status_code", None) == 401:
            problem, step = (
                "cannot sign in to Azure",
                "run `az login`, or give CI a service principal (AZURE_CLIENT_ID, ...)",
            )
        elif "ResourceNotFoundError" in kinds:
            problem, step = (
                f"no workspace {workspace}",
                "check the three names under [azure], or `az ml workspace list`",
            )
        elif getattr(error, "status_code", None) == 403:
            problem, step = f"no permission on workspace {workspace}", "ask for the role AzureML Data Scientist on it"
        elif kinds & {"ServiceRequestError", "ServiceResponseError", "IncompleteReadError"}:
            problem, step = (
                "Azure does not answer",
                "check network and proxy, or work locally with NBOPS_TRACKING_URI=sqlite:///.nbops/mlflow.db",
            )
        else:
            problem, step = f"workspace {workspace} cannot be read", "see the cause above"
        raise errors.TrackingError(f"{problem}: {errors.reason(error, 300).rstrip('.')}; {step}") from error
    finally:
        logger.setLevel(level)


def _from_file(file: Path) -> Workspace | None:
    """Return the workspace in a config.json of Azure's own form; None for another file of that name."""
    try:
        content: Any = json.loads(regular_file.read_text(file))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    scope = str(content.get("Scope") or "").split("/")
    if len(scope) > 8:
        return Workspace(scope[2], scope[4], scope[8])
    values = [content.get(key) for key in ("subscription_id", "resource_group", "workspace_name")]
    return Workspace(*map(str, values)) if all(values) else None


def _remembered(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}


def _remember(file: Path, uris: dict[str, str]) -> None:
    atomic_private_files.write(file, json.dumps(uris, indent=1), durable=False)
