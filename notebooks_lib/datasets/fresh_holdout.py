"""Make a version whose holdout rows have decided nothing yet. Rows leave the holdout here; none ever enters it.

A model can never be judged by rows that it was trained on. So a fresh holdout can only come from rows that arrived
later and whose digests place them in the holdout. Rows that decided before are retired: from this version on they are
train or validation. Where time assigns the parts, the holdout begins after the last row that decided, and what was
holdout before becomes validation.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import holdout_budget, loader, splits, storage
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.datasets.storage import Record
    from notebooks_lib.tracking.store import Store


def where_fresh_rows_come_from(group: str | None) -> str:
    """Return, in words, which rows a fresh holdout can come from.

    New rows of a known group are placed with that group, however new they are.
    """
    return f"rows of new values of {group!r}, not just new rows of the known ones" if group else "rows that came since"


def make_fresh_holdout(store: Store, ref: str, *, min_rows: int) -> Dataset:
    """Make the next version of a dataset: the same rows, with a holdout of rows that have decided nothing yet.

    Raises UsageError when there is nothing to do, DatasetError when fewer than `min_rows` would be left.
    """
    import numpy as np

    settings = store.settings
    opened = loader.open_table(ref, settings)
    if opened.record.source == loader.BUNDLED:
        raise UsageError(
            f"{opened.ref} ships with scikit-learn and gets no new rows; add a table of your own: nbops data add --help"
        )
    latest = storage.numbers(settings.data_folder, opened.name)[-1]
    if opened.version != latest:
        raise UsageError(f"{opened.ref}: a fresh holdout is made of the latest version, {opened.name}@{latest}")
    decided = holdout_budget.spent(store, opened) > 0
    if not decided.any():
        raise UsageError(f"{opened.ref}: no row of its holdout has decided yet; it is fresh")
    held = opened.masks["holdout"]
    if opened.record.time:
        retired, record, left = None, *moved_on(opened, decided)
    else:
        leaving = np.unique(opened.placing[held][decided], axis=0)
        retired = leaving if opened.retired is None else np.unique(np.concatenate([opened.retired, leaving]), axis=0)
        record = replace(opened.record, retired=storage.retired_sha256(retired))
        left = int((~splits.among(opened.placing[held], retired)).sum())
    if left < min_rows:
        share = "they" if opened.record.time else f"about {opened.record.holdout_share:.0%} of them"
        raise DatasetError(
            f"{opened.ref}: only {left} of {len(decided)} holdout rows have never decided, {min_rows} are wanted; add "
            f"a version with {where_fresh_rows_come_from(opened.record.group)}: "
            f"nbops data add FILE --name {opened.name}; "
            f"{share} fall into the holdout"
        )
    record = replace(record, created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    record = replace(record, fingerprint=loader.fingerprint(opened.table, opened.plain, record))
    splits.split_rows(opened.ref, opened.table, opened.placing, record, retired)
    while True:
        number = storage.next_number(settings.data_folder, opened.name)
        if storage.numbers(settings.data_folder, opened.name)[-1] != opened.version:
            raise UsageError(f"{opened.name}@{number - 1} was added meanwhile; ask again")
        if storage.write(settings.data_folder, opened.name, number, opened.table, record, retired=retired):
            return loader.read(f"{opened.name}@{number}", settings)


def moved_on(opened: loader.Opened, decided: np.ndarray[Any, Any]) -> tuple[Record, int]:
    """Return the record whose holdout begins after the last row that decided, and how many rows that holdout has."""
    times = splits.times(opened.ref, opened.table, opened.record)
    held = times[opened.masks["holdout"]]
    later = held[held > held[decided].max()]
    first = str(later.min()) if len(later) else opened.record.holdout_from
    record = replace(opened.record, validation_from=opened.record.holdout_from, holdout_from=first)
    return record, len(later)
