"""A new notebook out of the template: named by its question, with the template's instructions as comments.

Values in, values out; files are left alone.
"""

from __future__ import annotations

import ast
import copy
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from notebooks_lib import errors
from notebooks_lib.notebooks import cleaning
from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, PARAMETERS_TAG, Notebook, NotebookCell

LONGEST_NAME = 60
"""Characters of a file name that is made from a question."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HEADINGS = re.compile(r"((?:#{1,6} [^\n]*\n*)*)(.*)", re.DOTALL)
_FIRST_HEADING = re.compile(r" {0,3}# ")


@dataclass(frozen=True)
class Content:
    """What fills the template of a new notebook: question, purpose, name and parameters."""

    question: str
    what: str
    why: str
    place: str
    """The notebook's path from the project's root, with slashes."""
    name: str
    """The name of the file, which is also that of the experiment."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Further defaults of parameters, such as the dataset."""
    kept_output: str | None = None
    """What the cell `facts` prints for another dataset than the template's."""
    instructions: bool = True
    """False leaves the template's instructions out, so that only its headings stay."""


def one_line(text: str, option: str) -> str:
    """Return the text in one line, with single spaces.

    Raises UsageError, which names `option`, if there is nothing readable in it.
    """
    line = " ".join(text.split())
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in line):
        raise errors.UsageError(f"{option}: found control characters or bytes that are not UTF-8; give plain text")
    if not any(char.isalnum() for char in line):
        raise errors.UsageError(f"{option}: found {line!r}, expected words")
    return line


def file_name(question: str) -> str:
    """Return a file name for a question, made of a-z, 0-9 and `_`; accents are removed.

    Raises UsageError for letters of other scripts.
    """
    plain = "".join(
        char for char in unicodedata.normalize("NFKD", question.casefold()) if not unicodedata.combining(char)
    )
    foreign = next((char for char in plain if char.isalnum() and not char.isascii()), None)
    if foreign:
        raise errors.UsageError(
            f"{foreign!r} cannot stand in a file name here, which has a-z, 0-9 and _: add one, as in --name my_question"
        )
    name = "_".join(re.findall(r"[a-z0-9]+", plain.replace("'", "").replace("’", "")))
    if len(name) > LONGEST_NAME:
        start, _, rest = name[: LONGEST_NAME + 1].rpartition("_")
        name = start or rest[:LONGEST_NAME]
    return name


def check_name(name: str) -> str:
    """Return a file name without `.ipynb`.

    Raises UsageError if it is too long or has characters that are not allowed.
    """
    name = name.removesuffix(".ipynb")
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise errors.UsageError(
            f"--name: found {name!r}, expected at most {LONGEST_NAME} of a-z, 0-9, _ and -, as in my_question"
        )
    return name


def build(template: Notebook, content: Content) -> dict[str, Any]:
    """Return the JSON of the new notebook.

    The title cell is replaced. In other text cells the headings stay, and the instructions below them become a comment,
    which is visible only while the cell is edited.
    """
    raw = copy.deepcopy(cleaning.clean(template))
    title = next((cell for cell in template.cells if _is_title(cell)), None)
    defaults = {"experiment": content.name, **content.parameters}
    for cell, parsed in zip(raw["cells"], template.cells, strict=True):
        source = parsed.source
        if parsed.kind == "markdown":
            source = _title(content) if parsed is title else _as_comment(source, keep=content.instructions)
        elif PARAMETERS_TAG in parsed.tags:
            source = _with_defaults(parsed, defaults)
        elif KEEP_OUTPUT_TAG in parsed.tags and content.kept_output is not None:
            cell["outputs"] = _stream(content.kept_output) if parsed.id == "facts" else []
        cell["source"] = source.splitlines(keepends=True)
    raw["cells"] = [cell for cell in raw["cells"] if cell["cell_type"] != "markdown" or cell["source"]]
    if title is None:
        source = _title(content)
        first = {"cell_type": "markdown", "id": cleaning.make_id(0, source), "metadata": {}}
        raw["cells"].insert(0, {**first, "source": source.splitlines(keepends=True)})
    return raw


def _is_title(cell: NotebookCell) -> bool:
    return cell.kind == "markdown" and _FIRST_HEADING.match(cell.source) is not None


def _title(content: Content) -> str:
    return "\n".join(
        (
            f"# {content.question.lstrip('# ')}",
            "",
            f"- **What:** {content.what}",
            f"- **Why:** {content.why}",
            f"- **Without an editor:** `nbops run {content.place}`",
        )
    )


def _as_comment(source: str, *, keep: bool) -> str:
    """Return the headings at the start of a text, and with `keep` what follows them as a comment."""
    match = _HEADINGS.fullmatch(source)
    headings, text = match.groups() if match else ("", source)
    text = text.strip().replace("-->", "-- >") if keep else ""
    return f"{headings}<!-- {text} -->" if text else headings.rstrip("\n")


def _with_defaults(cell: NotebookCell, defaults: Mapping[str, str]) -> str:
    """Return the source of the parameters cell with other texts as defaults; annotations and comments stay."""
    lines = cell.source.split("\n")
    for node in ast.iter_child_nodes(cell.code.tree) if cell.code.tree else ():
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        value = getattr(node, "value", None)
        if (
            isinstance(target, ast.Name)
            and target.id in defaults
            and isinstance(value, ast.Constant)
            and value.lineno == value.end_lineno
        ):
            line = lines[value.lineno - 1].encode()
            literal = f'"{defaults[target.id]}"'.encode()
            lines[value.lineno - 1] = (line[: value.col_offset] + literal + line[value.end_col_offset :]).decode()
    return "\n".join(lines)


def _stream(text: str) -> list[dict[str, Any]]:
    return [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}]
