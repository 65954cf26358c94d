"""`nbops azure down`: remove what `nbops azure up` made, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text
from notebooks_lib.cli.azure_infrastructure import (
    group_option,
    json_option,
    need_terminal,
    stage_option,
    tell,
    yes_option,
)

if TYPE_CHECKING:
    from notebooks_lib.azure.client.rest_client import RestClient
    from notebooks_lib.azure.infrastructure.managed_resources import ManagedResource, ResourceGroup
    from notebooks_lib.settings import Settings


@click.command()
@stage_option
@group_option
@click.option("--prefix", help="Instead of the one in the parameters: of a deployment that `down` has named.")
@click.option("--registry", help="Remove only this Azure ML registry, with all models in it.")
@yes_option
@json_option
def down(stage: str, resource_group: str, prefix: str | None, registry: str | None, yes: bool, as_json: bool) -> int:
    """Remove what `nbops azure up` made for a stage, with all runs, models and data in it: show, ask, remove.

    That is what the stage's prefix made, and nothing of other stages and projects. An Azure ML registry stays.
    Nothing is removed from a resource group that also holds what `up` did not make, or while a lock or a missing
    permission would stop it half-way.

    Exit code: 0 done, nothing to do, or not wanted; 1 it failed; repeat the command to go on.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure.client import rest_client
    from notebooks_lib.azure.infrastructure import managed_resources
    from notebooks_lib.azure.project_files import template_files

    here = settings.here()
    subscription, group = _find_group(here, stage, resource_group)
    if not yes:
        need_terminal()
    if prefix is None:  # no registry bears it
        prefix = "" if registry else template_files.find_files(here, stage).prefix
    client = rest_client.resource_manager()
    found = managed_resources.read_group(client, subscription, group, stage, prefix)
    where = f"resource group {group!r} (subscription {subscription})"
    chosen = found.ours if registry is None else [each for each in found.registries if each.name == registry]
    if chosen:
        removed = _remove(client, found, chosen, where, yes=yes, as_json=as_json)
    else:
        whose = f"registry {registry}" if registry else f"stage {stage}" + (f" with prefix {prefix}" if prefix else "")
        tell(f"nothing to remove: {where} holds nothing that `nbops azure up` made for {whose}")
        removed = False
    if registry is None:
        _tell_what_stays(here, found, stage, group, removed=removed)
    if as_json:
        names = [{"id": each.id, "type": each.type, "name": each.name} for each in chosen] if removed else []
        click.echo(json.dumps({"removed": names}))
    return 0


def _find_group(here: Settings, stage: str, resource_group: str) -> tuple[str, str]:
    """Return subscription and resource group in which a stage was deployed, perhaps only in part."""
    from notebooks_lib.azure.client import workspace
    from notebooks_lib.azure.infrastructure import infrastructure
    from notebooks_lib.azure.infrastructure.azure_cli import AzureCli

    named = infrastructure.named_workspace(here, stage)
    if named is not None:
        return named.subscription, resource_group or named.resource_group
    if resource_group:
        return AzureCli().account().subscription, resource_group
    raise workspace.none_named(also="give --resource-group NAME")


def _remove(
    client: RestClient,
    found: ResourceGroup,
    chosen: Sequence[ManagedResource],
    where: str,
    *,
    yes: bool,
    as_json: bool,
) -> bool:
    """Remove what is chosen, if nothing is against it and the user agrees. Return whether it was removed."""
    from notebooks_lib import errors
    from notebooks_lib.azure.infrastructure import managed_resources, removal_obstacles

    if found.others and chosen == found.ours:
        others = ", ".join(map(str, found.others))
        raise errors.UsageError(
            f"{where} also holds what `nbops azure up` did not make: {others}; nothing was removed: move that to"
            " another group, or remove the resources that are tagged nbops.managed-by one by one"
        )
    if against := removal_obstacles.obstacles(client, chosen[0].id.partition("/providers/")[0], chosen):
        raise errors.UsageError(f"{where}: {', '.join(against)}; nothing was removed: it would stop half-way")
    _name_all(chosen, found.inside if chosen == found.ours else (), where, silent=as_json)
    if not (yes or click.confirm("Remove all of this, for good?", err=True)):
        return False
    managed_resources.remove(client, chosen, tell=tell)
    for vault in (each for each in chosen if each.stays_deleted):
        tell(f"Azure keeps the deleted {vault} for some days (purge protection); `nbops azure up` restores it")
    return True


def _tell_what_stays(here: Settings, found: ResourceGroup, stage: str, group: str, *, removed: bool) -> None:
    from notebooks_lib.azure.infrastructure import infrastructure

    for registry in found.registries:
        tell(f"Azure ML registry {registry.name} stays: `nbops azure down --registry {registry.name}` removes it")
    for deployment in found.deployments:
        tell(f"what `nbops azure up` made for {deployment} stays")
    named = infrastructure.named_workspace(here, stage)
    if named and removed and any(each.name.casefold() == named.name.casefold() for each in found.ours):
        tell(f"the project still names workspace {named.name}: `nbops azure up` makes it again")


def _name_all(
    chosen: Sequence[ManagedResource], inside: Sequence[ManagedResource], where: str, *, silent: bool
) -> None:
    click.echo(f"{where}:", err=silent)
    for each in chosen:
        click.echo(f"  {click.style('-', fg='red')} {safe_text.printable(str(each))}", err=silent)
    for each in inside:
        click.echo(f"      with {safe_text.printable(str(each))}", err=silent)
