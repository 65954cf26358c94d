"""What the rules require, and how often a holdout may be used: frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from notebooks_lib.settings.sections import ModelPolicy, Promotion

SHOWN_UP_TO = 10
"""The largest budget of uses with which estimates are shown. An estimate reveals something about the rows, and the next
challenger is chosen with that knowledge; the correction for many uses does not cover this.
"""

_WITHOUT_HOLDOUT = {
    "require_clean",
    "require_fingerprint",
    "max_size_mb",
    "max_latency_ms",
    "data_tests",
    "trust_champion_data",
    "power",
    "worthwhile_gain",
}


@dataclass(frozen=True)
class Uses:
    """How often the rows of a holdout have decided."""

    budget: int
    """Allowed uses of these rows; each is tested at an equal share of the level."""
    number: int
    """Number of this use, from 1."""
    asked: str = ""
    """When the same question was answered before; then this is the stored answer, and nothing was spent."""
    spent: int | None = None
    """Uses spent so far, including this one; None means as many as its number."""

    @property
    def left(self) -> int:
        """Return the uses that remain after this one."""
        return max(self.budget - (self.number if self.spent is None else self.spent), 0)

    @property
    def exhausted(self) -> bool:
        """Whether this use exceeds the budget."""
        return self.number > self.budget

    @property
    def show_estimate(self) -> bool:
        """Whether figures of the holdout may be shown beside the answer."""
        return self.budget <= SHOWN_UP_TO

    def as_json(self) -> dict[str, Any]:
        """Return plain values for the record of a decision."""
        return {
            "budget": self.budget,
            "number": self.number,
            "left": self.left,
            "exhausted": self.exhausted,
            "asked": self.asked or None,
        }


@dataclass(frozen=True)
class Policy:
    """What the rules require. Fields named as in `ModelPolicy` come from the settings."""

    min_gain: float = 0.0
    """Gain that the challenger must exceed, in units of the metric."""
    min_rows: int = 30
    require_clean: bool = False
    alpha: float = 0.05
    """Chance of any false promotion by one holdout, over all of its uses."""
    uses: int = 10
    """Budget of a holdout; a budget that comes with the evidence takes precedence."""
    worthwhile_gain: float | None = None
    """A gain worth a promotion, for which the needed rows are computed; None when not set."""
    power: float = 0.8
    """Chance of finding the detectable gain."""
    min_class_rows: int = 20
    """Fewest rows of the rarest class."""
    min_differing: int = 10
    """Fewest rows on which two classifiers differ."""
    min_groups: float = 20.0
    """Fewest groups, counted as groups of equal size."""
    max_share: float = 0.25
    """Largest share of the squared influence that a single row may carry."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Metric -> the worst value that a challenger may have on the holdout."""
    not_worse: Mapping[str, float] = field(default_factory=dict)
    """Metric -> by how much a challenger may be worse than the champion."""
    slices: tuple[str, ...] = ()
    """Columns by which the holdout is sliced."""
    slice_margin: float | None = None
    """By how much a challenger may be worse in its worst slice; None: slices are shown but not judged."""
    min_slice_rows: int = 30
    """Smaller slices are not judged."""
    max_size_mb: float | None = None
    max_latency_ms: float | None = None
    """Longest time that 95 % of single-row predictions may take."""
    require_fingerprint: bool = False
    """Whether commit and parameters must reproduce the run's fingerprint."""
    data_tests: bool = True
    """Whether the holdout must look like the training rows."""
    trust_champion_data: bool = False
    """Whether a champion whose training rows are unknown counts as having seen no holdout row."""
    at: float | None = None
    """Level of this one question, where several share a use; None: an equal share of alpha for each use."""

    @classmethod
    def of(cls, project: Promotion, model: str, *, min_gain: float = 0.0) -> Policy:
        """Return the policy of [promotion], overridden by [promotion.models.MODEL], with the `min_gain` of the
        question.
        """
        own = project.of(model)
        shared = {name: getattr(own, name) for name in ModelPolicy.model_fields}
        return cls(min_gain=min_gain, alpha=own.alpha, uses=own.holdout_uses, **shared)

    def question(self) -> dict[str, Any]:
        """Return the part of the policy that belongs to a question to the holdout: all that needs holdout rows."""
        return {key: value for key, value in asdict(self).items() if key not in _WITHOUT_HOLDOUT}

    def level(self, uses: Uses | None) -> float:
        """Return the level of one use: `at` when it is set, else an equal share of alpha (Bonferroni)."""
        return self.at if self.at is not None else self.alpha / (uses.budget if uses else self.uses)
