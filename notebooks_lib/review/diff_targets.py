"""What the words after `nbops diff` name: files, notebooks at a revision, revisions or runs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from notebooks_lib import errors

if TYPE_CHECKING:
    from notebooks_lib.git_repository import GitRepository

_RUN = re.compile(r"[0-9a-f]{4,32}")
_RANGE = re.compile(r"(?P<base>.*?)(?P<dots>\.{2,3})(?P<head>.*)")


@dataclass(frozen=True)
class FileTarget:
    """A notebook in the work tree, or anywhere else on disk."""

    path: Path


@dataclass(frozen=True)
class RevisionTarget:
    """A commit: all its notebooks, or the one at `path`, which is relative to the repository's root."""

    revision: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.revision}:{self.path}"


@dataclass(frozen=True)
class RunTarget:
    """A run of the tracking store, by its id or the beginning of it."""

    run_id: str


DiffTarget = FileTarget | RevisionTarget | RunTarget
T = TypeVar("T", bound=DiffTarget | None)


def find_repository(folder: Path) -> GitRepository:
    """Return the repository that contains a folder.

    Its module is imported only when needed: two files need no repository.
    """
    from notebooks_lib.git_repository import GitRepository

    return GitRepository.find(folder)


def parse_targets(texts: Sequence[str], folder: Path) -> tuple[DiffTarget, DiffTarget | None]:
    """Return the base and the head of a comparison; None is the work tree. Paths are relative to `folder`.

    A single file is compared with HEAD, any other single target with the work tree. A revision next to a file means
    that file at the revision. `A..B` is A and B; `A...B`, as in a pull request, is their merge base and B.
    """
    targets = _parse_all(_without_range(texts, folder), folder) or [RevisionTarget("HEAD")]
    base, head = targets[0], targets[1] if len(targets) > 1 else None
    runs = [target.run_id for target in (base, head) if isinstance(target, RunTarget)]
    if len(runs) == 1:
        raise errors.UsageError(f"{runs[0]!r} is no file and no revision; if it is a run, name another run beside it")
    if isinstance(base, FileTarget) and head is None:
        return RevisionTarget("HEAD", find_repository(folder).inside(folder / base.path)), base
    if isinstance(base, RevisionTarget) and base.path and head is None:
        return base, FileTarget(find_repository(folder).root / base.path)
    return _with_path(base, head, folder), _with_path(head, base, folder)


def _parse_all(texts: Sequence[str], folder: Path) -> list[DiffTarget]:
    """Return the targets of all words. Beside a run, a word that names nothing is reported as an unknown run."""
    targets: list[DiffTarget] = []
    wrong: dict[str, errors.UsageError] = {}
    for text in texts:
        try:
            targets.append(parse_target(text, folder))
        except errors.UsageError as error:
            wrong[text] = error
    for text, problem in wrong.items():
        if any(isinstance(target, RunTarget) for target in targets):
            raise errors.UsageError(
                f"{text!r} is no run, file or revision; a run is named by its id, or by 4 or more characters of its "
                "beginning, as `nbops compare` shows them"
            ) from problem
        raise problem
    return targets


def _with_path(target: T, other: DiffTarget | None, folder: Path) -> T:
    """Return a revision beside a notebook as that notebook at the revision; anything else as it is."""
    if not isinstance(target, RevisionTarget) or target.path:
        return target
    if isinstance(other, FileTarget):
        return replace(target, path=find_repository(folder).inside(folder / other.path))
    return replace(target, path=other.path) if isinstance(other, RevisionTarget) else target


def _without_range(texts: Sequence[str], folder: Path) -> Sequence[str]:
    match = _RANGE.fullmatch(texts[0]) if len(texts) == 1 and not (folder / texts[0]).exists() else None
    if match is None or texts[0].startswith("."):
        return texts
    base, head = match["base"] or "HEAD", match["head"] or "HEAD"
    return (base, head) if match["dots"] == ".." else (find_repository(folder).merge_base(base, head), head)


def _from_root(repository: GitRepository, name: str, folder: Path) -> str:
    """Return a path from the repository's root, as git takes it; one from `folder` if only that is there."""
    if not name.startswith(("./", "../")) and ((repository.root / name).exists() or not (folder / name).exists()):
        return name
    return repository.inside(Path(os.path.normpath(folder / name)))


def parse_target(text: str, folder: Path) -> DiffTarget:
    """Return the file, revision or run that a word names. Raises UsageError when it names none of them."""
    path = folder / text
    if path.is_file() or text == os.devnull or (text.endswith(".ipynb") and ":" not in text):
        return FileTarget(Path(text))
    revision, colon, name = text.partition(":")
    if colon:
        repository = find_repository(folder)
        return RevisionTarget(repository.commit(revision or "HEAD") and revision, _from_root(repository, name, folder))
    try:
        repository = find_repository(folder)
        if repository.has(text):
            return RevisionTarget(text)
        problem = ""
    except errors.UsageError as error:
        problem = str(error)
    if _RUN.fullmatch(text):
        return RunTarget(text)
    if path.is_dir():
        raise errors.UsageError(f"{text} is a folder: name a notebook in it, or nothing to compare all with HEAD")
    if problem:
        raise errors.UsageError(f"{text!r} is no file, and names no revision: {problem}")
    repository.commit(text)  # raises what is wrong with it
    raise AssertionError
