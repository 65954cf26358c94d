"""Find holdout rows that a model may have seen: in the datasets of its run, or in the example it was logged with.

It compares digests and values, and returns no row. A file that a notebook read by itself shows only in the example,
which should be all of the training data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import (
    dataset,
    loader,
    row_matching,
    run_datasets,
    splits,
    table_hashing,
    training_rows,
    version_lookup,
)
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.errors import DatasetError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.settings import Settings

    Array = np.ndarray[Any, Any]
from notebooks_lib.settings import Settings


def seen_in_datasets(data: Dataset, used: Sequence[str], settings: Settings) -> int | None:
    """Return how many holdout rows of `data` are train or validation rows of datasets that a run used.

    `used` are the values of the run's dataset tags. Two rows count as the same in three cases: all their values are
    equal; they have the same key or group under the same column name; or `row_matching` recognises them by the columns
    that both tables have. Returns None, unknown, when the run used no dataset, or one of them is gone or changed.
    """
    import numpy as np

    if not used:
        return None
    mine: loader.Opened | None = None
    matches: Array | None = None
    for value in used:
        if value == run_datasets.tag_value(data):
            continue  # the parts of one version share no row
        theirs = _open_unchanged(value, settings)
        if theirs is None:
            return None
        mine = mine or loader.open_table(data.ref, settings)
        seen_rows = _matching_rows(mine, theirs)
        matches = seen_rows if matches is None else matches | seen_rows
    return 0 if matches is None else int(np.count_nonzero(matches))


def _matching_rows(mine: loader.Opened, theirs: loader.Opened) -> Array:
    """Return which of my holdout rows are train or validation rows of the other version, as a mask."""
    held, open_ = mine.masks["holdout"], ~theirs.masks["holdout"]
    matches = splits.contained_in(mine.digests.folded[held], theirs.digests.folded[open_])
    if mine.name == theirs.name and mine.metadata.decided_by == theirs.metadata.decided_by:
        matches = matches | splits.contained_in(mine.placing[held], theirs.placing[open_])
    my_columns, their_columns = mine.table.column_names, theirs.table.column_names
    if set(my_columns) == set(their_columns):
        return matches if _same_kinds(mine, theirs) else matches | _alike(mine, held, theirs, open_)
    if mine.name != theirs.name:
        matches = matches | row_matching.recognise_rows(mine.table, held, theirs.table, open_)
    elif mine.metadata.decided_by is None and set(my_columns) & set(their_columns):
        # Versions of one table whose whole rows decide their parts: an added column has moved them all.
        matches = matches | _alike(mine, held, theirs, open_)
    return matches


def _alike(mine: loader.Opened, my_rows: Array, theirs: loader.Opened, their_rows: Array) -> Array:
    """Return which of my rows have the values of one of their rows in the shared columns; arguments are masks."""
    common = [name for name in mine.table.column_names if name in theirs.table.column_names]
    pair = row_matching.written_alike(mine.table.select(common), theirs.table.select(common))
    my_digests, their_digests = (table_hashing.folded_digests(table) for table in pair)
    return splits.contained_in(my_digests[my_rows], their_digests[their_rows])


def _same_kinds(mine: loader.Opened, theirs: loader.Opened) -> bool:
    return _wide(mine.metadata.columns) == _wide(theirs.metadata.columns)


def _wide(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the kinds of columns with whole numbers as numbers: their digests are equal."""
    return {name: "number" if kind == "integer" else kind for name, kind in columns.items()}


class RowsByValue:
    """Finds the holdout rows of one version in other versions by their values, where digests cannot be compared.

    Another table is opened at most once, and not at all if it has the same columns and kinds: digests suffice then.
    """

    def __init__(self, ref: str, columns: Mapping[str, str], settings: Settings) -> None:
        self._ref, self._columns, self._settings = ref, _wide(columns), settings
        self._mine: loader.Opened | None = None
        self._matches: dict[str, Array | None] = {}

    def __call__(self, tag: str) -> Array | None:
        """Return which holdout rows are also holdout rows of the version that a tag names: a mask in file order.

        Return None where there is nothing to compare, or the other version is gone or changed.
        """
        if tag not in self._matches:
            self._matches[tag] = self._compare(tag) if self._differs(tag) else None
        return self._matches[tag]

    def _differs(self, tag: str) -> bool:
        name, version, fingerprint = run_datasets.parse_tag(tag)
        if name == version_lookup.parse_ref(self._ref)[0]:
            return False  # rows of the same name are matched by key or group, or all count
        source = version_lookup.source_of(name, self._settings)
        if source is None or version not in source.versions(name):
            return False
        try:
            metadata = source.metadata(name, version)
        except DatasetError:
            return False
        columns = _wide(metadata.columns)
        common = columns.keys() & self._columns.keys()
        return metadata.fingerprint == fingerprint and columns != self._columns and len(common) > 1

    def _compare(self, tag: str) -> Array | None:
        theirs = _open_unchanged(tag, self._settings)
        if theirs is None:
            return None
        self._mine = self._mine or loader.open_table(self._ref, self._settings)
        my_rows, their_rows = self._mine.masks["holdout"], theirs.masks["holdout"]
        if self._columns.keys() == theirs.metadata.columns.keys():
            return _alike(self._mine, my_rows, theirs, their_rows)
        return row_matching.recognise_rows(self._mine.table, my_rows, theirs.table, their_rows)


def _open_unchanged(tag: str, settings: Settings) -> loader.Opened | None:
    """Return the version that a tag names; None when it is gone or its fingerprint has changed."""
    name, version, fingerprint = run_datasets.parse_tag(tag)
    try:
        opened = loader.open_table(f"{name}@{version}", settings)
    except (UnknownNameError, DatasetError):
        return None
    return opened if opened.metadata.fingerprint == fingerprint else None


def seen_in_example(ref: str, others: Sequence[str], mine: training_rows.LoggedRows, settings: Settings) -> int | None:
    """Return how many holdout rows of `ref` have the features of a row in the model's example, but of no open row.

    `mine` are the rows of the example. Open rows are the train and validation rows of this version and of `others`, the
    versions that the run loaded. Returns None, unknown, when no row of the example is in any of these versions: then it
    came from elsewhere.
    """
    import numpy as np

    opened = loader.open_table(ref, settings)
    if not set(mine.columns) <= set(opened.metadata.columns):
        return 0  # the model takes other columns, so it cannot predict these rows
    tables = [opened, *(loader.open_table(other, settings) for other in others if other != opened.ref)]
    tables = [table for table in tables if set(mine.columns) <= set(table.metadata.columns)]
    digests = [
        training_rows.frame_digests(dataset.to_frame(table.table.select(list(mine.columns)))) for table in tables
    ]
    comparable = [rows for rows in digests if rows is not None]
    if len(comparable) < len(digests):
        return None
    held_out = comparable[0][tables[0].masks["holdout"]]
    open_rows = np.concatenate([rows[~table.masks["holdout"]] for rows, table in zip(comparable, tables, strict=True)])
    seen_rows = np.isin(held_out, mine.digests) & ~np.isin(held_out, open_rows)
    if seen_rows.any():
        return int(seen_rows.sum())
    return 0 if np.isin(mine.digests, np.concatenate(comparable)).any() else None


def share_seen_in_training(ref: str, settings: Settings) -> float:
    """Return the share of holdout rows that have the same features as some train or validation row."""
    opened = loader.open_table(ref, settings)
    digests = table_hashing.folded_digests(opened.table.select(list(opened.metadata.features)))
    held = opened.masks["holdout"]
    return float(splits.contained_in(digests[held], digests[~held]).mean())
