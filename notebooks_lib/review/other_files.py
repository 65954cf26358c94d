"""Changed files that a notebook may read, though no source fingerprint covers them: data, queries, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from notebooks_lib.errors import NotebookError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.paths import Layout
from notebooks_lib.review import metric_bands
from notebooks_lib.review.affected_notebooks import NotebookSource, written_notebooks

PROSE = {".md", ".rst"}
"""Endings of files that count only if a code cell names them."""
_TEST = re.compile(r"(test_.*|.*_test|conftest)\.py")
_MODULES = re.compile(r"(?:\bimport\s|\bfrom\s|-m\s|run_module\(\s*[\"'])\s*([\w.]+)")


class WorkTreeNotebooks:
    """The notebooks of a repository's work tree, each read once, when it is needed."""

    def __init__(self, repository: GitRepository) -> None:
        self.repository = repository

    @cached_property
    def sources(self) -> tuple[NotebookSource, ...]:
        """All that can be read."""
        return tuple(self._read())

    @cached_property
    def covered(self) -> frozenset[str]:
        """The files that the source fingerprint of any of them covers, from the repository's root."""
        return frozenset(path for source in self.sources for path in source.covered)

    def _read(self) -> Iterator[NotebookSource]:
        for path in written_notebooks(self.repository):
            try:
                yield NotebookSource.read(self.repository.root, path)
            except NotebookError:
                continue


class OtherFiles:
    """Tells which changed files one notebook may read, or, without `source`, any notebook of the work tree."""

    def __init__(self, notebooks: WorkTreeNotebooks, source: NotebookSource | None = None) -> None:
        self.repository = notebooks.repository
        self._notebooks = notebooks
        self._source = source

    def of(self, source: NotebookSource) -> OtherFiles:
        """Return the same for one notebook."""
        return OtherFiles(self._notebooks, source)

    def changed(self, base: str, head: str | None) -> tuple[str, ...]:
        """Return the files that changed between two commits; they are sorted.

        A `head` of None is the work tree, with the files that git does not ignore.
        """
        files = self.repository.changed_files(base, head, "**")
        new = self.repository.untracked_files("**") if head is None else []
        present = {file.head.path for file in files if file.head} | {*new}
        gone = {file.base.path for file in files if file.base} - present
        return tuple(path for path in sorted(present | gone) if self._may_be_read(path, gone=path in gone))

    def _may_be_read(self, name: str, *, gone: bool) -> bool:
        path = PurePosixPath(name)
        if any(part.startswith(".") for part in path.parts) or path.name in (Layout(Path()).lock.name, "LICENSE"):
            return False
        if path.suffix == ".ipynb" or name.endswith(metric_bands.SUFFIX):
            return False
        if path.suffix in PROSE:
            return any(_names(source, path) for source in self._sources)
        if path.suffix != ".py":
            return True
        others = [source for source in self._sources if name not in source.covered]
        if any(_names(source, path) for source in others):
            return True
        return bool(others) and not gone and not _is_test(path) and name not in self._notebooks.covered

    @property
    def _sources(self) -> Iterable[NotebookSource]:
        return self._notebooks.sources if self._source is None else (self._source,)


def _names(source: NotebookSource, path: PurePosixPath) -> bool:
    """Return whether a code cell names a file, all files of its kind, or a module that no search path leads to."""
    code = "\n".join(cell.source for cell in source.notebook.code_cells)
    if path.name in code or f"*{path.suffix}" in code:
        return True
    found = {PurePosixPath(name).stem for name in source.covered}
    modules = {part for name in _MODULES.findall(code) for part in name.split(".")}
    return path.suffix == ".py" and path.stem in modules - found


def _is_test(path: PurePosixPath) -> bool:
    return bool({"test", "tests"}.intersection(path.parts) or _TEST.fullmatch(path.name))
