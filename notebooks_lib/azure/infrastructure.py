"""Deploys production/infra/main.bicep by the Azure CLI: what would change, the deployment, how it went.

Repeat any step safely: a deployment that is still running is waited for, and one that is done changes nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors, regular_file
from notebooks_lib.azure import error_messages, managed_resources, parameter_files, workspace
from notebooks_lib.azure.azure_cli import Account, AzureCli
from notebooks_lib.azure.what_if import ResourceChange, foreign_resources, read_changes
from notebooks_lib.azure.workspace import Workspace
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES

FOLDER = "production/infra"
TEMPLATE = "main.bicep"
FILES = (TEMPLATE, "wake.bicep", *(f"parameters.{stage}.json" for stage in STAGES))
OUTPUT = "workspaceName"
"""What the template must put out."""
WHAT_IF_PATIENCE = 300.0
"""Seconds in which Azure must say what would change; the CLI may download Bicep first."""
WAIT = 1800.0
"""Seconds in which a deployment must have ended."""
FIRST_POLL = 1.0
POLL = 10.0
"""Seconds between two looks at a deployment: it grows from the first to the second."""
_RUNNING = ("Accepted", "Running", "Creating", "Updating", "Waiting", "Ready")
_NEVER_RUN = ("DeploymentNotFound", "ResourceNotFound")
_VAULT = "Microsoft.KeyVault/vaults/"


@dataclass(frozen=True)
class Deployment:
    """What is to be deployed, and where."""

    subscription: str
    resource_group: str
    stage: str
    template: Path
    parameters: Path
    workspace_name: str = ""
    """Empty: the parameters file or the template gives the name."""
    location: str = ""
    """Empty: likewise."""

    @property
    def name(self) -> str:
        """The name of the deployment in Azure: the same each time, so that a second `up` finds the first."""
        return f"nbops-{self.stage}"

    def __str__(self) -> str:
        return f"deployment {self.name} in resource group {self.resource_group!r}"


@dataclass(frozen=True)
class Deployed:
    """What a deployment made; Azure's outputs by their names in the template."""

    workspace: Workspace
    outputs: Mapping[str, str]


def find_folder(root: Path) -> Path:
    """Return the folder of the template: the project's own, else the one that nbops brings."""
    own, packed = root / FOLDER, Path(__file__).parent / "infra"
    if (own / TEMPLATE).exists():
        return own
    return packed if packed.is_dir() else Path(__file__).parents[2] / FOLDER


def write_missing_files(root: Path) -> list[str]:
    """Write the template and the parameters of a project that has none, and return their paths in the project.

    A project that has a template decides about all of its files.
    """
    source, written = find_folder(root), []
    if source == root / FOLDER:
        return []
    for name in FILES:
        file = root / FOLDER / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text((source / name).read_text("utf-8"), "utf-8")
            written.append(f"{FOLDER}/{name}")
    return written


def choose_deployment(settings: Settings, account: Account, *, stage: str, resource_group: str = "") -> Deployment:
    """Return what to deploy for a stage: where it, the settings or config.json say, or in `resource_group`.

    Raises UsageError when a file is missing or wrong, when nothing names a resource group, and when the CLI is signed
    in to another subscription than they name.
    """
    folder = find_folder(settings.root)
    parameters = folder / f"parameters.{stage}.json"
    if not parameters.exists():
        stages = [parameter_files.stage_of(file) for file in sorted(folder.glob("parameters.*.json"))]
        raise errors.UsageError(
            f"{FOLDER}/{parameters.name} is missing (there are parameters for {', '.join(stages) or 'no stage'}):"
            " write it, or name another stage with --stage"
        )
    if wrong := [fault.shown(settings.root) for fault in parameter_files.faults(parameters, folder / TEMPLATE)]:
        raise errors.UsageError("; ".join(wrong))
    if not re.search(rf"^output {OUTPUT} ", regular_file.read_text(folder / TEMPLATE), re.MULTILINE):
        raise errors.UsageError(f"{FOLDER}/{TEMPLATE} has no output {OUTPUT}: add it, with the name of the workspace")
    named = planned_workspace(settings, stage)
    subscription = named.subscription if named else account.subscription
    if subscription.casefold() != account.subscription.casefold():
        raise errors.UsageError(
            f"the Azure CLI is signed in to subscription {account}, but the project names {subscription}:"
            f" `az account set --subscription {subscription}`; nothing was changed"
        )
    group = resource_group or (named.resource_group if named else "")
    if not group:
        raise errors.UsageError("no resource group is named: --resource-group NAME, or resource_group under [azure]")
    of_stage = bool(settings.stages.of(stage).workspace) or stage == STAGES[0]
    ours = named is not None and group.casefold() == named.resource_group.casefold() and of_stage
    name = named.name if named and ours else ""
    taken = "location" in parameter_files.template_parameters(regular_file.read_text(folder / TEMPLATE))
    given = "location" in json.loads(regular_file.read_text(parameters))["parameters"]
    location = settings.azure.location if taken and not given else ""
    return Deployment(account.subscription, group, stage, folder / TEMPLATE, parameters, name, location)


def planned_workspace(settings: Settings, stage: str) -> Workspace | None:
    """Return the workspace that a stage names, else the project's, made or not; None if none is named."""
    try:
        return workspace.stage_workspace(settings, stage)
    except errors.SettingsError:
        return None


class Infrastructure:
    """One deployment, before, during and after it."""

    def __init__(self, cli: AzureCli, deployment: Deployment) -> None:
        self.deployment = deployment
        self._cli = cli
        self._place = ("--subscription", deployment.subscription, "--resource-group", deployment.resource_group)
        self._named = (*self._place, "--name", deployment.name)

    def check_resource_group(self) -> None:
        """Raise UsageError when the resource group is not there."""
        group, subscription = self.deployment.resource_group, self.deployment.subscription
        try:
            command = ("group", "show", "--subscription", subscription, "--name", group)
            self._cli.run(*command, what=f"resource group {group!r}")
        except errors.AzureError as error:
            if error.code != "ResourceGroupNotFound":
                raise
            raise errors.UsageError(
                f"no resource group {group!r} in subscription {subscription}: make it with"
                f" `az group create --subscription {subscription} --name {group} --location LOCATION`"
            ) from error

    def is_running(self) -> bool:
        """Return whether this deployment was started and has not ended."""
        try:
            return self._show()["properties"]["provisioningState"] in _RUNNING
        except errors.AzureError as error:
            if error.code in _NEVER_RUN:
                return False
            raise

    def changes(self, *, only_look: bool = False) -> list[ResourceChange]:
        """Return what the deployment would change. `only_look`: for someone who may read, but not deploy.

        Raises UsageError when it would change a resource that `nbops azure up` did not make.
        """
        level = ("--validation-level", "ProviderNoRbac") if only_look else ()
        command = ("deployment", "group", "what-if", *self._named, *self._files(), "--no-pretty-print", *level)
        answer = self._cli.run(*command, what=str(self.deployment), patience=WHAT_IF_PATIENCE)
        if answer.get("error"):
            raise error_messages.of_error(answer["error"], str(self.deployment))
        if foreign := foreign_resources(answer, managed_resources.MANAGED_BY):
            names = ", ".join(each.rpartition("/providers/")[2] for each in foreign)
            raise errors.UsageError(
                f"`nbops azure up` did not make {names} in resource group {self.deployment.resource_group!r}; nothing"
                f" was changed: take another name (prefix or workspaceName in {self.deployment.parameters.name}),"
                " or another --resource-group"
            )
        return read_changes(answer)

    def deleted_vault(self, changes: list[ResourceChange]) -> str:
        """Return the key vault that would be made, and that Azure still keeps as deleted; empty if there is none.

        Its name stays taken until then, so it has to be restored.
        """
        made = {each.resource.removeprefix(_VAULT) for each in changes if each.resource.startswith(_VAULT)}
        if not made:
            return ""
        command = ("keyvault", "list-deleted", "--subscription", self.deployment.subscription)
        deleted = self._cli.run(*command, "--resource-type", "vault", what="deleted key vaults")
        return next((each["name"] for each in deleted or () if each["name"] in made), "")

    def start(self, *, recover_vault: bool = False) -> None:
        """Start the deployment. Raises AzureError when Azure refuses it before anything is made."""
        recover = ("--parameters", "recoverVault=true") if recover_vault else ()
        command = ("deployment", "group", "create", *self._named, *self._files(), *recover, "--no-wait")
        self._cli.run(*command, what=str(self.deployment), patience=WHAT_IF_PATIENCE)

    def wait(
        self,
        *,
        tell: Callable[[str], None] = lambda line: None,
        wait_seconds: float = WAIT,
        poll: float = POLL,
    ) -> Deployed:
        """Wait for the deployment to end. `tell` gets a line when it has gone on.

        Raises AzureError, with the resource that failed and the reason, when it fails, and after `wait_seconds`.
        """
        began, pause, lines = time.monotonic(), min(FIRST_POLL, poll), {""}
        while (state := (shown := self._show())["properties"]["provisioningState"]) in _RUNNING:
            waited = time.monotonic() - began
            if waited > wait_seconds:
                cause = f"{self.deployment} is still {state} after {wait_seconds / 60:.3g} min"
                raise errors.AzureError(cause, "Azure goes on with it: `nbops azure up` again to wait longer")
            line = self._progress() if pause > FIRST_POLL else f"{state}"
            if line not in lines:
                tell(f"{self.deployment}: {line}")
                lines.add(line)
            time.sleep(min(pause, max(wait_seconds - waited, 0.01)))
            pause = min(2 * pause, poll)
        if state != "Succeeded":
            raise self._failure(state)
        return self._deployed(shown)

    def finished(self) -> Deployed | None:
        """Return what this deployment made when it was last run; None if it was never run, or did not succeed."""
        try:
            shown = self._show()
        except errors.AzureError as error:
            if error.code in _NEVER_RUN:
                return None
            raise
        return self._deployed(shown) if shown["properties"]["provisioningState"] == "Succeeded" else None

    def _deployed(self, shown: Any) -> Deployed:
        outputs = {name: str(each["value"]) for name, each in (shown["properties"].get("outputs") or {}).items()}
        own = self.deployment
        return Deployed(Workspace(own.subscription, own.resource_group, outputs[OUTPUT]), outputs)

    def _progress(self) -> str:
        """Return what Azure is working on."""
        states = [each["properties"] for each in self._operations()]
        busy = [each for each in states if each.get("provisioningState") in _RUNNING]
        names = ", ".join(str((each.get("targetResource") or {}).get("resourceName")) for each in busy)
        return f"{len(states) - len(busy)} resources done" + (f", working on {names}" if names else "")

    def _files(self) -> Iterator[str]:
        yield from ("--template-file", str(self.deployment.template))
        yield from ("--parameters", f"@{self.deployment.parameters}")
        if self.deployment.workspace_name:
            yield from ("--parameters", f"workspaceName={self.deployment.workspace_name}")
        if self.deployment.location:
            yield from ("--parameters", f"location={self.deployment.location}")

    def _show(self) -> Any:
        return self._cli.run("deployment", "group", "show", *self._named, what=str(self.deployment))

    def _operations(self, name: str = "") -> list[Any]:
        command = ("deployment", "operation", "group", "list", *self._place, "--name", name or self.deployment.name)
        return list(self._cli.run(*command, what=str(self.deployment)) or ())

    def _failure(self, state: str, name: str = "") -> errors.AzureError:
        """Return why a deployment failed, and on which resource: that of a module within it, if one failed."""
        for operation in self._operations(name):
            own = operation["properties"]
            resource = own.get("targetResource") or {}
            if own.get("provisioningState") != "Failed":
                continue
            if resource.get("resourceType") == "Microsoft.Resources/deployments" and not name:
                return self._failure(state, str(resource["resourceName"]))
            what = f"{self.deployment}: {resource.get('resourceType')}/{resource.get('resourceName')}"
            message = own.get("statusMessage") or {}
            return error_messages.of_error(message.get("error") or message, what)
        step = "`nbops azure up` again, or look at it in the portal"
        return errors.AzureError(f"{self.deployment} is {state}", step)
