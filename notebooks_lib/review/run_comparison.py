"""Two runs beside each other: parameters, data, environment, commit, metrics, time and memory of cells. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notebooks_lib.notebooks.notebook_diff import NotebookDiff, compare_notebooks
from notebooks_lib.promotion.run_ranking import commit
from notebooks_lib.review.notebook_review import MetricChange, plain
from notebooks_lib.review.run_record import CellCost, RunRecord


@dataclass(frozen=True)
class Difference:
    """A name whose value differs between two runs; None for a run without it."""

    name: str
    base: str | None
    head: str | None


@dataclass(frozen=True)
class CostChange:
    """Time and memory of one cell in two runs."""

    base_cell: int
    head_cell: int
    name: str
    """Its id, or its first line."""
    base: CellCost
    head: CellCost

    @property
    def more_seconds(self) -> float:
        """How many seconds longer the cell took in the second run."""
        return (self.head.seconds or 0.0) - (self.base.seconds or 0.0)

    @property
    def more_memory_mb(self) -> float:
        """How much higher the kernel's peak memory was during the cell in the second run, in MiB."""
        return (self.head.peak_memory_mb or 0.0) - (self.base.peak_memory_mb or 0.0)


@dataclass(frozen=True)
class RunComparison:
    """The differences between two runs."""

    base: RunRecord
    head: RunRecord
    parameters: tuple[Difference, ...]
    data: tuple[Difference, ...]
    packages: tuple[Difference, ...]
    environment: str
    """Why the packages of differing environments are not known; else empty."""
    commit: tuple[Difference, ...]
    metrics: tuple[MetricChange, ...]
    """All of them, also equal ones."""
    costs: tuple[CostChange, ...]
    """Of all paired code cells, the largest difference in seconds first."""
    diff: NotebookDiff | None

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as plain values for JSON."""
        parts = ("parameters", "data", "packages", "commit", "metrics")
        return {
            "base": self.base.info.run_id,
            "head": self.head.info.run_id,
            **{part: plain(getattr(self, part)) for part in parts},
            "environment": self.environment or None,
            "cells": [{**vars(cost), "base": vars(cost.base), "head": vars(cost.head)} for cost in self.costs],
            "notebook": self.diff.as_json() if self.diff else None,
        }


def compare_runs(base: RunRecord, head: RunRecord, metrics: tuple[MetricChange, ...] = ()) -> RunComparison:
    """Return the differences between two runs, in what both have recorded.

    `metrics` is what `validation_gain.ModelComparer` finds: it takes longer, as it loads the models.
    """
    diff = compare_notebooks(base.notebook, head.notebook) if base.notebook and head.notebook else None
    packages = _differences(base.packages, head.packages) if base.packages and head.packages else ()
    return RunComparison(
        base=base,
        head=head,
        parameters=_differences(base.parameters, head.parameters),
        data=_differences(base.info.datasets, head.info.datasets),
        packages=packages,
        environment=_unknown_environment(base, head),
        commit=_differences({"commit": commit(base.info.tags)}, {"commit": commit(head.info.tags)}),
        metrics=metrics,
        costs=_costs(base, head, diff) if diff else (),
        diff=diff,
    )


def _unknown_environment(base: RunRecord, head: RunRecord) -> str:
    if base.lock == head.lock or (base.packages and head.packages):
        return ""
    without = [run for run in (base, head) if not run.packages]
    runs = " and ".join(run.info.run_id[:8] for run in without)
    locks = f"locks {base.lock[:8] or 'none'} and {head.lock[:8] or 'none'}"
    return f"another environment ({locks}); the lock of {runs} is not here"


def _differences(base: Mapping[str, str], head: Mapping[str, str]) -> tuple[Difference, ...]:
    names = sorted({*base, *head})
    return tuple(Difference(name, base.get(name), head.get(name)) for name in names if base.get(name) != head.get(name))


def _costs(base: RunRecord, head: RunRecord, diff: NotebookDiff) -> tuple[CostChange, ...]:
    costs = [
        CostChange(
            change.base.index,
            change.head.index,
            change.head.name,
            base.costs[change.base.index],
            head.costs[change.head.index],
        )
        for change in diff.cells
        if change.base and change.head and change.base.index in base.costs and change.head.index in head.costs
    ]
    return tuple(sorted(costs, key=lambda cost: (-abs(cost.more_seconds), -abs(cost.more_memory_mb))))
