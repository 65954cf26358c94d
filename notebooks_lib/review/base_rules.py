"""What a review takes from the base's settings, because a branch must not choose its own rules and conditions."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from notebooks_lib import project_root, settings
from notebooks_lib.errors import NbopsError, SettingsError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import check_options
from notebooks_lib.notebooks.check_options import CheckOptions
from notebooks_lib.paths import Layout
from notebooks_lib.settings import Settings


@dataclass(frozen=True)
class BaseRules:
    """The rules for the notebooks of one folder."""

    options: CheckOptions
    changed: tuple[str, ...] = ()
    """The settings of [check] that differ at the head, `builtins` or `select`; both if it cannot be read there."""


def find_base_rules(repository: GitRepository, tree: Path, folder: Path) -> BaseRules:
    """Return the rules for a folder, given from the repository's root; `tree` is a checkout of the base.

    A settings file that git does not track is the reviewer's own choice.
    """
    root = repository.root.resolve()
    head, base = _options(root / folder, root), _options(tree / folder, tree)
    file = Layout(project_root.find_root(root / folder)).settings_file
    own = file.is_file() and not repository.tracks(file)
    if own and head is not None and not _at_base(file, root, tree).exists():
        return BaseRules(head)
    base = base or CheckOptions()
    names = (field.name for field in fields(CheckOptions))
    differing = (name for name in names if head is None or set(getattr(head, name)) != set(getattr(base, name)))
    return BaseRules(base, tuple(differing))


def find_base_settings(head: Settings, base: Path, repository: GitRepository) -> Settings:
    """Return the settings that hold at the base for a project; variables count, too.

    `base` is the folder of the project's root in a checkout of the base, where it may lie inside another project: then
    the settings are those of that one. A settings file that git does not track is the reviewer's own choice: then they
    are those of the head.
    """
    file = head.layout.settings_file
    if file.is_file() and not repository.tracks(file):
        return head
    root = _project_at_base(base)
    try:
        return settings.load(root, os.environ)
    except SettingsError:  # what cannot be read decides nothing, the variables do
        return settings.load(root / "nothing", os.environ)


def _project_at_base(folder: Path) -> Path:
    """Return the nearest project from a folder of a checkout upwards, inside of it; the folder if there is none."""
    for candidate in (folder, *folder.parents):
        if project_root.is_project(candidate):
            return candidate
        if (candidate / ".git").exists():  # the root of the checkout
            break
    return folder


def _at_base(file: Path, root: Path, tree: Path) -> Path:
    return tree / file.relative_to(root) if file.is_relative_to(root) else file


def _options(folder: Path, top: Path) -> CheckOptions | None:
    """Return the options of a folder; None if its settings cannot be read."""
    try:
        return check_options.of_folder(folder, top)
    except NbopsError:
        return None
