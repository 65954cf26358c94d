"""The metric that a sweep optimises, and its direction."""

from __future__ import annotations

from dataclasses import dataclass

from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.metric import Direction


@dataclass(frozen=True)
class Goal:
    """The metric that a sweep optimises, and its direction."""

    metric: str
    direction: Direction = "min"

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal for `rmse` or `cost:min`. Raise UsageError for a metric without a known direction."""
        return cls(*builtin.parse(text))

    def better(self, value: float, other: float) -> bool:
        """Return whether `value` is better than `other`."""
        return value < other if self.direction == "min" else value > other
