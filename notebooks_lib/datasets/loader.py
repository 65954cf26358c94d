"""Find, check and open datasets by reference, those bundled with scikit-learn too. Only promotion gets the holdout."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import safe_files
from notebooks_lib.datasets import hashing, lineage, splits
from notebooks_lib.datasets import storage as versions
from notebooks_lib.datasets.dataset import Dataset, Part, to_frame
from notebooks_lib.datasets.storage import Record
from notebooks_lib.errors import UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here
from notebooks_lib.settings.sections import Data

if TYPE_CHECKING:
    import numpy as np
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
    """Return the train and validation parts of a dataset: "sales@1", or "sales" for its latest version.

    The project's data folder comes first; other names are looked up among scikit-learn's bundled tables, which have one
    version each. The active run, if any, is tagged with the dataset. Raises UnknownNameError, and DatasetError when the
    stored content is not what was added.
    """
    dataset = read(ref, settings or here())
    lineage.note(dataset)
    return dataset


def read(ref: str, settings: Settings) -> Dataset:
    """Return a dataset as `load` does, without tagging a run: for commands that only look."""
    opened = open_table(ref, settings)
    record, table, masks = opened.record, opened.table, opened.masks
    return Dataset(
        name=opened.name,
        version=opened.version,
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
        retired=0 if opened.retired is None else int(splits.among(opened.placing, opened.retired).sum()),
    )


def open_holdout(ref: str, settings: Settings | None = None, *, reader: str) -> Part:
    """Return the holdout of a dataset: only `holdout_budget.asking` calls this, once it has counted the use.

    `reader` names who it is read for. Each reading is a line in .nbops/holdout.jsonl for people; the count is kept in
    the tracking store.
    """
    settings = settings or here()
    opened = open_table(ref, settings)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "dataset": f"{opened.name}@{opened.version}",
        "fingerprint": opened.record.fingerprint,
        "reader": reader,
    }
    safe_files.make_folder(settings.layout.state)
    with (settings.layout.state / "holdout.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return _part("holdout", opened.record, opened.table, opened.masks)


def catalog(settings: Settings | None = None) -> list[CatalogEntry]:
    """Return all datasets that `load` can give: the project's own, then scikit-learn's."""
    mine = own(settings or here())
    taken = {entry.name for entry in mine}
    return mine + [_entry_of_bundle(name) for name in bundled_names() if name not in taken]


def own(settings: Settings) -> list[CatalogEntry]:
    """Return the datasets in the project's data folder."""
    return [_entry_of_folder(settings, name) for name in versions.names(settings.data_folder)]


def parse_ref(ref: str) -> tuple[str, int | None]:
    """Return name and version of "name@version"; the version is None when left out."""
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


def fingerprint(table: pa.Table, plain: np.ndarray[Any, Any], record: Record) -> str:
    """Return the fingerprint of the content, and of times or retired rows where they assign the parts."""
    content = hashing.fingerprint(table, plain)
    parts_say = record.retired or ""
    if record.time:
        parts_say = f"{record.time}\0{record.validation_from}\0{record.holdout_from}"
    return hashlib.sha256(f"{content}\0{parts_say}".encode()).hexdigest() if parts_say else content


@dataclass(frozen=True, eq=False)
class Opened:
    """A version with all of its rows, for this package alone."""

    name: str
    version: int
    record: Record
    table: pa.Table
    whole: np.ndarray[Any, Any]
    """Digest of each row, (rows, 2); it does not depend on the kinds of columns."""
    plain: np.ndarray[Any, Any]
    """Digest of each row by the kinds of this version, as the first versions of nbops counted rows; mostly equal."""
    placing: np.ndarray[Any, Any]
    """Digest of what assigns a row to a part, (rows, 2)."""
    masks: Mapping[splits.PartName, np.ndarray[Any, Any]]
    """Which rows are in which part."""
    retired: np.ndarray[Any, Any] | None = None
    """Digests (n, 2), as `placing`, of what left the holdout."""

    @property
    def ref(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"


def open_table(ref: str, settings: Settings) -> Opened:
    """Open all rows of a version, checked against its record. Only this package calls it."""
    name, asked = parse_ref(ref)
    mine = versions.numbers(settings.data_folder, name)
    known = mine or ([1] if name in bundled_names() else [])
    if not known:
        names = {*versions.names(settings.data_folder), *bundled_names()}
        raise UnknownNameError("dataset", name, names, "`nbops data list` shows them.")
    version = known[-1] if asked is None else asked
    if version not in known:
        raise UnknownNameError(f"version of dataset {name!r}", str(version), map(str, known))
    if mine:
        record = versions.read_record(settings.data_folder, name, version)
        stored = versions.read_table(settings.data_folder, name, version)
        table = hashing.normalise(stored)
        whole = splits.Digests.of(table)
        retired = versions.read_retired(settings.data_folder, name, version, record)
        actual = fingerprint(table, whole.plain, record)
        if actual != record.fingerprint or set(table.column_names) != set(record.columns):
            raise versions.changed(settings.data_folder, name, version, actual, record.fingerprint)
        table = table.select(list(record.columns))
    else:
        record, table, whole = _open_bundle(name)
        retired = None
    placing = splits.deciding_digests(table, record, whole)
    masks = splits.split_rows(f"{name}@{version}", table, placing, record, retired)
    return Opened(name, version, record, table, whole.folded, whole.plain, placing, masks, retired)


def _open_bundle(name: str) -> tuple[Record, pa.Table, splits.Digests]:
    bundle = load_bundled(name)
    digests = splits.Digests.of(bundle.hashed)
    defaults = Data()  # not the project's settings: these parts are the same everywhere
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
        frame=to_frame(table.filter(pa.array(masks[name])), like=table),
        target=record.target,
        features=tuple(column for column in record.columns if column not in apart),
    )


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


_LOADER = "load_"
_HASHED_DECIMALS = 10


@dataclass(frozen=True)
class Bundled:
    """One of scikit-learn's tables."""

    table: pa.Table
    hashed: pa.Table
    """The same with numbers rounded to 10 decimals: what fingerprint and parts are computed from."""
    target: str | None
    """None for a table with several."""
    description: str


def bundled_names() -> list[str]:
    """Return the bundled tables: `load_*` functions that can give a data frame and need no argument."""
    from sklearn import datasets

    tables = []
    for attribute in datasets.__all__:
        if attribute.startswith(_LOADER):
            parameters = inspect.signature(getattr(datasets, attribute)).parameters
            needed = [one for one in parameters.values() if one.default is inspect.Parameter.empty]
            if "as_frame" in parameters and not needed:
                tables.append(attribute.removeprefix(_LOADER))
    return sorted(tables)


def load_bundled(name: str) -> Bundled:
    """Return the table that `sklearn.datasets.load_<name>(as_frame=True)` gives; `name` is one of `names()`."""
    import pyarrow as pa
    from sklearn import datasets

    bunch = getattr(datasets, _LOADER + name)(as_frame=True)

    def plain(frame: Any) -> pa.Table:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        return hashing.normalise(table.replace_schema_metadata(None))

    lines = (line.strip() for line in bunch.DESCR.splitlines())
    return Bundled(
        table=plain(bunch.frame),
        # scikit-learn scales some tables when it loads them: their last bit may differ between machines.
        hashed=plain(bunch.frame.round(_HASHED_DECIMALS)),
        target=getattr(bunch.target, "name", None),
        description=next((line for line in lines if line and line[0] not in ".-=:"), ""),
    )
