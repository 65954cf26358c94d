"""Makes a version of a dataset from a file, after checking all that could be wrong with it. Reading is `access`'s."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here
from notebooks_lib.tracking.datasets import access, bundled, content, files, parts, versions
from notebooks_lib.tracking.datasets.dataset import Dataset
from notebooks_lib.tracking.datasets.kinds import ALIASES, KINDS
from notebooks_lib.tracking.datasets.versions import Record

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
    kinds: Mapping[str, str] | None = None,
    description: str = "",
) -> Dataset:
    """Make the table in `file` the next version of dataset `name`; the version there is when the content is the same.

    What is not said is taken from the latest version. Its key, group and shares hold for all versions, so that a row
    never changes sides between them. `key` names each row once; rows with equal `group` stay in one part. Without
    either, the whole row decides, target included: then rows with equal features and different targets may fall
    apart, and adding a column moves rows; give a key or a group where that matters. `kinds` says what columns hold
    where the file does not show it, {"zip": "text"}; it holds for later versions, too.

    Raises UsageError (file, name, columns), DatasetError (content), and leaves nothing behind when it does.
    """
    settings = settings or here()
    folder = settings.data_folder
    access.check_name(name)
    if not versions.numbers(folder, name) and name in bundled.names():
        raise UsageError(
            f"dataset name {name!r}: scikit-learn has a table of that name, which is {name}@1 everywhere; take another"
        )
    file = Path(file)
    before = _before(settings, name)
    said = _said(before, name, kinds or {})
    read = files.read(file, before=before.columns, said=said)
    record = _roles(before, read.table.column_names, target=target, key=key, group=group)
    record = replace(record, said=tuple(sorted(said)) or None)
    if before.rows and before.parts == parts.KINDS_DECIDE:
        deciding = [record.decided_by] if record.decided_by else read.table.column_names
        read = files.read_as_before(file, read, before.columns, deciding, name)
    _check_roles(file, read, record)
    table = read.table
    digests = access.Digests.of(table)
    record = replace(
        record,
        fingerprint=access.fingerprint(table, digests.plain, record),
        rows=len(table),
        columns=content.kinds(table),
        description=description or record.description,
        source=file.name,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    retired = _retired(settings, name, record)
    access.split(str(file), access.deciding_digests(table, record, digests), record, retired)
    while True:
        # The number before the look: what somebody else adds in between takes this number, and we look again.
        number = versions.next_number(folder, name)
        same = _same(settings, name, record)
        if same is not None:
            return same
        if versions.write(folder, name, number, table, record, retired=retired):
            return access.read(f"{name}@{number}", settings)


def remarks(dataset: Dataset) -> list[str]:
    """What a person should look at after adding: columns of text whose values are nearly all numbers."""
    found = []
    for column, kind in dataset.columns.items():
        if kind == "text":
            values = dataset.train.frame[column].dropna().astype(str)
            odd = values[[not _is_number(value) for value in values]]
            if 0 < len(odd) <= len(values) / 10:
                found.append(
                    f"column {column!r} is text: {len(values) - len(odd)} of {len(values)} values are numbers, but not "
                    f"{odd.iloc[0]!r}; leave a field empty when its value is missing"
                )
    return found


def _said(before: Record, name: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """The kinds that the user chose, now or for a version before. Raises UsageError for one that would move rows."""
    said = {column: before.columns[column] for column in before.said or () if column in before.columns}
    for column, word in kinds.items():
        kind = ALIASES.get(word, word)
        if kind not in KINDS:
            raise UnknownNameError("kind", word, (*KINDS, *ALIASES))
        decides = bool(before.rows) and before.decided_by in (None, column)
        fixed = said.get(column, "text" if before.parts != parts.KINDS_DECIDE else before.columns.get(column))
        if decides and kind != fixed:
            raise UsageError(
                f"kind of {column!r}: it decides the parts of {name} as {before.columns.get(column)}, and "
                "rows must not change sides between versions; leave it out, or take another name"
            )
        said[column] = kind
    return said


def _before(settings: Settings, name: str) -> Record:
    """How the name's rows are split so far; the settings in force for a new name."""
    numbers = versions.numbers(settings.data_folder, name)
    if numbers:
        return versions.read_record(settings.data_folder, name, numbers[-1])
    return Record(
        fingerprint="",
        rows=0,
        columns={},
        validation_share=settings.data.validation_share,
        holdout_share=settings.data.holdout_share,
        parts=parts.ALGORITHM,
    )


def _retired(settings: Settings, name: str, record: Record) -> np.ndarray[Any, Any] | None:
    """What left the holdout stays out of it in every later version."""
    if record.retired is None:
        return None
    latest = versions.numbers(settings.data_folder, name)[-1]
    return versions.read_retired(settings.data_folder, name, latest, record)


def _roles(before: Record, columns: list[str], *, target: str | None, key: str | None, group: str | None) -> Record:
    for role, asked, fixed in (("key", key, before.key), ("group", group, before.group)):
        if before.rows and asked is not None and asked != fixed:
            raise UsageError(
                f"{role} {asked!r}: versions before are split by {before.decided_by or 'the whole row'}, and rows must "
                "not change sides between versions; leave it out, or add the file under another name"
            )
    record = replace(before, target=target or before.target, key=key or before.key, group=group or before.group)
    for role, column in (("target", record.target), ("key", record.key), ("group", record.group)):
        if column is not None and column not in columns:
            raise UnknownNameError(f"{role} column", column, columns)
    if record.target is not None and record.target in (record.key, record.group):
        raise UsageError(
            f"column {record.target!r} cannot be the target and the {'key' if record.key == record.target else 'group'}"
        )
    if not set(columns) - {record.target, record.key, record.group}:
        raise UsageError("no column is left as a feature beside target, key and group")
    return record


def _check_roles(file: Path, read: files.Read, record: Record) -> None:
    import numpy as np

    table = read.table
    for role, column in (("target", record.target), ("key", record.key), ("group", record.group)):
        if column is not None and table[column].null_count:
            first = table[column].is_null().index(True).as_py() + 1
            raise DatasetError(
                f"{file}: {role} {column!r} is missing in {table[column].null_count} row(s), first in row {first}"
            )
    if record.key is not None:
        digests = content.row_digests(table.select([record.key]))
        _, first_at, counts = np.unique(digests, axis=0, return_index=True, return_counts=True)
        twice = np.sort(first_at[counts > 1])
        if len(twice):
            shown = ", ".join(read.text(record.key, int(at)) for at in twice[:3])
            more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
            raise DatasetError(
                f"{file}: key {record.key!r} must name each row once, but {shown}{more} come(s) up more than once; "
                "rows that belong together have a --group, not a --key"
            )


def _same(settings: Settings, name: str, record: Record) -> Dataset | None:
    """The latest version of this content and target, if it is still whole."""
    for number in reversed(versions.numbers(settings.data_folder, name)):
        known = versions.read_record(settings.data_folder, name, number)
        if (known.fingerprint, known.target) == (record.fingerprint, record.target):
            try:
                return access.read(f"{name}@{number}", settings)
            except DatasetError:
                continue  # damaged since: what is being added replaces it as a new version
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
