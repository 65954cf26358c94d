"""Runs a planned notebook as a job of a workspace and shows it: while it waits, each cell as it starts, its end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text

if TYPE_CHECKING:
    from notebooks_lib.run_result import RunResult
    from notebooks_lib.running.plan import Plan
    from notebooks_lib.settings import Settings


class Detached(Exception):
    """Ctrl-C while a job was followed."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"detached: job {run_id} goes on; to come back: nbops azure jobs follow {run_id};"
            f" to stop it: nbops azure jobs stop {run_id}"
        )

    def show(self, *, as_json: bool) -> int:
        """Print how to come back; return the exit code."""
        click.echo(str(self), err=True)
        if as_json:
            nothing: dict[str, object] = {"status": None, "output": None, "metrics": {}, "failure": None}
            click.echo(json.dumps({"run_id": self.run_id, **nothing, "detached": True}))
        return 130


class JobLines:
    """Prints on standard error what happens to a job, a line each."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    def tell(self, line: str) -> None:
        """Print a line."""
        if not self._silent:
            click.echo(safe_text.printable(line), err=True)

    def waiting(self, text: str) -> None:
        """Print for what the job waits."""
        self.tell(f"the job {text}")

    def cell(self, index: int, total: int, line: str) -> None:
        """Print that a cell has started."""
        self.tell(f"cell {index + 1} of {total}{f': {line}' if line else ''}")


def run_as_job(
    plan: Plan, on: str, *, job_file: Path | None, options: Sequence[str], output: Path | None, silent: bool
) -> RunResult:
    """Submit a job and follow it to its end. Raises Detached on Ctrl-C, once it has been submitted."""
    from notebooks_lib.running import job_submission, job_template

    lines = JobLines(silent=silent)
    template = job_template.make_template(plan, on, os.environ, job_file=job_file, options=options)
    job = template.describe(plan)
    for line in template.snapshot.notices():
        lines.tell(line)
    try:
        job_submission.prepare_workspace(template, plan.settings.root, os.environ, lines.tell).submit(job)
    except KeyboardInterrupt:
        if job_submission.is_submitted(template.workspace, job.name):
            raise Detached(job.name) from None
        raise
    lines.tell(f"{plan.notebook.path.stem}: run {job.name}")
    return follow_job(plan.settings, job.name, lines, output=output)


def follow_job(settings: Settings, name: str, lines: JobLines, *, output: Path | None = None) -> RunResult:
    """Follow a job to its end. Raises Detached on Ctrl-C."""
    from notebooks_lib.azure import job_following, rest_client, workspace
    from notebooks_lib.azure.run_history import RunHistory
    from notebooks_lib.running.job_result import job_result

    try:
        uri = workspace.tracking_uri(settings)
        history = RunHistory(uri)
        chosen = workspace.find_workspace(settings)
        end = job_following.follow(rest_client.resource_manager(), chosen, history, name, lines)
        return job_result(settings, uri, history, end, output)
    except KeyboardInterrupt as error:
        raise Detached(name) from error
