"""What remains of a sweep: tables, plots and a page on its parent run, and a few lines for the terminal."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.records import SweepResult, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.sweeps.page import Plot
    from notebooks_lib.tracking.store import Store

FOLDER = "sweep"
"""Of the artifacts, on the parent run."""
DPI = 110
BEST = 5
"""Trials in the summary."""
REASONS = 3
WIDTH = 120

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_log = logging.getLogger(__name__)


def write(result: SweepResult, store: Store) -> None:
    """Put tables, plots and a page that explains them on the parent run, under `sweep/`.

    The tables are there before anything is drawn; a plot that cannot be drawn is a warning, and a word on the page.
    Raises TrackingError when the store does not take the tables.
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
    """`trials.csv` and `trials.json`, with every trial."""
    with (folder / "trials.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        csv.writer(file).writerows(rows(result.trials))
    text = json.dumps(document(result), indent=1, default=str, allow_nan=False)
    (folder / "trials.json").write_text(text, "utf-8")


def rows(trials: Sequence[Trial]) -> list[list[object]]:
    """A header and a row for each trial; parameters and metrics are named as MLflow names them in its tables."""
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
    """What stands in the table: JSON of what has parts; before a formula an apostrophe, which spreadsheets hide."""
    if isinstance(cell, Mapping | list | tuple):
        return json.dumps(cell, default=str)
    if not isinstance(cell, str) or cell.lstrip(" ")[:1] not in _FORMULA or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(text: str) -> bool:
    """Whether a text such as "-1.5" is a number, which is what it means in a spreadsheet, too."""
    try:
        float(text)
    except ValueError:
        return not text.strip(" ")
    return True


def document(result: SweepResult) -> dict[str, Any]:
    """The whole sweep as one JSON object; what JSON has no word for, nan and infinity, is null."""
    found: dict[str, Any] = {
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
    plain: dict[str, Any] = _finite(found)
    return plain


def summary(result: SweepResult, width: int = WIDTH) -> str:
    """The best trials in a table of `width` columns, what became of the others, and why some failed."""
    done = formatting.ranked(result)
    trials, took = f"{len(result.trials)} of {result.total} trials", formatting.duration(result.seconds)
    lines = [f"{trials} in {took}: {formatting.counts(result)}"]
    if done:
        lines += _table(done[:BEST], result, width)
    elif result.goal is not None:
        lines.append(f"no trial finished with a finite value of {formatting.one_line(result.goal.metric, 40)}")
    else:
        lines.append(f"no metric is the goal (--metric), so none is the best; all: artifact {FOLDER}/summary.html")
    failed = [trial for trial in result.trials if trial.state in ("failed", "killed")]
    reasons = Counter(formatting.one_line(f"{t.state}: {t.reason or 'no reason is known'}", width - 9) for t in failed)
    lines += [f"{f'{number} x':>7}  {reason}" for reason, number in reasons.most_common(REASONS)]
    if len(reasons) > REASONS:
        lines.append(f"{'':>7}  and {len(reasons) - REASONS} other reasons: artifact {FOLDER}/summary.html of the run")
    return "\n".join(lines)


def _table(best: Sequence[Trial], result: SweepResult, width: int) -> list[str]:
    metric = formatting.one_line(result.goal.metric if result.goal else "", 20)
    table = [("trial", metric, "time", "run")]
    table += [
        (str(t.number), formatting.figure(t.value), formatting.duration(t.seconds), t.run_id or "-") for t in best
    ]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    room = max(width - sum(widths) - 8, 20)
    values = ["parameters", *(formatting.assigned(trial.values, room) for trial in best)]
    wide = max(map(len, values))
    return [
        f"{number:>{widths[0]}}  {value:>{widths[1]}}  {time:>{widths[2]}}  {text:<{wide}}  {run}".rstrip()
        for (number, value, time, run), text in zip(table, values, strict=True)
    ]


def _write_page(result: SweepResult, store: Store, folder: Path) -> None:
    from notebooks_lib.sweeps import page

    run = store.client.get_run(result.run_id).info
    pictures = _plots(result)
    for name, picture in pictures.items():
        if picture.png is not None:
            (folder / f"{name}.png").write_bytes(picture.png)
    text = page.render(
        result, run.run_name or result.run_id, list(pictures.values()), lambda r: store.run_url(r, run.experiment_id)
    )
    (folder / "summary.html").write_text(text, "utf-8", errors="backslashreplace")


def _plots(result: SweepResult) -> dict[str, Plot]:
    from notebooks_lib.sweeps import plots
    from notebooks_lib.sweeps.page import Plot

    wanted: tuple[tuple[str, Callable[[SweepResult], Figure], str, str], ...] = (
        (
            "optimisation_history",
            plots.optimisation_history,
            "How the best was found",
            "The value of each trial, in the order in which trials were proposed. In a search: if the red line still "
            "falls or rises at the end, more trials may find better ones.",
        ),
        (
            "parallel_coordinates",
            plots.parallel_coordinates,
            "What goes with good values",
            "Each line is a trial: it crosses every axis at that parameter's value and ends at the trial's result. "
            "Where the dark lines meet, values are good. Many trials with one value are drawn side by side, as a band.",
        ),
    )
    missing = plots.why_not(result)
    drawn = {}
    for name, draw, title, hint in wanted:
        png, why = None, missing
        if not missing:
            try:
                png = _png(draw(result))
            except Exception as error:  # noqa: BLE001 - whatever the values make matplotlib raise: a plot is an extra
                why = f"{type(error).__name__}: {errors.reason(error)}"
                _log.warning("no plot %s of sweep %s: %s", name, result.run_id, why)
        drawn[name] = Plot(title, hint, png, why)
    return drawn


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI)
    return target.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
