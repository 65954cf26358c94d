"""`nbops compare`: rank the runs of an experiment by a metric."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import output
from notebooks_lib.metrics import builtin

if TYPE_CHECKING:
    from notebooks_lib.promotion.run_ranking import RankedRun, Ranking, RankingTable
    from notebooks_lib.tracking.query import RunInfo

BEST = 20
"""Runs shown in each table without --all."""


@click.command()
@click.argument("experiment")
@click.option("--metric", required=True, metavar="NAME[:min|:max]", help="A logged metric, as rmse or cost:min.")
@click.option("--all", "every", is_flag=True, help=f"Show all runs, not the best {BEST} of each dataset.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all runs.")
def command(experiment: str, metric: str, every: bool, as_json: bool) -> None:
    """Rank the runs of EXPERIMENT by a metric that they logged.

    Only successful runs count. Runs on different data are never ranked together: each dataset has its own table. The
    figures are those that the runs logged; `nbops promote` scores the models again. `nbops diff RUN RUN` shows how two
    runs differ.
    """
    name, direction = builtin.parse(metric)

    from notebooks_lib import settings
    from notebooks_lib.promotion.run_ranking import rank
    from notebooks_lib.review.store_trust import connect_unless_chosen_by_branch
    from notebooks_lib.tracking import query

    project = settings.existing()
    store = connect_unless_chosen_by_branch(project)
    if every or as_json:
        selection = query.RunSelection(query.find_runs(store, experiment), whole=True)
    else:
        selection = query.promising_runs(store, experiment, name, largest=direction == "max")
    ranking = rank(selection.runs, name, direction)
    if as_json:
        sys.stdout.write(json.dumps(ranking.as_json(), ensure_ascii=False) + "\n")
    elif not ranking.tables:
        click.echo(f"experiment {experiment!r} has no successful run yet")
    else:
        _print(ranking, every=every)
        if not selection.whole:
            click.echo(f"\n{selection}; --all looks at every one")
        if name in builtin.DIRECTIONS and ranking.tables[0].datasets:
            words = ["nbops", "promote", "-p", f"experiment={experiment}", "-p", f"metric={name}"]
            click.echo(f"\nnext  {shlex.join(words)}")


def _print(ranking: Ranking, *, every: bool) -> None:
    better = "smaller" if ranking.direction == "min" else "larger"
    click.echo(f"by {ranking.metric}, {better} is better")
    if len(ranking.tables) > 1:
        click.echo(f"{len(ranking.tables)} different datasets: numbers from different data are not compared")
    for table in ranking.tables:
        click.echo()
        click.echo(click.style(safe_text.printable(_title(table)), bold=True))
        rows = table.rows if every else table.rows[:BEST]
        header = ("rank", "run", "name", ranking.metric, "other metrics", "commit", "age")
        same = _same(table.rows) | {ranking.metric}
        output.table(header, [_cells(row, same) for row in rows])
        if len(rows) < len(table.rows):
            click.echo(f"and {len(table.rows) - len(rows)} more: --all shows them")
    if ranking.without:
        has = "run has" if len(ranking.without) == 1 else "runs have"
        names = ", ".join(_without(run, ranking.metric) for run in ranking.without[:5])
        more = ", ..." if len(ranking.without) > 5 else ""
        click.echo(f"\n{len(ranking.without)} {has} no finite {ranking.metric}: {names}{more}")
    if any("*" in str(_cells(row, set())[5]) for table in ranking.tables for row in table.rows):
        click.echo("\n* made with uncommitted changes")


def _without(run: RunInfo, metric: str) -> str:
    value = run.metrics.get(metric)
    return run.run_id[:8] + (f" ({value:g})" if value is not None else "")


def _title(table: RankingTable) -> str:
    return f"data: {table.title}" if table.datasets else table.title


def _same(rows: Sequence[RankedRun]) -> set[str]:
    """Return the metrics that are equal in all rows, such as a baseline's: they do not distinguish the runs."""
    values = {name: {row.run.metrics.get(name) for row in rows} for row in rows for name in row.run.metrics}
    return {name for name, equal in values.items() if len(equal) == 1} if len(rows) > 1 else set()


def _cells(row: RankedRun, hidden: Collection[str]) -> list[object]:
    from notebooks_lib.promotion.run_ranking import commit

    run = row.run
    others = "  ".join(f"{name} {value:.4g}" for name, value in sorted(run.metrics.items()) if name not in hidden)
    return [row.rank, run.run_id[:8], run.name, row.value, others, commit(run.tags), _age(run.started_ms)]


def _age(started_ms: int) -> str:
    seconds = max(0.0, time.time() - started_ms / 1000)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
