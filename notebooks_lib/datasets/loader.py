"""Find a version of a dataset in the stores, check its content and open it. Only promotion gets the holdout."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import atomic_private_files
from notebooks_lib.datasets import run_datasets, splits, table_hashing, version_check, version_lookup
from notebooks_lib.datasets.dataset import Dataset, Part, to_frame
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetSource, DatasetStore
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]


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


@dataclass(frozen=True, eq=False)
class DatasetRows:
    """Rows of a dataset version, in the order of its table."""

    ref: str
    """As "sales@3"."""
    metadata: Metadata
    table: pa.Table
    """All rows of the version."""
    numbers: Array
    """Which of them these are, from 0."""
    held_out: int
    """How many the holdout keeps back."""


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


def open_rows(ref: str, settings: Settings) -> DatasetRows:
    """Return the rows of a dataset version that a batch may score: all, or all but the holdout if it has a target.

    Predictions beside the target would judge a model by the holdout, which only promotion may do. Raises what `load`
    raises.
    """
    import numpy as np

    opened = open_table(ref, settings)
    held_out = opened.masks["holdout"] if opened.metadata.target else np.zeros(len(opened.table), bool)
    return DatasetRows(opened.ref, opened.metadata, opened.table, np.flatnonzero(~held_out), int(held_out.sum()))


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
    for source in version_lookup.sources(settings or here()):
        for name in source.names():
            if name not in entries:
                entries[name] = _entry(source, name)
    return list(entries.values())


def own(settings: Settings) -> list[CatalogEntry]:
    """Return the datasets that were added to the project, without scikit-learn's."""
    store = version_lookup.project_store(settings)
    return [_entry(store, name) for name in store.names()]


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
    located = version_lookup.locate(ref, settings)
    name, version, source = located.name, located.version, located.here(settings)
    content = source.read(name, version)
    metadata, retired = content.metadata, content.retired
    digests = content.digests or table_hashing.Digests.of(content.table)
    version_check.check(content, digests, source, name, version)
    table = content.table.select(list(metadata.columns))
    placing = splits.deciding_digests(table, metadata, digests)
    masks = splits.split_rows(f"{name}@{version}", table, placing, metadata, retired)
    return Opened(name, version, metadata, table, digests, placing, masks, retired)


def recorded(ref: str, settings: Settings) -> tuple[str, int, Metadata]:
    """Return name, version and metadata of a dataset, from this machine or the workspace; no row is read or pulled."""
    located = version_lookup.locate(ref, settings)
    return located.name, located.version, located.source.metadata(located.name, located.version)


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
