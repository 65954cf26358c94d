"""`nbops diff`: what changed in notebooks, cell by cell."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import output

if TYPE_CHECKING:
    from notebooks_lib.notebooks.notebook_diff import CellChange, DiffLine, NotebookDiff
    from notebooks_lib.review.notebook_changes import NotebookChange
    from notebooks_lib.review.notebook_review import MetricChange
    from notebooks_lib.review.run_comparison import CostChange, RunComparison

_COLORS = {"+": "green", "-": "red"}
MOST_TARGETS = 2
MOST_COSTS = 10
"""Cells whose time and memory are shown: those that differ most."""


@click.command()
@click.argument("targets", nargs=-1, metavar="[A [B]]")
@click.option("--textconv", is_flag=True, help="Print the notebook A as text, for git: source only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option("--exit-code", "differs", is_flag=True, help="Exit with 1 if the source of a notebook differs.")
def command(targets: tuple[str, ...], textconv: bool, as_json: bool, differs: bool) -> int:
    """Show what changed from A to B in notebooks, cell by cell. Outputs and execution counts are left out.

    \b
      nbops diff                    the work tree against HEAD
      nbops diff q.ipynb            one notebook of it
      nbops diff main...            what this branch changed since it left main
      nbops diff main my-branch     two revisions: all notebooks that differ, renamed ones too
      nbops diff main:q.ipynb new.ipynb    notebooks: files, or REVISION:FILE
      nbops diff 1893d4fc 0f3e9c61         two runs: also parameters, data, environment, metrics, time and memory

    Works in any git repository, and for two files anywhere. Cells are counted from 0. Exit code: 0, also if something
    differs, as for `git diff`; 1 if a notebook that changed cannot be read.
    """
    if len(targets) > MOST_TARGETS:
        raise click.UsageError(f"{len(targets)} names given, at most two are compared: nbops diff A B")
    if textconv:
        return _print_text(targets)

    from notebooks_lib.review import diff_targets

    base, head = diff_targets.parse_targets(targets, Path())
    if isinstance(base, diff_targets.RunTarget) and isinstance(head, diff_targets.RunTarget):
        return _compare_runs(base.run_id, head.run_id, as_json=as_json, differs=differs)
    assert not isinstance(base, diff_targets.RunTarget)
    assert not isinstance(head, diff_targets.RunTarget)

    from notebooks_lib.review import notebook_changes

    changes = notebook_changes.changes_between(base, head, Path())
    unread = different = False
    start = opening = '{"notebooks": [\n'
    for change in changes:  # one at a time: hundreds would not fit into memory
        if as_json:
            sys.stdout.write(start + json.dumps(change.as_json()))
            start = ",\n"
        else:
            _print(change)
        unread = unread or bool(change.problem)
        different = different or bool(change.diff and (change.diff.changes or change.diff.notes))
    if as_json:
        sys.stdout.write((start if start == opening else "") + "]}\n")
    return 1 if unread or (differs and different) else 0


def _compare_runs(base: str, head: str, *, as_json: bool, differs: bool) -> int:
    from notebooks_lib import settings
    from notebooks_lib.promotion.policy import Policy
    from notebooks_lib.review import run_comparison, run_record
    from notebooks_lib.review.store_trust import connect_unless_chosen_by_branch
    from notebooks_lib.review.validation_gain import ModelComparer

    store = connect_unless_chosen_by_branch(settings.existing(), loads_models=True)
    old, new = (run_record.read_run(store, run_id) for run_id in (base, head))
    policy = Policy.of(store.settings.promotion, "")
    metrics = ModelComparer(store, [old.info], [new.info], policy).compare()
    comparison = run_comparison.compare_runs(old, new, metrics)
    if as_json:
        sys.stdout.write(json.dumps(comparison.as_json()) + "\n")
    else:
        _print_runs(comparison)
    return 1 if differs and comparison.diff and comparison.diff.changes else 0


def _print_runs(comparison: RunComparison) -> None:
    infos = comparison.base.info, comparison.head.info
    click.echo(
        click.style(" -> ".join(safe_text.printable(f"{run.run_id[:8]} ({run.name})") for run in infos), bold=True)
    )
    for run in infos:
        if not run.ended:
            click.echo(click.style(f"{run.run_id[:8]} did not end well: {run.status}", fg="red"))
    for part in ("parameters", "data", "packages", "commit"):
        if differences := getattr(comparison, part):
            click.echo()
            output.table((part, "base", "head"), [(row.name, row.base, row.head) for row in differences])
    if comparison.environment:
        click.echo(f"\n{comparison.environment}")
    _print_metrics(comparison.metrics)
    costs = [cost for cost in comparison.costs if cost.base.seconds is not None and cost.head.seconds is not None]
    if costs:
        click.echo()
        header = ("cell", "", "base s", "head s", "base MiB", "head MiB")
        output.table(header, [_cost_cells(cost) for cost in costs[:MOST_COSTS]])
        if len(costs) > MOST_COSTS:
            click.echo(f"and {len(costs) - MOST_COSTS} more cells that differ less: --json has them")
    if comparison.diff:
        click.echo(f"\nsource: {_summary(comparison.diff)}")
        _print_cells(comparison.diff)
    else:
        click.echo("\nsource: one of the runs keeps no notebook; only runs that nbops made and ended do")


def _print_metrics(metrics: Sequence[MetricChange]) -> None:
    """Print the metrics as a review shows them; a reason that all share for having no interval has one line."""
    from notebooks_lib.review import report_text

    shown = report_text.by_verdict(metrics)
    rows = [(metric.name, *report_text.figures(metric)) for metric in shown]
    header = ("metrics", "base", "head", report_text.gain_header(shown), "")
    why = {row[-1] for row in rows}
    alone = not header[3] and len(why) == 1
    if rows:
        click.echo()
        output.table(header[:3] if alone else header, [row[:3] if alone else row for row in rows])
    notes = report_text.remarks(metrics)
    for note in (f"no interval: {why.pop()}", *notes) if alone else notes:
        click.echo(safe_text.printable(note))


def _cost_cells(cost: CostChange) -> tuple[object, ...]:
    seconds = (round(cost.base.seconds or 0.0, 2), round(cost.head.seconds or 0.0, 2))
    return cost.head_cell, cost.name[:40], *seconds, cost.base.peak_memory_mb, cost.head.peak_memory_mb


def _print_text(targets: tuple[str, ...]) -> int:
    """Print a notebook for git. What is no notebook goes through as it is: git would stop its whole diff otherwise."""
    from notebooks_lib.notebooks import document, text_view

    if len(targets) != 1:
        raise click.UsageError("--textconv takes one file: nbops diff --textconv FILE")
    path = Path(targets[0])
    try:
        text = text_view.to_text(document.read(path)).encode("utf-8", "backslashreplace")
    except errors.NotebookError as error:
        if not path.is_file():
            raise
        click.echo(f"nbops: {safe_text.printable(str(error))}; shown as it is", err=True)
        text = path.read_bytes()
    sys.stdout.buffer.write(text)
    return 0


def _print(change: NotebookChange) -> None:
    path = click.style(safe_text.printable(change.path), bold=True)
    if change.problem:
        problem = safe_text.printable(change.problem.removeprefix(f"{change.path}: "))
        click.echo(f"{path}: {click.style(problem, fg='red')}")
        return
    if change.diff is None:
        click.echo(f"{path}: {'deleted, ' * (change.state == 'deleted')}{safe_text.printable(change.note)}")
        return
    was = f" (before: {safe_text.printable(change.old_path)})" if change.old_path else ""
    state = f"{change.state}, " if change.state not in ("modified", "renamed") else ""
    note = safe_text.printable(f"; {change.note}") if change.note else ""
    click.echo(f"{path}{was}: {state}{_summary(change.diff)}{note}")
    if change.state != "deleted":
        _print_cells(change.diff)


def _summary(diff: NotebookDiff) -> str:
    cells = [diff.summary] if diff.changes or not diff.notes else []
    return safe_text.printable("; ".join((*cells, *diff.notes)))


def _print_cells(diff: NotebookDiff) -> None:
    for change in diff.changes:
        click.echo(f"{click.style(_name(change), bold=True)} {safe_text.printable(', '.join(change.descriptions))}")
        for number, hunk in enumerate(change.hunks()):
            if number:
                click.echo(click.style("...", fg="cyan"))
            for line in hunk.lines:
                click.echo(_line(line))


def _line(line: DiffLine) -> str:
    text = line.mark + safe_text.printable(line.text)
    return click.style(text, fg=_COLORS[line.mark]) if line.mark in _COLORS else text


def _name(change: CellChange) -> str:
    cell = change.cell
    name = safe_text.printable(f" ({cell.id})") if cell.id else ""
    return f"cell {cell.index}{name}" if change.head else f"cell {cell.index}{name} of the base"
