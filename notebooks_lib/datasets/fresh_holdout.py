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

from notebooks_lib.datasets import holdout_budget, loader, splits
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.datasets.dataset_store import Metadata, VersionContent
from notebooks_lib.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import numpy as np

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
    datasets = loader.project_store(settings)
    versions = datasets.versions(opened.name)
    if not versions:
        raise UsageError(
            f"{opened.ref} ships with scikit-learn and gets no new rows; add a table of your own: nbops data add --help"
        )
    if opened.version != versions[-1]:
        raise UsageError(f"{opened.ref}: a fresh holdout is made of the latest version, {opened.name}@{versions[-1]}")
    decided = holdout_budget.spent(store, opened) > 0
    if not decided.any():
        raise UsageError(f"{opened.ref}: no row of its holdout has decided yet; it is fresh")
    held = opened.masks["holdout"]
    if opened.metadata.time:
        retired, metadata, left = None, *moved_on(opened, decided)
    else:
        leaving = np.unique(opened.placing[held][decided], axis=0)
        retired = leaving if opened.retired is None else np.unique(np.concatenate([opened.retired, leaving]), axis=0)
        metadata = replace(opened.metadata, retired=splits.retired_sha256(retired))
        left = int((~splits.among(opened.placing[held], retired)).sum())
    if left < min_rows:
        share = "they" if opened.metadata.time else f"about {opened.metadata.holdout_share:.0%} of them"
        raise DatasetError(
            f"{opened.ref}: only {left} of {len(decided)} holdout rows have never decided, {min_rows} are wanted; add "
            f"a version with {where_fresh_rows_come_from(opened.metadata.group)}: "
            f"nbops data add FILE --name {opened.name}; "
            f"{share} fall into the holdout"
        )
    metadata = replace(metadata, created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    metadata = replace(metadata, fingerprint=splits.version_fingerprint(opened.table, opened.digests, metadata))
    splits.split_rows(opened.ref, opened.table, opened.placing, metadata, retired)
    content = VersionContent(metadata, opened.table, retired)
    while True:
        number = datasets.next_version(opened.name)
        if datasets.versions(opened.name)[-1] != opened.version:
            raise UsageError(f"{opened.name}@{number - 1} was added meanwhile; ask again")
        if datasets.add(opened.name, number, content):
            return loader.read(f"{opened.name}@{number}", settings)


def moved_on(opened: loader.Opened, decided: np.ndarray[Any, Any]) -> tuple[Metadata, int]:
    """Return the metadata whose holdout begins after the last row that decided, and how many rows that holdout has."""
    times = splits.times(opened.ref, opened.table, opened.metadata)
    held = times[opened.masks["holdout"]]
    later = held[held > held[decided].max()]
    first = str(later.min()) if len(later) else opened.metadata.holdout_from
    metadata = replace(opened.metadata, validation_from=opened.metadata.holdout_from, holdout_from=first)
    return metadata, len(later)
