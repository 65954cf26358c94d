"""`nbops profile`: measure how much CPU and memory a model needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib.cli import output
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.serving.profile.profiler import ProfileOutcome
    from notebooks_lib.serving.profile.recommendation import Recommendation


@click.command()
@click.argument("model")
@click.option("--version", metavar="N", help="The version. Default: the champion.")
@click.option("--stage", type=click.Choice(STAGES), help="The champion of this stage.")
@click.option("--rate", type=float, default=50.0, show_default=True, help="Target: requests per second.")
@click.option(
    "--p95",
    default="100ms",
    show_default=True,
    metavar="TIME",
    help="Target: milliseconds that 95 % of the requests may take.",
)
@click.option("--cpu", "cpus", metavar="LIST", help="CPU limits to try.  [default: 0.5,1,2, up to the available CPUs]")
@click.option("--memory", "memories", metavar="LIST", help="Memory limits in GiB.  [default: 1,2,4]")
@click.option("--concurrency", "concurrencies", metavar="LIST", help="Parallel clients.  [default: 1,2,4,8]")
@click.option(
    "--batch", "batches", metavar="LIST", help="Rows per request; --rate is about the first.  [default: 1,10,100]"
)
@click.option("--seconds", type=float, default=3.0, show_default=True, help="Duration of each combination.")
@click.option("--data", metavar="JSON|@FILE", help="A request whose rows replace the model's own example.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(
    model: str,
    version: str | None,
    stage: str | None,
    rate: float,
    p95: str,
    cpus: str | None,
    memories: str | None,
    concurrencies: str | None,
    batches: str | None,
    seconds: float,
    data: str | None,
    as_json: bool,
) -> int:
    """Measure MODEL under CPU and memory limits, and recommend a size for a rate and a p95.

    MODEL is a registered model or a model folder. One process serves it under each limit and a second one sends
    requests over HTTP; running endpoints are not touched. The table and a plot are kept as a run of the experiment
    `profile`. If no tried size reaches the target, the exit code is 0 too.
    """
    from notebooks_lib.serving.profile import profile_plan as grids

    target = grids.make_target(rate, p95)
    machine = grids.this_machine()
    grid = grids.make_grid(
        machine, cpus=cpus, memories=memories, concurrencies=concurrencies, batches=batches, seconds=seconds
    )
    payload = None if data is None else _payload(data)

    from notebooks_lib import settings
    from notebooks_lib.serving.profile.profiler import profile_model

    def tell(line: str) -> None:
        click.echo(f"  {line}", err=True)

    if not as_json:
        click.echo(
            f"profiling {model}: about {max(grid.minutes, 0.1):.1f} min and the loading; Ctrl-C ends it", err=True
        )
    outcome = profile_model(
        settings.here(),
        model,
        version=version,
        stage=stage,
        data=payload,
        target=target,
        grid=grid,
        machine=machine,
        tell=(lambda _: None) if as_json else tell,
    )
    if as_json:
        sys.stdout.write(json.dumps(outcome.as_json(), ensure_ascii=False, default=str) + "\n")
    else:
        _print(outcome)
    if outcome.fault:
        click.echo(f"nbops: the profile is not recorded: {outcome.fault}", err=True)
    return 1 if outcome.fault else 0


def _payload(text: str) -> dict[str, Any]:
    from notebooks_lib.errors import UsageError

    source, origin = text, "--data"
    if text.startswith("@"):
        origin = text[1:]
        try:
            source = sys.stdin.read() if origin == "-" else Path(origin).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{origin}: cannot be read: {error}") from error
    try:
        request = json.loads(source)
    except ValueError as error:
        raise UsageError(f"{origin}: is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise UsageError(f'{origin}: expected a request as {{"dataframe_split": …}}, found a {type(request).__name__}')
    return request


def _print(outcome: ProfileOutcome) -> None:
    profile = outcome.profile
    name = f"{profile.model} version {profile.version}" if profile.version else profile.model
    batch = f"{outcome.recommendations[0].batch} row{'' if outcome.recommendations[0].batch == 1 else 's'} a request"
    click.echo(f"{click.style(name, bold=True)}, wanted: {profile.target}, {batch}")
    rows = [
        (
            f"{trial.cpus:g}",
            f"{trial.memory_gib:g}",
            cell.batch,
            f"{cell.arrivals:.3g}/s due" if cell.arrivals else str(cell.concurrency),
            round(cell.rate, 1),
            *(None if value is None else round(1000 * value, 1) for value in (cell.p50, cell.p95, cell.p99)),
            round(cell.cpu, 2),
            ", ".join(f"{count} x {error}" for error, count in cell.errors.items()),
        )
        for trial in profile.trials
        for cell in (*trial.cells, *([trial.checked] if trial.checked else []))
    ]
    if rows:
        header = ("CPU", "GiB", "rows", "at once", "requests/s", "p50 ms", "p95 ms", "p99 ms", "CPU used", "errors")
        output.table(header, rows)
        click.echo()
    for recommendation in outcome.recommendations:
        _advise(recommendation)
    click.echo()
    for note in outcome.notes:
        click.echo(f"  - {note}")
    record = outcome.recorded
    if record.run_id:
        click.echo(f"  plot       {output.local_path(record.plot)}")
        click.echo(f"  run        {record.run_id}")
        click.echo(f"  MLflow     {output.open_hint(record.url)}")


def _advise(advised: Recommendation) -> None:
    head = f"{advised.batch} row{'' if advised.batch == 1 else 's'} a request: "
    click.echo(click.style(head, fg="green" if advised.met else "yellow", bold=True) + advised.text)
    if advised.disturbed:
        click.echo(click.style("  measured on a busy machine", fg="yellow") + ": it may need less")
    if advised.azure:
        names = ", ".join(
            f"{instance.name} ({instance.vcpus} vCPU, {instance.memory_gib:g} GiB)" for instance in advised.azure
        )
        click.echo(f"  on Azure   {advised.instances} x {names.replace(', Standard', ' or Standard')}")
    elif advised.met:
        click.echo("  on Azure   no instance type of our table has so much")
