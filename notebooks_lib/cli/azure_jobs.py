"""`nbops azure jobs`: the jobs that nbops has submitted to the workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import output
from notebooks_lib.cli.command_group import CommandGroup
from notebooks_lib.cli.positive_number import POSITIVE

if TYPE_CHECKING:
    from notebooks_lib.azure.client.rest_client import RestClient
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.settings import Settings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
_run = click.argument("run")


@click.group("jobs", cls=CommandGroup)
def jobs() -> None:
    """List, follow and stop the jobs of `nbops run` and `nbops sweep` with --on azureml:NAME, and pipelines."""


@jobs.command("list")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@_as_json
def list_(last: int, as_json: bool) -> int:
    """List the jobs that nbops has submitted, newest first; a sweep's job is named as trial NUMBER of its run.

    A pipeline is one job, named by its file; `nbops azure jobs follow` shows its steps.
    """
    from notebooks_lib.azure.jobs import jobs as submitted

    _, client, workspace = _connected()
    both = (submitted.list_jobs, submitted.list_pipelines)
    every = (job for listed in both for job in listed(client, workspace))
    found = sorted(every, key=lambda job: job.created, reverse=True)[:last]
    if as_json:
        click.echo(json.dumps({"jobs": [vars(job) for job in found]}))
    elif found:
        rows = [
            (
                job.name,
                job.status,
                job.created[:19],
                "" if job.pipeline else job.compute or "serverless",
                job.pipeline or job.notebook,
                f"{job.trial} of {job.sweep}" if job.sweep else "",
            )
            for job in found
        ]
        output.table(("run", "status", "created", "compute", "notebook or pipeline", "trial"), rows)
    else:
        click.echo("no jobs yet: nbops run NOTEBOOK --on azureml:serverless", err=True)
    return 0


@jobs.command()
@_run
@click.option("-o", "--output", "file", type=click.Path(path_type=Path), help="File for the executed notebook.")
@click.option(
    "--wait-minutes",
    type=POSITIVE,
    default=120,
    show_default=True,
    help="Minutes that the job may wait before it runs.",
)
@_as_json
def follow(run: str, file: Path | None, wait_minutes: float, as_json: bool) -> int:
    """Show a job until it ends: each cell as it starts, then how it ended. Of a pipeline: each step, and its cells.

    Ctrl-C, and a job that still waits after --wait-minutes, end the command, not the job. Exit code: as of `nbops run`;
    1 if the job still waits.
    """
    from notebooks_lib.azure.jobs import jobs as submitted
    from notebooks_lib.cli.job_output import Detached, JobLines, follow_job

    settings, client, workspace = _connected()
    kind = submitted.find_job(client, workspace, run).kind
    if kind == "Pipeline":
        return _follow_pipeline(settings, run, file, wait_minutes, as_json=as_json)
    if kind == submitted.STEP:
        raise errors.UsageError(f"job {run} is a step: {_of_pipeline(settings, 'follow', run)}")
    if kind == "Sweep":
        again = f"nbops sweep NOTEBOOK … --service --resume {run}, with the values that it was started with"
        raise errors.UsageError(f"job {run} is a sweep: {again}")
    try:
        lines, file = JobLines(silent=as_json), file.absolute() if file else None
        result = follow_job(settings, run, lines, output=file, wait_minutes=wait_minutes)
    except Detached as detached:
        return detached.show(as_json=as_json)
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        output.run_result(result)
    return result.exit_code


def _follow_pipeline(settings: Settings, run: str, file: Path | None, wait_minutes: float, *, as_json: bool) -> int:
    from notebooks_lib.cli import azure_pipeline
    from notebooks_lib.cli.job_output import Detached

    if file is not None:
        raise errors.UsageError(f"--output: {run} is a pipeline, whose steps each may have a notebook: leave it out")
    lines = azure_pipeline.StepLines(silent=as_json)
    try:
        end = azure_pipeline.follow(settings, run, lines, wait_minutes=wait_minutes)
    except KeyboardInterrupt:
        return Detached(run).show(as_json=as_json)
    except Detached as detached:
        return detached.show(as_json=as_json)
    return azure_pipeline.show(settings, end, as_json=as_json)


def _of_pipeline(settings: Settings, action: str, step: str) -> str:
    """Return the command that does to a step's pipeline what was asked for of the step."""
    from notebooks_lib.azure.client import workspace
    from notebooks_lib.azure.jobs.run_history import RunHistory

    return f"nbops azure jobs {action} {RunHistory(workspace.tracking_uri(settings)).parent(step) or 'PIPELINE'}"


@jobs.command()
@_run
@_as_json
def stop(run: str, as_json: bool) -> int:
    """Stop a job and wait for its end; its run ends as KILLED. One that has ended stays as it is.

    A pipeline stops with all its steps. The run of a sweep stops all its jobs, and the sweep itself, wherever it runs.
    """
    from notebooks_lib.azure.jobs import jobs as submitted

    settings, client, workspace = _connected()
    try:
        kind = submitted.find_job(client, workspace, run).kind
        if kind == submitted.STEP:
            raise errors.UsageError(f"job {run} is a step of a pipeline: {_of_pipeline(settings, 'stop', run)}")
        is_job = kind in ("Command", "Sweep", "Pipeline")
    except errors.AzureError as error:
        if error.status != 404:
            raise
        is_job = False
    if not is_job:  # Azure may show the run of a sweep as a job of another kind
        return _stop_sweep(settings, client, workspace, run, as_json=as_json)
    job = submitted.stop(client, workspace, run, tell=_tell)
    if as_json:
        click.echo(json.dumps(vars(job)))
    else:
        click.echo(f"job {job.name}: {job.status}")
    return 0 if job.ended else 1


def _stop_sweep(settings: Settings, client: RestClient, workspace: Workspace, run: str, *, as_json: bool) -> int:
    """Stop all jobs of the sweep whose run this is; return the exit code."""
    from notebooks_lib.azure.client import workspace as workspaces
    from notebooks_lib.azure.jobs import trial_jobs
    from notebooks_lib.azure.jobs.run_history import RunHistory

    trial_jobs.find_sweep_jobs(client, workspace, run)
    history = RunHistory(workspaces.tracking_uri(settings))
    stopped = trial_jobs.stop_sweep(client, workspace, history, run, tell=_tell)
    left = [job.name for job in stopped if not job.ended]
    if as_json:
        click.echo(json.dumps({"sweep": run, "jobs": [vars(job) for job in stopped]}))
    else:
        click.echo(f"sweep {run}: {len(stopped) - len(left)} of {len(stopped)} jobs have ended")
    return 1 if left else 0


def _tell(line: str) -> None:
    click.echo(line, err=True)


@jobs.command()
@_run
@_as_json
def logs(run: str, as_json: bool) -> int:
    """Print what a job has written so far: of each process what it printed, and what Azure logged.

    RUN may be a pipeline, whose steps all write logs, or one of its steps.
    """
    from notebooks_lib.azure.client import workspace as workspaces
    from notebooks_lib.azure.jobs import jobs as submitted
    from notebooks_lib.azure.jobs.run_history import RunHistory

    settings, client, workspace = _connected()
    history = RunHistory(workspaces.tracking_uri(settings))
    addresses = history.details(run).logs
    document = {} if addresses else submitted.find_document(client, workspace, run)
    kind = submitted.Job.of(document).kind if document else ""
    if kind == "Pipeline":
        logs = {step.name: history.details(step.run_id).logs for step in history.children(run)}
        addresses = {f"{name}/{log}": address for name, step in logs.items() for log, address in step.items()}
    if kind == "Sweep":
        raise errors.UsageError(
            f"job {run} is a sweep, and its trials have the logs: nbops azure jobs logs {run}_0 for the first"
        )
    texts = {name: history.blob(address, name).decode("utf-8", "replace") for name, address in addresses.items()}
    if as_json:
        click.echo(json.dumps({"run_id": run, "logs": texts}))
        return 0
    for name, text in texts.items():
        click.echo(click.style(f"# {name}", bold=True))
        click.echo(safe_text.printable_lines(text), nl=not text.endswith("\n"))
    if not texts:
        click.echo("no logs yet: the job has not started", err=True)
    return 0


def _connected() -> tuple[Settings, RestClient, Workspace]:
    from notebooks_lib import settings
    from notebooks_lib.azure.client import rest_client, workspace

    here = settings.here()
    return here, rest_client.resource_manager(), workspace.find_workspace(here)
