"""Notebooks whose source changed since the base, by fingerprint: also through a helper, a lock or a parameter."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from notebooks_lib import regular_file
from notebooks_lib.errors import NotebookError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import document, project_modules, source_fingerprint, text_view
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.paths import Layout
from notebooks_lib.pinned_versions import parse_lock
from notebooks_lib.project_root import find_root
from notebooks_lib.review.notebook_changes import PATTERN, NotebookChange, changed_notebooks
from notebooks_lib.review.notebook_review import HelperChange, HelperState
from notebooks_lib.tracking import provenance

COPIES = {".nbops", ".ipynb_checkpoints"}
"""Folders of copies, which tools write."""


@dataclass(frozen=True)
class NotebookSource:
    """A notebook on one side, base or head, with everything that its run would execute."""

    notebook: Notebook
    root: Path
    """Of its project."""
    prefix: str = ""
    """The path of `root` from the repository's root."""

    @classmethod
    def read(cls, tree: Path, path: str, notebook: Notebook | None = None) -> NotebookSource:
        """Return the notebook at `path` of a work tree; `notebook` is its content, if already known."""
        file = tree / path
        root = find_root(file, fallback=tree)
        root = root if root.is_relative_to(tree.resolve()) else tree.resolve()
        prefix = root.relative_to(tree.resolve()).as_posix()
        return cls(dataclasses.replace(notebook or document.read(file), path=file), root, prefix)

    @cached_property
    def lock_sha256(self) -> str:
        """The digest of the project's lock file; empty without one."""
        return provenance.lock_sha256(Layout(self.root))

    @cached_property
    def modules(self) -> dict[str, str]:
        """The project's modules that the notebook imports: path from the root -> digest."""
        return dict(project_modules.find_modules(self.notebook, self.root))

    @cached_property
    def covered(self) -> frozenset[str]:
        """The paths of `modules` from the repository's root."""
        return frozenset(PurePosixPath(self.prefix, name).as_posix() for name in self.modules)

    @property
    def folder(self) -> PurePosixPath:
        """The notebook's folder, from the project's root."""
        return PurePosixPath(self.notebook.opened.relative_to(self.root).parent.as_posix())

    def fingerprint(self, values: Mapping[str, object] | None = None) -> str:
        """Return the source fingerprint of a run with these parameters."""
        modules = list(self.modules.items())
        return source_fingerprint.source_fingerprint(self.notebook, values or {}, self.lock_sha256, self.root, modules)


@dataclass(frozen=True)
class FingerprintChange:
    """A notebook whose text or source fingerprint changed."""

    change: NotebookChange
    base: NotebookSource | None = None
    """None for a new notebook, and for one that cannot be read."""
    head: NotebookSource | None = None
    """None for a deleted one, and for one that cannot be read."""

    @property
    def same_code(self) -> bool:
        """True if only text changed, so that a run would do the same."""
        return bool(self.base and self.head) and self._fingerprints[0] == self._fingerprints[1]

    @cached_property
    def _fingerprints(self) -> tuple[str, ...]:
        return tuple(side.fingerprint() if side else "" for side in (self.base, self.head))

    @property
    def counts(self) -> bool:
        """True if there is something to review: source that changed, or a file that cannot be compared."""
        diff = self.change.diff
        changed = diff is None or bool(diff.changes or diff.notes)
        return changed or self.change.state in ("added", "untracked", "deleted") or not self.same_code


@dataclass(frozen=True)
class FingerprintChanges:
    """The notebooks that changed between a base and a work tree, and how many did not. Each is in one field only."""

    notebooks: tuple[FingerprintChange, ...]
    unchanged: int
    others: tuple[FingerprintChange, ...]
    """Those whose files changed, but no source: outputs, counts, metadata, or only the place."""

    @property
    def only_outputs(self) -> tuple[str, ...]:
        """The paths of those that have the same place and source."""
        return tuple(sorted(other.change.path for other in self.others if not other.change.old_path))

    @property
    def renamed(self) -> Mapping[str, str]:
        """Of those that only have another place: where they were -> where they are."""
        moved = [other.change for other in self.others if other.change.old_path]
        return dict(sorted((change.old_path, change.path) for change in moved))

    def with_findings(self, paths: Collection[str]) -> FingerprintChanges:
        """Return the changes with some of the others, which have findings, among those that a review shows."""
        shown = [other for other in self.others if other.change.path in paths]
        notebooks = sorted([*self.notebooks, *shown], key=lambda change: change.change.path)
        rest = tuple(other for other in self.others if other not in shown)
        return dataclasses.replace(self, notebooks=tuple(notebooks), others=rest)


def find_fingerprint_changes(repository: GitRepository, base: str, tree: Path) -> FingerprintChanges:
    """Return which notebooks changed from commit `base` to the repository's work tree.

    `tree` is a checkout of `base`; modules that git ignores are added to it, as both sides have the same ones.
    """
    ignored = _IgnoredModules(repository, tree)
    files = {change.path: change for change in changed_notebooks(repository, base, None) if _is_written(change.path)}
    changes = [_of_changed_file(repository, change, tree, ignored) for change in files.values()]
    tracked = [path for path in repository.tracked_files(PATTERN) if _is_written(path) and path not in files]
    through = list(_of_same_files(repository, tracked, tree, ignored)) if _may_differ(repository, base, tracked) else []
    counted = [change for change in changes if change.counts]
    return FingerprintChanges(
        notebooks=tuple(sorted([*counted, *through], key=lambda change: change.change.path)),
        unchanged=len(tracked) - len(through),
        others=tuple(change for change in changes if not change.counts),
    )


def written_notebooks(repository: GitRepository) -> list[str]:
    """Return the notebooks of the work tree that git does not ignore, without copies that tools make."""
    paths = {*repository.tracked_files(PATTERN), *repository.untracked_files(PATTERN)}
    return sorted(path for path in paths if _is_written(path))


def find_helpers(base: NotebookSource | None, head: NotebookSource | None, prefix: str = "") -> list[HelperChange]:
    """Return the modules and lock file through which a notebook changed; paths begin with `prefix`."""
    if base is None or head is None:
        return []
    names = sorted({*base.modules, *head.modules})
    different = [name for name in names if base.modules.get(name) != head.modules.get(name)]
    helpers = [_helper_change(base, head, name, prefix) for name in different]
    if base.lock_sha256 != head.lock_sha256:
        helpers.append(_lock_change(base.root, head.root, prefix))
    return helpers


def _lock_change(base: Path, head: Path, prefix: str) -> HelperChange:
    files = Layout(base).lock, Layout(head).lock
    old, new = (parse_lock("\n".join(_lines(file))) for file in files)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    packages = {name: (old.get(name, ""), new.get(name, "")) for name in names}
    state = _state(in_base=files[0].exists(), in_head=files[1].exists())
    return HelperChange(prefix + files[1].name, state, "", packages)


def _helper_change(base: NotebookSource, head: NotebookSource, name: str, prefix: str) -> HelperChange:
    """Return what happened to a module's file, which may be there on a side that does not use it."""
    old, new = base.root / name, head.root / name
    before, after = _lines(old), _lines(new)
    state = _state(in_base=old.is_file(), in_head=new.is_file())
    if before == after and (name in base.modules) != (name in head.modules):
        state = "now used" if name in head.modules else "no longer used"
    lines = list(difflib.unified_diff(before, after, lineterm="", n=1))
    return HelperChange(prefix + name, state, "\n".join(lines[2:]))  # without the two lines of names


def _state(*, in_base: bool, in_head: bool) -> HelperState:
    return "edited" if in_base and in_head else "added" if in_head else "removed"


def _lines(path: Path) -> list[str]:
    """Return the lines of a file; of a notebook, which `%run` runs, those of its code."""
    try:
        content = regular_file.read_bytes(path)
    except OSError:
        return []
    if path.suffix == ".ipynb":
        with contextlib.suppress(NotebookError):
            notebook = document.parse(path, content)
            return text_view.to_text(dataclasses.replace(notebook, cells=notebook.code_cells)).splitlines()
    return content.decode("utf-8", "replace").splitlines()


class _IgnoredModules:
    """The modules of the work tree that no commit has, such as a generated version or local settings."""

    def __init__(self, repository: GitRepository, tree: Path) -> None:
        self._repository = repository
        self._tree = tree.resolve()

    @cached_property
    def _tracked(self) -> frozenset[str]:
        return frozenset(self._repository.tracked_files("**"))

    def add_to_base(self, source: NotebookSource) -> None:
        """Write those that a notebook imports into the checkout of the base, unless it has a file of that name."""
        for name in source.covered - self._tracked:
            file, copy = self._repository.root / name, self._tree / name
            inside = copy.parent.resolve().is_relative_to(self._tree)  # not through a link of the base
            if inside and not os.path.lexists(copy) and self._repository.ignores(file):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(regular_file.read_bytes(file))


def _of_changed_file(
    repository: GitRepository, change: NotebookChange, tree: Path, ignored: _IgnoredModules
) -> FingerprintChange:
    if change.problem or change.diff is None:
        return FingerprintChange(change)
    before, after = change.old_path or change.path, change.path
    base = head = None
    if change.state not in ("added", "untracked"):
        ignored.add_to_base(NotebookSource.read(repository.root, before, change.diff.base))
        base = NotebookSource.read(tree, before, change.diff.base)
    if change.state != "deleted":
        head = NotebookSource.read(repository.root, after, change.diff.head)
        ignored.add_to_base(head)
    return FingerprintChange(change, base, head)


def _may_differ(repository: GitRepository, base: str, tracked: list[str]) -> bool:
    """Return whether notebooks of unchanged files can differ: something else changed, or one runs another."""
    paths = [version.path for file in repository.changed_files(base, None, "**") for version in file.versions]
    if any(not path.endswith(".ipynb") for path in [*paths, *repository.untracked_files("**")]):
        return True
    return bool(paths) and any(_runs_another(_content(repository.root / path)) for path in tracked)


def _runs_another(content: bytes) -> bool:
    return b"%run" in content or b"magic(" in content


def _content(path: Path) -> bytes:
    try:
        return regular_file.read_bytes(path)
    except OSError:
        return b""


def _of_same_files(
    repository: GitRepository, paths: list[str], tree: Path, ignored: _IgnoredModules
) -> Iterator[FingerprintChange]:
    """Yield the notebooks whose files are equal and whose fingerprints differ. One that cannot be read never could."""
    for path in paths:
        try:
            head = NotebookSource.read(repository.root, path)
        except NotebookError:
            continue
        ignored.add_to_base(head)
        base = NotebookSource.read(tree, path, head.notebook)
        if base.fingerprint() != head.fingerprint():
            diff = compare_notebooks(base.notebook, head.notebook)
            yield FingerprintChange(NotebookChange(path, "modified", diff=diff), base, head)


def _is_written(path: str) -> bool:
    return not COPIES.intersection(PurePosixPath(path).parts)
