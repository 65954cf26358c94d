"""`nbops batch`: score whole tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.serving.batch.batch_request import BatchSummary

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
_stage = click.option(
    "--stage",
    type=click.Choice(STAGES),
    default=STAGES[-1],
    show_default=True,
    help="Whose champion.",
)


@click.group()
def command() -> None:
    """Score a whole table with a registered model, and write the predictions to one file.

    It is done in mini-batches, so that the table may be larger than the memory.
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
@_as_json
def run(model: str, data: str, output: Path, params: str, as_json: bool, **options: Any) -> int:
    """Score the rows of a table with MODEL, in their order.

    The result has the number of each row (from 0), the columns to keep and the prediction. A refused row ends the
    command with its number and the cause, and nothing is written, unless --error-threshold allows it.
    """
    from notebooks_lib import settings
    from notebooks_lib.serving.batch import local_batch
    from notebooks_lib.serving.batch.batch_request import BatchRequest

    request = BatchRequest(model, data, output, params=_params(params), **options)
    summary = local_batch.score_here(request, settings.here(), tell=_tell)
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
    where = "here" if summary.on == "local" else f"by job {summary.job}"
    speed = f"{summary.rows / max(summary.seconds, 0.001):,.0f} rows a second"
    click.echo(f"{summary.rows - summary.refused:,} predictions of version {summary.version}, {where} ({speed})")
    if summary.refused:
        click.echo(f"  refused    {summary.refused:,} rows, with the cause in the column error")
        for each in summary.first_refused:
            click.echo(f"             row {each['row']}: {safe_text.printable(str(each['cause']))}")
    if summary.held_out:
        click.echo(f"  left out   {summary.held_out:,} rows of the holdout, which only promotion reads")
    if summary.unused:
        click.echo(f"  not used   {safe_text.printable(', '.join(summary.unused))}")
    click.echo(f"  result     {safe_text.printable(summary.output)}")
