"""`nbops batch`: score whole tables, here or by a batch endpoint of Azure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text
from notebooks_lib.cli.command_group import CommandGroup
from notebooks_lib.cli.positive_number import POSITIVE
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.serving.batch.batch_request import BatchRequest, BatchSummary
    from notebooks_lib.settings import Settings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
_WAIT_MINUTES = 120.0
_stage = click.option(
    "--stage",
    type=click.Choice(STAGES),
    default=STAGES[-1],
    show_default=True,
    help="Whose champion, and whose workspace on Azure.",
)


class _Place(click.ParamType[str]):
    """local or azureml; a compute is named in the file of the deployment."""

    name = "local|azureml"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in ("local", "azureml"):
            return str(value)
        on_azure = str(value).startswith("azureml:")
        compute = f"--on azureml, and in production/azure/batch/deployment.yml compute: {value}"
        return self.fail(f"write {compute}" if on_azure else f"found {value!r}, allowed local or azureml", param, ctx)


@click.group(cls=CommandGroup)
def command() -> None:
    """Score a whole table with a registered model, and write the predictions to one file.

    It is done in mini-batches, so that the table may be larger than the memory: on this machine, or by a batch endpoint
    of Azure where the endpoint of the stage is Azure's, too.
    """


@command.command()
@click.argument("model")
@click.option(
    "--data", required=True, metavar="NAME@VERSION|FILE", help="A dataset, or a file: Parquet, CSV, TSV, JSON Lines."
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Parquet or CSV, by its suffix.")
@click.option("--version", default="", help="The version. Default: the champion.")
@_stage
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="A column of the input for the result; `all` for all. Default: the dataset's key.",
)
@click.option(
    "--params", default="{}", metavar="JSON", help="Parameters of the prediction, as in a request to an endpoint."
)
@click.option(
    "--mini-batch-size", type=click.IntRange(1), default=10_000, show_default=True, help="Rows that are scored at once."
)
@click.option(
    "--error-threshold",
    type=click.IntRange(-1),
    default=0,
    show_default=True,
    help="Rows that may be refused: they get an error instead of a prediction. -1: any number.",
)
@click.option(
    "--on",
    type=_Place(),
    help="Where. Default: azureml if the endpoint of the stage is azureml:NAME, else local.",
)
@click.option("--fresh", is_flag=True, help="On Azure: score again what a job has scored.")
@click.option(
    "--wait-minutes",
    type=POSITIVE,
    help="On Azure: minutes that the job may wait before it runs. Default: 120.",
)
@_as_json
def run(
    model: str,
    data: str,
    output: Path,
    params: str,
    on: str | None,
    fresh: bool,
    wait_minutes: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Score the rows of a table with MODEL, in their order.

    The result has the number of each row (from 0), the columns to keep and the prediction. A refused row ends the
    command with its number and the cause, and nothing is written, unless --error-threshold allows it.

    On Azure, Ctrl-C ends the command, not the job: the same command again goes on with it.
    """
    from notebooks_lib import settings
    from notebooks_lib.serving.batch import local_batch
    from notebooks_lib.serving.batch.batch_request import BatchRequest

    if (found := model.rpartition("@"))[1]:
        raise click.UsageError(f"MODEL is a name alone, found {model!r}: write {found[0]} --version {found[2]}")
    here = settings.here()
    request = BatchRequest(model, data, output, params=_params(params), **options)
    if (on or here.stages.of(options["stage"]).target) == "azureml":
        minutes = _WAIT_MINUTES if wait_minutes is None else wait_minutes
        return _run_on_azure(request, here, fresh=fresh, wait_minutes=minutes, as_json=as_json)
    for option, given in (("--fresh", fresh), ("--wait-minutes", wait_minutes is not None)):
        if given:
            raise click.UsageError(f"{option} is about a job on Azure, and this machine scores: leave it out")
    summary = local_batch.score_here(request, here, tell=_tell)
    if as_json:
        click.echo(json.dumps(summary.as_json()))
    else:
        _print(summary)
    return 0


@command.command()
@click.argument("model")
@click.option("--version", default="", help="The version. Default: the champion.")
@_stage
@_as_json
def deploy(model: str, version: str, stage: str, as_json: bool) -> int:
    """Make a batch endpoint on Azure that scores with MODEL, or let it score with another version.

    production/azure/batch/deployment.yml says on which cluster, with how many machines. What is there already stays as
    it is.
    """
    from notebooks_lib import settings
    from notebooks_lib.serving.batch.batch_deployments import BatchDeployments

    done = BatchDeployments(settings.here(), model, stage).deploy(version, tell=_tell)
    if as_json:
        click.echo(json.dumps(vars(done)))
    else:
        what = "scores with" if done.changed else "scored already with"
        click.echo(f"batch endpoint {done.endpoint} in workspace {done.workspace} {what} version {done.version}")
        click.echo(f"  score      nbops batch run {model} --on azureml --data NAME@VERSION -o FILE")
        click.echo(f"  delete     nbops batch delete {model}")
    return 0


@command.command()
@click.argument("model")
@_stage
@click.option("--yes", is_flag=True, help="Do not ask.")
@_as_json
def delete(model: str, stage: str, yes: bool, as_json: bool) -> int:
    """Delete the batch endpoint of MODEL with its deployments, after asking; one that is gone stays gone.

    The model and the results of its jobs stay. An endpoint that nbops did not make is refused.
    """
    from notebooks_lib import settings
    from notebooks_lib.cli.azure_infrastructure import need_terminal
    from notebooks_lib.serving.batch.batch_deployments import BatchDeployments

    if not yes:
        need_terminal()
    place = BatchDeployments(settings.here(), model, stage)
    there = place.find() is not None
    if there:
        _tell(f"batch endpoint {place.endpoint} of workspace {place.workspace.name!r}, with its deployments")
    deleted = there and (yes or click.confirm("Delete it?", err=True)) and place.delete()
    if as_json:
        click.echo(json.dumps({"model": model, "endpoint": place.endpoint, "deleted": deleted}))
    elif deleted or not there:
        click.echo(f"batch endpoint {place.endpoint} {'is deleted' if deleted else 'was not there'}")
    return 0


def _run_on_azure(request: BatchRequest, here: Settings, *, as_json: bool, fresh: bool, wait_minutes: float) -> int:
    from notebooks_lib.cli.job_output import JobLines
    from notebooks_lib.serving.batch import azure_batch
    from notebooks_lib.serving.batch.azure_batch import BatchDetached

    try:
        summary = azure_batch.score_on_azure(
            request, here, JobLines(), fresh=fresh, wait_minutes=wait_minutes, tell=_tell
        )
    except BatchDetached as detached:
        _tell(str(detached))
        if as_json:
            click.echo(json.dumps({"job": detached.job, "detached": True}))
        return 1 if detached.error else 130
    if as_json:
        click.echo(json.dumps(summary.as_json()))
    else:
        _print(summary)
    return 0


def _params(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--params is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise click.UsageError('--params: expected a JSON object, as in {"predict_method": "predict_proba"}')
    return params


def _tell(line: str) -> None:
    click.echo(safe_text.printable(line), err=True)


def _print(summary: BatchSummary) -> None:
    from notebooks_lib.cli import output

    where = "here" if summary.on == "local" else f"by job {summary.job}"
    speed = f"{summary.rows / max(summary.seconds, 0.001):,.0f} rows a second"
    predictions = output.counted(summary.rows - summary.refused, "prediction")
    click.echo(f"{predictions} of version {summary.version}, {where} ({speed})")
    if summary.refused:
        click.echo(f"  refused    {output.counted(summary.refused, 'row')}, with the cause in the column error")
        for each in summary.first_refused:
            click.echo(f"             row {each['row']}: {safe_text.printable(str(each['cause']))}")
    if summary.held_out:
        click.echo(f"  left out   {output.counted(summary.held_out, 'row')} of the holdout, which only promotion reads")
    if summary.unused:
        click.echo(f"  not used   {safe_text.printable(', '.join(summary.unused))}")
    click.echo(f"  result     {safe_text.printable(summary.output)}")
