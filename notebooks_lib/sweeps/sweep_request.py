"""The request for a sweep: what to run, where, how long, and towards which goal.

The parameters in a file are checked in `search_space`, against the notebook.

    notebook: ridge.ipynb           # from the file's own folder
    parameters: {dataset: diabetes@1}
    grid: {alpha: [0.01, 0.1, 1], seed: 1..5}       # this, or
    space: {alpha: "loguniform(1e-3, 10)", depth: {int: [2, 8]}}
    trials: 50                      # sampler, seed, metric, jobs, on, job, prune, timeout, cell_timeout,
    metric: rmse                    # experiment, name and fail_fast as on the command line
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.sweeps import executors, samplers_and_pruners
from notebooks_lib.sweeps.executors import ComputeTarget, TrialLimits
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.search_space import ParameterSpace, SearchSpace

if TYPE_CHECKING:
    from notebooks_lib.running.plan import NotebookPlanner


@dataclass(frozen=True)
class SweepRequest:
    """The request for one session of a sweep. Raise UsageError when it cannot be carried out."""

    source: NotebookPlanner
    domain: SearchSpace
    goal: Goal | None = None
    trials: int | None = None
    """For a space only: a grid runs all its combinations."""
    sampler: str = samplers_and_pruners.DEFAULT_SAMPLER
    seed: int | None = None
    prune: str | None = None
    jobs: int | None = 1
    """Parallel trials; None for as many as the executor has room for."""
    place: ComputeTarget[Any, Any] = executors.LOCAL
    """Where the trials run; `compute_targets.find_compute_target` reads it."""
    limits: TrialLimits = field(default_factory=TrialLimits)
    fail_fast: bool = False
    skip_seen: bool = False
    resume: str | None = None
    """The parent run to resume; empty for the newest sweep over the same values; None for a new sweep."""
    name: str | None = None

    def __post_init__(self) -> None:
        if self.prune is not None:
            samplers_and_pruners.parse_pruner(self.prune)
        if self.sampler not in samplers_and_pruners.SAMPLERS:
            own = ", ".join(samplers_and_pruners.SAMPLERS)
            raise errors.UsageError(f"--sampler {self.sampler} goes with --service; nbops' own are {own}")
        grid = isinstance(self.domain.swept, ParameterGrid)
        if self.learns and self.goal is None:
            option = "--prune" if grid else "--space"
            raise errors.UsageError(f"{option} needs a metric: give --metric NAME:min or NAME:max")
        if grid and self.trials is not None:
            raise errors.UsageError(
                f"--trials goes with --space: this grid has {self.total} combinations, and all of them are run"
            )
        if not grid and self.trials is None:
            raise errors.UsageError("a space has no end: give the number of trials with --trials")

    @property
    def learns(self) -> bool:
        """True if an Optuna study proposes or prunes trials, False if a plain grid is run."""
        return isinstance(self.domain.swept, ParameterSpace) or self.prune is not None

    @property
    def total(self) -> int:
        """The number of trials, including those of earlier sessions."""
        return self.domain.swept.size if isinstance(self.domain.swept, ParameterGrid) else self.trials or 0
