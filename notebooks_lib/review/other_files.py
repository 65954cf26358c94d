"""Changed files that a notebook may read, though no source fingerprint covers them: data, queries, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from notebooks_lib.errors import NotebookError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.paths import Layout
from notebooks_lib.review import metric_bands
from notebooks_lib.review.affected_notebooks import NotebookSource, written_notebooks

NAMED = {".md", ".rst", ".ipynb"}
"""Endings of files that count only if a code cell names them, as hidden files do."""
_TEST = re.compile(r"(test_.*|.*_test|conftest)\.py")
_MODULES = re.compile(r"(?:\bimport\s|\bfrom\s|-m\s|run_module\(\s*[\"'])\s*([\w.]+)")


class NamedFiles:
    """The files that a notebook's code cells name, whether they are there or not. Its outputs are not kept."""

    def __init__(self, source: NotebookSource) -> None:
        self._source = replace(source, notebook=replace(source.notebook, raw={}))
        self._code = "\n".join(cell.source for cell in source.notebook.code_cells)

    @cached_property
    def covered(self) -> frozenset[str]:
        """The files that the notebook's source fingerprint covers, from the repository's root."""
        notebook = self._source.notebook
        return replace(self._source, notebook=replace(notebook, cells=tuple(map(replace, notebook.cells)))).covered

    @cached_property
    def _modules(self) -> set[str]:
        """Names in imports that no search path leads to."""
        names = {part for name in _MODULES.findall(self._code) for part in name.split(".")}
        return names - {PurePosixPath(name).stem for name in self.covered}

    def hold(self, path: PurePosixPath) -> bool:
        """Return whether a code cell names a file, all files of its kind, or a module that no search path leads to.

        Of the path to a hidden file, it names the hidden folders, too. A notebook is none of its own files.
        """
        is_own = self._source.notebook.path.as_posix().endswith(f"/{path}")
        if is_own or not all(part in self._code for part in _hidden(path)):
            return False
        if path.suffix and f"*{path.suffix}" in self._code:
            return True
        if path.name in self._code and re.search(rf"(?<![\w-]){re.escape(path.name)}(?!\w)", self._code):
            return True
        return path.suffix == ".py" and path.stem in self._modules


class WorkTreeNotebooks:
    """The notebooks of a repository's work tree, each read once, when it is needed."""

    def __init__(self, repository: GitRepository) -> None:
        self.repository = repository

    @cached_property
    def named(self) -> tuple[NamedFiles, ...]:
        """What each of those names that can be read."""
        return tuple(NamedFiles(source) for source in self._read())

    @cached_property
    def covered(self) -> frozenset[str]:
        """The files that the source fingerprint of any of them covers, from the repository's root."""
        return frozenset(path for named in self.named for path in named.covered)

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
        if path.name in (Layout(Path()).lock.name, "LICENSE") or name.endswith(metric_bands.SUFFIX):
            return False
        if "__pycache__" in path.parts:
            return False
        if path.suffix in NAMED or _hidden(path):
            return any(named.hold(path) and name not in named.covered for named in self._named)
        if path.suffix != ".py":
            return True
        others = [named for named in self._named if name not in named.covered]
        if any(named.hold(path) for named in others):
            return True
        return bool(others) and not gone and not _is_test(path) and name not in self._notebooks.covered

    @cached_property
    def _named(self) -> tuple[NamedFiles, ...]:
        return self._notebooks.named if self._source is None else (NamedFiles(self._source),)


def _hidden(path: PurePosixPath) -> list[str]:
    return [part for part in path.parts if part.startswith(".")]


def _is_test(path: PurePosixPath) -> bool:
    return bool({"test", "tests"}.intersection(path.parts) or _TEST.fullmatch(path.name))
