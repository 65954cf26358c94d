"""`nbops azure up` and `down`: make the workspace with all that it needs, and remove it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.azure.infrastructure import Deployed, Deployment, Infrastructure
    from notebooks_lib.azure.managed_resources import ResourceGroup
    from notebooks_lib.azure.what_if import Kind, ResourceChange
    from notebooks_lib.settings import Settings

_SIGNS: Mapping[Kind, tuple[str, str]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
    "unknown": ("?", "yellow"),
}
_stage = click.option(
    "--stage", type=click.Choice(STAGES), default=STAGES[0], show_default=True, help="The stage that it serves."
)
_group = click.option("--resource-group", default="", help="Instead of the one in the settings or config.json.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


@click.command()
@_stage
@_group
@click.option("--what-if", is_flag=True, help="Only show what would change.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write what would change as Markdown.")
@_yes
@_as_json
def up(stage: str, resource_group: str, what_if: bool, markdown: Path | None, yes: bool, as_json: bool) -> int:
    """Make the workspace of a stage from production/infra, or bring it up to date: show, ask, deploy.

    It runs the Azure CLI, with your sign-in there. Without production/infra it deploys, and then writes, the files that
    nbops brings. If the project names no workspace yet, it writes config.json. It prints what to write where, and
    changes none of your files. A stage that names its own workspace in the settings gets that one.

    Exit code: 0 done, nothing to do, or not wanted; 1 it failed.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure import infrastructure, infrastructure_advice
    from notebooks_lib.azure.azure_cli import AzureCli

    here = settings.here()
    if not (yes or what_if):
        need_terminal()
    cli = AzureCli()
    deployment = infrastructure.choose_deployment(here, cli.account(), stage=stage, resource_group=resource_group)
    infra = infrastructure.Infrastructure(cli, deployment)
    infra.check_resource_group()
    changes: list[ResourceChange] = []
    deployed = known = None
    if not what_if and infra.is_running():
        tell(f"{deployment} was started before, and is still running")
        deployed = _wait(infra)
    else:
        tell(f"{deployment}, subscription {deployment.subscription}: asking Azure what would change")
        changes = infra.changes(only_look=what_if)
        for line in change_lines(changes):
            click.echo(coloured(line), err=as_json)
        if markdown:
            _write_markdown(markdown, deployment, changes)
        if changes and not what_if and (yes or click.confirm("Deploy this?", err=True)):
            deployed = _deploy(infra, changes)
        elif not changes and not what_if:  # Azure may have ended it after an interrupted `up`
            known = infra.finished()
    there = deployed or known
    if there:
        _keep(here, stage, there, new=deployed is not None)
    if as_json:
        click.echo(json.dumps(_up_as_json(changes, deployed, known)))
    elif there:
        for line in infrastructure_advice.lines(here, stage, there):
            click.echo(line)
    return 0


def _deploy(infra: Infrastructure, changes: list[ResourceChange]) -> Deployed:
    vault = infra.deleted_vault(changes)
    if vault:
        tell(f"key vault {vault} was deleted before: it is restored, with its secrets")
    infra.start(recover_vault=bool(vault))
    return _wait(infra)


def _wait(infra: Infrastructure) -> Deployed:
    try:
        return infra.wait(tell=tell)
    except KeyboardInterrupt:
        tell(f"Azure goes on with {infra.deployment}: `nbops azure up` waits for it again")
        raise


def _keep(here: Settings, stage: str, deployed: Deployed, *, new: bool) -> None:
    """Write what the project lacks: the files that were deployed, and config.json if nothing names a workspace."""
    from notebooks_lib.azure import infrastructure, workspace

    for path in infrastructure.write_missing_files(here.root):
        tell(f"wrote {path}: yours to change and commit")
    if new:
        workspace.forget_tracking_uri(here, deployed.workspace)
    if infrastructure.planned_workspace(here, stage) is None:
        tell(f"wrote {workspace.write_config(here.root, deployed.workspace).name}, which names the workspace")


@click.command()
@_stage
@_group
@_yes
@_as_json
def down(stage: str, resource_group: str, yes: bool, as_json: bool) -> int:
    """Remove what `nbops azure up` made for a stage, with all runs, models and data in it: show, ask, remove.

    Nothing is removed from a resource group that also holds what `up` did not make. Exit code: 0 done, nothing to do,
    or not wanted; 1 it failed; repeat the command to go on.
    """
    from notebooks_lib import errors, settings
    from notebooks_lib.azure import infrastructure, managed_resources, rest_client

    if not yes:
        need_terminal()
    named = infrastructure.planned_workspace(settings.here(), stage)
    if named is None:
        raise errors.UsageError("no workspace is named: fill [azure] in production/settings.toml, or bring config.json")
    group, client = resource_group or named.resource_group, rest_client.resource_manager()
    found = managed_resources.read_group(client, named.subscription, group, stage)
    where = f"resource group {group!r} (subscription {named.subscription})"
    if found.ours and found.others:
        others = ", ".join(map(str, found.others))
        raise errors.UsageError(
            f"{where} also holds what `nbops azure up` did not make: {others}; nothing was removed: move that to"
            " another group, or remove the resources that are tagged nbops.managed-by one by one"
        )
    removed = bool(found.ours)
    if found.ours:
        _name_all(found, where, stage, silent=as_json)
        removed = yes or click.confirm("Remove all of this, for good?", err=True)
    else:
        tell(f"nothing to remove: {where} holds nothing that `nbops azure up` made for stage {stage}")
    if removed:
        managed_resources.remove(client, found.ours, tell=tell)
        for vault in (each for each in found.ours if each.stays_deleted):
            tell(f"Azure keeps the deleted {vault} for some days (purge protection); `nbops azure up` restores it")
    if as_json:
        click.echo(json.dumps({"removed": [vars(each) for each in found.ours] if removed else []}))
    return 0


def _name_all(found: ResourceGroup, where: str, stage: str, *, silent: bool) -> None:
    click.echo(f"{where}, stage {stage}:", err=silent)
    for each in found.ours:
        click.echo(f"  {click.style('-', fg='red')} {safe_text.printable(str(each))}", err=silent)
    for each in found.inside:
        click.echo(f"      with {safe_text.printable(str(each))}", err=silent)


def change_lines(changes: Sequence[ResourceChange]) -> Iterator[str]:
    """Yield a line for each change, equal ones once, below it a line for each property, and at the end the counts."""
    for (kind, resource, properties), count in Counter((it.kind, it.resource, it.properties) for it in changes).items():
        yield f"{_SIGNS[kind][0]} {safe_text.printable(resource)}" + (f" ({count})" if count > 1 else "")
        yield from (f"    {safe_text.printable(line)}" for line in properties)
    counts = Counter(each.kind for each in changes)
    shown = (f"{counts[kind]} {'' if kind == 'unknown' else 'to '}{kind}" for kind in _SIGNS if counts[kind])
    yield ", ".join(shown) or "nothing to change"


def coloured(line: str) -> str:
    """Return a line of `change_lines` as a terminal shows it."""
    colour = dict(_SIGNS.values()).get(line[:1])
    return f"  {click.style(line[0], fg=colour)}{line[1:]}" if colour else line


def _write_markdown(file: Path, deployment: Deployment, changes: Sequence[ResourceChange]) -> None:
    """Write the changes for the comment under a pull request, whose text is hostile: all of it stands in a fence."""
    from notebooks_lib import errors
    from notebooks_lib.review import markdown_text

    *lines, counts = change_lines(changes)
    title = f"### Azure, stage {deployment.stage}: {counts}"
    blocks = [title, *([markdown_text.fence(markdown_text.lines(lines), "diff")] if lines else [])]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n\n".join(blocks) + "\n", "utf-8")
    except OSError as error:
        raise errors.UsageError(f"--markdown {file} cannot be written: {error.strerror}") from error


def need_terminal() -> None:
    """Raise UsageError if nobody can be asked."""
    if not sys.stdin.isatty():
        from notebooks_lib import errors

        raise errors.UsageError("there is no terminal to ask at: add --yes; nothing was changed")


def _up_as_json(changes: Sequence[ResourceChange], deployed: Deployed | None, known: Deployed | None) -> dict[str, Any]:
    there = deployed or known
    return {
        "changes": [{"resource": each.resource, **vars(each)} for each in changes],
        "deployed": deployed is not None,
        "workspace": vars(there.workspace) if there else None,
        "outputs": dict(there.outputs) if there else {},
    }


def tell(line: str) -> None:
    """Print a line beside the answer of a command."""
    click.echo(safe_text.printable(line), err=True)
