"""Finds the holdout rows of a version in other versions: where a model may have seen them, or others asked them before.

It compares digests and values; it gives out no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import hashing, lineage, loader, row_matching, storage
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.errors import DatasetError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.settings import Settings

    Array = np.ndarray[Any, Any]


def seen_rows(data: Dataset, used: Sequence[str], settings: Settings) -> int | None:
    """How many holdout rows of `data` are train or validation rows of one of `used`, the values of a run's tags.

    A row is the same when all its values are, when it has the same key or group under the same name, or when the
    columns that both tables have show it (`recognition`). None when nothing was used, or what was used is not there
    any more as it was: then nobody knows.
    """
    import numpy as np

    if not used:
        return None
    mine: loader.Opened | None = None
    met: Array | None = None
    for value in used:
        if value == lineage.tag_value(data):
            continue  # the parts of one version share no row
        theirs = _as_it_was(value, settings)
        if theirs is None:
            return None
        mine = mine or loader.open_table(data.ref, settings)
        found = _met(mine, theirs)
        met = found if met is None else met | found
    return 0 if met is None else int(np.count_nonzero(met))


def _met(mine: loader.Opened, theirs: loader.Opened) -> Array:
    """For each of my holdout rows, whether it is one of their others."""
    held, open_ = mine.masks["holdout"], ~theirs.masks["holdout"]
    met = loader.among(mine.whole[held], theirs.whole[open_])
    if mine.name == theirs.name and mine.record.decided_by == theirs.record.decided_by:
        met = met | loader.among(mine.placing[held], theirs.placing[open_])
    one, other = mine.table.column_names, theirs.table.column_names
    if set(one) == set(other):
        return met if _same_kinds(mine, theirs) else met | _alike(mine, held, theirs, open_)
    if mine.name != theirs.name:
        met = met | row_matching.recognised(mine.table, held, theirs.table, open_)
    elif mine.record.decided_by is None and set(one) & set(other):
        # One table, told apart by nothing but whole rows: another column has moved them all.
        met = met | _alike(mine, held, theirs, open_)
    return met


def _alike(mine: loader.Opened, asked: Array, theirs: loader.Opened, among: Array) -> Array:
    """For each of my rows asked for, whether one of theirs among has the same values in the columns that both have."""
    common = [name for name in mine.table.column_names if name in theirs.table.column_names]
    pair = row_matching.written_alike(mine.table.select(common), theirs.table.select(common))
    one, other = (hashing.folded_digests(table) for table in pair)
    return loader.among(one[asked], other[among])


def _same_kinds(mine: loader.Opened, theirs: loader.Opened) -> bool:
    return _wide(mine.record.columns) == _wide(theirs.record.columns)


def _wide(columns: Mapping[str, str]) -> dict[str, str]:
    """Kinds of columns, whole numbers being numbers: they digest alike."""
    return {name: "number" if kind == "integer" else kind for name, kind in columns.items()}


class Elsewhere:
    """Which holdout rows of a version are holdout rows of versions of other names, with other columns or kinds.

    Only values can show that, so their tables are opened, once each. Where all columns and their kinds are the same,
    digests of rows tell as much, and nothing is opened.
    """

    def __init__(self, ref: str, columns: Mapping[str, str], settings: Settings) -> None:
        self._ref, self._columns, self._settings = ref, _wide(columns), settings
        self._mine: loader.Opened | None = None
        self._found: dict[str, Array | None] = {}

    def __call__(self, tag: str) -> Array | None:
        """For each holdout row, in the order of its file, whether it is one of those of the version that a tag names.

        None where there is nothing to compare, or the version is not there any more as it was.
        """
        if tag not in self._found:
            self._found[tag] = self._compared(tag) if self._differs(tag) else None
        return self._found[tag]

    def _differs(self, tag: str) -> bool:
        name, version, fingerprint = lineage.parse_tag(tag)
        if name == loader.parse_ref(self._ref)[0]:
            return False  # rows of one name are known by key or group, or count all
        folder = self._settings.data_folder
        if version not in storage.numbers(folder, name):
            return version == 1  # perhaps scikit-learn's
        try:
            record = storage.read_record(folder, name, version)
        except DatasetError:
            return False
        columns = _wide(record.columns)
        common = columns.keys() & self._columns.keys()
        return record.fingerprint == fingerprint and columns != self._columns and len(common) > 1

    def _compared(self, tag: str) -> Array | None:
        theirs = _as_it_was(tag, self._settings)
        if theirs is None:
            return None
        self._mine = self._mine or loader.open_table(self._ref, self._settings)
        asked, among = self._mine.masks["holdout"], theirs.masks["holdout"]
        if self._columns.keys() == theirs.record.columns.keys():
            return _alike(self._mine, asked, theirs, among)
        return row_matching.recognised(self._mine.table, asked, theirs.table, among)


def _as_it_was(tag: str, settings: Settings) -> loader.Opened | None:
    """The version that a tag names; None when it is not there any more with this fingerprint."""
    name, version, fingerprint = lineage.parse_tag(tag)
    try:
        found = loader.open_table(f"{name}@{version}", settings)
    except (UnknownNameError, DatasetError):
        return None
    return found if found.record.fingerprint == fingerprint else None
