"""`nbops azure up`: make the workspace with all that it needs."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.azure.infrastructure.infrastructure import Deployed, Deployment, Infrastructure
    from notebooks_lib.azure.infrastructure.what_if import Kind, ResourceChange
    from notebooks_lib.settings import Settings

_SIGNS: Mapping[Kind, tuple[str, str]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
    "unknown": ("?", "yellow"),
}
stage_option = click.option(
    "--stage", type=click.Choice(STAGES), default=STAGES[0], show_default=True, help="The stage that it serves."
)
group_option = click.option(
    "-g", "--resource-group", default="", help="Instead of the one in the settings or config.json."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


@click.command()
@stage_option
@group_option
@click.option("--what-if", is_flag=True, help="Only show what would change.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write what would change as Markdown.")
@click.option("--write-files", is_flag=True, help="Only write the files that the project lacks, to change them first.")
@yes_option
@json_option
def up(
    stage: str,
    resource_group: str,
    what_if: bool,
    markdown: Path | None,
    write_files: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Make the workspace of a stage from production/infra, or bring it up to date: show, ask, deploy.

    It runs the Azure CLI, with your sign-in there. Without production/infra it deploys, and then writes, the files that
    nbops brings; --write-files writes them before. If the project names no workspace yet, it writes config.json. It
    prints what to write where, and changes none of your files. A stage that names its own workspace in the settings
    gets that one.

    Exit code: 0 done, nothing to do, or not wanted; 1 it failed.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure.infrastructure import infrastructure, infrastructure_advice
    from notebooks_lib.azure.infrastructure.azure_cli import AzureCli

    here = settings.here()
    if write_files:
        return _write_files(here, as_json=as_json)
    cli = AzureCli()
    deployment = infrastructure.choose_deployment(here, cli.account(), stage=stage, resource_group=resource_group)
    unattended = yes or what_if
    if not unattended:
        need_terminal()
    infra = infrastructure.Infrastructure(cli, deployment, seconds=infrastructure.LONGEST if unattended else math.inf)
    infra.check_resource_group()
    waited = not what_if and infra.is_running()
    if waited:  # it may be somebody else's, of other files: what is left of ours is looked for after it
        tell(f"{deployment} was started before, and is still running")
        _wait(infra)
    tell(f"{deployment}, subscription {deployment.subscription}: asking Azure what would change")
    changes = infra.changes(only_look=what_if)
    for line in change_lines(changes):
        click.echo(coloured(line), err=as_json)
    if markdown:
        _write_markdown(markdown, deployment, changes)
    deployed = known = None
    if changes and not what_if and (yes or click.confirm("Deploy this?", err=True)):
        deployed = _deploy(infra, changes)
    elif not changes and not what_if:  # Azure may have ended it after an interrupted `up`
        known = infra.finished()
    there = deployed or known
    if there:
        _keep(here, stage, there, new=waited or deployed is not None)
    if as_json:
        click.echo(json.dumps(_up_as_json(changes, deployed, known)))
    elif there:
        for line in infrastructure_advice.lines(here, stage, there):
            click.echo(line)
    return 0


def _write_files(here: Settings, *, as_json: bool) -> int:
    from notebooks_lib.azure.project_files import template_files

    written = template_files.write_missing_files(here.root)
    if as_json:
        click.echo(json.dumps({"written": written}))
        return 0
    for path in written:
        click.echo(f"wrote {path}: yours to change and commit")
    if not written:
        click.echo(f"nothing to write: the project has {template_files.FOLDER}/{template_files.TEMPLATE}")
    return 0


def _deploy(infra: Infrastructure, changes: list[ResourceChange]) -> Deployed:
    """Deploy; restore the key vault that Azure keeps under the same name, whether or not one may see it before."""
    from notebooks_lib import errors
    from notebooks_lib.azure.infrastructure import infrastructure

    vault = infra.deleted_vault(changes)
    if vault:
        tell(f"key vault {vault} was deleted before: it is restored, with its secrets")
    try:
        infra.start(recover_vault=bool(vault))
        return _wait(infra)
    except errors.AzureError as error:
        if vault or not infrastructure.is_deleted_vault(error):
            raise
    tell("the key vault was deleted before: it is restored, with its secrets; the deployment starts again")
    infra.start(recover_vault=True)
    return _wait(infra)


def _wait(infra: Infrastructure) -> Deployed:
    try:
        return infra.wait(tell=tell)
    except KeyboardInterrupt:
        tell(f"Azure goes on with {infra.deployment}: `nbops azure up` waits for it again")
        raise


def _keep(here: Settings, stage: str, deployed: Deployed, *, new: bool) -> None:
    """Write what the project lacks: the files that were deployed, and config.json if nothing names a workspace."""
    from notebooks_lib.azure.client import workspace
    from notebooks_lib.azure.infrastructure import infrastructure
    from notebooks_lib.azure.project_files import template_files

    for path in template_files.write_missing_files(here.root):
        tell(f"wrote {path}: yours to change and commit")
    if new:
        workspace.forget_tracking_uri(here, deployed.workspace)
    if infrastructure.named_workspace(here, stage) is None:
        written = workspace.write_config(here.root, deployed.workspace).relative_to(here.root)
        tell(f"wrote {written.as_posix()}, which names the workspace")


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
