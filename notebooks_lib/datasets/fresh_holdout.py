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
    found = loader.open_table(ref, settings)
    if found.record.source == loader.BUNDLED:
        raise UsageError(
            f"{found.ref} ships with scikit-learn and gets no new rows; add a table of your own: nbops data add --help"
        )
    latest = storage.numbers(settings.data_folder, found.name)[-1]
    if found.version != latest:
        raise UsageError(f"{found.ref}: a fresh holdout is made of the latest version, {found.name}@{latest}")
    decided = holdout_budget.spent(store, found) > 0
    if not decided.any():
        raise UsageError(f"{found.ref}: no row of its holdout has decided yet; it is fresh")
    held = found.masks["holdout"]
    if found.record.time:
        retired, record, left = None, *moved_on(found, decided)
    else:
        leaving = np.unique(found.placing[held][decided], axis=0)
        retired = leaving if found.retired is None else np.unique(np.concatenate([found.retired, leaving]), axis=0)
        record = replace(found.record, retired=storage.retired_sha256(retired))
        left = int((~splits.among(found.placing[held], retired)).sum())
    if left < min_rows:
        share = "they" if found.record.time else f"about {found.record.holdout_share:.0%} of them"
        raise DatasetError(
            f"{found.ref}: only {left} of {len(decided)} holdout rows have never decided, {min_rows} are wanted; add a "
            f"version with {where_fresh_rows_come_from(found.record.group)}: nbops data add FILE --name {found.name}; "
            f"{share} fall into the holdout"
        )
    record = replace(record, created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    record = replace(record, fingerprint=loader.fingerprint(found.table, found.plain, record))
    splits.split_rows(found.ref, found.table, found.placing, record, retired)
    while True:
        number = storage.next_number(settings.data_folder, found.name)
        if storage.numbers(settings.data_folder, found.name)[-1] != found.version:
            raise UsageError(f"{found.name}@{number - 1} was added meanwhile; ask again")
        if storage.write(settings.data_folder, found.name, number, found.table, record, retired=retired):
            return loader.read(f"{found.name}@{number}", settings)


def moved_on(found: loader.Opened, decided: np.ndarray[Any, Any]) -> tuple[Record, int]:
    """Return the record whose holdout begins after the last row that decided, and how many rows that holdout has."""
    times = splits.times(found.ref, found.table, found.record)
    held = times[found.masks["holdout"]]
    later = held[held > held[decided].max()]
    first = str(later.min()) if len(later) else found.record.holdout_from
    record = replace(found.record, validation_from=found.record.holdout_from, holdout_from=first)
    return record, len(later)
