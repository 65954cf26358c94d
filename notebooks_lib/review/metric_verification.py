"""The verdict on a notebook that was run again: is each of its metrics where its bands say that it would be?"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from notebooks_lib import errors
from notebooks_lib.review import metric_bands
from notebooks_lib.review.metric_bands import MetricBands
from notebooks_lib.review.repeated_runs import RepeatedNotebook, first_failed
from notebooks_lib.run_result import RunResult, finite

MetricOutcome = Literal["inside", "outside", "missing", "new", "not finite"]
"""All but "inside" fail. `missing`: it was learned and a run did not log it; `new`: the other way round."""
VerificationStatus = Literal["verified", "outside", "failed", "stale"]
"""`failed`: a run did not finish; `stale`: the bands are of another source, so nothing was run."""


@dataclass(frozen=True)
class MetricVerdict:
    """The verdict on one metric, with its band; None where there is no such number."""

    name: str
    outcome: MetricOutcome
    value: float | None = None
    """The mean of the runs."""
    lower: float | None = None
    upper: float | None = None
    mean: float | None = None
    spread: float | None = None


@dataclass(frozen=True)
class Verification:
    """The result of a verification: the runs, the verdicts on the metrics, and what may explain a difference."""

    file: Path
    bands: MetricBands
    source: str
    """The source fingerprint of the notebook as it is now."""
    runs: tuple[RunResult, ...] = ()
    seeds: tuple[int, ...] = ()
    verdicts: tuple[MetricVerdict, ...] = ()
    notes: tuple[str, ...] = ()
    """What may explain a difference, and what time and memory were."""

    @property
    def failed(self) -> RunResult | None:
        """The first run that did not finish; None if all did."""
        return first_failed(self.runs)

    @property
    def status(self) -> VerificationStatus:
        """The result in one word. All but "verified" fail."""
        if self.bands.source != self.source:
            return "stale"
        if self.failed:
            return "failed"
        return "verified" if all(verdict.outcome == "inside" for verdict in self.verdicts) else "outside"

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops verify --json` prints."""
        return {
            "status": self.status,
            "bands": str(self.file),
            "metrics": [_in_json(vars(verdict)) for verdict in self.verdicts],
            "seeds": list(self.seeds),
            "notes": list(self.notes),
            "unsteady": list(self.bands.unsteady),
            "runs": [run.as_json() for run in self.runs],
        }


def verify_notebook(notebook: RepeatedNotebook, *, runs: int, day: int) -> Verification:
    """Run the notebook `runs` times with seeds that its bands were not learned from, and return the verdicts.

    The seeds depend on `day`: verifying twice on one day uses the same seeds, the next day uses others. When the
    notebook has changed since its bands were learned, it is not run. Raises UsageError when it has no bands, or when
    its parameter `seed` does not allow enough other values.
    """
    file = metric_bands.bands_file(notebook.planner.notebook.path)
    bands = metric_bands.read_bands(file)
    if bands is None:
        raise errors.UsageError(f"{file}: no such file: learn the bands first, with `nbops verify NOTEBOOK --learn`")
    source = notebook.source_fingerprint
    if bands.source != source:
        return Verification(file, bands, source)
    places = _places(notebook, bands, runs, day)
    results = notebook.run(places, purpose="verify")
    seeds = tuple(notebook.seeds[place] for place in places[: len(results)]) if notebook.seeds else ()
    notes = [*_changed_versions(bands), *_changed_datasets(bands, notebook.datasets(results[0]))]
    if results[-1].status != "FINISHED":
        return Verification(file, bands, source, results, seeds, notes=tuple(notes))
    verdicts = judge_metrics(bands, [metric_bands.banded(result.metrics) for result in results])
    return Verification(file, bands, source, results, seeds, verdicts, (*notes, _cost(bands, results)))


def judge_metrics(bands: MetricBands, runs: Sequence[Mapping[str, float]]) -> tuple[MetricVerdict, ...]:
    """Compare the mean of each metric over `runs` with its band; return the verdicts sorted by metric name.

    A metric that has no band, or that a run did not log, gets a verdict too.
    """
    names = sorted({*bands.metrics, *(name for metrics in runs for name in metrics)})
    return tuple(
        _judge(name, bands, [metrics[name] for metrics in runs if name in metrics], len(runs)) for name in names
    )


def _judge(name: str, bands: MetricBands, values: Sequence[float], runs: int) -> MetricVerdict:
    value = statistics.fmean(values) if values and all(map(finite, values)) else None
    band = bands.metrics.get(name)
    if band is None:
        return MetricVerdict(name, "new", value)
    lower, upper = bands.bounds(name, runs=runs)
    outcome: MetricOutcome = "outside"
    if len(values) < runs:
        outcome = "missing"
    elif value is None:
        outcome = "not finite"
    elif lower <= value <= upper:
        outcome = "inside"
    return MetricVerdict(name, outcome, value, lower, upper, band.mean, band.spread)


def _places(notebook: RepeatedNotebook, bands: MetricBands, runs: int, day: int) -> list[int]:
    """Return the places of the seeds to run: never a learned one, which would not be one more run."""
    if not notebook.seeds:
        return [0] * runs
    spare = range(bands.number, len(notebook.seeds))
    if len(spare) < runs:
        raise errors.UsageError(
            f"{notebook.planner.notebook.path.name}: its parameter `seed` allows {len(spare)} values beside those that "
            f"were learned, {runs} are needed: allow more, or verify with fewer runs"
        )
    return [spare[(day * runs + run) % len(spare)] for run in range(runs)]


def _changed_versions(bands: MetricBands) -> Iterator[str]:
    for name, learned in bands.versions.items():
        here = _installed(name)
        if here != learned:
            yield f"{name} {here or 'is not installed'} here, {learned} when learned"


def _installed(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _changed_datasets(bands: MetricBands, used: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*bands.datasets, *used}):
        learned, now = bands.datasets.get(name, "not used"), used.get(name, "not used")
        if learned != now:
            yield f"dataset {name}: {_short(now)} here, {_short(learned)} when learned"


def _short(tag: str) -> str:
    ref, mark, fingerprint = tag.partition("#")
    return ref + mark + fingerprint[:8]


def _cost(bands: MetricBands, runs: Sequence[RunResult]) -> str:
    cost = f"{statistics.fmean(run.seconds for run in runs):.1f} s a run, {bands.seconds:.1f} s when learned"
    memory = [run.peak_memory_mb for run in runs if run.peak_memory_mb is not None]
    if memory and bands.peak_memory_mb is not None:
        cost += f"; at most {max(memory):.0f} MB of memory, {bands.peak_memory_mb:.0f} MB when learned"
    return cost


def _in_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with null for infinity, which JSON does not have."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in content.items()
    }
