"""Runs a planned notebook as a job of a workspace, and prints why it waits, each cell as it starts, and its end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import out_file

if TYPE_CHECKING:
    from notebooks_lib.run_result import RunResult
    from notebooks_lib.running.plan import Plan
    from notebooks_lib.settings import Settings


class Detached(Exception):
    """The command ends before its job, which goes on, or may: after Ctrl-C, or because of an `error` of Azure."""

    def __init__(self, run_id: str, error: errors.AzureError | None = None) -> None:
        self.run_id = run_id
        self.error = error
        back = f"to come back: nbops azure jobs follow {run_id}; to stop it: nbops azure jobs stop {run_id}"
        if error is None:
            text = f"detached: job {run_id} goes on; {back}"
        elif isinstance(error, errors.JobWaitingError | errors.JobUncertainError):  # they say how to come back
            text = f"nbops: {error}"
        else:
            text = f"nbops: {error}; job {run_id} was submitted, and is not stopped; {back}"
        super().__init__(text)

    def show(self, *, as_json: bool, out: Path | None = None) -> int:
        """Print how to come back, with `out` also write the JSON object; return the exit code."""
        nothing: dict[str, object] = {"status": None, "output": None, "metrics": {}, "failure": None}
        state = self.error.state if isinstance(self.error, errors.JobWaitingError) else None
        content = {"run_id": self.run_id, **nothing, "detached": True, "waiting": state}
        if self.error is not None and state is None:
            content["error"] = {"error": type(self.error).__name__, "message": str(self.error)}
        click.echo(str(self), err=True)
        out_file.write(out, content)
        if as_json:
            click.echo(json.dumps(content))
        return 1 if self.error else 130


class JobLines:
    """Prints what happens to a job, one line each, on standard error."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    def tell(self, line: str) -> None:
        """Print a line."""
        if not self._silent:
            click.echo(safe_text.printable(line), err=True)

    def waiting(self, text: str) -> None:
        """Print what the job waits for."""
        self.tell(f"the job {text}")

    def cell(self, index: int, total: int, line: str) -> None:
        """Print that a cell has started."""
        self.tell(f"cell {index + 1} of {total}{f': {line}' if line else ''}")


def run_as_job(
    plan: Plan,
    on: str,
    *,
    job_file: Path | None,
    options: Sequence[str],
    output: Path | None,
    wait_minutes: float | None,
    silent: bool,
) -> RunResult:
    """Submit a job and follow it to its end. Raises Detached as soon as the job may have been submitted.

    The reasons are those of `follow_job`, and whatever Azure answers: the run's id must not be lost.
    """
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
    except errors.JobUncertainError as error:
        raise Detached(job.name, error) from error
    lines.tell(f"{plan.notebook.path.stem}: run {job.name}")
    try:
        return follow_job(plan.settings, job.name, lines, output=output, wait_minutes=wait_minutes)
    except errors.AzureError as error:
        raise Detached(job.name, error) from error


def follow_job(
    settings: Settings, name: str, lines: JobLines, *, output: Path | None = None, wait_minutes: float | None = None
) -> RunResult:
    """Follow a job to its end. Raises Detached on Ctrl-C, and for a job that has waited for `wait_minutes`."""
    from notebooks_lib.azure.client import rest_client, workspace
    from notebooks_lib.azure.jobs import job_following
    from notebooks_lib.azure.jobs.run_history import RunHistory
    from notebooks_lib.running.job_result import job_result

    try:
        uri = workspace.tracking_uri(settings)
        history = RunHistory(uri)
        chosen = workspace.find_workspace(settings)
        wait_minutes = job_following.WAIT_MINUTES if wait_minutes is None else wait_minutes
        client = rest_client.resource_manager()
        end = job_following.follow(client, chosen, history, name, lines, wait_minutes=wait_minutes)
        return job_result(settings, uri, history, end, output)
    except errors.JobWaitingError as error:
        raise Detached(name, error) from error
    except KeyboardInterrupt as error:
        raise Detached(name) from error
