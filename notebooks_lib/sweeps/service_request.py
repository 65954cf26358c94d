"""The request for a sweep whose trials Azure ML proposes. All that the service would refuse is refused here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.azure.jobs import sweep_job
from notebooks_lib.azure.project_files import compute_names
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.sweeps import samplers_and_pruners, service_search_space
from notebooks_lib.sweeps.executors import TrialLimits
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace, ParameterGrid
from notebooks_lib.sweeps.search_space import SearchSpace
from notebooks_lib.sweeps.service_search_space import ServiceParameter
from notebooks_lib.sweeps.service_trial import SweptParameters


@dataclass(frozen=True)
class ServiceSweepRequest:
    """The request for one sweep job of Azure ML, or to come back to one. Raises UsageError if it cannot be one."""

    source: NotebookPlanner
    domain: SearchSpace
    goal: Goal
    on: str
    """The compute, as `--on` names it."""
    job_file: Path | None = None
    """None for production/azure/job.yml."""
    trials: int | None = None
    """For a space only: a grid runs all its combinations."""
    sampler: str | None = None
    """One of `SERVICE_SAMPLERS`, for a space only."""
    seed: int | None = None
    prune: str | None = None
    jobs: int | None = None
    """Parallel trials; None for as many as the compute has room for."""
    limits: TrialLimits = field(default_factory=TrialLimits)
    sweep_timeout: float | None = None
    """Seconds for the whole sweep."""
    resume: str | None = None
    """The sweep to come back to; empty for the newest over the same values; None for a new one."""
    name: str | None = None

    def __post_init__(self) -> None:
        compute_names.compute_name(self.on)
        self._check_numbers()
        if self.prune is not None:
            samplers_and_pruners.parse_service_pruner(self.prune)
        if self.sampling == "bayesian" and self.prune is not None:
            raise errors.UsageError(
                "--prune with --sampler bayesian: the service does not end trials of that sampler early; leave --prune"
                " out, or take --sampler random"
            )
        if self.sampling == "bayesian" and self.seed is not None:
            raise errors.UsageError("--seed with --sampler bayesian: the service takes none; leave it out")
        if self.seed is not None and self.seed > sweep_job.LARGEST_SEED:
            raise errors.UsageError(f"--seed {self.seed}: the service takes one up to {sweep_job.LARGEST_SEED}")
        try:
            assert self.parameters
        except InvalidSearchSpace as problem:
            raise errors.UsageError(f"the service cannot draw these values: {problem}") from None
        try:
            equal = self.swept.search_space(self.source.schema).swept == self.domain.swept
        except errors.ParameterError:
            equal = False
        if not equal:
            raise errors.UsageError("these values cannot be sent to a trial: they are not equal once they are written")

    def _check_numbers(self) -> None:
        if isinstance(self.domain.swept, ParameterGrid) and self.trials is not None:
            raise errors.UsageError(
                f"--trials goes with --space: this grid has {self.total} combinations, and all of them are run"
            )
        if not self.total:
            raise errors.UsageError("a space has no end: give the number of trials with --trials")
        if self.total > sweep_job.MAX_TRIALS:
            raise errors.UsageError(
                f"{self.total:,} trials: the service runs at most {sweep_job.MAX_TRIALS:,} in one sweep; take fewer"
            )
        if self.jobs is not None and self.jobs > self.total:
            raise errors.UsageError(
                f"--jobs {self.jobs} are more trials at once than the {self.total} in all: give {self.total} or fewer"
            )
        if (seconds := self.sweep_timeout) is not None and not sweep_job.LEAST_SECONDS <= seconds < math.inf:
            raise errors.UsageError(
                f"--sweep-timeout {seconds:g}: the service treats less than {sweep_job.LEAST_SECONDS} seconds as 60"
                f" days; give {sweep_job.LEAST_SECONDS} or more"
            )

    @property
    def total(self) -> int:
        """The number of trials."""
        return self.domain.swept.size if isinstance(self.domain.swept, ParameterGrid) else self.trials or 0

    @property
    def sampling(self) -> str:
        """How the service draws: grid, or one of `SERVICE_SAMPLERS`."""
        grid = isinstance(self.domain.swept, ParameterGrid)
        return "grid" if grid else self.sampler or samplers_and_pruners.SERVICE_DEFAULT_SAMPLER

    @cached_property
    def parameters(self) -> Mapping[str, ServiceParameter]:
        """The swept parameters as the service draws them."""
        return service_search_space.translate(self.domain.swept, bayesian=self.sampling == "bayesian")

    @property
    def swept(self) -> SweptParameters:
        """What is sent to each trial."""
        return SweptParameters.of(self.domain.swept)
