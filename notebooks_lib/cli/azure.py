"""`nbops azure`: the workspace, what describes Azure Machine Learning for this project, and its jobs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import output
from notebooks_lib.cli.azure_down import down
from notebooks_lib.cli.azure_infrastructure import up
from notebooks_lib.cli.azure_jobs import jobs
from notebooks_lib.cli.azure_pipeline import pipeline
from notebooks_lib.cli.azure_schedule import schedule
from notebooks_lib.cli.azure_status import status
from notebooks_lib.cli.azure_verify import verify
from notebooks_lib.cli.command_group import CommandGroup

if TYPE_CHECKING:
    from notebooks_lib.azure.project_files.file_check import CheckedFile, CheckedFolder
    from notebooks_lib.serving.scoring_check import ScoringCheck
    from notebooks_lib.settings import Settings


@click.group(cls=CommandGroup)
def command() -> None:
    """Make the workspace, check the files that describe it, run pipelines and schedules, follow and stop jobs."""


for subcommand in (up, status, down, jobs, pipeline, schedule, verify):
    command.add_command(subcommand)


@command.command()
@click.option(
    "--show",
    is_flag=True,
    help="Also print the defaults, and each file with what nbops fills in before it submits.",
)
@click.option(
    "--scoring",
    "model",
    metavar="MODEL[@VERSION]",
    help="Also try this model, by default its newest version, on score.py.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def check(show: bool, model: str | None, as_json: bool) -> int:
    """Check the files under production/azure and production/infra, and what stages ask of Azure; without network.

    Prints `file:line: key: what is wrong and what to write` for each fault of all files. A file that is missing is no
    fault: a default stands for it.

    With --scoring, uv builds the environment in which Azure would serve the version, once, and Azure's inference server
    answers the model's example in it. Exit code: 0 no faults, 1 faults.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure.project_files import file_check
    from notebooks_lib.release import azure_settings_check

    here = settings.here()
    checked = file_check.check(here.root, os.environ)
    conflicts = azure_settings_check.find_conflicts(here, checked.files)
    checked = replace(checked, faults=tuple(sorted((*checked.faults, *conflicts))))
    tried = _try_scoring(here, model, silent=as_json) if model else None
    code = int(bool(checked.faults or (tried and tried.fault)))
    if as_json:
        scoring = {} if tried is None else {"scoring": tried.as_json()}
        click.echo(json.dumps({**_as_json(checked, show), **scoring, "ok": code == 0}))
        return code
    for fault in checked.faults:
        click.echo(safe_text.printable(fault.shown(here.root)))
    for file in checked.files if show else ():
        if not file.faults:
            click.echo(_shown(file))
    for path in checked.unread:
        click.echo(f"{output.path(path)}: not read by nbops", err=True)
    click.echo(_summary(checked, show=show), err=True)
    if tried is not None:
        _print_scoring(tried)
    return code


def _try_scoring(settings: Settings, text: str, *, silent: bool) -> ScoringCheck:
    from notebooks_lib.serving.scoring_check import check_scoring

    model, _, version = text.partition("@")
    return check_scoring(
        settings, model, version, tell=lambda line: None if silent else click.echo(f"  {line}", err=True)
    )


def _print_scoring(tried: ScoringCheck) -> None:
    version = f"{tried.model}@{tried.version}"
    if tried.fault:
        click.echo(f"{version}: {safe_text.printable(tried.fault)}")
    elif tried.request is None:
        click.echo(f"{version}: starts in {tried.environment}; it was logged without an example, so nothing was sent")
    else:
        answer = safe_text.printable(json.dumps(tried.answer, ensure_ascii=False))
        click.echo(f"{version}: ok in {tried.environment}; its example is answered with {answer}")


def _summary(checked: CheckedFolder, *, show: bool) -> str:
    found, faults = sum(file.exists for file in checked.files) + len(checked.parameters), len(checked.faults)
    if not found and not faults:
        return "no files under production/azure: the defaults hold" + ("" if show else " (nbops azure check --show)")
    return f"{output.counted(found, 'file')}, {output.counted(faults, 'fault') if faults else 'no faults'}"


def _shown(file: CheckedFile) -> str:
    import yaml

    title = output.path(file.path) + ("" if file.exists else " (does not exist; the default)")
    content = yaml.safe_dump(file.completed, sort_keys=False, allow_unicode=True)
    return f"# {title}\n{safe_text.printable_lines(content)}"


def _as_json(checked: CheckedFolder, show: bool) -> dict[str, object]:
    return {
        "ok": not checked.faults,
        "faults": [{**vars(fault), "file": str(fault.file)} for fault in checked.faults],
        "files": [
            {
                "file": str(file.path),
                "kind": file.kind.name,
                "exists": file.exists,
                **({"completed": file.completed} if show and not file.faults else {}),
            }
            for file in checked.files
        ],
        "unread": [str(path) for path in checked.unread],
        "parameters": [str(path) for path in checked.parameters],
    }
