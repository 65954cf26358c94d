"""Notebooks that differ between two commits, files or a commit and the work tree, each with its diff. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.notebooks import cell_pairing, document
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import NotebookDiff, compare_notebooks
from notebooks_lib.review.diff_targets import FileTarget, RevisionTarget, find_repository

if TYPE_CHECKING:
    from notebooks_lib.git_repository import ChangedFile, FileState, FileVersion, GitRepository

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
PATTERN = "**/*.ipynb"
SAME_NOTEBOOK = 0.5
"""Share of words in paired cells above which a notebook with another name is the same one."""


@dataclass(frozen=True)
class NotebookChange:
    """A notebook before and after a change, with its diff."""

    path: str
    """Where it is now; of a deleted one, where it was."""
    state: FileState
    old_path: str = ""
    """Where it was, if that is another place."""
    diff: NotebookDiff | None = None
    problem: str = ""
    """Why it cannot be compared, in one line."""
    note: str = ""
    """Why nothing is compared, though nothing is wrong; with a diff, why a notebook that was there counts as new."""

    def as_json(self) -> dict[str, Any]:
        """Return the change as plain values for JSON."""
        entry = {"path": self.path, "state": self.state, "old_path": self.old_path or None}
        entry |= {"problem": self.problem or None, "note": self.note or None}
        return {**entry, **(self.diff.as_json() if self.diff else {})}


def changes_between(
    base: FileTarget | RevisionTarget, head: FileTarget | RevisionTarget | None, folder: Path
) -> Iterator[NotebookChange]:
    """Yield the notebooks that differ between two targets: one notebook, or all of a commit.

    A `head` of None is the work tree. Raises UsageError when a target does not exist, or is a file that is not a
    notebook.
    """
    if isinstance(base, RevisionTarget) and not base.path and not isinstance(head, FileTarget):
        repository = find_repository(folder)
        yield from changed_notebooks(repository, base.revision, head.revision if head else None)
        return
    assert head is not None
    if isinstance(base, RevisionTarget) and isinstance(head, FileTarget):
        repository = find_repository(folder)
        if repository.holds(folder / head.path) and repository.inside(folder / head.path) == base.path:
            yield from _in_work_tree(repository, base, head)
            return
    diff = compare_notebooks(_read(base, folder), _read(head, folder))
    yield NotebookChange(str(diff.head.path), "modified", str(diff.base.path), diff)


def changed_notebooks(
    repository: GitRepository, base: str, head: str | None, only: str | None = None
) -> Iterator[NotebookChange]:
    """Yield the notebooks that differ between two revisions. A `head` of None is the work tree, including new files.

    `only` selects one notebook by its path at the head; of a deleted or renamed one, also at the base. For a notebook
    that cannot be read, the reason is yielded as its problem.
    """
    from notebooks_lib.git_repository import ChangedFile, FileVersion

    files = repository.changed_files(base, head, PATTERN)
    if head is None:
        new = (FileVersion(path, "100644", "") for path in repository.untracked_files(PATTERN))
        files += [ChangedFile("untracked", None, version) for version in new]
    if only is not None:
        at_head = [file for file in files if file.head and file.head.path == only]
        files = at_head or [file for file in files if file.base and file.base.path == only]
    blobs = repository.blobs(version.blob for file in files for version in file.versions if version.blob)
    for file in files:
        contents = [next(blobs) if side and side.blob else None for side in (file.base, file.head)]
        for change in _without_false_rename(_changed_notebook(repository, file, *contents)):
            if only in (None, change.path, change.old_path):
                yield change


def _without_false_rename(change: NotebookChange) -> Iterator[NotebookChange]:
    """Yield a renamed notebook that is mostly another one as two: git compares the JSON, much of it alike."""
    diff = change.diff
    if change.state != "renamed" or diff is None or _share_of_same_words(diff) > SAME_NOTEBOOK:
        yield change
        return
    gone, new = Notebook(Path(change.old_path), ()), Notebook(Path(change.path), ())
    yield NotebookChange(change.old_path, "deleted", diff=compare_notebooks(diff.base, gone))
    yield NotebookChange(change.path, "added", diff=compare_notebooks(new, diff.head))


def _share_of_same_words(diff: NotebookDiff) -> float:
    """Return how much of the text of both versions stands in paired cells with the same words; 1 without any text."""
    sides = [
        [cell_pairing.count_words(side.source if side else "") for side in (one.base, one.head)] for one in diff.cells
    ]
    total = sum(len(words) for pair in sides for words in pair)
    return 2 * sum(len(base & head) for base, head in sides) / total if total else 1.0


def _in_work_tree(repository: GitRepository, base: RevisionTarget, head: FileTarget) -> Iterator[NotebookChange]:
    """Yield one notebook of the work tree beside its older version, also if it had another name, or was not there."""
    changes = list(changed_notebooks(repository, base.revision, None, only=base.path))
    for change in changes:
        if change.problem:
            raise errors.NotebookError(change.problem)
        yield change
    if not changes:
        notebook = document.read(repository.root / base.path)
        yield NotebookChange(str(head.path), "modified", diff=compare_notebooks(notebook, notebook))


def _read(target: FileTarget | RevisionTarget, folder: Path) -> Notebook:
    if isinstance(target, FileTarget):
        if str(target.path) == os.devnull:  # as git calls its tools for a file that one side lacks
            return Notebook(target.path, ())
        return replace(document.read(folder / target.path), path=target.path, start=folder)
    repository = find_repository(folder)
    version = repository.find_file(target.revision, target.path)
    if version.is_link:
        raise errors.NotebookError(f"{target}: is a link: name the file that it leads to")
    content = next(repository.blobs([version.blob]))
    return _version(repository, replace(version, path=str(target)), content)


def _changed_notebook(
    repository: GitRepository, file: ChangedFile, base: bytes | None, head: bytes | None
) -> NotebookChange:
    if file.base and file.base.is_link and file.head and not file.head.is_link:  # a new notebook in place of the link
        file = replace(file, state="added", base=None)
    version = file.head or file.base
    assert version is not None
    path, old_path = version.path, file.base.path if file.base and file.base.path != version.path else ""
    if note := _note_on_links(repository, file):
        return NotebookChange(path, file.state, old_path, note=note)
    before = Notebook(Path(path), ())
    try:
        if file.head is None:
            after = Notebook(Path(path), ())
        elif file.head.blob:
            after = _version(repository, file.head, head)
        else:
            after = replace(document.read(repository.root / path), path=Path(path), start=repository.root)
        if file.base and base is not None and (fault := _fault(file.base, base)):
            note = f"at the base it is no notebook: {fault}"
            if file.head is None:
                return NotebookChange(path, "deleted", note=note)
            return NotebookChange(path, "added", diff=compare_notebooks(before, after), note=note)
        if file.base:
            before = _version(repository, file.base, base)
    except errors.NotebookError as error:
        problem = str(error).removeprefix(f"{repository.root}{os.sep}")
        return NotebookChange(path, file.state, old_path, problem=problem)
    return NotebookChange(path, file.state, old_path, compare_notebooks(before, after))


def _fault(version: FileVersion, content: bytes) -> str:
    """Return why the content of a file is no notebook; empty for one, and for a pointer to one."""
    try:
        if not content.startswith(LFS_POINTER):
            document.parse(Path(version.path), content)
    except errors.NotebookError as error:
        return str(error).removeprefix(f"{version.path}: ").removeprefix("not a notebook: ")
    return ""


def _note_on_links(repository: GitRepository, file: ChangedFile) -> str:
    """Return why a link is not compared; empty if neither version is one."""
    was_link = file.base is not None and file.base.is_link
    if file.head is None or not file.head.is_link:
        return "a link" if was_link else ""
    now = "now a link" if file.base and not was_link else "a link"
    if not file.head.blob and not os.access(repository.root / file.head.path, os.F_OK):
        return f"{now} that leads nowhere"
    return f"{now}; what it leads to is compared where it lies"


def _version(repository: GitRepository, version: FileVersion, content: bytes | None) -> Notebook:
    if content is None:
        raise errors.NotebookError(f"{version.path}: {repository.why_missing(version.blob)}")
    if content.startswith(LFS_POINTER):
        raise errors.NotebookError(
            f"{version.path}: git holds a pointer of Git LFS in place of it, so nothing to compare"
        )
    return replace(document.parse(Path(version.path), content), start=repository.root)
