"""What is asked of a sweep, and what may be wrong with it. It imports nothing heavy: a usage error comes in a blink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from notebooks_lib import errors
from notebooks_lib.running.plan import Source
from notebooks_lib.sweeps import executors
from notebooks_lib.sweeps.records import Goal
from notebooks_lib.sweeps.search_space import Domain, Grid, Space
from notebooks_lib.sweeps.sweepfile import Sampler, pruning


@dataclass(frozen=True)
class Limits:
    """What holds for each trial."""

    timeout: float | None = None
    """Seconds, as `cell_timeout`."""
    cell_timeout: float | None = None
    kernel: str | None = None
    cold: bool = False
    """An ordinary kernel, although a warm one could be had."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to what its kernel is told."""


@dataclass(frozen=True)
class Request:
    """One session of a sweep. Making one raises UsageError when it cannot be carried out."""

    source: Source
    domain: Domain
    goal: Goal | None = None
    trials: int | None = None
    """Of a space; a grid has as many as it has combinations."""
    sampler: Sampler = "tpe"
    seed: int | None = None
    prune: str | None = None
    jobs: int | None = 1
    """Trials at once; None for as many as the place has room for."""
    on: str = executors.LOCAL
    limits: Limits = field(default_factory=Limits)
    fail_fast: bool = False
    skip_seen: bool = False
    resume: str | None = None
    """The parent run to go on with; empty for the newest over the same values; None for a new sweep."""
    name: str | None = None

    def __post_init__(self) -> None:
        executors.check(self.on)
        if self.prune is not None:
            pruning(self.prune)
        grid = isinstance(self.domain.swept, Grid)
        if self.learns and self.goal is None:
            what = "--prune" if grid else "--space"
            raise errors.UsageError(f"{what} needs to know what is looked for: say --metric NAME:min or NAME:max")
        if grid and self.trials is not None:
            raise errors.UsageError(
                f"--trials goes with --space: this grid has {self.total} combinations, and all of them are run"
            )
        if not grid and self.trials is None:
            raise errors.UsageError("a space has no end of its own: say how many trials with --trials")

    @property
    def learns(self) -> bool:
        """Whether a study proposes or prunes; else the trials are those of a grid."""
        return isinstance(self.domain.swept, Space) or self.prune is not None

    @property
    def total(self) -> int:
        """How many trials the sweep has, those of earlier sessions included."""
        return self.domain.swept.size if isinstance(self.domain.swept, Grid) else self.trials or 0
