"""`nbops azure verify`: try in a real workspace what no emulator can show, remove what that made, and print a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import output

if TYPE_CHECKING:
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.cli.throwaway_project import ThrowawayProject
    from notebooks_lib.cli.workspace_proofs import Outcome, Proof
    from notebooks_lib.settings import Settings


@click.command()
@click.option("--on", default="azureml:serverless", show_default=True, metavar="azureml:NAME", help="Where jobs run.")
@click.option("--with-endpoint", is_flag=True, help="Also serve a model, which takes some 20 minutes more and is paid.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def verify(on: str, with_endpoint: bool, as_json: bool) -> int:
    """Try in the workspace what tests cannot show without one: runs, data, models, jobs, a sweep of the service.

    Everything is made by a small project of its own, under names that begin with nbops-verify-, and removed at the end;
    what a killed `verify` left is removed by the next one. It takes ten minutes once the environment of the jobs is
    built, and costs a few minutes of five machines. Exit code: 0 all is as nbops promises, 1 something is not.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure.client import workspace
    from notebooks_lib.azure.project_files import compute_names
    from notebooks_lib.cli import throwaway_removal
    from notebooks_lib.cli.throwaway_project import throwaway_project

    here = settings.here()
    place = workspace.find_workspace(here)
    compute_names.compute_name(on)  # refused before anything is made
    _remove_left_behind(here)
    with throwaway_project(here, place) as project:
        noted = throwaway_removal.note(here, project)
        try:
            outcomes = _outcomes(project, on, with_endpoint=with_endpoint, silent=as_json)
        finally:
            left = throwaway_removal.remove(project)
            if not left:
                noted.unlink(missing_ok=True)
    well = all(outcome.state == "shown" for outcome in outcomes)
    if as_json:
        content = {"workspace": vars(place), "outcomes": [vars(outcome) for outcome in outcomes], "left": left}
        click.echo(json.dumps({**content, "ok": well and not left}))
    else:
        _print(outcomes, left, place)
    return 0 if well and not left else 1


def _outcomes(project: ThrowawayProject, on: str, *, with_endpoint: bool, silent: bool) -> list[Outcome]:
    from notebooks_lib.cli import workspace_proofs
    from notebooks_lib.cli.workspace_proofs import VerifiedWorkspace, show_all

    verified, outcomes = VerifiedWorkspace(project, on), []
    later: tuple[tuple[Proof, ...], ...] = workspace_proofs.JOBS
    if with_endpoint:
        later = (*later, *workspace_proofs.ENDPOINT)
    for groups in (workspace_proofs.FIRST, later):
        for outcome in show_all(verified, groups, at_once=groups is later):
            outcomes.append(outcome)
            if not silent:
                click.echo(f"{outcome.state}: {outcome.what} ({outcome.seconds:.0f} s)", err=True)
    return outcomes


def _remove_left_behind(here: Settings) -> None:
    from notebooks_lib.cli import throwaway_removal
    from notebooks_lib.cli.throwaway_project import throwaway_project

    for name, place, file in throwaway_removal.left_behind(here):
        click.echo(f"removing what {name} left behind", err=True)
        with throwaway_project(here, place, name) as project:
            if not throwaway_removal.remove(project):
                file.unlink(missing_ok=True)


def _print(outcomes: list[Outcome], left: list[str], place: Workspace) -> None:
    rows = [
        (
            outcome.state,
            outcome.part,
            outcome.what,
            f"{outcome.seconds:.0f} s",
            safe_text.printable(outcome.detail)[: output.LONGEST_REASON],
        )
        for outcome in outcomes
    ]
    output.table(("", "part", "what", "took", "seen"), rows)
    shown = sum(outcome.state == "shown" for outcome in outcomes)
    click.echo(f"{shown} of {len(outcomes)} shown in workspace {place.name}")
    for each in left:
        click.echo(f"left behind: {safe_text.printable(each)}")
