"""Pushes versions of datasets to the project's Azure ML workspace and pulls them from it. Both can be repeated."""

from __future__ import annotations

from dataclasses import dataclass

from notebooks_lib.azure.client.workspace import none_named
from notebooks_lib.datasets import loader, splits, version_lookup
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetStore, VersionContent
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings

_CONTENT = ("fingerprint", "target")
_SPLIT = ("key", "group", "time", "validation_share", "holdout_share", "parts")
"""What is the same in all versions of a name, so that a row never changes its part."""
_MOVED = ("retired", "validation_from", "holdout_from")
"""What moves rows out of the holdout from one version to the next."""


@dataclass(frozen=True)
class Transfer:
    """One version that is now on both sides."""

    dataset: str
    """As "sales@3"."""
    fingerprint: str
    rows: int
    workspace: str
    moved: bool
    """False when both sides had it already."""
    location: str
    """Where it is on the side to which it was moved."""


def push(ref: str, settings: Settings) -> Transfer:
    """Make a version that is on this machine a data asset of the workspace; "sales" alone is its latest version.

    Raises UsageError for a version that is not here, DatasetError when its files were changed, when the workspace has
    other content under this version or splits this dataset in another way, and when it cannot be sent. What Azure can
    be asked beforehand is asked before a row is sent.
    """
    name, requested = version_lookup.parse_ref(ref)
    version = _version_here(name, requested, settings)
    workspace = _workspace(settings)
    opened = loader.open_table(f"{name}@{version}", settings)
    if name[0] in "-_":
        raise UsageError(
            f"dataset name {name!r}: a data asset begins with a letter or digit; add it under another name"
        )
    moved = False
    there = workspace.versions(name)
    if version not in there:
        if there:
            _check_split(opened, workspace, there[-1])
        content = VersionContent(opened.metadata, opened.table, opened.retired, opened.digests)
        moved = workspace.add(name, version, content)
    if not moved:
        if version not in workspace.versions(name):
            raise DatasetError(
                f"{name}@{version} in {workspace.origin(name)} is archived, so that nobody can pull it, or was not made"
                f" by nbops; nothing was sent: {_restore(name, version)}, or add your file again, as the next version"
            )
        here = version_lookup.project_store(settings).location(name, version)
        _check_same(opened.metadata, here, workspace, name, version)
    return _transfer(workspace, name, version, opened.metadata, moved=moved, location=workspace.location(name, version))


def pull(ref: str, settings: Settings) -> Transfer:
    """Copy a version of the workspace to this machine; "sales" alone is the workspace's latest version.

    A version that is here, undamaged and of the same content is not copied again. Raises UsageError when the workspace
    has no such version, DatasetError when this machine has other content under it.
    """
    name, requested = version_lookup.parse_ref(ref)
    workspace = _workspace(settings)
    there = workspace.versions(name)
    version = requested if requested is not None else there[-1] if there else None
    if version is None or version not in there:
        has = f"it has {', '.join(map(str, there))}" if there else "it has no version of that name"
        push = f"push it from the machine that has it: nbops data push {ref}"
        if version is not None and version < workspace.next_version(name):  # its number is taken
            push += f"; if it was archived: {_restore(name, version)}"
        raise UsageError(f"no {ref} in {workspace.origin(name)}: {has}; {push}")
    here = version_lookup.project_store(settings)
    if version in here.versions(name):
        damaged = _is_damaged(name, version, settings)
        if not damaged:
            metadata, location = here.metadata(name, version), here.location(name, version)
            _check_same(metadata, location, workspace, name, version)
            return _transfer(workspace, name, version, metadata, moved=False, location=location)
        pulled = version_lookup.pulled_store(settings)
        if pulled is None or here.location(name, version) != pulled.location(name, version):
            raise damaged
        source = version_lookup.pull(workspace, name, version, settings, replace=True)
    else:
        source = version_lookup.pull(workspace, name, version, settings)
    metadata = source.metadata(name, version)
    return _transfer(workspace, name, version, metadata, moved=True, location=source.location(name, version))


def _restore(name: str, version: int) -> str:
    return f"az ml data restore --name {name} --version {version}"


def _workspace(settings: Settings) -> DatasetStore:
    store = version_lookup.workspace_store(settings)
    if store is None:
        raise none_named()
    return store


def _version_here(name: str, requested: int | None, settings: Settings) -> int:
    """Return the version of a dataset to push. Raises UsageError when this machine has none of the project's own."""
    store = version_lookup.project_store(settings)
    versions = store.versions(name)
    if not versions and version_lookup.source_of(name, settings) is not None:
        raise UsageError(f"{name} ships with scikit-learn, which every machine has: there is nothing to push")
    if not versions:
        raise UnknownNameError("dataset", name, store.names(), "add it first: nbops data add FILE --name NAME")
    if requested is not None and requested not in versions:
        raise UnknownNameError(f"version of dataset {name!r}", str(requested), map(str, versions))
    return versions[-1] if requested is None else requested


def _check_split(mine: loader.Opened, workspace: DatasetStore, version: int) -> None:
    """Raise DatasetError when rows would change sides between a version of the workspace and mine of the same name."""
    theirs = workspace.metadata(mine.name, version)
    other = f"{mine.name}@{version} in {workspace.origin(mine.name)}"
    if differing := _differing(mine.metadata, theirs, _SPLIT):
        raise DatasetError(
            f"{other} has {differing}: rows would change sides between versions of one name; "
            "nothing was sent: add yours under another name"
        )
    earlier, later = (mine.metadata, theirs) if mine.version < version else (theirs, mine.metadata)
    if theirs.time and not splits.keeps_parts(earlier, later):
        differing = _differing(mine.metadata, theirs, ("validation_from", "holdout_from"))
    elif theirs.retired != mine.metadata.retired and not _stay_retired(mine, workspace, version):
        differing = "other rows that have left the holdout"
    if differing:
        raise DatasetError(
            f"{other} has {differing}: rows would change sides between versions of one name; nothing was sent: add "
            f"your file again after nbops data pull {mine.name}@{version}, or under another name"
        )


def _stay_retired(mine: loader.Opened, workspace: DatasetStore, version: int) -> bool:
    """Return whether all rows that have left the holdout in the earlier of two versions have left it in the later."""
    theirs = workspace.retired(mine.name, version)
    earlier, later = (mine.retired, theirs) if mine.version < version else (theirs, mine.retired)
    return earlier is None or (later is not None and bool(splits.contained_in(earlier, later).all()))


def _check_same(mine: Metadata, location: str, workspace: DatasetStore, name: str, version: int) -> None:
    """Raise DatasetError when the workspace has another version under this number; mine is at `location`."""
    differing = _differing(mine, workspace.metadata(name, version), (*_CONTENT, *_SPLIT, *_MOVED))
    if differing:
        latest = max(workspace.versions(name), default=version)
        first = f"move {location} away and " if latest == version else ""
        raise DatasetError(
            f"{name}@{version} in {workspace.origin(name)} is another one, with {differing}; versions are immutable: "
            f"{first}nbops data pull {name}@{latest}, then add your file again, as its next version or another name"
        )


def _differing(mine: Metadata, theirs: Metadata, keys: tuple[str, ...]) -> str:
    """Describe what differs; empty if nothing does."""
    pairs = [(key, getattr(theirs, key), getattr(mine, key)) for key in keys]
    return ", ".join(f"{key} {_short(their)}, not {_short(my)}" for key, their, my in pairs if their != my)


def _short(value: object) -> str:
    return "none" if value is None else str(value)[:12]


def _is_damaged(name: str, version: int, settings: Settings) -> DatasetError | None:
    """Return what is wrong with a version on this machine; None if it is as it was added."""
    try:
        loader.open_table(f"{name}@{version}", settings)
    except DatasetError as error:
        return error
    return None


def _transfer(
    workspace: DatasetStore, name: str, version: int, metadata: Metadata, *, moved: bool, location: str
) -> Transfer:
    return Transfer(f"{name}@{version}", metadata.fingerprint, metadata.rows, workspace.origin(name), moved, location)
