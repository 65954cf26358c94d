"""Notebook files, read once into frozen values. Nothing is written or run here."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors, regular_file

if TYPE_CHECKING:  # what only reads a file starts without the modules that read code
    from notebooks_lib.notebooks import cell_code

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
"""papermill's tag of the cell that holds the values of a run."""
KEEP_OUTPUT_TAG = "keep_output"
MOST_NESTED = 200
"""Lists and tables in one another: outputs of plots have some twenty."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)(.*)$")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_OTHER_KERNEL = (
    r"[ix]?(r|julia|bash|zsh|scala|spylon|almond|sparkr|spark|javascript|typescript|tslab|deno|node|rust|evcxr|go|gonb"
    r"|gophernotes|sas|stata|octave|matlab|ruby|perl|haskell|kotlin|java|cpp|cling|c|sql|clojure|elixir|erlang|lua|php"
    r"|sos|wolfram|ocaml|fortran|maxima|gnuplot|powershell)(?:[-_ ]?kernel)?[-_. ]?v?[\d.]*"
    r"|\.net-(\w+)"
)
"""Names of the usual kernels of other languages: ir, julia-1.11, bash, xcpp17, gophernotes."""
_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


@dataclass(frozen=True)
class NotebookCell:
    """One cell as its author wrote it; line ends are \\n."""

    index: int
    """Index in the notebook, from 0."""
    kind: str
    """"code", "markdown" or "raw"."""
    source: str
    tags: tuple[str, ...] = ()
    id: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without cached properties: a notebook is sent with each trial of a sweep."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def name(self) -> str:
        """Its id, or its first line if it has none."""
        return self.id or next(iter(self.source.strip().splitlines()), "")

    @property
    def label(self) -> str:
        """Its index and id, as "cell 4 (`model`)"."""
        return f"cell {self.index}" + (f" (`{self.id}`)" if self.id else "")

    @cached_property
    def code(self) -> cell_code.CellCode:
        """The source of a code cell parsed as Python, with magics replaced, or the parse error.

        Empty for other cells.
        """
        from notebooks_lib.notebooks import cell_code

        return cell_code.read_code(self.source if self.kind == "code" else "")

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The nodes of the syntax tree; none if the cell cannot be parsed."""
        return tuple(ast.walk(self.code.tree)) if self.code.tree else ()


@dataclass(frozen=True)
class Notebook:
    """A notebook file. `raw` is its whole JSON, which must not be changed."""

    path: Path
    cells: tuple[NotebookCell, ...]
    kernel: str = "python3"
    language: str = "python"
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    start: Path = field(default=Path(), repr=False, compare=False)
    """Where a relative path starts: the current folder, or a repository's root."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without cached properties, as for a cell."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def opened(self) -> Path:
        """The path with its folder resolved. The file's name is kept, even if the file is a symbolic link."""
        return (self.start / self.path).parent.resolve() / self.path.name

    @property
    def is_python(self) -> bool:
        """True if the cells are Python, which `ast` can read."""
        return self.language in ("python", "ipython", "python3")

    @property
    def is_production(self) -> bool:
        """True if the file is under `production/`. If it is also under `experimentation/`, the nearer folder counts."""
        names = (folder.name for folder in self.opened.parents)
        return next((name for name in names if name in ("experimentation", "production")), "") == "production"

    @property
    def code_cells(self) -> tuple[NotebookCell, ...]:
        """The code cells, in order."""
        return tuple(cell for cell in self.cells if cell.kind == "code")

    @property
    def python_cells(self) -> tuple[NotebookCell, ...]:
        """The code cells of a Python notebook; none for another language."""
        return self.code_cells if self.is_python else ()

    @property
    def parameters_cell(self) -> NotebookCell | None:
        """The first code cell tagged `parameters`, as papermill has it; None if there is none."""
        return next((cell for cell in self.code_cells if PARAMETERS_TAG in cell.tags), None)

    @property
    def title(self) -> str:
        """The first H1, or an empty string."""
        return next((text for _, level, text in self.headings if level == 1), "")

    @cached_property
    def purpose(self) -> str:
        """The markdown after the title, up to the next heading or code cell."""
        lines: list[str] = []
        inside = False
        for cell in self.cells:
            if inside and cell.kind != "markdown":
                break
            for level, text in _markdown(cell):
                if inside and level:
                    return "\n".join(lines).strip()
                if inside:
                    lines.append(text)
                inside = inside or level == 1
            lines.append("")
        return "\n".join(lines).strip()

    @cached_property
    def headings(self) -> tuple[tuple[int, int, str], ...]:
        """All markdown headings: index of the cell, level from 1, text."""
        return tuple((cell.index, level, text) for cell in self.cells for level, text in _markdown(cell) if level)

    @cached_property
    def imported(self) -> dict[str, str]:
        """The full path of each imported name: `mf` -> "mlflow"."""
        from notebooks_lib.notebooks import expressions

        return expressions.imported_names(cell.code.tree for cell in self.python_cells if cell.code.tree)

    @cached_property
    def calls(self) -> tuple[tuple[NotebookCell, ast.Call, str], ...]:
        """All calls, each with its cell and the full path of the called function.

        The path is empty if the called name was not imported.
        """
        from notebooks_lib.notebooks import expressions

        return tuple(
            (cell, node, expressions.imported_path(node.func, self.imported))
            for cell in self.python_cells
            for node in cell.nodes
            if isinstance(node, ast.Call)
        )

    @cached_property
    def code_sha256(self) -> str:
        """Digest of the code cells alone, without outputs, ids, markdown, metadata and empty cells."""
        import hashlib

        sources = [cell.source.rstrip("\n") for cell in self.code_cells if cell.source.strip()]
        return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def read(path: Path | str) -> Notebook:
    """Read a notebook file. Raises NotebookError, with the reason, if the file is not a notebook."""
    path = Path(path)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise errors.NotebookError(f"{str(path)!a}: the name is not UTF-8: rename the file") from error
    return parse(path, read_content(path))


def parse(path: Path, content: bytes, *, upgrade: bool = True) -> Notebook:
    """Return the notebook in the content of a file; `path` is used in messages. Raises NotebookError if it is invalid.

    A notebook in an old format is converted. Without `upgrade`, it is an error.
    """
    raw = _json(path, content)
    if not _is_flat(raw):
        raise errors.NotebookError(f"{path}: its JSON is nested more than {MOST_NESTED} deep")
    if not isinstance(raw, dict):
        raise errors.NotebookError(f"{path}: not a notebook: its JSON is a {type(raw).__name__}, not an object")
    version = raw.get("nbformat")
    if "worksheets" in raw or (isinstance(version, int) and version < 4):
        if not upgrade:
            raise errors.NotebookError(f"{path}: notebook format {version!r} is too old, 4 is needed")
        raw, version = _upgraded(path, raw), 4
    cells = raw.get("cells")
    if not isinstance(cells, list):
        raise errors.NotebookError(f"{path}: not a notebook: it has no list of `cells`")
    if not isinstance(version, int) or version > 4:
        raise errors.NotebookError(f"{path}: notebook format {version!r} is not known; 4 is needed")
    metadata = _table(raw.get("metadata"))
    kernelspec, language = _table(metadata.get("kernelspec")), _table(metadata.get("language_info"))
    return Notebook(
        path=path,
        cells=tuple(_cell(path, index, cell) for index, cell in enumerate(cells)),
        kernel=str(kernelspec.get("name") or "python3"),
        language=str(language.get("name") or kernelspec.get("language") or _language(kernelspec.get("name"))).lower(),
        raw=raw,
    )


def read_content(path: Path) -> bytes:
    """Return the bytes of a notebook file. Raises NotebookError, with the reason, if they cannot be read."""
    try:
        return regular_file.read_bytes(path)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise errors.NotebookError(f"{path}: a link to {path.readlink()}: no file is there") from error
        if not path.parent.is_dir():
            raise errors.NotebookError(f"{path}: no such notebook; there is no folder {path.parent}") from error
        names = [entry.name for entry in path.parent.glob("*.ipynb")]
        names += [entry.relative_to(path.parent).as_posix() for entry in path.parent.glob("[!.]*/*.ipynb")]
        where = "" if path.parent == Path() else f"{path.parent}: "
        raise errors.NotebookError(f"{where}{errors.unknown('notebook', path.name, names)}") from error
    except IsADirectoryError as error:
        raise errors.NotebookError(f"{path}: is a folder; name a notebook in it") from error
    except OSError as error:
        raise errors.NotebookError(f"{path}: cannot be read: {error.strerror or error}") from error


def _json(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise errors.NotebookError(f"{path}: not a notebook: not UTF-8 text at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        if conflict := _CONFLICT.search(content):
            line = content.count(b"\n", 0, conflict.start()) + 1
            raise errors.NotebookError(
                f"{path}: not a notebook: it holds conflict markers of a merge (line {line}); finish the merge first"
            ) from error
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise errors.NotebookError(f"{path}: not a notebook: not JSON ({where})") from error


def _is_flat(raw: Any) -> bool:
    """Return whether lists and tables are nested no deeper than all that walks through them can follow."""
    level: list[Any] = [[raw]]
    for _ in range(MOST_NESTED + 1):
        parts = [part.values() if type(part) is dict else part for part in level]
        level = [child for part in parts for child in part if type(child) in (dict, list)]
        if not level:
            return True
    return False


def _upgraded(path: Path, raw: dict[str, Any]) -> dict[str, Any]:
    """Convert a notebook of an old format to format 4, as Jupyter does, but without ids.

    Jupyter makes random ones: other ones at each reading, and none that the file holds.
    """
    import logging

    import nbformat
    from nbformat.v3.rwbase import rejoin_lines

    log = logging.getLogger("traitlets")  # nbformat logs there what is missing
    before, log.disabled = log.disabled, True
    try:
        filled = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, **raw}
        for cell in (cell for sheet in filled.get("worksheets", ()) for cell in sheet["cells"]):
            absent = {"metadata": {}, "input": "", "outputs": [], "language": "python", "collapsed": False}
            cell.update({key: value for key, value in absent.items() if key not in cell})
        nodes = nbformat.from_dict(filled)
        if "worksheets" in nodes:
            nodes = rejoin_lines(nodes)  # the source of a heading must be one text
        converted: dict[str, Any] = json.loads(nbformat.writes(nbformat.convert(nodes, 4)))
    except Exception as error:
        raise errors.NotebookError(
            f"{path}: notebook format {raw.get('nbformat', 3)} is too old, 4 is needed, and it cannot be converted: "
            f"{errors.reason(error)}"
        ) from error
    finally:
        log.disabled = before
    for cell in converted["cells"]:
        cell.pop("id", None)
    converted["nbformat_minor"] = 4
    return converted


def _language(kernel: object) -> str:
    """Return the language of a kernel name, for notebooks that do not state it; Python for an unknown name."""
    match = re.fullmatch(_OTHER_KERNEL, str(kernel or ""), re.IGNORECASE)
    return (match[1] or match[2]).lower() if match else "python"


def _cell(path: Path, index: int, raw: Any) -> NotebookCell:
    source = raw.get("source", "") if isinstance(raw, dict) else None
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or not isinstance(raw.get("cell_type"), str):
        raise errors.NotebookError(f"{path}: cell {index} is damaged: a cell has a `cell_type` and a text `source`")
    tags = _table(raw.get("metadata")).get("tags")
    return NotebookCell(
        index=index,
        kind=raw["cell_type"],
        source=source.replace("\r\n", "\n").replace("\r", "\n"),
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        id=raw["id"] if isinstance(raw.get("id"), str) else None,
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _markdown(cell: NotebookCell) -> Iterator[tuple[int, str]]:
    """Yield the lines of a markdown cell with their heading level, 0 for text; `#` in a code fence is no heading."""
    if cell.kind != "markdown":
        return
    fence = ""
    lines = cell.source.split("\n")
    underlined = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if underlined:  # the row of = or - under a heading
            underlined = False
            continue
        mark = _FENCE.match(line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else mark[1]
            yield 0, line
        elif not fence and (heading := _HEADING.match(line)):
            yield len(heading[1]), _CLOSING.sub("", heading[2].strip()).strip()
        elif not fence and line.strip() and line[:1].isalnum() and (row := _UNDERLINE.match(following)):
            underlined = True
            yield (1 if row[1][0] == "=" else 2), line.strip()
        else:
            yield 0, line
