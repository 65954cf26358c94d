"""Where versions of datasets are kept, and which source has a name and version: this machine, else the workspace."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from notebooks_lib.datasets import table_hashing, version_check
from notebooks_lib.datasets.asset_store import AssetStore
from notebooks_lib.datasets.dataset_store import DatasetSource, DatasetStore, is_name
from notebooks_lib.datasets.disk_store import DiskStore
from notebooks_lib.datasets.machine_store import MachineStore
from notebooks_lib.datasets.sklearn_datasets import SklearnDatasets
from notebooks_lib.errors import DatasetError, SettingsError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env

DISK = "disk"
WORKSPACE = "workspace"
STORES: Mapping[str, Callable[[Settings], DatasetStore]] = {
    DISK: DiskStore.of_project,
    WORKSPACE: AssetStore.of_project,
}
"""The stores in which versions can be added. A new one is a module that keeps `DatasetStore`'s promises and a line
here; tests/datasets/test_dataset_store.py holds it to them.
"""


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
    folder = settings.layout.pulled_datasets
    if not (make or folder.is_dir()):
        return None
    from notebooks_lib.azure.client.workspace import find_workspace

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


@dataclass(frozen=True)
class LocatedVersion:
    """A version that exists, and the source that has it."""

    name: str
    version: int
    source: DatasetSource
    is_here: bool
    """False: it is in the workspace only."""

    def here(self, settings: Settings) -> DatasetSource:
        """Return the source on this machine that has it, once it was pulled if need be."""
        return self.source if self.is_here else pull(self.source, self.name, self.version, settings)


def locate(ref: str, settings: Settings) -> LocatedVersion:
    """Return where a dataset is: "sales@1", or "sales" for its latest version here, else the latest in the workspace.

    In a job, "sales" is the latest version of the machine that submitted it, so that all processes of the job and a run
    on that machine read the same. The workspace is asked only about what is not on this machine. Raises
    UnknownNameError for what is nowhere, DatasetError when the workspace does not answer.
    """
    name, requested = parse_ref(ref)
    source = source_of(name, settings)
    versions = source.versions(name) if source is not None else []
    of_submitter = _latest_of_submitter(name) if requested is None and not isinstance(source, SklearnDatasets) else None
    hint = ""
    if of_submitter is not None and not (versions and versions[-1] > of_submitter):
        requested, ref = of_submitter, f"{name}@{of_submitter}"
        hint = f"The machine that submitted the job has it: nbops data push {ref}"
    if source is not None and (requested is None or requested in versions):
        return LocatedVersion(name, versions[-1] if requested is None else requested, source, is_here=True)
    workspace = None if isinstance(source, SklearnDatasets) else workspace_store(settings)
    if workspace is not None:
        try:
            there = workspace.versions(name)
        except DatasetError as error:
            raise DatasetError(f"{ref} is not on this machine, and {error}") from error
        if there and (requested is None or requested in there):
            return LocatedVersion(name, there[-1] if requested is None else requested, workspace, is_here=False)
        versions = sorted({*versions, *there})
    if versions:
        raise UnknownNameError(f"version of dataset {name!r}", str(requested), map(str, versions), hint)
    names = {name for source in sources(settings) for name in source.names()}
    raise UnknownNameError("dataset", name, names, hint or "`nbops data list` shows them.")


def sources_by_version(name: str, settings: Settings) -> dict[int, DatasetSource]:
    """Return all versions of a dataset, here and in the workspace, each with a source that has it: this machine first.

    Raises UnknownNameError when there is none, DatasetError when the workspace does not answer.
    """
    here = source_of(name, settings)
    workspace = None if isinstance(here, SklearnDatasets) else workspace_store(settings)
    found: dict[int, DatasetSource] = {}
    for source in (workspace, here):
        found |= {} if source is None else dict.fromkeys(source.versions(name), source)
    if not found:
        names = {known for source in sources(settings) for known in source.names()}
        raise UnknownNameError("dataset", name, names, "`nbops data list` shows them.")
    return found


def latest_versions(settings: Settings) -> dict[str, int]:
    """Return the latest version of each dataset on this machine, for a job that it submits."""
    store = project_store(settings)
    versions = {name: store.versions(name) for name in store.names()}
    return {name: numbers[-1] for name, numbers in versions.items() if numbers}


def _latest_of_submitter(name: str) -> int | None:
    versions: dict[str, int] = json.loads(os.environ.get(Env.DATASETS) or "{}")
    return versions.get(name)


def pull(
    workspace: DatasetSource, name: str, version: int, settings: Settings, *, replace: bool = False
) -> DatasetSource:
    """Copy a version from the workspace to this machine, once its content was checked; return the store that has it.

    `replace` one that is here and damaged. A process that is killed meanwhile leaves no version; of two that pull at
    once, both find it. Raises DatasetError when it cannot be read or written, or is not what was pushed.
    """
    from notebooks_lib.tracking.store import make_state

    pulled = pulled_store(settings, make=True)
    assert pulled is not None
    content = workspace.read(name, version)
    version_check.check(content, table_hashing.Digests.of(content.table), workspace, name, version)
    make_state(settings.layout)  # git ignores it
    if replace:
        pulled.remove(name, version)
    pulled.add(name, version, content)
    return pulled
