"""Finds, checks and opens datasets by reference. It hands out train and validation; the holdout by one guarded door."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from notebooks_lib import private_files
from notebooks_lib.datasets import bundled, hashing, lineage, splits
from notebooks_lib.datasets import storage as versions
from notebooks_lib.datasets.dataset import Dataset, Part
from notebooks_lib.datasets.storage import Record
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here
from notebooks_lib.settings.sections import Data

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

BUNDLED = "scikit-learn"


@dataclass(frozen=True)
class CatalogEntry:
    """A dataset as the catalog lists it, by its latest version."""

    name: str
    versions: tuple[int, ...]
    rows: int
    columns: int
    fingerprint: str
    source: str
    """The project's data folder, or scikit-learn."""
    description: str


def load(ref: str, settings: Settings | None = None) -> Dataset:
    """The train and validation parts of a dataset: "sales@1", or "sales" for its latest version.

    The project's data folder comes first; a name that is not there is looked up among scikit-learn's bundled tables,
    each of which is version 1 of itself. The run that is going on, if any, is tagged with what was loaded.
    Raises UnknownNameError, and DatasetError when the stored content is not what was added.
    """
    dataset = read(ref, settings or here())
    lineage.note(dataset)
    return dataset


def read(ref: str, settings: Settings) -> Dataset:
    """As `load`, without a mark on a run: for commands that only look."""
    found = open_table(ref, settings)
    record, table, masks = found.record, found.table, found.masks
    return Dataset(
        name=found.name,
        version=found.version,
        fingerprint=record.fingerprint,
        target=record.target,
        key=record.key,
        group=record.group,
        time=record.time,
        columns=record.columns,
        rows=record.rows,
        rows_held_out=int(masks["holdout"].sum()),
        description=record.description,
        source=record.source,
        train=_part("train", record, table, masks),
        validation=_part("validation", record, table, masks),
        retired=0 if found.retired is None else int(among(found.placing, found.retired).sum()),
    )


def open_holdout(ref: str, settings: Settings | None = None, *, reader: str) -> Part:
    """The holdout of a dataset, for promotion: `uses.asking` counts the use, then calls this. Nobody else does.

    `reader` says on whose behalf. Each reading is a line in .nbops/holdout.jsonl, for people; what is counted stands
    in the tracking store.
    """
    settings = settings or here()
    found = open_table(ref, settings)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "dataset": f"{found.name}@{found.version}",
        "fingerprint": found.record.fingerprint,
        "reader": reader,
    }
    private_files.make_folder(settings.layout.state)
    with (settings.layout.state / "holdout.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return _part("holdout", found.record, found.table, found.masks)


def catalog(settings: Settings | None = None) -> list[CatalogEntry]:
    """All datasets that `load` can give: the project's own, then scikit-learn's."""
    mine = own(settings or here())
    taken = {entry.name for entry in mine}
    return mine + [_entry_of_bundle(name) for name in bundled.names() if name not in taken]


def own(settings: Settings) -> list[CatalogEntry]:
    """The datasets in the project's data folder."""
    return [_entry_of_folder(settings, name) for name in versions.names(settings.data_folder)]


def parse_ref(ref: str) -> tuple[str, int | None]:
    """Name and version of "name@version"; the version is None when left out."""
    name, mark, version = ref.partition("@")
    check_name(name)
    if not mark:
        return name, None
    if not (version.isascii() and version.isdecimal()):
        raise UsageError(f"dataset {ref!r}: the version is a whole number, as in {name}@1")
    return name, int(version)


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be a dataset's."""
    if not versions.is_name(name):
        raise UsageError(f"dataset name {name!r}: use lower-case letters, digits, '-' and '_', 64 at most")


def deciding_digests(table: pa.Table, record: Record, whole: Digests) -> np.ndarray[Any, Any]:
    """The digests that place rows in parts: of the group, else of the key, else of the whole row.

    A dataset keeps the algorithm of its first version.
    """
    if record.decided_by is not None:
        column = table.select([record.decided_by])
        digests = hashing.row_digests if record.parts == splits.KINDS_DECIDE else hashing.folded_digests
        return digests(column)
    return whole.plain if record.parts == splits.KINDS_DECIDE else whole.folded


def fingerprint(table: pa.Table, plain: np.ndarray[Any, Any], record: Record) -> str:
    """Of the content and, where time or rows that left the holdout deal the parts, of those."""
    found = hashing.fingerprint(table, plain)
    parts_say = record.retired or ""
    if record.time:
        parts_say = f"{record.time}\0{record.validation_from}\0{record.holdout_from}"
    return hashlib.sha256(f"{found}\0{parts_say}".encode()).hexdigest() if parts_say else found


@dataclass(frozen=True, eq=False)
class Digests:
    """Of each row of a table, (rows, 2)."""

    plain: np.ndarray[Any, Any]
    """By the kinds of columns: what the fingerprint is made of, and parts of the first algorithm."""
    folded: np.ndarray[Any, Any]
    """Whatever the kinds; mostly equal."""

    @classmethod
    def of(cls, table: pa.Table) -> Digests:
        """The digests of a normalised table."""
        plain = hashing.row_digests(table)
        return cls(plain, hashing.folded_digests(table, plain))


def split(
    ref: str,
    table: pa.Table,
    digests: np.ndarray[Any, Any],
    record: Record,
    retired: np.ndarray[Any, Any] | None = None,
) -> dict[splits.PartName, np.ndarray[Any, Any]]:
    """The mask of each part. Raises DatasetError when a part would be empty or was split by an unknown algorithm."""
    if record.parts not in (splits.KINDS_DECIDE, splits.ALGORITHM):
        raise DatasetError(
            f"{ref}: split by algorithm {record.parts}, this nbops knows {splits.ALGORITHM}; use the one that added it"
        )
    masks = dict(
        splits.split_by_time(_times(ref, table, record), str(record.validation_from), str(record.holdout_from))
        if record.time
        else splits.split(
            digests,
            validation_share=record.validation_share,
            holdout_share=record.holdout_share,
            retired=None if retired is None else among(digests, retired),
        )
    )
    empty = [name for name in splits.NAMES if not masks[name].any()]
    if empty:
        sizes = ", ".join(f"{name} {int(masks[name].sum())}" for name in splits.NAMES)
        raise DatasetError(
            f"{ref}: no rows fall into {' and '.join(empty)} ({sizes}); a dataset needs more rows, or more different "
            f"values of {record.time or record.decided_by or 'its rows'}"
        )
    return masks


def among(digests: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """For each digest, whether it is one of the others. Half of a digest tells: by chance one in 10^13 is wrong."""
    import numpy as np

    return np.isin(digests[:, 0].astype(np.uint64), others[:, 0].astype(np.uint64))


def with_cuts(ref: str, table: pa.Table, record: Record) -> Record:
    """The record with the times at which parts begin; those of the first version hold for all later ones."""
    if record.time is None or record.holdout_from is not None:
        return record
    times = _times(ref, table, record)
    validation, holdout = splits.cuts(times, record.validation_share, record.holdout_share)
    return replace(record, validation_from=validation, holdout_from=holdout)


def moved_on(found: Opened, decided: Array) -> tuple[Record, int]:
    """The record whose holdout begins after the last row that decided, and how many rows it then has."""
    times = _times(found.ref, found.table, found.record)
    held = times[found.masks["holdout"]]
    later = held[held > held[decided].max()]
    first = str(later.min()) if len(later) else found.record.holdout_from
    record = replace(found.record, validation_from=found.record.holdout_from, holdout_from=first)
    return record, len(later)


def _times(ref: str, table: pa.Table, record: Record) -> Array:
    """The times of the rows, as numbers or dates. Raises UsageError for a column that tells no time."""
    kind = hashing.kinds(table)[str(record.time)]
    if kind in ("text", "boolean"):
        raise UsageError(
            f"{ref}: time {record.time!r} is {kind}; it takes numbers or ISO dates such as 2026-12-31, one in each row"
        )
    values: Array = frame(table.select([record.time]))[record.time].to_numpy()
    return values


def alike(ref: str, settings: Settings) -> float:
    """The share of holdout rows whose features are those of a train or validation row."""
    found = open_table(ref, settings)
    apart = {found.record.target, found.record.key, found.record.group}
    digests = hashing.folded_digests(found.table.select([name for name in found.record.columns if name not in apart]))
    held = found.masks["holdout"]
    return float(among(digests[held], digests[~held]).mean())


@dataclass(frozen=True, eq=False)
class Opened:
    """A version with all of its rows: for this package alone."""

    name: str
    version: int
    record: Record
    table: pa.Table
    whole: np.ndarray[Any, Any]
    """Digest of each row, (rows, 2); it does not depend on the kinds of columns."""
    plain: np.ndarray[Any, Any]
    """The same by the kinds of this version, as the first versions of nbops counted rows; mostly equal."""
    placing: np.ndarray[Any, Any]
    """Digest of what places it in a part, (rows, 2)."""
    masks: Mapping[splits.PartName, np.ndarray[Any, Any]]
    """Which rows are in which part."""
    retired: np.ndarray[Any, Any] | None = None
    """Digests (n, 2), as `placing`, of what left the holdout."""

    @property
    def ref(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"


def open_table(ref: str, settings: Settings) -> Opened:
    """All rows of a version, checked against its record. Only this package calls it."""
    name, asked = parse_ref(ref)
    mine = versions.numbers(settings.data_folder, name)
    known = mine or ([1] if name in bundled.names() else [])
    if not known:
        every = {*versions.names(settings.data_folder), *bundled.names()}
        raise UnknownNameError("dataset", name, every, "`nbops data list` shows them.")
    version = known[-1] if asked is None else asked
    if version not in known:
        raise UnknownNameError(f"version of dataset {name!r}", str(version), map(str, known))
    if mine:
        record = versions.read_record(settings.data_folder, name, version)
        stored = versions.read_table(settings.data_folder, name, version)
        table = hashing.normalise(stored)
        whole = Digests.of(table)
        retired = versions.read_retired(settings.data_folder, name, version, record)
        found = fingerprint(table, whole.plain, record)
        if found != record.fingerprint or set(table.column_names) != set(record.columns):
            raise versions.changed(settings.data_folder, name, version, found, record.fingerprint)
        table = table.select(list(record.columns))
    else:
        record, table, whole = _open_bundle(name)
        retired = None
    placing = deciding_digests(table, record, whole)
    masks = split(f"{name}@{version}", table, placing, record, retired)
    return Opened(name, version, record, table, whole.folded, whole.plain, placing, masks, retired)


def _open_bundle(name: str) -> tuple[Record, pa.Table, Digests]:
    bundle = bundled.load(name)
    digests = Digests.of(bundle.hashed)
    defaults = Data()  # not the settings in force: these parts are the same in every project
    record = Record(
        fingerprint=hashing.fingerprint(bundle.hashed, digests.plain),
        rows=len(bundle.table),
        columns=hashing.kinds(bundle.table),
        validation_share=defaults.validation_share,
        holdout_share=defaults.holdout_share,
        parts=splits.KINDS_DECIDE,
        target=bundle.target,
        description=bundle.description,
        source=BUNDLED,
    )
    return record, bundle.table, digests


def _part(
    name: splits.PartName, record: Record, table: pa.Table, masks: Mapping[splits.PartName, np.ndarray[Any, Any]]
) -> Part:
    import pyarrow as pa

    apart = {record.target, record.key, record.group}
    return Part(
        name=name,
        frame=frame(table.filter(pa.array(masks[name])), like=table),
        target=record.target,
        features=tuple(column for column in record.columns if column not in apart),
    )


def frame(table: pa.Table, *, like: pa.Table | None = None) -> pd.DataFrame:
    """As pandas and MLflow have it: missing is NaN, times are datetime64[ns], instants without their zone, UTC.

    A column with a time that nanoseconds cannot hold (before 1678, after 2261) stays in microseconds. `like` is the
    table that these rows are of, so that a column has one type in all parts.
    """
    import numpy as np

    found: pd.DataFrame = table.to_pandas()
    for name, kind in hashing.kinds(table).items():
        if kind in ("text", "boolean") and table[name].null_count:
            found[name] = found[name].mask(found[name].isna(), np.nan)
        elif kind in ("time", "instant"):
            values = found[name].dt.tz_localize(None) if kind == "instant" else found[name]
            fits = _fits_nanoseconds((table if like is None else like)[name])
            found[name] = values.astype("datetime64[ns]" if fits else "datetime64[us]")
    return found


def _fits_nanoseconds(times: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    try:
        times.cast(pa.timestamp("ns", times.type.tz))
    except pa.ArrowInvalid:
        return False
    return True


def _entry_of_folder(settings: Settings, name: str) -> CatalogEntry:
    numbers = versions.numbers(settings.data_folder, name)
    record = versions.read_record(settings.data_folder, name, numbers[-1])
    return CatalogEntry(
        name=name,
        versions=tuple(numbers),
        rows=record.rows,
        columns=len(record.columns),
        fingerprint=record.fingerprint,
        source=f"{settings.data.folder}/{name}",
        description=record.description,
    )


def _entry_of_bundle(name: str) -> CatalogEntry:
    record, _, _ = _open_bundle(name)
    return CatalogEntry(name, (1,), record.rows, len(record.columns), record.fingerprint, BUNDLED, record.description)
