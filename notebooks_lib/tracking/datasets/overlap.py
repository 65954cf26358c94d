"""Says how many holdout rows a model may have seen: those among the train and validation rows of what its run used.

It compares digests; it gives out no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import DatasetError, UnknownNameError
from notebooks_lib.tracking.datasets import access, content, usage
from notebooks_lib.tracking.datasets.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.settings import Settings

    Array = np.ndarray[Any, Any]


def seen_rows(data: Dataset, used: Sequence[str], settings: Settings) -> int | None:
    """How many holdout rows of `data` are train or validation rows of one of `used`, the values of a run's tags.

    A row is the same when all its values are, when it has the same key or group under the same name, or, where one
    table has more columns than the other, when it agrees in all that both have. None when nothing was used, or what
    was used is not there any more as it was: then nobody knows.
    """
    import numpy as np

    if not used:
        return None
    mine: access.Opened | None = None
    met: Array | None = None
    for value in used:
        name, version, fingerprint = usage.parse_tag(value)
        if (name, version, fingerprint) == (data.name, data.version, data.fingerprint):
            continue  # the parts of one version share no row
        try:
            theirs = access.open_table(f"{name}@{version}", settings)
        except (UnknownNameError, DatasetError):
            return None
        if theirs.record.fingerprint != fingerprint:
            return None
        mine = mine or access.open_table(data.ref, settings)
        found = _met(mine, theirs)
        met = found if met is None else met | found
    return 0 if met is None else int(np.count_nonzero(met))


def _met(mine: access.Opened, theirs: access.Opened) -> Array:
    """For each of my holdout rows, whether it is one of their others."""
    held, open_ = mine.masks["holdout"], ~theirs.masks["holdout"]
    met = access.among(mine.whole[held], theirs.whole[open_])
    if mine.name == theirs.name and mine.record.decided_by == theirs.record.decided_by:
        met = met | access.among(mine.placing[held], theirs.placing[open_])
    one, other = set(mine.table.column_names), set(theirs.table.column_names)
    if one != other and (one <= other or other <= one or _whole(mine, theirs)):
        common = sorted(one & other)
        if common:
            digests = [content.row_digests(each.table.select(common)) for each in (mine, theirs)]
            met = met | access.among(digests[0][held], digests[1][open_])
    return met


def _whole(mine: access.Opened, theirs: access.Opened) -> bool:
    """One table under one name, told apart by nothing but whole rows: another column has moved them all."""
    return mine.name == theirs.name and mine.record.decided_by is None
