"""The budget of a holdout: count how often its rows have decided, keep the answers, open the holdout once counted.

The count is kept in the tracking store, in an experiment of its own, so that everybody who shares the store shares it.
One run lists the rows (digests, no values), one run is one use. The order of the writes:

    rows      listed once for each holdout; without its last tag nobody reads the list
    use       one write before a row is read: a process that dies after it has spent the use
    answer    stored on the use before anybody sees it; the same question finds it there and spends nothing

A use counts for every row that it reads, and the budget of a question is that of its most used row. So no row takes
part in more decisions than the budget allows, whatever versions and names it appears under. Rows are recognised by
digest; and by value, in versions on this machine that have other columns. See docs/decisions/0025.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from notebooks_lib.datasets import loader, row_matching
from notebooks_lib.datasets.dataset import Dataset, Part
from notebooks_lib.datasets.leakage import Elsewhere
from notebooks_lib.datasets.row_matching import HoldoutRows
from notebooks_lib.errors import HoldoutError, TrackingError
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

EXPERIMENT = "nbops-holdout"
ROWS_FILE = "rows.npy"
ANSWER_FILE = "answer.json.gz"
PATIENCE = 1800.0
"""Seconds that a promotion waits for another one on this machine to get its answer."""
_ROUNDING = 1e-9


@dataclass
class Use:
    """One question to a holdout: answered before, to be answered now, or one too many."""

    number: int
    """Number of this use, from 1."""
    spent: int
    """Uses of these rows so far, as shares of the level in units of this question's level."""
    stored: Mapping[str, Any] | None
    """The answer, if the same question was answered before."""
    asked: str = ""
    """When it was answered before; UTC, ISO 8601."""
    _ask: _Ask | None = field(default=None, repr=False)
    _run_id: str = ""

    def open(self) -> Part:
        """Count this use, then return the rows. Raises HoldoutError when they may not be read (again)."""
        ask = self._ask
        if ask is None or self._run_id or self.stored is not None:
            raise HoldoutError("a holdout is opened once per question, inside `asking`")
        if self.spent + 1 > ask.budget + _ROUNDING:
            raise HoldoutError(f"the holdout of {ask.data.ref} is used up ({self.spent} of {ask.budget} uses)")
        self._run_id = ask.count()
        self.spent = ask.uses_before(self._run_id)
        self.number = self.spent + 1
        if self.number > ask.budget:  # another machine was quicker; this use is spent nevertheless
            raise HoldoutError(f"{ask.data.ref}: another process has just taken the last use of its holdout; ask again")
        self.spent = self.number
        return loader.open_holdout(ask.data.ref, ask.store.settings, reader=ask.reader)

    def answer(self, content: Mapping[str, Any]) -> None:
        """Store the answer before anybody sees it."""
        assert self._ask is not None
        assert self._run_id
        self._ask.keep(self._run_id, {"number": self.number, "asked": _now(), "content": content})


@contextmanager
def asking(
    store: Store, data: Dataset, question: Mapping[str, Any], *, alpha: float, budget: int, reader: str
) -> Iterator[Use]:
    """Ask the holdout of `data` one question; the same question again gets the stored answer.

    `question` is plain values: all that the answer depends on, except the rows. Each of `budget` uses is tested at
    alpha / budget; uses at other levels count by their level. Promotions on one machine take turns. Raises
    TrackingError when the store cannot say how often these rows were used.
    """
    settings = store.settings
    settings.layout.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.layout.state / "holdout.lock", timeout=PATIENCE)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrackingError(f"another promotion has held the holdout for {PATIENCE:.0f} s; end it first") from error
    try:
        ask = _Ask(store, data, question, alpha=alpha, budget=budget, reader=reader)
        before = ask.stored()
        if before is not None:
            yield Use(before["number"], ask.uses_before(), before["content"], before["asked"])
        else:
            spent = ask.uses_before()
            yield Use(spent + 1, spent, None, _ask=ask)
    finally:
        lock.release()


def spent(store: Store, opened: loader.Opened) -> Array:
    """Return, for each holdout row of a version in file order, the sum of the levels at which it decided."""
    elsewhere = Elsewhere(opened.ref, opened.metadata.columns, store.settings)
    return row_matching.holdout_rows(opened).spent(_known(_runs(store), store), elsewhere)


def uses(store: Store, ref: str, *, alpha: float, budget: int) -> int:
    """Return how many of `budget` uses the holdout of a version has spent."""
    levels = spent(store, loader.open_table(ref, store.settings))
    return _in_uses(float(levels.max(initial=0.0)), alpha / budget)


class _Ask:
    """One question, and what is known of its rows."""

    def __init__(
        self, store: Store, data: Dataset, question: Mapping[str, Any], *, alpha: float, budget: int, reader: str
    ) -> None:
        self.store, self.data, self.reader = store, data, reader
        self.alpha, self.budget = alpha, budget
        self.rows = row_matching.holdout_rows(loader.open_table(data.ref, store.settings))
        self.elsewhere = Elsewhere(data.ref, data.columns, store.settings)
        self.sha256 = self.rows.sha256
        asked = json.dumps({"form": 1, "rows": self.sha256, **question}, sort_keys=True)
        self.question = hashlib.sha256(asked.encode()).hexdigest()

    def stored(self) -> dict[str, Any] | None:
        """Return the answer to the same question, if there is one."""
        for run in _runs(self.store):
            if run.data.tags.get(Tag.HOLDOUT_QUESTION) == self.question and Tag.HOLDOUT_DONE in run.data.tags:
                return dict(json.loads(gzip.decompress(_artifact(self.store, run.info.run_id, ANSWER_FILE))))
        return None

    def uses_before(self, mine: str = "") -> int:
        """Return the uses of the most used of these rows, in units of this question's level, without the use `mine`."""
        known = _known([run for run in _runs(self.store) if run.info.run_id != mine], self.store, self.rows)
        return _in_uses(float(self.rows.spent(known, self.elsewhere).max(initial=0.0)), self.alpha / self.budget)

    def count(self) -> str:
        """Write the use; return its run."""
        self._list_rows()
        tags = {
            Tag.HOLDOUT_QUESTION: self.question,
            Tag.HOLDOUT_LEVEL: repr(self.alpha / self.budget),
            Tag.HOLDOUT_READER: self.reader,
        }
        return self._run(f"use of {self.data.ref}", tags)

    def keep(self, run_id: str, content: Mapping[str, Any]) -> None:
        """Store the answer on its use."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / ANSWER_FILE
            file.write_bytes(gzip.compress(json.dumps(content).encode()))
            self.store.client.log_artifact(run_id, str(file))
        self.store.client.set_tag(run_id, Tag.HOLDOUT_DONE, "answered")
        self.store.client.set_terminated(run_id)

    def _list_rows(self) -> None:
        import numpy as np

        if any(_lists(run) and run.data.tags[Tag.HOLDOUT_ROWS] == self.sha256 for run in _runs(self.store)):
            return
        tags = {Tag.HOLDOUT_COLUMNS: self.rows.columns} if self.rows.columns else {}
        run_id = self._run(f"rows of {self.data.ref}", tags)
        rows = self.rows.listed
        lines = [rows.whole, rows.placed] if len(rows.placed) else [rows.whole]
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / ROWS_FILE
            np.save(file, np.stack(lines))
            self.store.client.log_artifact(run_id, str(file))
        self.store.client.set_tag(run_id, Tag.HOLDOUT_DONE, "listed")
        self.store.client.set_terminated(run_id)

    def _run(self, name: str, tags: Mapping[str, str]) -> str:
        all_tags = {Tag.HOLDOUT_ROWS: self.sha256, Tag.HOLDOUT_DATASET: self.rows.dataset, **tags}
        experiment = self.store.experiment_id(EXPERIMENT)
        return str(self.store.client.create_run(experiment, tags=all_tags, run_name=name).info.run_id)


def _runs(store: Store) -> list[Any]:
    """Return every run of the experiment, oldest first, also deleted ones; none where nothing was ever asked."""
    from notebooks_lib.tracking import query
    from notebooks_lib.tracking.store import answering

    with answering(store):
        experiment = store.client.get_experiment_by_name(EXPERIMENT)
        runs = [] if experiment is None else query.search(store, "", [experiment.experiment_id], deleted=True)
    return sorted(runs, key=lambda run: run.info.start_time or 0)


def _lists(run: Any) -> bool:
    return Tag.HOLDOUT_QUESTION not in run.data.tags and Tag.HOLDOUT_DONE in run.data.tags


def _known(runs: Sequence[Any], store: Store, mine: HoldoutRows | None = None) -> list[tuple[HoldoutRows, float]]:
    """Return every list of rows that decided, with the sum of the levels of its uses.

    Raises TrackingError when a list is gone: what cannot be read must not count as unused.
    """
    levels: dict[str, float] = {}
    for run in runs:
        if Tag.HOLDOUT_QUESTION in run.data.tags:
            sha256 = run.data.tags[Tag.HOLDOUT_ROWS]
            levels[sha256] = levels.get(sha256, 0.0) + float(run.data.tags[Tag.HOLDOUT_LEVEL])
    listed = {run.data.tags[Tag.HOLDOUT_ROWS]: run for run in runs if _lists(run)}
    lists = []
    for sha256, level in levels.items():
        if mine is not None and sha256 == mine.sha256:
            lists.append((mine.listed, level))
        elif sha256 in listed:
            lists.append((_listed(listed[sha256], store), level))
        else:
            raise TrackingError(
                f"experiment {EXPERIMENT!r} counts uses of rows that it does not list any more (digest {sha256[:12]}): "
                "restore its run; without it nobody can count how often these rows have decided"
            )
    return lists


def _listed(run: Any, store: Store) -> HoldoutRows:
    import io

    import numpy as np

    tags = run.data.tags
    lines = np.load(io.BytesIO(_artifact(store, run.info.run_id, ROWS_FILE)), allow_pickle=False)
    placed = lines[1] if len(lines) > 1 else lines[0][:0]
    return HoldoutRows(tags[Tag.HOLDOUT_DATASET], lines[0], placed, tags.get(Tag.HOLDOUT_COLUMNS, ""))


def _artifact(store: Store, run_id: str, name: str) -> bytes:
    from notebooks_lib.tracking.store import answering

    with tempfile.TemporaryDirectory() as scratch, answering(store):
        path = Path(store.client.download_artifacts(run_id, name, scratch))
        try:
            return path.read_bytes()
        except OSError as error:
            raise TrackingError(f"{store.uri}: {name} of run {run_id} cannot be fetched: {error.strerror}") from error


def _in_uses(level: float, level_of_use: float) -> int:
    return math.ceil(level / level_of_use - _ROUNDING)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
