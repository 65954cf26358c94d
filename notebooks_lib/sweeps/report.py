"""The report of a sweep: tables, plots and one self-contained HTML page, written to the parent run."""

from __future__ import annotations

import base64
import csv
import html
import json
import logging
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.records import TrialState
from notebooks_lib.sweeps import formatting, plots
from notebooks_lib.sweeps.plots import Picture
from notebooks_lib.sweeps.trials import SweepResult, Trial

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

MAX_ROWS = 100
"""Rows of the table of finished trials."""
MAX_FAILURES = 100
METRICS = 6
"""Columns of metrics besides the goal."""
ROOM = 40
"""Characters of a swept value."""
REASON_ROOM = 300

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 1150px; margin: 2em auto; padding: 0 1.2em; }
h1 { font-size: 1.5em; margin-bottom: .2em; overflow-wrap: anywhere; } h2 { font-size: 1.15em; margin-top: 2em; }
.best { background: #eef6ee; border-left: 4px solid #2e7d32; padding: .6em 1em; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } img { display: block; max-height: 480px; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25em .7em; text-align: left; border-bottom: 1px solid #e3e6ea; white-space: nowrap; }
th { border-bottom: 2px solid #9aa3ad; } .n { text-align: right; font-variant-numeric: tabular-nums; }
.reason { white-space: normal; min-width: 24em; overflow-wrap: anywhere; }
tr.first td { background: #eef6ee; font-weight: 600; } code { font-size: 12px; } .quiet { color: #5c6670; }
"""


def render(result: SweepResult, name: str, pictures: Sequence[Picture], link: Callable[[str], str]) -> str:
    """Return the HTML page. `link` returns the address of a run."""
    title = f"Sweep {name}"
    parts = [f"<h1>{html.escape(title)}</h1>", *_lead(result, link), *map(_plot, pictures)]
    parts += _best(result, link)
    parts += _others(result, link, "failed or were killed", ("failed", "killed"))
    parts += _others(result, link, "were pruned", ("pruned",))
    parts.append(
        "<h2>All trials</h2><p>Every trial with every metric is in <code>trials.csv</code> and "
        "<code>trials.json</code>, beside this page among the artifacts of the sweep's run.</p>"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _lead(result: SweepResult, link: Callable[[str], str]) -> Iterable[str]:
    ended = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "was stopped"}[result.status]
    yield (
        f"<p>The sweep {ended} after {formatting.duration(result.seconds)}. It ran one notebook with "
        f"{len(result.trials)} of {result.total} sets of parameters (trials): {formatting.counts(result)}. "
        f'Its run: <a href="{html.escape(result.url)}"><code>{html.escape(result.run_id)}</code></a>.</p>'
    )
    if result.count("skipped"):
        yield _quiet("Skipped: the notebook had finished with these parameters before, and those metrics are taken.")
    if result.count("pruned"):
        yield _quiet("Pruned: stopped early, for it was not going to be among the best.")
    best, goal = result.best, result.goal
    if goal is None:
        yield "<p>No metric was named as the goal (--metric), so no trial is better than another.</p>"
    elif best is None:
        yield f"<p>No trial finished with a finite value of {_text(goal.metric)}: there is no best one.</p>"
    else:
        yield (
            f'<p class="best">Best {_text(goal.metric)} ({formatting.ordering(result)}): '
            f"<b>{formatting.figure(best.value)}</b> in trial {best.number}, with "
            f"<b>{_text(', '.join(f'{k} = {formatting.value(v, 200)}' for k, v in best.values.items()), 5000)}</b>. "
            f"Its run: {_run(best, link, full_id=True)}</p>"
        )


def _plot(plot: Picture) -> str:
    if plot.png is None:
        return f"<h2>{plot.title}</h2><p>Not drawn: {_text(plot.missing, REASON_ROOM)}.</p>"
    data = base64.b64encode(plot.png).decode("ascii")
    image = f'<div class="wide"><img alt="{plot.title}" src="data:image/png;base64,{data}"></div>'
    return f"<h2>{plot.title}</h2>{_quiet(plot.hint)}{image}"


def _best(result: SweepResult, link: Callable[[str], str]) -> Iterable[str]:
    goal, trials = result.goal, formatting.ranked(result)
    if goal is None:
        trials = [trial for trial in result.trials if trial.state in ("finished", "skipped")]
    if not trials:
        return
    shown = trials[:MAX_ROWS]
    some = f"{len(shown)} of {len(trials)}" if len(shown) < len(trials) else f"all {len(trials)}"
    others = sorted({name for t in trials for name in t.metrics} - ({goal.metric} if goal else set()))
    others.sort(
        key=lambda name: len({t.metrics.get(name) for t in trials}) == 1
    )  # metrics that are equal in all trials come last
    more = f", with {METRICS} of {len(others)} other metrics" if len(others) > METRICS else ""
    valued = f" with a finite value of {_text(goal.metric)}" if goal else ""
    yield f"<h2>Trials that finished, {'the best first' if goal else 'in the order of their numbers'}</h2>"
    yield _quiet(f"This table shows {some} trials that finished{valued}{more}.")
    names, others = formatting.swept(result.trials), others[:METRICS]
    head = ["trial", *([goal.metric] if goal else []), *names, *others, "time", "run"]
    # Numbers are aligned right; a parameter that is only sometimes a number is aligned like text.
    numeric = {n for n in names if all(isinstance(t.values.get(n, 0), int | float) for t in shown)}
    right = [True, *([True] if goal else []), *(n in numeric for n in names), *(True for _ in others), True, False]
    rows = []
    for trial in shown:
        cells = [str(trial.number), *([formatting.figure(trial.value)] if goal else [])]
        cells += [_text(formatting.value(trial.values[n], ROOM)) if n in trial.values else "" for n in names]
        cells += [formatting.figure(trial.metrics.get(n)) for n in others]
        rows.append([*cells, formatting.duration(trial.seconds), _run(trial, link)])
    yield _table(head, rows, right, first=goal is not None)


def _others(result: SweepResult, link: Callable[[str], str], title: str, states: Sequence[TrialState]) -> Iterable[str]:
    failed = [trial for trial in result.trials if trial.state in states]
    if not failed:
        return
    shown = failed[:MAX_FAILURES]
    some = f"the first {len(shown)} of {len(failed)}" if len(shown) < len(failed) else f"all {len(failed)}"
    yield f"<h2>Trials that {title}</h2>{_quiet(f'This table shows {some}.')}"
    rows = [
        [
            str(t.number),
            t.state,
            f'<div class="reason">{_text(t.reason or "-", REASON_ROOM)}</div>',
            f'<div class="reason">{_text(formatting.assigned(t.values), REASON_ROOM)}</div>',
            formatting.duration(t.seconds),
            _run(t, link),
        ]
        for t in shown
    ]
    head = ["trial", "state", "reason", "parameters", "time", "run"]
    yield _table(head, rows, [True, False, False, False, True, False])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool], *, first: bool = False) -> str:
    kinds = [' class="n"' if numeric else "" for numeric in right]
    top = "".join(f"<th{kind}>{_text(name)}</th>" for kind, name in zip(kinds, head, strict=True))
    lines = []
    for i, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))
        lines.append(f"<tr{' class=first' if first and i == 0 else ''}>{cells}</tr>")
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def _run(trial: Trial, link: Callable[[str], str], *, full_id: bool = False) -> str:
    if not trial.run_id:
        return "-"
    shown = html.escape(trial.run_id if full_id else trial.run_id[:8])
    return f'<a href="{html.escape(link(trial.run_id))}" title="{html.escape(trial.run_id)}"><code>{shown}</code></a>'


def _quiet(text: str) -> str:
    return f'<p class="quiet">{text}</p>'


def _text(text: str, room: int = ROOM) -> str:
    return html.escape(formatting.one_line(text, room))


FOLDER = "sweep"
"""Artifact folder on the parent run."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_log = logging.getLogger(__name__)


def write(result: SweepResult, store: Store) -> None:
    """Write tables, plots and a page to the parent run, under `sweep/`.

    Tables come first. A plot that fails is a warning and a note on the page. Raise TrackingError when the store does
    not accept the tables.
    """
    with tempfile.TemporaryDirectory(prefix="nbops-sweep-") as scratch:
        folder = Path(scratch)
        write_tables(result, folder)
        try:
            store.client.log_artifacts(result.run_id, scratch, FOLDER)
        except Exception as error:
            raise errors.TrackingError(
                f"the tables of sweep {result.run_id} were not kept: {errors.reason(error)}"
            ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="nbops-sweep-") as scratch:
            _write_page(result, store, Path(scratch))
            store.client.log_artifacts(result.run_id, scratch, FOLDER)
    except Exception as error:  # noqa: BLE001 - the sweep is done and its tables are kept
        _log.warning("no page of sweep %s: %s", result.run_id, errors.reason(error))


def write_tables(result: SweepResult, folder: Path) -> None:
    """Write `trials.csv` and `trials.json` with every trial."""
    with (folder / "trials.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        csv.writer(file).writerows(rows(result.trials))
    text = json.dumps(document(result), indent=1, default=str, allow_nan=False)
    (folder / "trials.json").write_text(text, "utf-8")


def rows(trials: Sequence[Trial]) -> list[list[object]]:
    """Return a header and a row for each trial; columns are named as in MLflow's tables."""
    names = formatting.swept(trials)
    metrics = sorted({name for trial in trials for name in trial.metrics})
    header = ["number", "state", *(f"params.{name}" for name in names), "value"]
    header += [*(f"metrics.{name}" for name in metrics), "run_id", "seconds", "reason"]
    table: list[list[object]] = [list(header)]
    for trial in trials:
        row = [trial.number, trial.state, *(trial.values.get(name) for name in names), trial.value]
        row += [*(trial.metrics.get(name) for name in metrics), trial.run_id, trial.seconds, trial.reason]
        table.append([_cell(value) for value in row])
    return table


def _cell(cell: object) -> object:
    """Return a table cell: JSON for containers; an apostrophe before formulas, which spreadsheets hide."""
    if isinstance(cell, Mapping | list | tuple):
        return json.dumps(cell, default=str)
    if not isinstance(cell, str) or cell.lstrip(" ")[:1] not in _FORMULA or _is_numeric(cell):
        return cell
    return f"'{cell}"


def _is_numeric(text: str) -> bool:
    """Return whether a text such as "-1.5" is a number, to a spreadsheet too."""
    try:
        float(text)
    except ValueError:
        return not text.strip(" ")
    return True


def document(result: SweepResult) -> dict[str, Any]:
    """Return the whole sweep as one JSON object; nan and infinity become null."""
    content: dict[str, Any] = {
        "run_id": result.run_id,
        "url": result.url,
        "status": result.status,
        "goal": None if result.goal is None else dict(vars(result.goal)),
        "total": result.total,
        "seconds": result.seconds,
        "counts": {state: result.count(state) for state in formatting.STATES},
        "best": None if result.best is None else result.best.number,
        "trials": [dict(vars(trial)) for trial in result.trials],
    }
    plain: dict[str, Any] = _finite(content)
    return plain


def _write_page(result: SweepResult, store: Store, folder: Path) -> None:
    run = store.client.get_run(result.run_id).info
    pictures = plots.draw_all(result)
    for name, picture in pictures.items():
        if picture.png is not None:
            (folder / f"{name}.png").write_bytes(picture.png)
    text = render(
        result, run.run_name or result.run_id, list(pictures.values()), lambda r: store.run_url(r, run.experiment_id)
    )
    (folder / "summary.html").write_text(text, "utf-8", errors="backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
