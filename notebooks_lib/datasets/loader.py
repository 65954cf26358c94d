"""Find a version of a dataset in the stores, check its content and open it. Only promotion gets the holdout."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import atomic_private_files
from notebooks_lib.datasets import run_datasets, splits, table_hashing
from notebooks_lib.datasets.dataset import Dataset, Part, to_frame
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetSource, DatasetStore, VersionContent, is_name, remedy
from notebooks_lib.datasets.disk_store import DiskStore
from notebooks_lib.datasets.sklearn_datasets import SklearnDatasets
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

DISK = "disk"
STORES: Mapping[str, Callable[[Settings], DatasetStore]] = {DISK: DiskStore.of_project}
"""The stores in which versions can be added. A new one is a module that keeps `DatasetStore`'s promises and a line
here; tests/datasets/test_dataset_store.py holds it to them.
"""


@dataclass(frozen=True)
class CatalogEntry:
    """A dataset in the catalog, described by its latest version."""

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

    The name is looked up in the project's data folder, then among scikit-learn's bundled tables, which have one version
    each. The active run, if any, is tagged with the dataset. Raises UnknownNameError for an unknown name or version,
    DatasetError when the stored content is not what was added.
    """
    dataset = read(ref, settings or here())
    run_datasets.note_loaded(dataset)
    return dataset


def read(ref: str, settings: Settings) -> Dataset:
    """Return a dataset as `load` does, with the same errors, but without tagging a run."""
    opened = open_table(ref, settings)
    metadata, table, masks = opened.metadata, opened.table, opened.masks
    return Dataset(
        name=opened.name,
        version=opened.version,
        fingerprint=metadata.fingerprint,
        target=metadata.target,
        key=metadata.key,
        group=metadata.group,
        time=metadata.time,
        columns=metadata.columns,
        chosen=metadata.said or (),
        rows=metadata.rows,
        rows_held_out=int(masks["holdout"].sum()),
        description=metadata.description,
        source=metadata.source,
        train=_part("train", metadata, table, masks),
        validation=_part("validation", metadata, table, masks),
        retired=0 if opened.retired is None else int(splits.contained_in(opened.placing, opened.retired).sum()),
    )


def open_holdout(ref: str, settings: Settings | None = None, *, reader: str) -> Part:
    """Return the holdout of a dataset. Only `holdout_budget.holdout_use` calls this, once it has counted the use.

    `reader` is the purpose, such as "promotion of houses". Each call adds a line to .nbops/holdout.jsonl, which is for
    people only: the count of uses is kept in the tracking store.
    """
    settings = settings or here()
    opened = open_table(ref, settings)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "dataset": f"{opened.name}@{opened.version}",
        "fingerprint": opened.metadata.fingerprint,
        "reader": reader,
    }
    atomic_private_files.make_folder(settings.layout.state)
    with (settings.layout.state / "holdout.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return _part("holdout", opened.metadata, opened.table, opened.masks)


def catalog(settings: Settings | None = None) -> list[CatalogEntry]:
    """Return all datasets that `load` accepts: the project's own, then scikit-learn's."""
    entries: dict[str, CatalogEntry] = {}
    for source in sources(settings or here()):
        for name in source.names():
            if name not in entries:
                entries[name] = _entry(source, name)
    return list(entries.values())


def own(settings: Settings) -> list[CatalogEntry]:
    """Return the datasets that were added to the project, without scikit-learn's."""
    store = project_store(settings)
    return [_entry(store, name) for name in store.names()]


def project_store(settings: Settings) -> DatasetStore:
    """Return the store to which a project adds its dataset versions; today this is always the store on disk."""
    return STORES[DISK](settings)


def sources(settings: Settings) -> tuple[DatasetSource, ...]:
    """Return the sources in which a dataset name is looked up, in order; the first source with the name is used."""
    return (project_store(settings), SklearnDatasets())


def source_of(name: str, settings: Settings) -> DatasetSource | None:
    """Return the source that holds the dataset `name`; None if no source does."""
    return next((source for source in sources(settings) if source.versions(name)), None)


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
    """Raise UsageError unless `name` is a valid name for a dataset."""
    if not is_name(name):
        raise UsageError(f"dataset name {name!r}: use lower-case letters, digits, '-' and '_', 64 at most")


@dataclass(frozen=True, eq=False)
class Opened:
    """A dataset version with all of its rows, holdout included; only this package uses it."""

    name: str
    version: int
    metadata: Metadata
    table: pa.Table
    digests: table_hashing.Digests
    """Digests of each row."""
    placing: np.ndarray[Any, Any]
    """Digest of what assigns a row to a part, (rows, 2)."""
    masks: Mapping[splits.PartName, np.ndarray[Any, Any]]
    """Which rows are in which part."""
    retired: np.ndarray[Any, Any] | None = None
    """Digests (n, 2), as `placing`, of what left the holdout."""

    @property
    def ref(self) -> str:
        """Return "name@version"."""
        return f"{self.name}@{self.version}"


def open_table(ref: str, settings: Settings) -> Opened:
    """Read all rows of a dataset version, holdout included, and check them against the metadata. For this package only.

    Raises UnknownNameError for a name or version that no source has, DatasetError for content that is not what was
    added.
    """
    name, requested = parse_ref(ref)
    source = source_of(name, settings)
    if source is None:
        names = {name for source in sources(settings) for name in source.names()}
        raise UnknownNameError("dataset", name, names, "`nbops data list` shows them.")
    versions = source.versions(name)
    version = versions[-1] if requested is None else requested
    if version not in versions:
        raise UnknownNameError(f"version of dataset {name!r}", str(version), map(str, versions))
    content = source.read(name, version)
    metadata, retired = content.metadata, content.retired
    digests = content.digests or table_hashing.Digests.of(content.table)
    _check(content, digests, name, source.location(name, version))
    table = content.table.select(list(metadata.columns))
    placing = splits.deciding_digests(table, metadata, digests)
    masks = splits.split_rows(f"{name}@{version}", table, placing, metadata, retired)
    return Opened(name, version, metadata, table, digests, placing, masks, retired)


def retired_of(store: DatasetStore, name: str, version: int) -> Array | None:
    """Return the digests (n, 2) of the rows taken out of a version's holdout, checked against the metadata.

    No row is read. Raises DatasetError when the digests are not what was written.
    """
    retired = store.retired(name, version)
    _check_retired(store.metadata(name, version), retired, name, store.location(name, version))
    return retired


def _check(content: VersionContent, digests: table_hashing.Digests, name: str, location: str) -> None:
    """Raise DatasetError when a version is not what was added: versions are immutable."""
    metadata = content.metadata
    actual = splits.version_fingerprint(content.table, digests, metadata)
    if actual != metadata.fingerprint or set(content.table.column_names) != set(metadata.columns):
        raise DatasetError(
            f"{location}: the content has changed since it was added (fingerprint {actual[:12]}, "
            f"recorded {metadata.fingerprint[:12]}); versions are immutable: {remedy(name)}"
        )
    _check_retired(metadata, content.retired, name, location)


def _check_retired(metadata: Metadata, retired: Array | None, name: str, location: str) -> None:
    if metadata.retired is not None and (retired is None or splits.retired_sha256(retired) != metadata.retired):
        raise DatasetError(
            f"{location}: the list of rows that left the holdout is not what was written; "
            f"versions are immutable: {remedy(name)}"
        )


def _part(
    name: splits.PartName, metadata: Metadata, table: pa.Table, masks: Mapping[splits.PartName, np.ndarray[Any, Any]]
) -> Part:
    import pyarrow as pa

    return Part(
        name=name,
        frame=to_frame(table.filter(pa.array(masks[name])), like=table),
        target=metadata.target,
        features=metadata.features,
    )


def _entry(source: DatasetSource, name: str) -> CatalogEntry:
    versions = source.versions(name)
    metadata = source.metadata(name, versions[-1])
    return CatalogEntry(
        name=name,
        versions=tuple(versions),
        rows=metadata.rows,
        columns=len(metadata.columns),
        fingerprint=metadata.fingerprint,
        source=source.origin(name),
        description=metadata.description,
    )
