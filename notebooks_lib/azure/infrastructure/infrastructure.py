"""Deploys production/infra/main.bicep by the Azure CLI: what would change, the deployment, how it went.

Repeat any step safely: a deployment that is still running is waited for, and one that is done changes nothing.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors, regular_file
from notebooks_lib.azure.client import error_messages, workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.infrastructure import managed_resources
from notebooks_lib.azure.infrastructure.azure_cli import Account, AzureCli
from notebooks_lib.azure.infrastructure.what_if import ResourceChange, foreign_resources, read_changes
from notebooks_lib.azure.project_files import template_files
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES

OUTPUT = "workspaceName"
"""What the template must put out."""
WHAT_IF_PATIENCE = 300.0
"""Seconds in which Azure must say what would change; the CLI may download Bicep first."""
WAIT = 1800.0
"""Seconds in which a deployment must have ended."""
LONGEST = 2700.0
"""Seconds that all steps together may take where nobody is asked: CI ends a job after an hour, without a word."""
FIRST_POLL = 1.0
POLL = 10.0
"""Seconds between two looks at a deployment: it grows from the first to the second."""
_ENDED = ("Succeeded", "Failed", "Canceled")
"""All other states go on by themselves, such as Canceling."""
_NEVER_RUN = ("DeploymentNotFound", "ResourceNotFound")
_ONLY_LOOK = ("--validation-level", "ProviderNoRbac")
_VAULT = "Microsoft.KeyVault/vaults/"
_VAULT_DAYS = "softDeleteRetentionInDays"


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
    prefix: str = ""
    """Begins all names. Empty: the template has none."""

    @property
    def name(self) -> str:
        """The name of the deployment in Azure: the same each time, so that a second `up` finds the first.

        Not that of another project in the same resource group.
        """
        return f"nbops-{self.stage}" + (f"-{self.prefix}" if self.prefix else "")

    def __str__(self) -> str:
        return f"deployment {self.name} in resource group {self.resource_group!r}"


@dataclass(frozen=True)
class Deployed:
    """What a deployment made; Azure's outputs by their names in the template."""

    workspace: Workspace
    outputs: Mapping[str, str]


def choose_deployment(settings: Settings, account: Account, *, stage: str, resource_group: str = "") -> Deployment:
    """Return what to deploy for a stage: where it, the settings or config.json say, or in `resource_group`.

    Raises UsageError when a file is missing or wrong, when nothing names a resource group, and when the CLI is signed
    in to another subscription than they name.
    """
    files = template_files.find_files(settings, stage)
    if not re.search(rf"^output {OUTPUT} ", regular_file.read_text(files.template), re.MULTILINE):
        raise errors.UsageError(f"{files.template.name} has no output {OUTPUT}: add it, with the name of the workspace")
    if account.is_application and "peopleId" in files.declared and not files.given.get("peopleId"):
        raise errors.UsageError(
            f"{files.parameters.name}: peopleId is empty, and the Azure CLI is signed in as an application: it would"
            " give the roles of the people to itself; write the object id of a group or user:"
            " `az ad group show --group NAME --query id`"
        )
    named = named_workspace(settings, stage)
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
    name = named.name if named and ours and "workspaceName" in files.declared else ""
    taken = "location" in files.declared and "location" not in files.given
    location = settings.azure.location if taken else ""
    return Deployment(
        account.subscription, group, stage, files.template, files.parameters, name, location, files.prefix
    )


def named_workspace(settings: Settings, stage: str) -> Workspace | None:
    """Return the workspace that a stage names, else the project's, made or not; None if none is named.

    Raises SettingsError when another stage has an endpoint of the same name there.
    """
    try:
        return workspace.stage_workspace(settings, stage)
    except errors.NoWorkspaceError:
        return None


def is_deleted_vault(error: errors.AzureError) -> bool:
    """Return whether a deployment failed at a key vault that Azure still keeps as deleted."""
    return "vault" in error.cause and "deleted state" in error.cause


class Infrastructure:
    """One deployment, before, during and after it. After `seconds` its steps raise AzureError."""

    def __init__(self, cli: AzureCli, deployment: Deployment, *, seconds: float = math.inf) -> None:
        self.deployment = deployment
        self._cli = cli
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
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
            return self._show()["properties"]["provisioningState"] not in _ENDED
        except errors.AzureError as error:
            if error.code in _NEVER_RUN:
                return False
            raise

    def changes(self, *, only_look: bool = False) -> list[ResourceChange]:
        """Return what the deployment would change. `only_look`: also for somebody who may read, but not deploy.

        Raises UsageError when it would change a resource of somebody else, or one that Azure never changes.
        """
        answer = self._look() if only_look else self._what_if()
        if foreign := foreign_resources(answer, *managed_resources.TAGS):
            names = ", ".join(
                each.rpartition("/providers/")[2] + (f" ({tags})" if tags else "") for each, tags in foreign.items()
            )
            raise errors.UsageError(
                f"this deployment of `nbops azure up` did not make {names} in resource group"
                f" {self.deployment.resource_group!r}; nothing was changed: take another name (prefix or workspaceName"
                f" in {self.deployment.parameters.name}), or another --resource-group"
            )
        changes = read_changes(answer)
        for change in changes:
            if change.resource.startswith(_VAULT) and (days := [it for it in change.properties if _VAULT_DAYS in it]):
                raise errors.UsageError(
                    f"Azure never changes the days of a key vault ({days[0]}); nothing was changed: put the old number"
                    f" back in {self.deployment.parameters.name} (keepDeletedVaultDays)"
                )
        return changes

    def _look(self) -> Any:
        try:
            return self._what_if(*_ONLY_LOOK)
        except errors.AzureError as error:
            if f"unrecognized arguments: {_ONLY_LOOK[0]}" not in error.cause:
                raise
            return self._what_if()  # an older CLI, which wants the rights of somebody who may deploy

    def _what_if(self, *level: str) -> Any:
        command = ("deployment", "group", "what-if", *self._named, *self._files(), "--no-pretty-print", *level)
        answer = self._cli.run(*command, what=str(self.deployment), patience=self._seconds_left(WHAT_IF_PATIENCE))
        if answer.get("error"):
            raise error_messages.of_error(answer["error"], str(self.deployment))
        return answer

    def deleted_vault(self, changes: list[ResourceChange]) -> str:
        """Return the key vault that would be made, and that Azure still keeps as deleted; empty if none is seen.

        Its name stays taken until then, so it has to be restored. Without read access to the subscription, Azure lists
        no deleted vaults. Raises UsageError for one that was deleted in another region.
        """
        made = {it.resource.removeprefix(_VAULT): it.location for it in changes if it.resource.startswith(_VAULT)}
        if not made:
            return ""
        command = ("keyvault", "list-deleted", "--subscription", self.deployment.subscription)
        deleted = self._cli.run(*command, "--resource-type", "vault", what="deleted key vaults")
        for vault in (each for each in deleted or () if each["name"] in made):
            kept = vault.get("properties") or {}
            place, wanted = (re.sub(r"\s", "", str(it)).lower() for it in (kept.get("location"), made[vault["name"]]))
            if kept.get("location") and wanted and place != wanted:
                raise errors.UsageError(
                    f"key vault {vault['name']} was deleted in {place}, and can be restored only there, until"
                    f" {kept.get('scheduledPurgeDate')}; nothing was changed: take this location, or another prefix"
                    f" (in {self.deployment.parameters.name})"
                )
            return str(vault["name"])
        return ""

    def start(self, *, recover_vault: bool = False) -> None:
        """Start the deployment. Raises AzureError when Azure refuses it before anything is made."""
        recover = ("--parameters", "recoverVault=true") if recover_vault else ()
        command = ("deployment", "group", "create", *self._named, *self._files(), *recover, "--no-wait")
        self._cli.run(*command, what=str(self.deployment), patience=self._seconds_left(WHAT_IF_PATIENCE))

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
        while (state := (shown := self._show())["properties"]["provisioningState"]) not in _ENDED:
            waited = time.monotonic() - began
            if waited > wait_seconds:
                cause = f"{self.deployment} is still {state} after {wait_seconds / 60:.3g} min"
                raise errors.AzureError(cause, "Azure goes on with it: `nbops azure up` again to wait longer")
            line = self._progress() if pause > FIRST_POLL else f"{state}"
            if line not in lines:
                tell(f"{self.deployment}: {line}")
                lines.add(line)
            time.sleep(min(pause, max(self._seconds_left(wait_seconds - waited), 0.01)))
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

    def _seconds_left(self, most: float) -> float:
        """Return how many seconds a step may take, at most `most`. Raises AzureError when none are left."""
        left = self._ends - time.monotonic()
        if left <= 0:
            cause = f"{self.deployment}: `nbops azure up` has taken {self._seconds / 60:.3g} min, as long as it may"
            raise errors.AzureError(cause, "Azure goes on with what was started: do it again to wait for it")
        return min(most, left)

    def _deployed(self, shown: Any) -> Deployed:
        outputs = {name: str(each["value"]) for name, each in (shown["properties"].get("outputs") or {}).items()}
        own = self.deployment
        return Deployed(Workspace(own.subscription, own.resource_group, outputs.get(OUTPUT, "")), outputs)

    def _progress(self) -> str:
        """Return what Azure is working on."""
        states = [each["properties"] for each in self._operations()]
        busy = [each for each in states if each.get("provisioningState") not in _ENDED]
        names = ", ".join(str((each.get("targetResource") or {}).get("resourceName")) for each in busy)
        return f"{len(states) - len(busy)} resources done" + (f", working on {names}" if names else "")

    def _files(self) -> Iterator[str]:
        yield from ("--template-file", str(self.deployment.template))
        yield from ("--parameters", f"@{self.deployment.parameters}")
        if self.deployment.prefix:
            yield from ("--parameters", f"prefix={self.deployment.prefix}")
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
