"""Make a version of a dataset from a file, once everything that could be wrong with it has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import column_kinds as words
from notebooks_lib.datasets import hashing, loader, readers, splits, storage
from notebooks_lib.datasets.column_kinds import ALIASES, KINDS
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.datasets.storage import Record
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import numpy as np


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

    What is left out is taken from the latest version. Key, group and shares are the same in all versions, so that a row
    never changes its part. `key` identifies each row; rows with equal `group` stay in one part. Without either, the
    whole row decides, target included: rows with equal features and different targets may then be in different parts,
    and adding a column moves rows; give a key or a group where that matters. `kinds` names what columns hold where the
    file does not show it, as {"zip": "text"}; it is kept for later versions.

    Raises UsageError (file, name, columns) or DatasetError (content), and leaves nothing behind.
    """
    settings = settings or here()
    folder = settings.data_folder
    loader.check_name(name)
    if not storage.numbers(folder, name) and name in loader.bundled_names():
        raise UsageError(
            f"dataset name {name!r}: scikit-learn has a table of that name, which is {name}@1 everywhere; take another"
        )
    file = Path(file)
    before = _before(settings, name)
    chosen_kinds = _said(before, name, kinds or {})
    read = readers.read(file, before=before.columns, said=chosen_kinds)
    record = _roles(before, read.table.column_names, target=target, key=key, group=group, time=time)
    record = replace(record, said=tuple(sorted(chosen_kinds)) or None)
    if before.rows and before.parts == splits.KINDS_DECIDE:
        deciding = [record.decided_by] if record.decided_by else read.table.column_names
        read = readers.read_as_before(file, read, before.columns, deciding, name)
    _check_roles(file, read, record)
    _check_time(file, read, record)
    table = read.table
    digests = splits.Digests.of(table)
    record = replace(
        record,
        rows=len(table),
        columns=hashing.kinds(table),
        description=description or record.description,
        source=file.name,
        created=strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()),
    )
    retired = _retired(settings, name, record)
    record = splits.with_cuts(str(file), table, record)
    record = replace(record, fingerprint=loader.fingerprint(table, digests.plain, record))
    splits.split_rows(str(file), table, splits.deciding_digests(table, record, digests), record, retired)
    while True:
        # Take the number before looking for the same content: if another process adds a version now, it takes
        # this number, and the loop looks again.
        number = storage.next_number(folder, name)
        same = _same(settings, name, record)
        if same is not None:
            return same
        if storage.write(folder, name, number, table, record, retired=retired):
            return loader.read(f"{name}@{number}", settings)


def _said(before: Record, name: str, kinds: Mapping[str, str]) -> dict[str, str]:
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


def _before(settings: Settings, name: str) -> Record:
    """Return how the rows of a name are split so far; for a new name, by the settings in force."""
    numbers = storage.numbers(settings.data_folder, name)
    if numbers:
        return storage.read_record(settings.data_folder, name, numbers[-1])
    return Record(
        fingerprint="",
        rows=0,
        columns={},
        validation_share=settings.data.validation_share,
        holdout_share=settings.data.holdout_share,
        parts=splits.ALGORITHM,
    )


def _retired(settings: Settings, name: str, record: Record) -> np.ndarray[Any, Any] | None:
    """Return the digests that left the holdout: they stay out of it in every later version."""
    if record.retired is None:
        return None
    latest = storage.numbers(settings.data_folder, name)[-1]
    return storage.read_retired(settings.data_folder, name, latest, record)


def _roles(
    before: Record, columns: list[str], *, target: str | None, key: str | None, group: str | None, time: str | None
) -> Record:
    fixed_roles = (("key", key, before.key), ("group", group, before.group), ("time", time, before.time))
    for role, asked, fixed in fixed_roles:
        if before.rows and asked is not None and asked != fixed:
            raise UsageError(
                f"{role} {asked!r}: earlier versions are split by {before.split_by}, and rows must "
                "not change sides between versions; leave it out, or add the file under another name"
            )
    record = replace(
        before,
        target=target or before.target,
        key=key or before.key,
        group=group or before.group,
        time=time or before.time,
    )
    if record.time and record.group:
        raise UsageError(
            f"parts are dealt by time {record.time!r} or by group {record.group!r}, not by both: with --time, rows of "
            "a group may be on both sides, as they are when a model is used"
        )
    for role, column in (
        ("target", record.target),
        ("key", record.key),
        ("group", record.group),
        ("time", record.time),
    ):
        if column is not None and column not in columns:
            raise UnknownNameError(f"{role} column", column, columns)
    if record.time is not None and record.time == record.target:
        raise UsageError(f"column {record.time!r} cannot be the target and the time")
    if record.target is not None and record.target in (record.key, record.group):
        raise UsageError(
            f"column {record.target!r} cannot be the target and the {'key' if record.key == record.target else 'group'}"
        )
    if not set(columns) - {record.target, record.key, record.group}:
        raise UsageError("no column is left as a feature beside target, key and group")
    return record


def _check_roles(file: Path, read: readers.Read, record: Record) -> None:
    import numpy as np

    table = read.table
    for role, column in (
        ("target", record.target),
        ("key", record.key),
        ("group", record.group),
        ("time", record.time),
    ):
        if column is not None and table[column].null_count:
            first = table[column].is_null().index(True).as_py() + 1
            raise DatasetError(
                f"{file}: {role} {column!r} is missing in {table[column].null_count} row(s), first in row {first}"
            )
    if record.key is not None:
        digests = hashing.row_digests(table.select([record.key]))
        _, first_at, counts = np.unique(digests, axis=0, return_index=True, return_counts=True)
        twice = np.sort(first_at[counts > 1])
        if len(twice):
            shown = ", ".join(read.text(record.key, int(at)) for at in twice[:3])
            more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
            raise DatasetError(
                f"{file}: key {record.key!r} must name each row once, but {shown}{more} come(s) up more than once; "
                "rows that belong together have a --group, not a --key"
            )


def _check_time(file: Path, read: readers.Read, record: Record) -> None:
    """Raise DatasetError for times of another kind: they cannot be compared with those at which the parts begin."""
    if not record.rows or record.time is None:
        return
    before, kind_now = (
        "number" if kind in words.NUMBERS else kind
        for kind in (record.columns[record.time], hashing.kind(read.table.schema.field(record.time).type))
    )
    if kind_now != before:
        shown = read.text(record.time, _odd(read, record.time, before))
        raise DatasetError(
            f"{file}: time {record.time!r} was {before} and is {kind_now}, as {shown}: it would move rows; write it as "
            "before, or take another --name"
        )


def _odd(read: readers.Read, column: str, kind: str) -> int:
    """Return the first row whose written value is of another kind; the first row if none can be told."""
    import pyarrow as pa

    written = (read.table if read.written is None else read.written)[column]
    if pa.types.is_large_string(written.type):
        for row in range(len(written)):
            row_kind = words.kind_of(written[row : row + 1])
            if ("number" if row_kind in words.NUMBERS else row_kind) != kind:
                return row
    return 0


def _same(settings: Settings, name: str, record: Record) -> Dataset | None:
    """Return the latest version of this content and target, if it is undamaged."""
    for number in reversed(storage.numbers(settings.data_folder, name)):
        known = storage.read_record(settings.data_folder, name, number)
        if (known.fingerprint, known.target) == (record.fingerprint, record.target):
            try:
                return loader.read(f"{name}@{number}", settings)
            except DatasetError:
                continue  # damaged since; the new version replaces it
    return None
