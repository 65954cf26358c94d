"""The report of a sweep: tables, plots and one self-contained HTML page, written to the parent run.

`summary.html` is the page's template, for Jinja2 with every value escaped.
"""

from __future__ import annotations

import base64
import csv
import json
import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.run_result import TrialState
from notebooks_lib.sweeps import formatting, plots
from notebooks_lib.sweeps.plots import Picture
from notebooks_lib.sweeps.trials import SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import owned_run

if TYPE_CHECKING:
    from jinja2 import Template

    from notebooks_lib.tracking.store import Store

MAX_ROWS = 100
"""Rows of the table of finished trials."""
MAX_FAILURES = 100
METRICS = 6
"""Columns of metrics besides the goal."""
ROOM = 40
"""Characters of a swept value."""
REASON_ROOM = 300


@dataclass(frozen=True)
class _Table:
    """A table of trials on the page; the template adds a column with their runs."""

    columns: Sequence[tuple[str, str]]
    """Each name with its kind: number, text or reason."""
    rows: Sequence[tuple[Trial, Sequence[str]]]
    best_first: bool = False


def render(result: SweepResult, name: str, pictures: Sequence[Picture], link: Callable[[str], str]) -> str:
    """Return the HTML page. `link` returns the address of a run."""
    best = result.best
    best_values = [
        f"{k} = {formatting.format_value(v, 200)}" for k, v in (best.values.items() if best is not None else ())
    ]
    return _template().render(
        result=result,
        name=name,
        goal=result.goal,
        best=best,
        best_values=_text(", ".join(best_values), 5000),
        ended={"FINISHED": "finished", "FAILED": "failed", "KILLED": "was stopped"}[result.status],
        counts=formatting.format_counts(result),
        ordering=formatting.better_direction(result),
        pictures=pictures,
        tables=[
            _finished(result),
            _ended_early(result, "failed or were killed", ("failed", "killed")),
            _ended_early(result, "were pruned", ("pruned",)),
        ],
        address=link,
        base64=lambda png: base64.b64encode(png).decode("ascii"),
        duration=formatting.format_duration,
        figure=formatting.format_figure,
        text=_text,
    )


def _finished(result: SweepResult) -> tuple[str, str, _Table]:
    """Return the title, the note and the table of the trials that finished, the best first."""
    goal, trials = result.goal, formatting.ranked_trials(result)
    if goal is None:
        trials = [trial for trial in result.trials if trial.state in ("finished", "skipped")]
    shown = trials[:MAX_ROWS]
    some = f"{len(shown)} of {len(trials)}" if len(shown) < len(trials) else f"all {len(trials)}"
    others = sorted({name for t in trials for name in t.metrics} - ({goal.metric} if goal else set()))
    others.sort(
        key=lambda name: len({t.metrics.get(name) for t in trials}) == 1
    )  # metrics that are equal in all trials come last
    more = f", with {METRICS} of {len(others)} other metrics" if len(others) > METRICS else ""
    valued = f" with a finite value of {_text(goal.metric)}" if goal else ""
    names, others = formatting.swept_names(result.trials), others[:METRICS]
    # Numbers are aligned right; a parameter that is only sometimes a number is aligned like text.
    numeric = {n for n in names if all(isinstance(t.values.get(n, 0), int | float) for t in shown)}
    columns = [("trial", "number"), *([(goal.metric, "number")] if goal else [])]
    columns += [(name, "number" if name in numeric else "text") for name in names]
    columns += [*((name, "number") for name in others), ("time", "number")]
    rows = []
    for trial in shown:
        cells = [str(trial.number), *([formatting.format_figure(trial.value)] if goal else [])]
        cells += [_text(formatting.format_value(trial.values[n], ROOM)) if n in trial.values else "" for n in names]
        cells += [
            *(formatting.format_figure(trial.metrics.get(n)) for n in others),
            formatting.format_duration(trial.seconds),
        ]
        rows.append((trial, cells))
    title = f"finished, {'the best first' if goal else 'in the order of their numbers'}"
    note = f"This table shows {some} trials that finished{valued}{more}."
    return title, note, _Table(columns, rows, best_first=goal is not None)


def _ended_early(result: SweepResult, title: str, states: Sequence[TrialState]) -> tuple[str, str, _Table]:
    """Return the title, the note and the table of the trials in these states."""
    trials = [trial for trial in result.trials if trial.state in states]
    shown = trials[:MAX_FAILURES]
    some = f"the first {len(shown)} of {len(trials)}" if len(shown) < len(trials) else f"all {len(trials)}"
    columns = [
        ("trial", "number"),
        ("state", "text"),
        ("reason", "reason"),
        ("parameters", "reason"),
        ("time", "number"),
    ]
    rows = []
    for trial in shown:
        reason, values = (
            _text(trial.reason or "-", REASON_ROOM),
            _text(formatting.format_parameters(trial.values), REASON_ROOM),
        )
        rows.append(
            (trial, [str(trial.number), trial.state, reason, values, formatting.format_duration(trial.seconds)])
        )
    return title, f"This table shows {some}.", _Table(columns, rows)


def _text(text: str, room: int = ROOM) -> str:
    return formatting.one_line(text, room)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("summary.html")


FOLDER = "sweep"
"""Artifact folder on the parent run."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_log = logging.getLogger(__name__)


def write(result: SweepResult, store: Store) -> None:
    """Write tables, plots and an HTML page to the parent run, under `sweep/`.

    If a store overwrites no file, the report of a resumed sweep gets a folder of its own, which the run names.

    Tables come first. A plot that fails becomes a warning and a note on the page. Raise TrackingError when the store
    does not accept the tables.
    """
    with tempfile.TemporaryDirectory(prefix="nbops-sweep-") as scratch:
        folder = Path(scratch)
        write_tables(result, folder)
        try:
            place = _place(store, result.run_id)
            store.client.log_artifacts(result.run_id, scratch, place)
        except Exception as error:
            raise errors.TrackingError(
                f"the tables of sweep {result.run_id} were not kept: {errors.reason(error)}"
            ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="nbops-sweep-") as scratch:
            _write_page(result, store, Path(scratch))
            store.client.log_artifacts(result.run_id, scratch, place)
    except Exception as error:  # noqa: BLE001 - the sweep is done and its tables are kept
        _log.warning("no page of sweep %s: %s", result.run_id, errors.reason(error))


def _place(store: Store, run_id: str) -> str:
    """Return the folder for a report."""
    if store.overwrites or not owned_run.artifact_repository(store, run_id).list_artifacts(FOLDER):
        return FOLDER
    place = f"{owned_run.resumed_folder()}/{FOLDER}"
    store.client.set_tag(run_id, Tag.SWEEP_REPORT, place)
    return place


def write_tables(result: SweepResult, folder: Path) -> None:
    """Write `trials.csv` and `trials.json` with every trial."""
    with (folder / "trials.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        csv.writer(file).writerows(rows(result.trials))
    text = json.dumps(document(result), indent=1, default=str, allow_nan=False)
    (folder / "trials.json").write_text(text, "utf-8")


def rows(trials: Sequence[Trial]) -> list[list[object]]:
    """Return a header and a row for each trial; columns are named as in MLflow's tables."""
    names = formatting.swept_names(trials)
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
    """Return the whole sweep as one object for JSON, with null for nan and infinity."""
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
