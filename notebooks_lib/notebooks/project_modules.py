"""The project's own modules that a notebook imports, directly or indirectly, found without importing them."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from notebooks_lib import regular_file
from notebooks_lib.errors import NotebookError
from notebooks_lib.notebooks import document, expressions
from notebooks_lib.notebooks.document import Notebook, NotebookCell

_NOT_OURS = {".venv", "venv", "site-packages", "dist-packages", ".nbops", "node_modules", "__pycache__"}


# Imports of a module file are found as text: parsing the whole library would take longer than everything else. A line
# of a docstring that looks like an import only adds a file.
_IMPORT = re.compile(
    rb"^[^\S\n]*(?:[^#'\"\n]*[:;][^\S\n]*)?"
    rb"(?:from(?:[ \t]++|(?=\.))([\w.]++)[ \t]++import[ \t]*+(\([^)]*\)|(?:[^\n\\;]|\\\n)++)"
    rb"|import[ \t]++([\w., \t]++))",
    re.MULTILINE,
)


_RUN = re.compile(r"\s*%run\s+(?:-\w+\s+)*(?:\"([^\"]+)\"|'([^']+)'|([^\s\"']+))")


_RUN_MODULE = re.compile(r"\s*%run\s+(?:-\w+\s+)*-m\s+([\w.]+)")


_COMMENT = re.compile(r"#[^\n]*")


def find_modules(notebook: Notebook, root: Path) -> list[tuple[str, str]]:
    """Return the project's modules that a notebook imports, directly or indirectly: path from the root, and sha256."""
    root = root.resolve()
    folder = notebook.opened.parent
    bases = [base for base in dict.fromkeys((folder, root, root / "src")) if base.is_relative_to(root)]
    digests: dict[Path, str] = {}
    files, names = _run_and_imported(notebook, folder)
    done: set[str] = set()
    while files or names:
        if not files:
            name = names.pop()
            files.extend(_files(name, bases) if name not in done else ())
            done.add(name)
            continue
        path = files.pop()
        if path in digests or not _is_ours(path, root):
            continue
        try:
            text = regular_file.read_bytes(path).replace(b"\r\n", b"\n")
        except OSError:
            continue  # it cannot be imported either
        digests[path] = module_sha256(path, text)
        if (
            path.suffix == ".ipynb"
        ):  # `%run` of it: it runs in this notebook's folder, but its own comes first in sys.path
            with contextlib.suppress(NotebookError):
                more_files, more_names = _run_and_imported(document.parse(path, text), folder)
                files.extend(more_files)
                if path.parent not in bases:
                    bases.append(path.parent)
                    done.clear()
                names.extend(more_names)
            continue
        names.extend(_imports_of(text, _package(path, bases)))
    return sorted((path.relative_to(root).as_posix(), digest) for path, digest in digests.items())


def module_sha256(path: Path, content: bytes) -> str:
    """Return the digest of a module's content; of a notebook only its code counts, as in `Notebook.code_sha256`."""
    if path.suffix == ".ipynb":
        with contextlib.suppress(NotebookError):
            return document.parse(path, content).code_sha256
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


class ProjectModules:
    """The project's modules that a notebook imports. They are searched again only after a file has changed."""

    def __init__(self, notebook: Notebook, root: Path) -> None:
        self._notebook = notebook
        self.root = root.resolve()
        self._stamps: list[tuple[int, int]] | None = None
        self._digests: list[tuple[str, str]] = []
        self._trees: list[tuple[str, ast.Module]] | None = None
        self._frozen = False

    def digests(self) -> list[tuple[str, str]]:
        """Return path and sha256 of each module, as `find_modules` does."""
        if self._stamps is None or (not self._frozen and self._stamps != self._read_stamps()):
            self._digests, self._trees = find_modules(self._notebook, self.root), None
            self._stamps = self._read_stamps()
        return self._digests

    def trees(self) -> list[tuple[str, ast.Module]]:
        """Return each module's path from the root and its syntax tree; modules that do not parse are left out."""
        modules = self.digests()
        if self._trees is None:
            self._trees = []
            for name, _ in modules:
                with contextlib.suppress(OSError, SyntaxError, ValueError):
                    self._trees.append((name, ast.parse((self.root / name).read_bytes())))
        return self._trees

    def freeze(self) -> None:
        """Keep the present modules and digests, even if files change later."""
        self.digests()
        self._frozen = True

    def _read_stamps(self) -> list[tuple[int, int]]:
        stamps = []
        for name, _ in self._digests:
            try:
                stat = (self.root / name).stat()
            except OSError:
                return []
            stamps.append((stat.st_mtime_ns, stat.st_size))
        return stamps


def _run_and_imported(notebook: Notebook, folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files that the cells run in `folder`, and the dotted names that they import."""
    runs = [text for cell in notebook.python_cells for text in _run_lines(cell)]
    files = [(folder / name).resolve() for text in runs for name in _scripts(text)]
    names = [name for cell in notebook.python_cells if cell.code.tree for name in _imported(cell.code.tree)]
    names += [module[1] for text in runs if (module := _RUN_MODULE.match(text))]
    return files, names


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=str() as module, names=aliases, level=0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in aliases)
            case ast.Call(func=func, args=[ast.Constant(value=str() as name), *_]):
                if expressions.dotted(func).endswith("import_module") or expressions.dotted(func) == "__import__":
                    yield name


def _scripts(text: str) -> Iterator[str]:
    """Yield the file that a `%run` runs in the notebook's own namespace."""
    if (script := _RUN.match(text)) and not _RUN_MODULE.match(text):
        name = script[1] or script[2] or script[3]
        yield name if name.endswith((".py", ".ipynb")) else f"{name}.py"


def _run_lines(cell: NotebookCell) -> Iterator[str]:
    """Yield the line magics of a cell, also those written as `run_line_magic("run", "FILE")`."""
    yield from (text for _, text in cell.code.magics)
    for node in cell.nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(attr="run_line_magic" | "magic"),
                args=[ast.Constant(value=str() as magic), *rest],
            ):
                line = (item.value for item in rest if isinstance(item, ast.Constant) and isinstance(item.value, str))
                yield " ".join(["%" + magic.removeprefix("%"), *line])


def _imports_of(text: bytes, package: str) -> Iterator[str]:
    for match in _IMPORT.finditer(text):
        if match[3] is not None:
            for part in match[3].decode(errors="replace").split(","):
                yield part.split(" as ")[0].strip()
            continue
        module = match[1].decode(errors="replace")
        level = len(module) - len(module.lstrip("."))
        if level:
            parents = package.split(".") if package else []
            ancestors = parents[: len(parents) - level + 1]
            module = ".".join([*ancestors, *filter(None, [module[level:]])])
        if module:
            yield module
        names = _COMMENT.sub("", match[2].decode(errors="replace")).strip("() \t\n").replace("\\\n", " ")
        for part in names.split(","):
            name = part.split(" as ")[0].strip(" \t\n()")
            if name.isidentifier():
                yield f"{module}.{name}" if module else name


def _files(name: str, bases: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that the import of a dotted name runs: each package on the way, and the module."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for base in bases:
        folder = base
        for part in parts:
            module = folder / f"{part}.py"
            folder = folder / part
            if (package := folder / "__init__.py").is_file():
                yield package
            elif module.is_file():
                yield module
                break
            elif not folder.is_dir():
                break


def _package(path: Path, bases: Iterable[Path]) -> str:
    """Return the dotted package that a file's relative imports start from."""
    for base in sorted(bases, key=lambda base: -len(base.parts)):
        if path.is_relative_to(base):
            return ".".join(path.relative_to(base).parent.parts)
    return ""


def _is_ours(path: Path, root: Path) -> bool:
    resolved = path.resolve()
    return resolved.is_relative_to(root) and not _NOT_OURS.intersection(resolved.relative_to(root).parts)
