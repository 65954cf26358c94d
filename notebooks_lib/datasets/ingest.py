"""Make a version of a dataset from a file, once everything that could be wrong with it has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import canonical_types, column_kinds, loader, readers, splits, table_hashing, version_lookup
from notebooks_lib.datasets.column_kinds import ALIASES, KINDS
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetStore, VersionContent
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def add(
    file: str | Path,
    name: str,
    settings: Settings | None = None,
    *,
    target: str | None = None,
    key: str | None = None,
    group: str | None = None,
    time: str | None = None,
    kinds: Mapping[str, str] | None = None,
    description: str = "",
) -> Dataset:
    """Make the table in `file` the next version of dataset `name`; return the existing one if the content is the same.

    Arguments that are left out are taken from the latest version. Key, group, time and shares are the same in all
    versions, so that a row never changes its part. `key` identifies each row; rows with equal `group` stay in one part.
    With `time`, a column, the last rows in time are the holdout. Without any of these, the whole row decides, target
    included: rows with equal features and different targets may then be in different parts, and adding a column moves
    rows; give a key or a group where that matters. `kinds` names what columns hold where the file does not show it, as
    {"zip": "text"}; it is kept for later versions.

    Raises UsageError (file, name, columns) or DatasetError (content); then nothing is added.
    """
    settings = settings or here()
    store = version_lookup.project_store(settings)
    version_lookup.check_name(name)
    if not store.versions(name) and version_lookup.source_of(name, settings) is not None:
        raise UsageError(
            f"dataset name {name!r}: scikit-learn has a table of that name, which is {name}@1 everywhere; take another"
        )
    file = Path(file)
    before = _before(store, settings, name)
    read, metadata = _read(
        file, name, before, kinds or {}, target=target, key=key, group=group, time=time, description=description
    )
    content = _content(file, read.table, metadata, _retired(store, name, metadata))
    while True:
        # Take the number before looking for the same content: if another process adds a version now, it takes
        # this number, and the loop looks again.
        number = store.next_version(name)
        same = _same(store, settings, name, content.metadata)
        if same is not None:
            return same
        if store.add(name, number, content):
            return loader.read(f"{name}@{number}", settings)


def _read(
    file: Path, name: str, before: Metadata, kinds: Mapping[str, str], *, description: str, **roles: str | None
) -> tuple[readers.FileTable, Metadata]:
    """Return the content of a file and its metadata, once roles and kinds fit it and the versions before."""
    chosen = _chosen_kinds(before, name, kinds)
    read = readers.read_table(file, before=before.columns, chosen=chosen)
    metadata = _roles(before, read.table.column_names, **roles)
    if before.rows and before.parts == splits.KINDS_DECIDE:
        deciding = [metadata.decided_by] if metadata.decided_by else read.table.column_names
        read = readers.read_as_before(file, read, before.columns, deciding, name)
    _check_roles(file, read, metadata)
    _check_time(file, read, metadata)
    return read, replace(
        metadata,
        rows=len(read.table),
        columns=canonical_types.kinds(read.table),
        description=description or metadata.description,
        source=file.name,
        created=strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()),
        said=tuple(sorted(chosen)) or None,
    )


def _content(file: Path, table: pa.Table, metadata: Metadata, retired: np.ndarray[Any, Any] | None) -> VersionContent:
    """Return the version, once its rows fall into three parts."""
    digests = table_hashing.Digests.of(table)
    metadata = splits.with_cuts(str(file), table, metadata)
    metadata = replace(metadata, fingerprint=splits.version_fingerprint(table, digests, metadata))
    splits.split_rows(str(file), table, splits.deciding_digests(table, metadata, digests), metadata, retired)
    return VersionContent(metadata, table, retired)


def _chosen_kinds(before: Metadata, name: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the kinds that the user chose, now or before. Raises UsageError for one that would move rows."""
    chosen = {column: before.columns[column] for column in before.said or () if column in before.columns}
    for column, word in kinds.items():
        kind = ALIASES.get(word, word)
        if kind not in KINDS:
            raise UnknownNameError("kind", word, (*KINDS, *ALIASES))
        decides = bool(before.rows) and before.decided_by in (None, column)
        fixed = chosen.get(column, "text" if before.parts != splits.KINDS_DECIDE else before.columns.get(column))
        if decides and kind != fixed:
            raise UsageError(
                f"kind of {column!r}: it decides the parts of {name} as {before.columns.get(column)}, and "
                "rows must not change sides between versions; leave it out, or take another name"
            )
        chosen[column] = kind
    return chosen


def _before(store: DatasetStore, settings: Settings, name: str) -> Metadata:
    """Return how the rows of a name are split so far; for a new name, by the settings in force."""
    versions = store.versions(name)
    if versions:
        return store.metadata(name, versions[-1])
    return Metadata(
        fingerprint="",
        rows=0,
        columns={},
        validation_share=settings.data.validation_share,
        holdout_share=settings.data.holdout_share,
        parts=splits.ALGORITHM,
    )


def _retired(store: DatasetStore, name: str, metadata: Metadata) -> np.ndarray[Any, Any] | None:
    """Return the digests that left the holdout: they stay out of it in every later version."""
    if metadata.retired is None:
        return None
    return loader.retired_of(store, name, store.versions(name)[-1])


def _roles(
    before: Metadata, columns: list[str], *, target: str | None, key: str | None, group: str | None, time: str | None
) -> Metadata:
    """Return the metadata with the roles of the columns. Raises UsageError for roles that do not fit."""
    fixed_roles = (("key", key, before.key), ("group", group, before.group), ("time", time, before.time))
    for role, column, fixed in fixed_roles:
        if before.rows and column is not None and column != fixed:
            raise UsageError(
                f"{role} {column!r}: earlier versions are split by {before.split_by}, and rows must "
                "not change sides between versions; leave it out, or add the file under another name"
            )
    metadata = replace(
        before,
        target=target or before.target,
        key=key or before.key,
        group=group or before.group,
        time=time or before.time,
    )
    if metadata.time and metadata.group:
        raise UsageError(
            f"parts are dealt by time {metadata.time!r} or by group {metadata.group!r}, not by both: with --time, rows "
            "of a group may be on both sides, as they are when a model is used"
        )
    for role, column in metadata.roles.items():
        if column not in columns:
            raise UnknownNameError(f"{role} column", column, columns)
    if metadata.time is not None and metadata.time == metadata.target:
        raise UsageError(f"column {metadata.time!r} cannot be the target and the time")
    if metadata.target is not None and metadata.target in (metadata.key, metadata.group):
        other = "key" if metadata.key == metadata.target else "group"
        raise UsageError(f"column {metadata.target!r} cannot be the target and the {other}")
    if not set(columns) - {metadata.target, metadata.key, metadata.group}:
        raise UsageError("no column is left as a feature beside target, key and group")
    return metadata


def _check_roles(file: Path, read: readers.FileTable, metadata: Metadata) -> None:
    import numpy as np

    table = read.table
    for role, column in metadata.roles.items():
        if table[column].null_count:
            first = table[column].is_null().index(True).as_py() + 1
            raise DatasetError(
                f"{file}: {role} {column!r} is missing in {table[column].null_count} row(s), first in row {first}; "
                "fill in the value or take these rows out of the file"
            )
    if metadata.key is not None:
        digests = table_hashing.row_digests(table.select([metadata.key]))
        _, first_at, counts = np.unique(digests, axis=0, return_index=True, return_counts=True)
        twice = np.sort(first_at[counts > 1])
        if len(twice):
            shown = ", ".join(read.text(metadata.key, int(at)) for at in twice[:3])
            more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
            raise DatasetError(
                f"{file}: key {metadata.key!r} must name each row once, but {shown}{more} come(s) up more than once; "
                "rows that belong together have a --group, not a --key"
            )


def _check_time(file: Path, read: readers.FileTable, metadata: Metadata) -> None:
    """Raise DatasetError for times of another kind: they cannot be compared with those at which the parts begin."""
    if not metadata.rows or metadata.time is None:
        return
    before, kind_now = (
        "number" if kind in column_kinds.NUMBERS else kind
        for kind in (metadata.columns[metadata.time], canonical_types.kind(read.table.schema.field(metadata.time).type))
    )
    if kind_now != before:
        shown = read.text(metadata.time, _odd(read, metadata.time, before))
        raise DatasetError(
            f"{file}: time {metadata.time!r} was {before} and is {kind_now}, as {shown}: it would move rows; write it "
            "as before, or take another --name"
        )


def _odd(read: readers.FileTable, column: str, kind: str) -> int:
    """Return the first row whose written value is of another kind; the first row if none can be found."""
    import pyarrow as pa

    written = (read.table if read.written is None else read.written)[column]
    if pa.types.is_large_string(written.type):
        for row in range(len(written)):
            row_kind = column_kinds.kind_of(written[row : row + 1])
            if ("number" if row_kind in column_kinds.NUMBERS else row_kind) != kind:
                return row
    return 0


def _same(store: DatasetStore, settings: Settings, name: str, metadata: Metadata) -> Dataset | None:
    """Return the latest version of this content and target, if it is undamaged."""
    for number in reversed(store.versions(name)):
        recorded = store.metadata(name, number)
        if (recorded.fingerprint, recorded.target) == (metadata.fingerprint, metadata.target):
            try:
                return loader.read(f"{name}@{number}", settings)
            except DatasetError:
                continue  # damaged since; the new version replaces it
    return None
