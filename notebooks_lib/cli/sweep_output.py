"""What `nbops sweep` prints at its end, and its exit code."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib.cli import output
from notebooks_lib.metrics import builtin

if TYPE_CHECKING:
    from notebooks_lib.sweeps.trials import SweepResult


def exit_code(result: SweepResult) -> int:
    """Return 0 if no trial failed and one has a value of the goal, 130 for a sweep that was stopped, else 1.

    A sweep that reached its limit of time was not stopped by anybody: 1.
    """
    if result.status == "KILLED":
        return 1 if result.timed_out else 130
    failed = result.count("failed") + result.count("killed")
    return 1 if failed or result.status == "FAILED" or _lacks_goal(result) else 0


def _lacks_goal(result: SweepResult) -> bool:
    """Return whether trials finished, but none with a finite value of the goal."""
    done = any(trial.state in ("finished", "skipped") for trial in result.trials)
    return result.goal is not None and done and result.best is None


def resume_command(arguments: Sequence[str], run_id: str) -> str:
    """Return the command that resumes the sweep: the given options, with the run of the sweep."""
    remaining: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--resume":
            if words and not words[0].startswith("-") and not words[0].endswith(".ipynb"):
                words.pop(0)
        elif not word.startswith("--resume="):
            remaining.append(word)
    return shlex.join(["nbops", "sweep", *remaining, "--resume", run_id])


def toggle_service(arguments: Sequence[str], *, service: bool) -> str:
    """Return the command for a sweep of the other kind: with or without the service."""
    remaining = [word for word in arguments if word not in ("--service", "--no-service")]
    if service:
        remaining.append("--service")
    elif any(word.startswith(("-f", "--file")) for word in arguments):  # the file may say `service: true`
        remaining.append("--no-service")
    return shlex.join(["nbops", "sweep", *remaining])


def print_result(
    result: SweepResult, experiment: str, arguments: Sequence[str], *, repeated: int = 0, resumable: bool = True
) -> None:
    """Print a summary, and the next commands.

    `repeated` is how many trials would run again with --resume; a sweep of the service that has ended is not
    `resumable`.
    """
    from notebooks_lib.sweeps import formatting

    colour = {"FINISHED": "green", "KILLED": "yellow"}.get(result.status, "red")
    click.echo(click.style(result.status, fg=colour))
    click.echo(formatting.summary(result))
    click.echo(f"  sweep     {result.run_id}  ({output.open_hint(result.url)})")
    click.echo(f"  summary   {shlex.join(['nbops', 'page', result.run_id])}")
    if _lacks_goal(result) and result.goal is not None:
        why = next((trial.reason for trial in result.trials if trial.state == "finished" and trial.reason), "")
        click.echo(f"  no best   {formatting.one_line(why or f'no {result.goal.metric} that can be the best', 160)}")
    if resumable and (result.status != "FINISHED" or len(result.trials) < result.total or repeated):
        click.echo(f"  go on     {resume_command(arguments, result.run_id)}")
    if result.goal is not None and result.best is not None:
        goal = f"{result.goal.metric}:{result.goal.direction}"
        goal = result.goal.metric if result.goal.metric in builtin.DIRECTIONS else goal
        click.echo(f"  next      {shlex.join(['nbops', 'compare', experiment, '--metric', goal])}")


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(content, default=str, ensure_ascii=False) + "\n")
