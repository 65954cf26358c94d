"""Replace a spent holdout by rows that no decision has used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import loader, splits, version_lookup
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent
from notebooks_lib.datasets.holdout_budget import utc_now
from notebooks_lib.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]
from notebooks_lib.datasets.holdout_budget import spent_levels


def where_fresh_rows_come_from(group: str | None) -> str:
    """Return a phrase that says which rows can make up a fresh holdout.

    With a `group` column these are rows of new groups, because new rows of a known group go to the part of that group.
    """
    return f"rows of new values of {group!r}, not just new rows of the known ones" if group else "rows that came since"


def make_fresh_holdout(store: Store, ref: str, *, min_rows: int) -> Dataset:
    """Add a version of a dataset with the same rows, whose holdout keeps only rows that no decision has used.

    Raises UsageError when no holdout row has been used, or `ref` is not the latest version of a project's dataset.
    Raises DatasetError when fewer than `min_rows` holdout rows would be left.
    """
    opened = loader.open_table(ref, store.settings)
    datasets = version_lookup.project_store(store.settings)
    _check_latest(opened, datasets.versions(opened.name))
    decided = spent_levels(store, opened) > 0
    if not decided.any():
        raise UsageError(f"{opened.ref}: no row of its holdout has decided yet; it is fresh")
    metadata, retired, remaining = _moved_on(opened, decided) if opened.metadata.time else _retired(opened, decided)
    if remaining < min_rows:
        share = "they" if opened.metadata.time else f"about {opened.metadata.holdout_share:.0%} of them"
        raise DatasetError(
            f"{opened.ref}: only {remaining} of {len(decided)} holdout rows have never decided, {min_rows} are wanted; "
            f"add a version with {where_fresh_rows_come_from(opened.metadata.group)}: "
            f"nbops data add FILE --name {opened.name}; "
            f"{share} fall into the holdout"
        )
    metadata = replace(metadata, created=utc_now())
    metadata = replace(metadata, fingerprint=splits.version_fingerprint(opened.table, opened.digests, metadata))
    splits.split_rows(opened.ref, opened.table, opened.placing, metadata, retired)
    content = VersionContent(metadata, opened.table, retired)
    while True:
        number = datasets.next_version(opened.name)
        if datasets.versions(opened.name)[-1] != opened.version:
            raise UsageError(f"{opened.name}@{number - 1} was added meanwhile; ask again")
        if datasets.add(opened.name, number, content):
            return loader.read(f"{opened.name}@{number}", store.settings)


def _check_latest(opened: loader.Opened, versions: list[int]) -> None:
    if not versions:
        raise UsageError(
            f"{opened.ref} ships with scikit-learn and gets no new rows; add a table of your own: nbops data add --help"
        )
    if opened.version != versions[-1]:
        raise UsageError(f"{opened.ref}: a fresh holdout is made of the latest version, {opened.name}@{versions[-1]}")


def _retired(opened: loader.Opened, decided: Array) -> tuple[Metadata, Array, int]:
    """Return the metadata that retires the rows that decided, their digests, and how many rows the holdout keeps."""
    import numpy as np

    held = opened.placing[opened.masks["holdout"]]
    leaving = held[decided] if opened.retired is None else np.concatenate([opened.retired, held[decided]])
    retired = np.unique(leaving, axis=0)
    metadata = replace(opened.metadata, retired=splits.retired_sha256(retired))
    return metadata, retired, int((~splits.contained_in(held, retired)).sum())


def _moved_on(opened: loader.Opened, decided: Array) -> tuple[Metadata, None, int]:
    """Return the metadata whose holdout begins after the last row that decided, and how many rows that holdout has."""
    times = splits.time_values(opened.ref, opened.table, opened.metadata)
    held = times[opened.masks["holdout"]]
    later = held[held > held[decided].max()]
    first = str(later.min()) if len(later) else opened.metadata.holdout_from
    metadata = replace(opened.metadata, validation_from=opened.metadata.holdout_from, holdout_from=first)
    return metadata, None, len(later)
