"""Takes times in turn, and shows them: medians with their range, ratios, Markdown tables. Pure but for the clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """What was measured of one thing, several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def range(self) -> str:
        """The smallest and the largest."""
        return f"{shown(min(self.values))}–{shown(max(self.values))}"

    def __truediv__(self, other: Spread) -> float:
        """How many times the other's median this one's is."""
        return self.median / other.median


@dataclass
class Rounds:
    """Measurements of several contestants, one of each per round: a noisy moment meets all of them."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Contestant -> why it has no figures. It is not tried again."""

    def round(self, contestants: Mapping[str, Callable[[], float]]) -> None:
        """One measurement of each. One that fails is missing, and the others go on."""
        for name, measure in contestants.items():
            if name in self.missing:
                continue
            try:
                self.taken.setdefault(name, []).append(measure())
            except Failed as error:
                self.missing[name] = str(error)

    @property
    def count(self) -> int:
        return max(map(len, self.taken.values()), default=0)

    def spread(self, name: str) -> Spread | None:
        """What was measured of a contestant; None when something is missing."""
        values = self.taken.get(name, ())
        return Spread(tuple(values)) if values and name not in self.missing else None


class Failed(Exception):
    """A contestant did not do what it was timed for: its time does not count."""


def shown(seconds: float) -> str:
    """Three figures, as a person reads them."""
    if seconds >= 99.95:
        return f"{seconds:.0f}"
    if seconds >= 9.995:
        return f"{seconds:.1f}"
    return f"{seconds:.2f}" if seconds >= 0.9995 else f"{seconds:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
