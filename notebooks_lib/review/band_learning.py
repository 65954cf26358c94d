"""Learn the bands of a notebook's metrics from runs of it, and write their file. All or nothing."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.review import metric_bands
from notebooks_lib.review.imported_packages import used_packages
from notebooks_lib.review.metric_bands import ABSOLUTE, RELATIVE, MetricBand, MetricBands
from notebooks_lib.review.repeated_runs import RepeatedNotebook, first_failed, unsteady_cells
from notebooks_lib.run_result import RunResult, finite


@dataclass(frozen=True)
class BandLearning:
    """The result of learning the bands of a notebook's metrics."""

    file: Path
    before: MetricBands | None
    """The bands that the file held; None if there was no file."""
    bands: MetricBands | None
    """What the file holds now; None if a run failed or something spoke against it: the file is unchanged."""
    runs: tuple[RunResult, ...]
    problems: tuple[str, ...] = ()
    """Why nothing was written although every run finished."""
    unsettled: tuple[str, ...] = ()
    """Metrics that differ between two runs of one seed."""

    @property
    def failed(self) -> RunResult | None:
        """The first run that did not finish; None if all did."""
        return first_failed(self.runs)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops verify --learn --json` prints."""
        return {
            "status": "learned" if self.bands else "failed" if self.failed else "not learned",
            "bands": str(self.file),
            "metrics": _in_json(self.bands),
            "before": _in_json(self.before),
            "problems": list(self.problems),
            "unsteady": list(self.bands.unsteady) if self.bands else [],
            "unsettled": list(self.unsettled),
            "runs": [run.as_json() for run in self.runs],
        }


def learn_bands(notebook: RepeatedNotebook, *, repeats: int) -> BandLearning:
    """Run the notebook `repeats` times, with different seeds if it has the parameter `seed`, and write its bands.

    A band is the interval in which a metric is expected. The first seed is run once more, because only equal runs show
    which cells are unsteady. Raises UsageError, before anything is run, when the file cannot be written or `seed` does
    not allow enough values.
    """
    file = metric_bands.bands_file(notebook.planner.notebook.path)
    before = metric_bands.read_bands(file)
    _refuse_unwritable(file)
    if notebook.seeds and len(notebook.seeds) <= repeats:
        raise errors.UsageError(
            f"{file.stem.removesuffix('.bands')}: its parameter `seed` allows {len(notebook.seeds)} values, "
            f"{repeats + 1} are needed (one is for verifying): allow more, or learn from fewer runs with --repeats"
        )
    source = notebook.source_fingerprint
    runs = notebook.run([0, *range(repeats)] if notebook.seeds else [0] * repeats, purpose="learn")
    if runs[-1].status != "FINISHED":
        return BandLearning(file, before, None, runs)
    equal, counted = (runs[:2], runs[1:]) if notebook.seeds else (runs, runs)
    metrics = [metric_bands.banded(run.metrics) for run in counted]
    problems = find_problems(metrics)
    if notebook.source_fingerprint != source:
        problems.append("a module that the notebook imports was changed meanwhile: learn again")
    if problems:
        return BandLearning(file, before, None, runs, tuple(problems))
    memory = [run.peak_memory_mb for run in counted if run.peak_memory_mb is not None]
    bands = MetricBands(
        source=source,
        metrics={name: MetricBand.of([values[name] for values in metrics]) for name in sorted(metrics[0])},
        datasets=notebook.datasets(runs[-1]),
        versions=used_packages(notebook.planner.notebook, notebook.planner.settings.root),
        seconds=statistics.fmean(run.seconds for run in counted),
        peak_memory_mb=max(memory, default=None),
        unsteady=unsteady_cells(equal),
    )
    metric_bands.write_bands(file, bands)
    unsettled = _differing(runs[0].metrics, runs[1].metrics) if notebook.seeds else ()
    return BandLearning(file, before, bands, runs, unsettled=unsettled)


def find_problems(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return a line for each metric that is not a finite number in every run, or one line if no metric was logged."""
    names = sorted({name for metrics in runs for name in metrics})
    problems = [] if names else ["no run logged a metric, so there is nothing to learn: log one in the notebook"]
    for name in names:
        values = [metrics[name] for metrics in runs if name in metrics]
        wrong = sum(not finite(value) for value in values)
        if len(values) < len(runs):
            problems.append(f"{name}: logged in {len(values)} of {len(runs)} runs: log it in every run, or in none")
        elif wrong:
            problems.append(f"{name}: no finite number in {wrong} of {len(runs)} runs: log a number in every run")
    return problems


def _in_json(bands: MetricBands | None) -> dict[str, Any] | None:
    return {name: dict(vars(band)) for name, band in sorted(bands.metrics.items())} if bands else None


def _differing(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[str, ...]:
    names = sorted(metric_bands.banded(first).keys() & metric_bands.banded(second).keys())
    return tuple(
        name for name in names if not math.isclose(first[name], second[name], rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    )


def _refuse_unwritable(file: Path) -> None:
    """Raise UsageError where the file could not be written, before minutes are spent on runs."""
    try:
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise errors.UsageError(
            f"{file.parent} cannot be written ({error.strerror}), so the bands have no place: make the folder writable"
        ) from error
