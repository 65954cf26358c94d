"""`nbops azure pipeline`: submit a pipeline file, and print each step as it starts and ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import out_file, output
from notebooks_lib.cli.job_output import Detached
from notebooks_lib.cli.positive_number import POSITIVE

if TYPE_CHECKING:
    from notebooks_lib.azure.jobs.pipeline_following import PipelineEnd
    from notebooks_lib.running.pipeline_submission import SubmittedPipeline
    from notebooks_lib.settings import Settings


@click.command("pipeline")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--on", metavar="PLACE", help="Where steps run that name no compute: azureml:NAME or azureml:serverless.")
@click.option(
    "--wait-minutes",
    type=POSITIVE,
    help="Minutes that it may wait before a step runs. Default: 120.",
)
@out_file.option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def pipeline(file: Path, on: str | None, wait_minutes: float | None, out: Path | None, as_json: bool) -> int:
    """Run the pipeline of FILE, such as production/azure/pipelines/retrain.yml, in the Azure ML workspace.

    FILE is Azure's own pipeline job, whose steps are commands of nbops; code, environment and compute are filled in. A
    pipeline that has not ended is not submitted again: the command then follows it.

    Ctrl-C, and a pipeline that still waits after --wait-minutes, end the command, not the pipeline. Exit code: 0 all
    steps finished or had nothing to do; 1 a step failed, or the pipeline still waits; 2 usage error; 130 interrupted.
    """
    from notebooks_lib import settings

    project = settings.load(settings.find_root(file, fallback=Path.cwd()), os.environ)
    lines = StepLines(silent=as_json)
    submitted = ""
    try:
        found = _submit(project, file, on, lines)
        submitted = found.job.name
        again = "" if found.is_new else " is the same and has not ended: it is followed, not submitted again"
        lines.tell(f"{file.stem}: pipeline {submitted}{again}")
        end = follow(project, submitted, lines, wait_minutes=wait_minutes)
    except KeyboardInterrupt:
        if not submitted:  # if it has arrived all the same, the same command follows it
            raise
        return Detached(submitted).show(as_json=as_json, out=out)
    except Detached as detached:
        return detached.show(as_json=as_json, out=out)
    return show(project, end, as_json=as_json, out=out)


class StepLines:
    """Prints what happens to the steps of a pipeline, one line each, on standard error."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    def tell(self, line: str) -> None:
        """Print a line."""
        if not self._silent:
            click.echo(safe_text.printable(line), err=True)

    def step(self, name: str, text: str) -> None:
        """Print that a step starts, waits or ends."""
        self.tell(f"step {name}: {text}")

    def cell(self, name: str, index: int, total: int, line: str) -> None:
        """Print that a cell of a step's notebook has started."""
        self.step(name, f"cell {index + 1} of {total}{f': {line}' if line else ''}")


def _submit(project: Settings, file: Path, on: str | None, lines: StepLines) -> SubmittedPipeline:
    from notebooks_lib.azure.client import rest_client
    from notebooks_lib.running import pipeline_submission, pipeline_template

    template = pipeline_template.make_pipeline_template(file, project, os.environ, on=on)
    for line in template.snapshot.notices():
        lines.tell(line)
    client = rest_client.resource_manager()
    properties = pipeline_submission.prepare_pipeline(template, client, project.root, os.environ, lines.tell)
    try:
        return pipeline_submission.submit_pipeline(client, template.workspace, properties)
    except errors.JobUncertainError as error:
        raise Detached(error.job, error) from error


def follow(project: Settings, name: str, lines: StepLines, *, wait_minutes: float | None = None) -> PipelineEnd:
    """Follow a pipeline to its end. Raises Detached after `wait_minutes`, and if Azure does not answer."""
    from notebooks_lib.azure.client import rest_client, workspace
    from notebooks_lib.azure.jobs import job_following, pipeline_following
    from notebooks_lib.azure.jobs.run_history import RunHistory

    try:
        history = RunHistory(workspace.tracking_uri(project))
        client, chosen = rest_client.resource_manager(), workspace.find_workspace(project)
        minutes = job_following.WAIT_MINUTES if wait_minutes is None else wait_minutes
        return pipeline_following.follow_pipeline(client, chosen, history, name, lines, wait_minutes=minutes)
    except errors.AzureError as error:
        raise Detached(name, error) from error


def show(project: Settings, end: PipelineEnd, *, as_json: bool, out: Path | None = None) -> int:
    """Print how a pipeline ended, with `out` also write the JSON object; return the exit code."""
    from notebooks_lib.azure.client import workspace
    from notebooks_lib.tracking import store

    url = store.Store(workspace.tracking_uri(project), project).run_url(end.name, "")
    content: dict[str, Any] = {"run_id": end.name, "pipeline": end.file, "status": end.status, "url": url}
    content["steps"] = [vars(step) for step in end.steps]
    out_file.write(out, content)
    if as_json:
        click.echo(json.dumps(content))
    else:
        click.echo(click.style(end.status, fg="green" if end.status == "FINISHED" else "red"))
        output.table(("step", "run", "end"), [(step.name, step.run_id, step.shown()) for step in end.steps])
        click.echo(f"  pipeline  {end.name}  ({output.open_hint(url)})")
    return 0 if end.status == "FINISHED" else 1
