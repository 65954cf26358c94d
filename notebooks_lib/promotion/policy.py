"""What the rules want, and how often a holdout may be asked: frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notebooks_lib.settings import Promotion

SHOWN_UP_TO = 10
"""The largest budget of uses with which estimates are shown. Who sees an estimate learns about the rows, and the next
challenger is chosen by what was learned; the correction for many uses does not count that."""


@dataclass(frozen=True)
class Uses:
    """How often the rows of a holdout have decided."""

    budget: int
    """How many uses these rows may have; each is tested at a share of the level."""
    number: int
    """Of this use, from 1."""

    @property
    def left(self) -> int:
        """Uses after this one."""
        return max(self.budget - self.number, 0)

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
        return {"budget": self.budget, "number": self.number, "left": self.left, "exhausted": self.exhausted}


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
    at: float | None = None
    """The level of this one question, where several share a use; else an equal share of alpha for each use."""

    @classmethod
    def of(cls, settings: Promotion, *, min_gain: float = 0.0) -> Policy:
        """As in [promotion] of the settings, with the `min_gain` of the question."""
        return cls(
            min_gain=min_gain,
            min_rows=settings.min_rows,
            require_clean=settings.require_clean,
            alpha=settings.alpha,
            uses=settings.holdout_uses,
            worthwhile_gain=settings.worthwhile_gain,
            power=settings.power,
            min_class_rows=settings.min_class_rows,
            min_differing=settings.min_differing,
            min_groups=settings.min_groups,
            max_share=settings.max_share,
            limits=settings.limits,
        )

    def level(self, uses: Uses | None) -> float:
        """At which one use is tested: an equal share of alpha for each (Bonferroni), unless `at` says it."""
        return self.at if self.at is not None else self.alpha / (uses.budget if uses else self.uses)
