"""The budget of a holdout: each use is counted before a row is read, and answers are kept.

A use counts for every row that it reads, and the budget of a question is that of its most used row. So no row takes
part in more decisions than the budget allows, whatever versions and names it appears under. Rows are recognised by
digest; and by value, in versions on this machine that have other columns. See docs/decisions/0025. The order of writes:

    rows      listed once for each holdout
    use       one write before a row is read: a process that dies after it has spent the use
    answer    stored on the use before it is shown; the same question finds it there and spends nothing

A model can never be judged by rows that it was trained on. So a fresh holdout can only come from rows that arrived
later and whose digests place them in the holdout. Rows that decided before are retired: from that version on they are
train or validation. Where time assigns the parts, the holdout begins after the last row that decided, and what was
holdout before becomes validation. Rows leave a holdout; none ever enters it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from notebooks_lib.datasets import loader
from notebooks_lib.datasets.dataset import Dataset, Part
from notebooks_lib.datasets.holdout_leakage import RowsByValue
from notebooks_lib.datasets.holdout_ledger import HoldoutAnswer, HoldoutLedger, holdout_rows
from notebooks_lib.errors import HoldoutError, TrackingError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]
import time

_ROUNDING = 1e-9


@dataclass
class Use:
    """One question to a holdout: it is already answered, can be answered now, or exceeds the budget."""

    number: int
    """Number of this use, from 1. Larger than the budget: the rows may not be read."""
    spent: int
    """Uses of these rows so far, in units of this question's level."""
    stored: Mapping[str, Any] | None
    """The answer, if the same question was answered before."""
    asked: str = ""
    """When it was answered before; UTC, ISO 8601."""
    _question: _Question | None = field(default=None, repr=False)
    _run_id: str = ""

    def open(self) -> Part:
        """Count one use of every holdout row, then return the rows.

        Raises HoldoutError when the budget is spent, or when the same question was opened or answered before.
        """
        question = self._question
        if question is None or self._run_id or self.stored is not None:
            raise HoldoutError("a holdout is opened once per question, inside `holdout_use`")
        if self.spent + 1 > question.budget + _ROUNDING:
            raise HoldoutError(
                f"the holdout of {question.data.ref} is used up ({self.spent} of {question.budget} uses)"
            )
        self._run_id = question.add_use()
        self.spent = question.uses_before(self._run_id)
        self.number = self.spent + 1
        if self.number > question.budget:  # another machine was quicker; this use is spent nevertheless
            raise HoldoutError(
                f"{question.data.ref}: another process has just taken the last use of its holdout; ask again"
            )
        self.spent = self.number
        return loader.open_holdout(question.data.ref, question.store.settings, reader=question.reader)

    def answer(self, content: Mapping[str, Any]) -> None:
        """Store the answer to the question, before it is shown. Call `open` first."""
        assert self._question is not None
        assert self._run_id
        self._question.ledger.add_answer(self._run_id, HoldoutAnswer(self.number, utc_now(), content))


@contextmanager
def holdout_use(
    store: Store,
    data: Dataset,
    question: Mapping[str, Any],
    *,
    alpha: float,
    budget: int,
    reader: str,
    patience: float = 1800.0,
) -> Iterator[Use]:
    """Ask the holdout of `data` one question: yield its stored answer, or a use that has yet to be spent.

    Where the same question was answered before, `Use.stored` is that answer, and nothing is spent. Otherwise `Use.open`
    spends one of the `budget` uses, for good and for every row of the holdout, and returns these rows; `Use.answer`
    stores the answer for the next time. Without `open`, nothing is spent. Each use is a test at level alpha / budget.
    Earlier uses count by their own level: one at alpha / 2 counts as five at alpha / 10.

    `question` holds all that the answer depends on, except the rows, as plain values. `reader` is written to the ledger
    and says who asks. Promotions on one machine take turns, and wait `patience` seconds at most. Raises TrackingError
    when the turn does not come, or the store cannot say how often these rows were used.
    """
    settings = store.settings
    settings.layout.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.layout.state / "holdout.lock", timeout=patience)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrackingError(f"another promotion has held the holdout for {patience:.0f} s; end it first") from error
    try:
        counted = _Question(store, data, question, alpha=alpha, budget=budget, reader=reader)
        before = counted.ledger.find_answer(counted.sha256)
        if before is not None:
            yield Use(before.number, counted.uses_before(), before.content, before.asked)
        else:
            spent = counted.uses_before()
            yield Use(spent + 1, spent, None, _question=counted)
    finally:
        lock.release()


def spent_levels(store: Store, opened: loader.Opened) -> Array:
    """Return, for each holdout row in file order, the sum of the test levels that past decisions spent on it."""
    by_value = RowsByValue(opened.ref, opened.metadata.columns, store.settings)
    return holdout_rows(opened).spent(HoldoutLedger(store).decided(), by_value)


def count_uses(store: Store, ref: str, *, alpha: float, budget: int) -> int:
    """Return how many of `budget` uses the holdout of a dataset version has spent, at level alpha / budget each."""
    levels = spent_levels(store, loader.open_table(ref, store.settings))
    return _in_uses(levels, alpha / budget)


class _Question:
    """One question to the holdout of a dataset, and the ledger that counts it."""

    def __init__(
        self, store: Store, data: Dataset, question: Mapping[str, Any], *, alpha: float, budget: int, reader: str
    ) -> None:
        self.store, self.data, self.reader = store, data, reader
        self.level, self.budget = alpha / budget, budget
        self.ledger = HoldoutLedger(store)
        self.rows = holdout_rows(loader.open_table(data.ref, store.settings))
        self.by_value = RowsByValue(data.ref, data.columns, store.settings)
        content = json.dumps({"form": 1, "rows": self.rows.sha256, **question}, sort_keys=True)
        self.sha256 = hashlib.sha256(content.encode()).hexdigest()

    def uses_before(self, mine: str = "") -> int:
        """Return how many uses the most used row has had, at this question's level, without the use in run `mine`."""
        decided = self.ledger.decided(self.rows, without=mine)
        return _in_uses(self.rows.spent(decided, self.by_value), self.level)

    def add_use(self) -> str:
        """Record the use in the ledger, and return the id of its run."""
        return self.ledger.add_use(self.rows, self.sha256, level=self.level, reader=self.reader)


def _in_uses(levels: Array, level_of_use: float) -> int:
    """Return how many uses of a level the most used row has spent."""
    return math.ceil(float(levels.max(initial=0.0)) / level_of_use - _ROUNDING)


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
