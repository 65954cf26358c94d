"""Find a version of a dataset in the stores, check its content and open it. Only promotion gets the holdout."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import atomic_private_files
from notebooks_lib.datasets import run_datasets, splits, table_hashing, version_check
from notebooks_lib.datasets.asset_store import AssetStore
from notebooks_lib.datasets.dataset import Dataset, Part, to_frame
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetSource, DatasetStore, is_name
from notebooks_lib.datasets.disk_store import DiskStore
from notebooks_lib.datasets.machine_store import MachineStore
from notebooks_lib.datasets.sklearn_datasets import SklearnDatasets
from notebooks_lib.errors import DatasetError, SettingsError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

DISK = "disk"
WORKSPACE = "workspace"
STORES: Mapping[str, Callable[[Settings], DatasetStore]] = {
    DISK: DiskStore.of_project,
    WORKSPACE: AssetStore.of_project,
}
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
    each. A version that is not on this machine is pulled from the project's Azure ML workspace, once; "sales" alone is
    the latest version on this machine, and the workspace's where there is none. The active run, if any, is tagged with
    the dataset. Raises UnknownNameError for an unknown name or version, DatasetError when the stored content is not
    what was added, or cannot be pulled.
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
    """Return the versions on this machine: those of the store to which the project adds, and those that were pulled."""
    added, pulled = STORES[DISK](settings), pulled_store(settings)
    return added if pulled is None else MachineStore(added, pulled)


def workspace_store(settings: Settings) -> DatasetStore | None:
    """Return the store of the project's Azure ML workspace; None when no workspace is named. It asks nothing."""
    try:
        return STORES[WORKSPACE](settings)
    except SettingsError:
        return None


def pulled_store(settings: Settings, *, make: bool = False) -> DiskStore | None:
    """Return the store of the versions that were pulled from the project's workspace.

    None when no workspace is named, or, without `make`, when none was pulled yet.
    """
    from notebooks_lib.azure.workspace import find_workspace

    folder = settings.layout.pulled_datasets
    if not (make or folder.is_dir()):
        return None
    try:
        workspace = find_workspace(settings)
    except SettingsError:
        return None
    folder /= hashlib.sha256(workspace.path.casefold().encode()).hexdigest()[:16]
    return DiskStore(folder, str(folder.relative_to(settings.root)), _pull_again)


def _pull_again(name: str, version: int) -> str:
    return f"pull it again: nbops data pull {name}@{version}"


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
    name, version, source = _find(*parse_ref(ref), settings)
    content = source.read(name, version)
    metadata, retired = content.metadata, content.retired
    digests = content.digests or table_hashing.Digests.of(content.table)
    version_check.check(content, digests, source, name, version)
    table = content.table.select(list(metadata.columns))
    placing = splits.deciding_digests(table, metadata, digests)
    masks = splits.split_rows(f"{name}@{version}", table, placing, metadata, retired)
    return Opened(name, version, metadata, table, digests, placing, masks, retired)


def _find(name: str, requested: int | None, settings: Settings) -> tuple[str, int, DatasetSource]:
    """Return a version of a dataset and the source on this machine that has it, once it was pulled if need be."""
    source = source_of(name, settings)
    versions = source.versions(name) if source is not None else []
    if source is not None and (requested is None or requested in versions):
        return name, versions[-1] if requested is None else requested, source
    workspace = None if isinstance(source, SklearnDatasets) else workspace_store(settings)
    if workspace is not None:
        try:
            there = workspace.versions(name)
        except DatasetError as error:
            ref = name if requested is None else f"{name}@{requested}"
            raise DatasetError(f"{ref} is not on this machine, and {error}") from error
        if there and (requested is None or requested in there):
            version = there[-1] if requested is None else requested
            return name, version, pull(workspace, name, version, settings)
        versions = sorted({*versions, *there})
    if versions:
        raise UnknownNameError(f"version of dataset {name!r}", str(requested), map(str, versions))
    names = {name for source in sources(settings) for name in source.names()}
    raise UnknownNameError("dataset", name, names, "`nbops data list` shows them.")


def pull(
    workspace: DatasetStore, name: str, version: int, settings: Settings, *, replace: bool = False
) -> DatasetSource:
    """Copy a version from the workspace to this machine, once its content was checked; return the store that has it.

    `replace` one that is here and damaged. A process that is killed meanwhile leaves no version; of two that pull at
    once, both find it. Raises DatasetError when it cannot be read or written, or is not what was pushed.
    """
    pulled = pulled_store(settings, make=True)
    assert pulled is not None
    content = workspace.read(name, version)
    version_check.check(content, table_hashing.Digests.of(content.table), workspace, name, version)
    if replace:
        pulled.remove(name, version)
    pulled.add(name, version, content)
    return pulled


def retired_of(store: DatasetStore, name: str, version: int) -> Array | None:
    """Return the digests (n, 2) of the rows taken out of a version's holdout, checked against the metadata.

    No row is read. Raises DatasetError when the digests are not what was written.
    """
    retired = store.retired(name, version)
    version_check.check_retired(store.metadata(name, version), retired, store, name, version)
    return retired


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
