"""Owns the trials of a grid that nothing prunes. It needs no Optuna and keeps no file."""

from __future__ import annotations

from collections.abc import Collection

from notebooks_lib.records import TrialState
from notebooks_lib.sweeps.records import Proposal
from notebooks_lib.sweeps.search_space import Grid


class GridProposals:
    """Each combination of a grid once, in its order; a trial's number is that of its combination.

    `done` are the numbers that an earlier session has brought to an end: they are not proposed again.
    """

    def __init__(self, grid: Grid, done: Collection[int] = ()) -> None:
        self._grid = grid
        self._done = frozenset(done)
        self._next = 0
        self.total = grid.size

    def ask(self) -> Proposal | None:
        """The next combination that is not done; None after the last."""
        while self._next < self.total:
            number, self._next = self._next, self._next + 1
            if number not in self._done:
                return Proposal(number, self._grid.at(number))
        return None

    def report(self, number: int, step: int, value: float) -> bool:
        """Never worth stopping: nothing prunes."""
        return False

    def tell(self, number: int, state: TrialState, value: float | None) -> None:
        """Nothing is learned from it."""
