"""What the rules want, and how often a holdout may be asked: frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from notebooks_lib.settings.sections import ModelPolicy, Promotion

SHOWN_UP_TO = 10
"""The largest budget of uses with which estimates are shown. Who sees an estimate learns about the rows, and the next
challenger is chosen by what was learned; the correction for many uses does not count that."""

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
    """How many uses these rows may have; each is tested at a share of the level."""
    number: int
    """Of this use, from 1."""
    asked: str = ""
    """When the same question was answered before: then this is that answer, and nothing was spent."""
    spent: int | None = None
    """Uses so far, this one among them when it was spent; as many as its number unless it is said."""

    @property
    def left(self) -> int:
        """Uses after this one."""
        return max(self.budget - (self.number if self.spent is None else self.spent), 0)

    @property
    def exhausted(self) -> bool:
        """This use is one too many."""
        return self.number > self.budget

    @property
    def show_estimate(self) -> bool:
        """Whether figures of the holdout may be shown, beside the answer."""
        return self.budget <= SHOWN_UP_TO

    def as_json(self) -> dict[str, Any]:
        """For the record of a decision."""
        return {
            "budget": self.budget,
            "number": self.number,
            "left": self.left,
            "exhausted": self.exhausted,
            "asked": self.asked or None,
        }


@dataclass(frozen=True)
class Policy:
    """What the rules want."""

    min_gain: float = 0.0
    """The challenger must be better by more than this, in units of the metric."""
    min_rows: int = 30
    require_clean: bool = False
    alpha: float = 0.05
    """Chance of any false promotion by one holdout, in all of its uses together."""
    uses: int = 10
    """The budget of a holdout; one that comes with the evidence holds instead."""
    worthwhile_gain: float | None = None
    """A gain that would be worth a promotion: what "rows needed" is computed for; None when nobody said."""
    power: float = 0.8
    """Chance of finding the detectable gain."""
    min_class_rows: int = 20
    """Of the rarer class."""
    min_differing: int = 10
    """Rows on which two classifiers differ."""
    min_groups: float = 20.0
    """Groups of equal size that would say as much."""
    max_share: float = 0.25
    """Of the squared influence, what a single row may carry."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Metric -> the worst that a challenger may have on the holdout."""
    not_worse: Mapping[str, float] = field(default_factory=dict)
    """Metric -> by how much a challenger may be worse than the champion in it."""
    slices: tuple[str, ...] = ()
    """Columns by which the holdout is cut."""
    slice_margin: float | None = None
    """By how much a challenger may be worse in the worst slice; None: slices are shown and not judged."""
    min_slice_rows: int = 30
    """Smaller slices are not judged."""
    max_size_mb: float | None = None
    max_latency_ms: float | None = None
    """For one row, 95 % of the time."""
    require_fingerprint: bool = False
    """The run's fingerprint must come out again from its commit and parameters."""
    data_tests: bool = True
    """The holdout must look like train."""
    trust_champion_data: bool = False
    """A champion whose training rows are not known has seen no holdout row."""
    at: float | None = None
    """The level of this one question, where several share a use; else an equal share of alpha for each use."""

    @classmethod
    def of(cls, project: Promotion, model: str, *, min_gain: float = 0.0) -> Policy:
        """As in [promotion] and, over it, [promotion.models.MODEL], with the `min_gain` of the question."""
        own = project.of(model)
        shared = {name: getattr(own, name) for name in ModelPolicy.model_fields}
        return cls(min_gain=min_gain, alpha=own.alpha, uses=own.holdout_uses, **shared)

    def question(self) -> dict[str, Any]:
        """What of it is part of the question to a holdout: all but what is answered without one."""
        return {key: value for key, value in asdict(self).items() if key not in _WITHOUT_HOLDOUT}

    def level(self, uses: Uses | None) -> float:
        """At which one use is tested: an equal share of alpha for each (Bonferroni), unless `at` says it."""
        return self.at if self.at is not None else self.alpha / (uses.budget if uses else self.uses)
