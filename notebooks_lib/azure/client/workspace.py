"""The Azure ML workspace that a project tracks to, and its tracking URI. It stores only the URI.

To connect, use `tracking_uri(settings)` as MLflow's tracking and registry URI. Then call
`tracking.azure_plugin.sign_in(uri)`, so that MLflow's Azure plugin uses our credential. A kernel needs
MLFLOW_TRACKING_URI and the variable that `clouds.set_azure_cloud` sets. It gets no token: it signs in by itself.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from notebooks_lib import atomic_private_files, errors, regular_file
from notebooks_lib.azure.client import clouds, old_secrets
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import MODEL

if TYPE_CHECKING:
    from notebooks_lib.azure.client.rest_client import RestClient

_API_VERSION = "2024-10-01"
_REMEMBERED = "workspaces.json"
_JOB = "AZUREML_RUN_ID"
"""The variable by which a process knows that it is part of a job."""


@dataclass(frozen=True)
class Workspace:
    """The subscription, resource group and name of an Azure ML workspace."""

    subscription: str
    resource_group: str
    name: str

    @property
    def path(self) -> str:
        """Its path at Azure Resource Manager, and below the APIs of its region."""
        scope = f"/subscriptions/{quote(self.subscription)}/resourceGroups/{quote(self.resource_group)}"
        return f"{scope}/providers/Microsoft.MachineLearningServices/workspaces/{quote(self.name)}"

    @property
    def variables(self) -> dict[str, str]:
        """The variables that name it to a process, before all files."""
        names = {"SUBSCRIPTION": self.subscription, "RESOURCE_GROUP": self.resource_group, "WORKSPACE": self.name}
        return {f"NBOPS_AZURE_{name}": value for name, value in names.items()}

    def __str__(self) -> str:
        return f"{self.name!r} (resource group {self.resource_group!r}, subscription {self.subscription})"


def find_workspace(settings: Settings, wanted_by: str = "") -> Workspace:
    """Return the workspace from the settings, else from the nearest config.json at or above the project's root.

    In a job it is the workspace that the job tracks to, whatever its files name: the submitter may have chosen another
    by a variable. Raises NoWorkspaceError when nothing names one; its message begins with `wanted_by`, what needs one.
    """
    if _JOB in os.environ and (workspace := _of_job()) is not None:
        return workspace
    section = settings.azure
    if section.workspace:
        return Workspace(section.subscription, section.resource_group, section.workspace)
    file = find_config(settings.root)
    workspace = _from_file(file) if file else _of_job()
    if workspace is not None:
        return workspace
    raise none_named(wanted_by)


def none_named(wanted_by: str = "", *, also: str = "") -> errors.NoWorkspaceError:
    """Return the error of a project that names no workspace; `also` is another way to name one, for this command."""
    return errors.NoWorkspaceError(
        f"{wanted_by and f'{wanted_by}: '}no workspace is named: {also and f'{also}, '}fill [azure] in"
        f" production/settings.toml, add config.json, or run nbops azure up{old_secrets.explain(os.environ)}"
    )


def stage_workspace(settings: Settings, stage: str) -> Workspace:
    """Return the workspace in which a stage has its endpoint: the project's, or another that the stage names.

    What the stage leaves out, its group and subscription, is the project's. Raises NoWorkspaceError when that is needed
    and nothing names it, and SettingsError when another stage has an endpoint of the same name there.
    """
    found = _stage_workspace(settings, stage)
    for other in settings.stages.stages_of(settings.stages.plain_endpoint(stage, MODEL)):
        if other != stage and _stage_workspace(settings, other).path.casefold() == found.path.casefold():
            raise errors.SettingsError(
                f"{other} and {stage} have one endpoint in workspace {found.name!r}: give one of them another endpoint"
                f" under [stages] in {settings.layout.settings_file}"
            )
    return found


def _stage_workspace(settings: Settings, stage: str) -> Workspace:
    named = settings.stages.of(stage).workspace.split("/") if settings.stages.of(stage).workspace else []
    if len(named) == 3:
        return Workspace(*named)
    project = find_workspace(settings, f"stage {stage}")
    own = [project.subscription, project.resource_group, project.name]
    return Workspace(*own[: 3 - len(named)], *named)


def stage_registry(settings: Settings, stage: str) -> str:
    """Return the Azure ML registry through which a stage gets its versions; empty for the project's own workspace.

    A stage is in another workspace only where the project names one. Raises SettingsError, with the key to write, when
    it is, and no registry is named.
    """
    target = stage_workspace(settings, stage)
    home = project_workspace(settings)
    if home is None or home.path.casefold() == target.path.casefold():
        return ""
    if not settings.azure.registry:
        raise errors.SettingsError(
            f"[stages.{stage}] has its endpoint in workspace {target.name!r}, and the project's versions are in"
            f' {home.name!r}: they get there through an Azure ML registry; write registry = "NAME" under [azure]'
            f" in {settings.layout.settings_file}"
        )
    return settings.azure.registry


def project_workspace(settings: Settings) -> Workspace | None:
    """Return the workspace that the settings or config.json name; None if none is named."""
    try:
        return find_workspace(settings)
    except errors.NoWorkspaceError:
        return None


def find_config(root: Path) -> Path | None:
    """Return the nearest config.json at or above a project's root that names a workspace; None if there is none."""
    files = (
        folder / place / "config.json" for folder in (root, *root.parents) for place in (".azureml", "aml_config", "")
    )
    return next((file for file in files if _from_file(file) is not None), None)


def _of_job() -> Workspace | None:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return of_tracking_uri(uri) if uri.startswith("azureml:") and "/subscriptions/" in uri else None


def of_tracking_uri(uri: str) -> Workspace:
    """Return the workspace in an MLflow tracking URI such as azureml://HOST/mlflow/v2.0/subscriptions/S/…"""
    path = urlsplit(uri).path
    scope = path[path.index("/subscriptions/") :].split("/")
    return Workspace(scope[2], scope[4], scope[8])


def tracking_uri(settings: Settings) -> str:
    """Return the MLflow tracking URI of the project's workspace, from a file in .nbops/azure, or by asking Azure once.

    Raises SettingsError when no workspace is named, AzureError when Azure cannot be reached or has no such workspace.
    """
    clouds.set_azure_cloud(os.environ)
    workspace = find_workspace(settings)
    file = settings.layout.azure / _REMEMBERED
    key = _key(workspace)
    uris = _remembered(file)
    if key not in uris:
        uris[key] = _ask(workspace)
        _remember(file, {**_remembered(file), key: uris[key]})
    return uris[key]


def write_config(root: Path, workspace: Workspace) -> Path:
    """Write the config.json of a project, in Azure's own form, and return its path.

    A config.json of another program stays as it is: then it is .azureml/config.json, which Azure's tools read as well.
    Raises UsageError when that is there, too.
    """
    content = {
        "subscription_id": workspace.subscription,
        "resource_group": workspace.resource_group,
        "workspace_name": workspace.name,
    }
    for file in (root / "config.json", root / ".azureml" / "config.json"):
        file.parent.mkdir(exist_ok=True)
        with suppress(FileExistsError), file.open("x", encoding="utf-8") as new:
            new.write(json.dumps(content, indent=4) + "\n")
            return file
    raise errors.UsageError(
        f"config.json and .azureml/config.json are there and name no workspace: write workspace = {workspace.name!r},"
        f" resource_group = {workspace.resource_group!r} and subscription = {workspace.subscription!r} under [azure]"
    )


def forget_tracking_uri(settings: Settings, workspace: Workspace) -> None:
    """Forget the tracking URI of a workspace: it was made again, perhaps in another region."""
    file = settings.layout.azure / _REMEMBERED
    uris = _remembered(file)
    if uris.pop(_key(workspace), None):
        _remember(file, uris)


def read(client: RestClient, workspace: Workspace) -> Any:
    """Return what Azure Resource Manager knows of a workspace. Raises AzureError."""
    return client.request(
        "GET",
        workspace.path,
        _API_VERSION,
        what=f"workspace {workspace}",
        if_missing="check the three names under [azure]: `az ml workspace list`; or make it: nbops azure up",
    )


def _key(workspace: Workspace) -> str:
    return f"{workspace.subscription}/{workspace.resource_group}/{workspace.name}".lower()


def _ask(workspace: Workspace) -> str:
    from notebooks_lib.azure.client import rest_client

    answer = read(rest_client.resource_manager(), workspace)
    uri = str(answer.get("properties", {}).get("mlFlowTrackingUri") or "")
    if not uri:
        raise errors.AzureError(f"workspace {workspace} names no MLflow tracking URI", "wait until it is created")
    return uri.replace("/mlflow/v1.0", "/mlflow/v2.0")  # what MLflow's plugin makes of it for MLflow 2 and later


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
