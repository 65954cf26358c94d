"""Takes times in turn, and shows them: medians with their range, ratios, Markdown tables. Pure but for the clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


class Failed(Exception):
    """A contestant did not do what it was measured for: its figure does not count."""


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
                self.taken.pop(name, None)
                self.missing[name] = str(error)

    @property
    def count(self) -> int:
        return max(map(len, self.taken.values()), default=0)

    def median(self, name: str) -> str:
        return shown(statistics.median(self.taken[name]))

    def range(self, name: str) -> str:
        """The smallest and the largest."""
        return f"{shown(min(self.taken[name]))}–{shown(max(self.taken[name]))}"

    def ratio(self, name: str, other: str) -> float | None:
        """How many times the other's figure this one's is: the median of the rounds, each taken by itself.

        What slows a machine down for a while slows both down. None when one of them is missing.
        """
        if name not in self.taken or other not in self.taken:
            return None
        return statistics.median(a / b for a, b in zip(self.taken[name], self.taken[other], strict=True))

    def rows(self, more: Callable[[str], Sequence[object]]) -> list[Sequence[object]]:
        """A row for each contestant: name, median, range, and what `more` says; or why it has no figures."""
        names = list(dict.fromkeys([*self.taken, *self.missing]))
        return [
            [name, f"**{self.missing[name]}**"]
            if name in self.missing
            else [name, self.median(name), self.range(name), *more(name)]
            for name in names
        ]


def shown(figure: float) -> str:
    """Three digits, as a person reads them."""
    if figure >= 99.95:
        return f"{figure:.0f}"
    if figure >= 9.995:
        return f"{figure:.1f}"
    return f"{figure:.2f}" if figure >= 0.9995 else f"{figure:.3f}"


def times(ratio: float | None) -> str:
    """A ratio, or nothing."""
    return "" if ratio is None else shown(ratio)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are right-aligned, and short rows are filled up."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    lines += [[*row, *[""] * (len(header) - len(row))] for row in rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
