"""`nbops verify`: run a notebook again, and compare its metrics with those of earlier runs."""

from __future__ import annotations

import datetime
import json
import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import output
from notebooks_lib.cli.positive_number import POSITIVE
from notebooks_lib.notebooks import document

if TYPE_CHECKING:
    from notebooks_lib.review.band_learning import BandLearning
    from notebooks_lib.review.metric_bands import MetricBand
    from notebooks_lib.review.metric_verification import Verification
    from notebooks_lib.review.repeated_runs import RepeatedNotebook
    from notebooks_lib.run_result import RunResult
    from notebooks_lib.running.plan import Plan
    from notebooks_lib.tracking.store import Store

LEARNED = 10
"""Runs to learn from, by default."""
FEWEST = 3
"""With fewer, an interval is so wide that nothing is outside."""
MOST = 500


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("--learn", is_flag=True, help="Run it several times and write its bands, in place of comparing.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1, max=MOST),
    help=f"Runs. Default: {LEARNED} with --learn, else 1; the mean of several runs shows smaller shifts.",
)
@click.option("--allow-stale", is_flag=True, help="Bands of another source are named as stale, and do not fail.")
@click.option("-p", "--param", "-f", "--file", "given", multiple=True, hidden=True)
@click.option("--timeout", type=POSITIVE, help="Seconds for each run.")
@click.option("--cell-timeout", type=POSITIVE, help="Seconds for each cell.")
@click.option("--experiment", help="Experiment of the runs. Default: the notebook's, else the project's.")
@click.option("--kernel", help="Use this kernel instead of the notebook's.")
@click.option("--cold", is_flag=True, help="Start an ordinary kernel, not a warm one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(notebook: Path, given: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Run NOTEBOOK again, and fail if one of its metrics is outside the interval learned from earlier runs.

    \b
      nbops verify q.ipynb --learn     run it ten times, write q.bands.toml beside it: review it, put it into git
      nbops verify q.ipynb             run it once, compare

    Each run has another value of the parameter `seed`, if the notebook has one. If you verify every night, a metric is
    outside by chance once a year. Metrics that are missing, new or not finite fail as well. Exit code: 0 all inside;
    1 one is outside, the notebook failed, or it has changed since its bands were learned; 2 usage error; 130
    interrupted.
    """
    try:
        if given:
            raise errors.UsageError(
                "bands are of a notebook's own defaults: change the default in its parameters cell, and learn again"
            )
        return _learn(notebook, as_json, options) if options["learn"] else _verify(notebook, as_json, options)
    except (errors.NbopsError, KeyboardInterrupt) as error:
        if as_json:  # a parser finds an object in every case
            _print_json({"status": None, "error": {"error": type(error).__name__, "message": str(error)}})
        raise


def _learn(path: Path, as_json: bool, options: dict[str, Any]) -> int:
    repeats = options["repeats"] or LEARNED
    if repeats < FEWEST:
        raise errors.UsageError(f"--repeats {repeats} is too few to learn from: take {FEWEST} or more, best {LEARNED}")
    notebook = _repeated(path, as_json, options)

    from notebooks_lib.review.band_learning import learn_bands

    learned = learn_bands(notebook, repeats=repeats)
    if as_json:
        _print_json(learned.as_json())
    else:
        _print_learned(learned)
    return 0 if learned.bands else _failure_code(learned.failed)


def _verify(path: Path, as_json: bool, options: dict[str, Any]) -> int:
    notebook = _repeated(path, as_json, options)

    from notebooks_lib.review.metric_verification import verify_notebook

    day = datetime.datetime.now(datetime.UTC).date().toordinal()
    verification = verify_notebook(notebook, runs=options["repeats"] or 1, day=day)
    if as_json:
        _print_json(verification.as_json())
    else:
        _print_verification(verification, path)
    passed = ("verified", "stale") if options["allow_stale"] else ("verified",)
    return 0 if verification.status in passed else _failure_code(verification.failed)


def _repeated(path: Path, as_json: bool, options: dict[str, Any]) -> RepeatedNotebook:
    """Return the notebook, ready to be run; a file that is none is reported before the settings are read."""
    if any(math.isnan(options[limit]) for limit in ("timeout", "cell_timeout") if options[limit] is not None):
        raise click.UsageError("--timeout and --cell-timeout take a number of seconds")
    document.read(path)

    from notebooks_lib import settings
    from notebooks_lib.review.repeated_runs import RepeatedNotebook
    from notebooks_lib.running.plan import NotebookPlanner

    project = settings.load(settings.find_root(path, fallback=Path.cwd()), os.environ)

    def run(plan: Plan, store: Store) -> RunResult:
        from notebooks_lib.running.runner import run_notebook

        title = plan.start.name if plan.start else path.stem
        with output.CellProgress(title, silent=as_json) as progress:
            return run_notebook(
                plan,
                store=store,
                timeout=options["timeout"],
                cell_timeout=options["cell_timeout"],
                html=False,
                kernel=options["kernel"],
                cold=options["cold"],
                on_open=progress.opened,
                on_cell=progress.cell,
            )

    return RepeatedNotebook(NotebookPlanner(path, project, experiment=options["experiment"]), run)


def _failure_code(failed: RunResult | None) -> int:
    interrupted = failed is not None and failed.failure is not None and failed.failure.kind == "interrupt"
    return 130 if interrupted else 1


def _print_learned(learned: BandLearning) -> None:
    file = output.path(learned.file)
    if learned.failed:
        output.run_result(learned.failed)
    for problem in learned.problems:
        click.echo(f"{click.style('NOT LEARNED', fg='red')} {safe_text.printable(problem)}")
    if learned.bands is None:
        click.echo(f"  {file} is unchanged" if learned.before else f"  {file} was not written")
        return
    bands, before = learned.bands, learned.before
    click.echo(f"{click.style('LEARNED', fg='green')} from {bands.number} runs: {file}")
    rows = []
    for name in sorted({*bands.metrics, *(before.metrics if before else ())}):
        band = bands.metrics.get(name)
        bounds = bands.bounds(name) if band else (None, None)
        rows.append((name, *bounds, *_figures(band), *(_figures(before.metrics.get(name)) if before else ())))
    titles = ("metric", "from", "to", "mean", "spread", *(("mean before", "spread before") if before else ()))
    output.table(titles, rows)
    if before and before.source != bands.source:
        click.echo(f"  source    {before.source[:8]} before, {bands.source[:8]} now")
    if bands.unsteady:
        click.echo(f"  unsteady  {', '.join(bands.unsteady)}: other text in equal runs")
    if learned.unsettled:
        click.echo(f"  note      the seed alone does not settle {', '.join(learned.unsettled)}")


def _print_verification(verification: Verification, path: Path) -> None:
    status, bands = verification.status, verification.bands
    words = shlex.join(["nbops", "verify", output.path(path), "--learn"])
    if status == "stale":
        click.echo(
            f"{click.style('STALE', fg='red')} the bands are of source {bands.source[:8]}, this is "
            f"{verification.source[:8]}: not run; learn again with {words}"
        )
        return
    if verification.failed:
        output.run_result(verification.failed)
    else:
        colour = "green" if status == "verified" else "red"
        seeds = f" with seed {', '.join(map(str, verification.seeds))}" if verification.seeds else ""
        click.echo(f"{click.style(status.upper(), fg=colour)} {len(verification.runs)} run(s){seeds}")
        titles = ("metric", "now", "from", "to", "mean", "spread", "")
        rows = [
            (verdict.name, verdict.value, verdict.lower, verdict.upper, verdict.mean, verdict.spread, verdict.outcome)
            for verdict in verification.verdicts
        ]
        output.table(titles, rows)
        for run in verification.runs:
            click.echo(f"  run       {run.run_id}  ({output.open_hint(run.url)})")
    for note in verification.notes:
        click.echo(f"  note      {safe_text.printable(note)}")
    if bands.unsteady:
        click.echo(f"  unsteady  {', '.join(bands.unsteady)}: other text in equal runs")
    if status == "outside":
        click.echo(f"  next      mend the notebook; or, if the change is meant, {words}")


def _figures(band: MetricBand | None) -> tuple[float | None, float | None]:
    return (band.mean, band.spread) if band else (None, None)


def _print_json(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
