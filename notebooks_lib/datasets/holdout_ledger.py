"""The ledger of holdouts in the tracking store: lists of rows, their uses, the answers. It opens no holdout.

It is an experiment of its own, so that all users of a store share the count. One run lists the rows of a
holdout as digests, without values; one run is one use. A list or an answer without its last tag is ignored.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.datasets import loader
from notebooks_lib.errors import TrackingError
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

EXPERIMENT = "nbops-holdout"
_ROWS_FILE = "rows.npy"
_ANSWER_FILE = "answer.json.gz"


@dataclass(frozen=True, eq=False)
class HoldoutRows:
    """The rows of a holdout as digests, without their values, in file order; `listed` sorts them."""

    dataset: str
    """name@version#fingerprint."""
    whole: Array
    """Half a digest of each row."""
    placed: Array
    """Half a digest of each row's group or key and the dataset's name; empty where the whole row decides its part."""
    columns: str = ""
    """Digest of the column names, where the whole row decides: with other columns a digest cannot be compared."""
    plain: Array | None = None
    """As `whole`, but by the kinds of columns: the first versions of nbops listed rows like that."""

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return self.dataset.partition("@")[0]

    @cached_property
    def listed(self) -> HoldoutRows:
        """The rows as they are stored, sorted by digest, so that their order in the dataset stays unknown."""
        import numpy as np

        return replace(self, whole=np.sort(self.whole), placed=np.sort(self.placed))

    @cached_property
    def sha256(self) -> str:
        """A digest of all the rows, whatever their order."""
        return hashlib.sha256(b"\0".join((self.listed.whole.tobytes(), self.listed.placed.tobytes()))).hexdigest()

    def spent(self, decided: Sequence[DecidedRows], by_value: Callable[[str], Array | None]) -> Array:
        """Return, for each row, the sum of the test levels of all decisions that used the row.

        A decision used a row when it lists the row's digest, or within the same dataset the digest of its key or group.
        A decision about the same dataset with other columns used every row, because the digests cannot be compared.
        `by_value` is called with name@version#fingerprint of another list of rows. It returns a mask of the rows that
        are recognised there by their values, or None.
        """
        import numpy as np

        levels = np.zeros(len(self.whole))
        for decision in decided:
            other = decision.rows
            same = _in_sorted(self.whole, other.whole)
            if self.plain is not None:
                same |= _in_sorted(self.plain, other.whole)
            if self.name == other.name and self.columns != other.columns:
                same[:] = True
            elif len(self.placed) and len(other.placed):
                same |= _in_sorted(self.placed, other.placed)
            alike = by_value(other.dataset)
            levels[same if alike is None else same | alike] += decision.level
        return levels


@dataclass(frozen=True, eq=False)
class DecidedRows:
    """A list of holdout rows that decisions have read, with the test level that these decisions spent."""

    rows: HoldoutRows
    """As they are `listed`."""
    level: float
    """Sum of the levels of these decisions."""


@dataclass(frozen=True)
class HoldoutAnswer:
    """The stored answer of one use of a holdout."""

    number: int
    """Number of the use, from 1."""
    asked: str
    """UTC, ISO 8601."""
    content: Mapping[str, Any]
    """Plain values; the caller's to read."""


def holdout_rows(opened: loader.Opened) -> HoldoutRows:
    """Return the holdout rows of a version as digests in file order: they can be compared, but show no values."""
    import numpy as np

    mask = opened.masks["holdout"]
    metadata, digests = opened.metadata, opened.digests
    salt = int.from_bytes(hashlib.sha256(opened.name.encode()).digest()[:8], "big")
    names = json.dumps(sorted(metadata.columns))
    return HoldoutRows(
        dataset=str(DatasetTag.of(opened.name, opened.version, metadata.fingerprint)),
        whole=_halves(digests.folded[mask]),
        placed=_halves(opened.placing[mask]) ^ np.uint64(salt) if metadata.decided_by else np.zeros(0, "<u8"),
        columns="" if metadata.decided_by else hashlib.sha256(names.encode()).hexdigest()[:16],
        plain=None if digests.plain is digests.folded else _halves(digests.plain[mask]),
    )


class HoldoutLedger:
    """The ledger of holdouts in one tracking store.

    Entries are never changed once finished; deleted runs still count.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def find_answer(self, question: str) -> HoldoutAnswer | None:
        """Return the stored result of the comparison with the digest `question`; None if there is none."""
        for run in self._runs():
            if run.data.tags.get(Tag.HOLDOUT_QUESTION) == question and Tag.HOLDOUT_DONE in run.data.tags:
                content = json.loads(gzip.decompress(self._artifact(run, _ANSWER_FILE)))
                return HoldoutAnswer(content["number"], content["asked"], content["content"])
        return None

    def decided(self, mine: HoldoutRows | None = None, *, without: str = "") -> list[DecidedRows]:
        """Return all lists of rows that decisions have used. The use recorded in run `without` does not count.

        A list equal to `mine` is not fetched. Raises TrackingError when a list is gone, because rows that cannot be
        read must not count as unused.
        """
        runs = [run for run in self._runs() if run.info.run_id != without]
        levels: dict[str, float] = {}
        for run in runs:
            if Tag.HOLDOUT_QUESTION in run.data.tags:
                sha256 = run.data.tags[Tag.HOLDOUT_ROWS]
                levels[sha256] = levels.get(sha256, 0.0) + float(run.data.tags[Tag.HOLDOUT_LEVEL])
        lists = {run.data.tags[Tag.HOLDOUT_ROWS]: run for run in runs if _is_list(run)}
        decided = []
        for sha256, level in levels.items():
            if mine is not None and sha256 == mine.sha256:
                decided.append(DecidedRows(mine.listed, level))
            elif sha256 in lists:
                decided.append(DecidedRows(self._listed(lists[sha256]), level))
            else:
                raise TrackingError(
                    f"experiment {EXPERIMENT!r} counts uses of rows that it does not list any more (digest "
                    f"{sha256[:12]}): restore its run; without it the uses of these rows cannot be counted"
                )
        return decided

    def add_use(self, rows: HoldoutRows, question: str, *, level: float, reader: str) -> str:
        """Record a use of all these rows, at the test level `level`, and return the id of its run.

        `reader` is the purpose, such as "promotion of houses". Rows may be read only after this call.
        """
        self._list(rows)
        tags = {Tag.HOLDOUT_QUESTION: question, Tag.HOLDOUT_LEVEL: repr(level), Tag.HOLDOUT_READER: reader}
        return self._create("use", rows, tags)

    def add_answer(self, use: str, answer: HoldoutAnswer) -> None:
        """Store the answer of a use; `use` is the id of its run."""
        content = {"number": answer.number, "asked": answer.asked, "content": answer.content}
        self._finish(use, _ANSWER_FILE, gzip.compress(json.dumps(content).encode()), "answered")

    def _list(self, rows: HoldoutRows) -> None:
        """List the rows, once for each holdout."""
        import numpy as np

        if any(_is_list(run) and run.data.tags[Tag.HOLDOUT_ROWS] == rows.sha256 for run in self._runs()):
            return
        run_id = self._create("rows", rows, {Tag.HOLDOUT_COLUMNS: rows.columns} if rows.columns else {})
        lines = [rows.listed.whole, rows.listed.placed] if len(rows.placed) else [rows.listed.whole]
        file = io.BytesIO()
        np.save(file, np.stack(lines))
        self._finish(run_id, _ROWS_FILE, file.getvalue(), "listed")

    def _listed(self, run: Any) -> HoldoutRows:
        import numpy as np

        tags = run.data.tags
        lines = np.load(io.BytesIO(self._artifact(run, _ROWS_FILE)), allow_pickle=False)
        placed = lines[1] if len(lines) > 1 else lines[0][:0]
        return HoldoutRows(tags[Tag.HOLDOUT_DATASET], lines[0], placed, tags.get(Tag.HOLDOUT_COLUMNS, ""))

    def _runs(self) -> list[Any]:
        """Return every run of the experiment, oldest first, also deleted ones; none where nothing was ever asked."""
        from notebooks_lib.tracking import query
        from notebooks_lib.tracking.store import translate_store_errors

        with translate_store_errors(self._store):
            experiment = self._store.client.get_experiment_by_name(EXPERIMENT)
            ids = [] if experiment is None else [experiment.experiment_id]
            runs = query.search(self._store, "", ids, deleted=True)
        return sorted(runs, key=lambda run: run.info.start_time or 0)

    def _create(self, title: str, rows: HoldoutRows, tags: Mapping[str, str]) -> str:
        all_tags = {Tag.HOLDOUT_ROWS: rows.sha256, Tag.HOLDOUT_DATASET: rows.dataset, **tags}
        experiment = self._store.experiment_id(EXPERIMENT)
        name = f"{title} of {DatasetTag.parse(rows.dataset).ref}"
        return str(self._store.client.create_run(experiment, tags=all_tags, run_name=name).info.run_id)

    def _finish(self, run_id: str, name: str, content: bytes, done: str) -> None:
        client = self._store.client
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / name
            file.write_bytes(content)
            client.log_artifact(run_id, str(file))
        client.set_tag(run_id, Tag.HOLDOUT_DONE, done)
        client.set_terminated(run_id)

    def _artifact(self, run: Any, name: str) -> bytes:
        from notebooks_lib.tracking.store import translate_store_errors

        run_id = run.info.run_id
        with tempfile.TemporaryDirectory() as scratch, translate_store_errors(self._store):
            path = Path(self._store.client.download_artifacts(run_id, name, scratch))
            try:
                return path.read_bytes()
            except OSError as error:
                raise TrackingError(
                    f"{self._store.uri}: {name} of run {run_id} cannot be fetched: {error.strerror}"
                ) from error


def _is_list(run: Any) -> bool:
    return Tag.HOLDOUT_QUESTION not in run.data.tags and Tag.HOLDOUT_DONE in run.data.tags


def _halves(digests: Array) -> Array:
    return digests[:, 0].astype("<u8")


def _in_sorted(mine: Array, theirs: Array) -> Array:
    """Return a mask of `mine`: which are in `theirs`, which is sorted."""
    import numpy as np

    place = np.searchsorted(theirs, mine)
    return np.asarray(theirs[np.minimum(place, len(theirs) - 1)] == mine)
