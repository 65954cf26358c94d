"""`nbops run`: run one notebook once."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import errors
from notebooks_lib.cli import only_if as condition
from notebooks_lib.cli import out_file
from notebooks_lib.cli import output as terminal
from notebooks_lib.cli.positive_number import POSITIVE
from notebooks_lib.notebooks import document, parameter_schema, parameter_values
from notebooks_lib.tags import Env

if TYPE_CHECKING:
    from notebooks_lib.notebooks.parameter_schema import Schema
    from notebooks_lib.run_result import RunResult
    from notebooks_lib.running.plan import Plan
    from notebooks_lib.sweeps.service_trial import ServiceTrial


class _Command(click.Command):
    """Prints one JSON object in every case when `--json` is among the arguments, also for usage errors."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> click.Context:
        as_json = "--json" in args
        try:
            return super().make_context(info_name, args, *rest, **more)
        except click.UsageError as error:
            if as_json:
                _json(None, errors.UsageError(error.format_message()))
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.params.get("as_json"):
                _json(None, errors.UsageError(error.format_message()))
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.params.get("as_json"):
                _json(getattr(error, "result", None), error)
            raise


@click.command(cls=_Command)
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter; repeatable.")
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Parameters from a YAML file."
)
@click.option("--timeout", type=POSITIVE, help="Seconds for the whole notebook.")
@click.option("--cell-timeout", type=POSITIVE, help="Seconds for each cell.")
@click.option("--experiment", help="Experiment of the run. Default: the notebook's, else the project's.")
@click.option("--name", help="Name of the run.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File for the executed notebook.")
@click.option("--kernel", help="Use this kernel instead of the notebook's.")
@click.option("--cold", is_flag=True, help="Start an ordinary kernel, not a warm one.")
@click.option("--untracked", is_flag=True, help="Run the notebook as it is, without a tracked run.")
@click.option(
    "--skip-seen", is_flag=True, help="Skip the run if one with the same fingerprint has FINISHED in the experiment."
)
@click.option("--no-html", is_flag=True, help="Do not make the HTML page.")
@click.option("--help-notebook", is_flag=True, help="Show what the notebook is for and its parameters, and stop.")
@click.option(
    "--on", metavar="PLACE", help="Where: local (the default), or as a job: azureml:NAME, azureml:serverless."
)
@click.option("--job", "job_file", type=click.Path(path_type=Path), help="Job file. Default: production/azure/job.yml.")
@click.option(
    "--wait-minutes",
    type=POSITIVE,
    help="Minutes that a job may wait before it runs. Default: 120.",
)
@condition.option
@out_file.option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(
    notebook: Path,
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    timeout: float | None,
    cell_timeout: float | None,
    experiment: str | None,
    name: str | None,
    output: Path | None,
    kernel: str | None,
    cold: bool,
    untracked: bool,
    skip_seen: bool,
    no_html: bool,
    help_notebook: bool,
    on: str | None,
    job_file: Path | None,
    wait_minutes: float | None,
    only_if: Path | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Run NOTEBOOK from top to bottom in a fresh kernel and track it as one MLflow run.

    With --on it runs as a job of the Azure ML workspace that the settings name. Ctrl-C, and a job that still waits
    after --wait-minutes, then end the command, not the job. The executed notebook is always kept, even after a failure.
    Exit code: 0 done, 1 the notebook failed or its job still waits, 2 usage error, 130 interrupted.
    """
    if output is not None and output.resolve() == notebook.resolve():
        raise click.UsageError("--output is the notebook itself: it would be overwritten")
    for option, value in (("name", name), ("experiment", experiment)):
        if value is not None and not value.strip():
            raise click.UsageError(f"--{option} takes a name, found an empty one: leave it out for the default")
    if on == "local":
        on = None
    if job_file is not None and on is None:
        raise click.UsageError("--job says what a job needs: name its place with --on azureml:NAME")
    if wait_minutes is not None and on is None:
        raise click.UsageError("--wait-minutes says how long a job may wait: name its place with --on azureml:NAME")
    if untracked and on is not None:
        raise click.UsageError("--untracked with --on: a job always has a tracked run; leave one of them out")
    if untracked and skip_seen:
        raise click.UsageError("--skip-seen looks for a tracked run of the same: leave --untracked out")
    if help_notebook:
        read = document.read(notebook)
        terminal.notebook(read, parameter_schema.read_schema(read))
        return 0
    if any(math.isnan(seconds) for seconds in (timeout, cell_timeout, wait_minutes) if seconds is not None):
        raise click.UsageError("--timeout takes a number of seconds, --wait-minutes one of minutes")
    planned = _make_plan(notebook, pairs, files, experiment=experiment, name=name, tracked=not untracked)
    if condition.nothing_to_do(only_if, out=out, as_json=as_json):
        return 0
    output = output.absolute() if output else None
    result = _find_earlier(planned) if skip_seen else None
    if result is None and on is not None:
        from notebooks_lib.cli.job_output import Detached, run_as_job
        from notebooks_lib.running.job_template import run_options

        options = run_options(timeout=timeout, cell_timeout=cell_timeout, kernel=kernel, cold=cold, html=not no_html)
        try:
            result = run_as_job(
                planned,
                on,
                job_file=job_file,
                options=options,
                output=output,
                wait_minutes=wait_minutes,
                silent=as_json,
            )
        except Detached as detached:
            return detached.show(as_json=as_json, out=out)
    elif result is None:
        result = _run_here(
            planned,
            silent=as_json,
            timeout=timeout,
            cell_timeout=cell_timeout,
            output=output,
            html=not no_html,
            kernel=kernel,
            cold=cold,
        )
    passed_on = condition.passed_on(only_if)
    out_file.write(out, {**result.as_json(), **passed_on})
    if as_json:
        _json(result, passed_on=passed_on)
    else:
        terminal.run_result(result)
    return result.exit_code


def _run_here(planned: Plan, *, silent: bool, **options: Any) -> RunResult:
    """Run the notebook in this process; in a job, its progress is written into the run."""
    from notebooks_lib.running.runner import run_notebook

    if planned.start is not None and planned.start.run_id is not None:
        from notebooks_lib.running.job_run import run_in_job

        return run_in_job(planned, os.environ, **options)
    with terminal.CellProgress(planned.notebook.path.stem, silent=silent) as progress:
        return run_notebook(planned, on_open=progress.opened, on_cell=progress.cell, **options)


def _make_plan(
    notebook: Path,
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    *,
    experiment: str | None,
    name: str | None,
    tracked: bool,
) -> Plan:
    """Return the plan of the run; a wrong parameter is reported before the settings are read."""
    schema = parameter_schema.read_schema(document.read(notebook))
    in_job = "AZUREML_RUN_ID" in os.environ and Env.OWNER_RUN not in os.environ  # and not in a cell of its notebook
    received, trial = _received(schema) if in_job else ({}, None)
    relaxed = schema.without_required(received)
    values = parameter_values.from_command_line(pairs, files, relaxed, notebook=notebook.name, environ=os.environ)
    values = {**received, **values}

    from notebooks_lib import settings
    from notebooks_lib.running import plan

    project = settings.load(settings.find_root(notebook, fallback=Path.cwd()), os.environ)
    tags = trial.tags if trial else None
    name = trial.name(notebook.stem) if trial else name
    planned = plan.make_plan(notebook, project, values, experiment=experiment, name=name, tracked=tracked, tags=tags)
    if not in_job:
        return planned
    from notebooks_lib.running.job_request import adopting

    return adopting(planned, os.environ)


def _received(schema: Schema) -> tuple[Mapping[str, object], ServiceTrial | None]:
    """Return the values that a job got from its submitter, and the trial if it is one of the service's sweep."""
    from notebooks_lib.running.job_request import JobRequest

    request = JobRequest.received(os.environ)
    values = request.values if request else {}
    if Env.SWEEP not in os.environ:
        return values, None
    from notebooks_lib.sweeps.service_trial import ServiceTrial

    trial = ServiceTrial.received(os.environ, schema)
    return {**values, **trial.proposal.values}, trial


def _find_earlier(planned: Plan) -> RunResult | None:
    """Return the FINISHED run that makes this one unnecessary, or None."""
    from notebooks_lib.run_result import RunResult
    from notebooks_lib.running import run_cache
    from notebooks_lib.running.plan import executed_file
    from notebooks_lib.tracking import store

    assert planned.start is not None
    connected = store.connect(planned.settings)
    run = run_cache.find_earlier_run(connected, planned.notebook, planned.start)
    if run is None:
        return None
    output = executed_file(planned, run.run_id)
    url = connected.run_url(run.run_id, run.experiment_id)
    return RunResult(run.run_id, "FINISHED", output, run.metrics, url=url, seen=True)


def _json(
    result: RunResult | None, error: BaseException | None = None, *, passed_on: Mapping[str, object] | None = None
) -> None:
    content = (
        result.as_json() if result else {"run_id": None, "status": None, "output": None, "metrics": {}, "failure": None}
    )
    if error is not None:
        content["error"] = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps({**content, **(passed_on or {})}) + "\n")
