"""The rules by which a review reports findings: `[check]` of the base, because a branch must not choose its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from notebooks_lib import project_root
from notebooks_lib.errors import NbopsError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import check_options
from notebooks_lib.notebooks.check_options import CheckOptions
from notebooks_lib.paths import Layout


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
    settings = Layout(project_root.find_root(root / folder)).settings_file
    own = settings.is_file() and not repository.tracks(settings)
    if own and head is not None and not _at_base(settings, root, tree).exists():
        return BaseRules(head)
    base = base or CheckOptions()
    names = (field.name for field in fields(CheckOptions))
    differing = (name for name in names if head is None or set(getattr(head, name)) != set(getattr(base, name)))
    return BaseRules(base, tuple(differing))


def _at_base(file: Path, root: Path, tree: Path) -> Path:
    return tree / file.relative_to(root) if file.is_relative_to(root) else file


def _options(folder: Path, top: Path) -> CheckOptions | None:
    """Return the options of a folder; None if its settings cannot be read."""
    try:
        return check_options.of_folder(folder, top)
    except NbopsError:
        return None
