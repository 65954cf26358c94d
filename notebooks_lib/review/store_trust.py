"""May the runs of a store count in a review? A branch must not choose who gets requests and tokens. Asks no store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from notebooks_lib.errors import UsageError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.base_checkout import check_out
from notebooks_lib.review.base_rules import find_base_settings
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import sqlite, store
from notebooks_lib.tracking.store import Store

_VARIABLES = {
    "[tracking] uri": "NBOPS_TRACKING_URI",
    "[azure]": "NBOPS_TRACKING_URI",
    "config.json": "NBOPS_TRACKING_URI",
    "[promotion] trusted_flavors": "NBOPS_PROMOTION_TRUSTED_FLAVORS",
}
"""What decides where requests go and which code is loaded -> the variable by which a reviewer decides it himself."""


_PLACES = {"production", "settings.toml", "config.json", ".azureml", "aml_config"}
"""Names of files and folders, or of links to them, that can decide which store is asked."""

_FETCH = "fetch it: git fetch origin '+refs/heads/*:refs/remotes/origin/*'"


def connect_unless_chosen_by_branch(project: Settings, *, loads_models: bool = False) -> Store:
    """Connect the store for a command that only reads. Raises UsageError if the branch under it chose a remote store.

    A reviewer runs such a command on the branch of another author: it must not send a token where that branch wants
    it. With `loads_models`, a store on this machine must not be the branch's choice either.
    """
    on_this_machine = not project.tracking.uri or any(_places(project))
    if (loads_models or not on_this_machine) and (why := _distrust_of_branch(project)):
        raise UsageError(why)
    return store.connect(project)


def _distrust_of_branch(project: Settings) -> str:
    """Return why the store of a checked-out branch may not be asked; empty at the default branch and without git.

    The default branch is that of the remote, as anybody may call his own one `main`. Where a remote has none that is
    known here, nothing that is committed chooses a store. Without a remote the branch is the user's own.
    """
    try:
        repository = GitRepository.find(project.root)
        head = repository.commit("HEAD")
    except UsageError:
        return ""
    try:
        name = repository.default_branch()
    except UsageError:
        name = "HEAD"
    if repository.commit(name) != head:
        return find_distrust_at_tip(project, repository, name, head)
    if "origin/" in name or not repository.has_remotes():
        return ""
    nothing = Path(project.root.anchor) / "no-default-branch"
    return find_distrust(project, nothing, repository, "in the default branch, which is not known here", _FETCH)


def find_distrust_at_tip(project: Settings, repository: GitRepository, name: str, since: str) -> str:
    """Return what `find_distrust` says at the tip of the branch `name`; empty if no file there is new since `since`.

    Without this, a branch that left early chooses a store that was given up since: its merge base has it, too.
    """
    tip = repository.commit(name)
    files = repository.changed_files(tip, since, "**")
    places = _PLACES | {project.layout.state.name}
    if not any(places & set(PurePosixPath(version.path).parts) for file in files for version in file.versions):
        return ""
    with check_out(repository, tip) as tree:
        base = tree / project.root.relative_to(repository.root.resolve())
        return find_distrust(project, base, repository, f"in {name}")


def find_distrust(
    head: Settings,
    base: Path,
    repository: GitRepository,
    where: str = "at the base",
    way_out: str = "merge that first",
) -> str:
    """Return why no store may be asked for the runs of a project, in one line with the way out; empty if one may be.

    `base` is the root of the same project in a checkout of the base. `where` says what that is, and `way_out` what to
    do where its settings are others.
    """
    if repository.tracks(head.layout.state):
        folder = repository.inside(head.layout.state)
        return f"git tracks files under {folder}, so its runs may be made up: no store is asked; `git rm -r {folder}`"
    differing = list(_differing(head, base, repository))
    if differing:
        variables = " and ".join(dict.fromkeys(_VARIABLES[name] for name in differing))
        names = " and ".join(f"`{name}`" for name in differing)
        return (
            f"{names}: not as {where}, and a branch must not choose it, so no store is asked; "
            f"{way_out}, or set {variables} yourself"
        )
    if not store.uri_of_variables(head.root):
        # SQLite reads pages from NAME-wal and NAME-journal, too.
        tracked = [place for place in _places(head) if repository.tracks(place, beginning=not place.is_dir())]
        if tracked:
            more = "" if repository.tracks(tracked[0]) else "*"
            name = f"{tracked[0].parent.name}/{tracked[0].name}{more}"
            return f"git tracks {name}, so its runs may be made up: no store is asked; set NBOPS_TRACKING_URI yourself"
    return ""


def _differing(head: Settings, base: Path, repository: GitRepository) -> Iterator[str]:
    old = find_base_settings(head, base, repository)
    uri = store.uri_of_variables(head.root) or head.tracking.uri
    if uri != (store.uri_of_variables(head.root) or old.tracking.uri):
        yield "[tracking] uri"
    if uri == "azureml":
        if head.azure != old.azure:
            yield "[azure]"
        elif not head.azure.workspace:
            from notebooks_lib.azure.client import workspace

            file = workspace.find_config(head.root)
            if file and repository.tracks(file) and _content(file) != _content(workspace.find_config(base)):
                yield "config.json"
    if set(head.promotion.trusted_flavors) != set(old.promotion.trusted_flavors):
        yield "[promotion] trusted_flavors"


def _content(file: Path | None) -> bytes:
    return file.read_bytes() if file else b""


def _places(head: Settings) -> Iterator[Path]:
    """Yield the files and folders of a store on this machine that the settings name."""
    uri = store.absolute_uri(head.tracking.uri, head.root) if head.tracking.uri else ""
    if sqlite.is_sqlite(uri):
        yield sqlite.database_file(uri)
        yield sqlite.artifact_root(uri)
    elif uri.startswith("file:"):
        yield Path(unquote(urlsplit(uri).path))
