"""What a notebook file in git should not hold, or lacks: found for the rules, mended by `nbops clean`.

Values in, values out; files are left alone.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook

NOISY_IN_CELLS = (
    *("executionInfo", "outputId", "ExecuteTime", "execution", "papermill"),  # who ran it, and when
    *("collapsed", "scrolled", "heading_collapsed", "hidden", "pycharm", "vscode"),  # what a view shows
)
"""What Colab, Jupyter, papermill and editors write into a cell's metadata by themselves."""
DEFAULTS_IN_CELLS = {"deletable": True, "editable": True, "slideshow": {"slide_type": ""}}
"""What JupyterLab writes into each cell that is looked at with its panel of tags open; other values are choices."""
NOISY_IN_FILE = ("widgets", "papermill", "vscode", "ExecuteTime", "varInspector")
"""What they write into the metadata of the file."""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What Jupyter takes for a cell's id."""


def kernel_name(notebook: Notebook) -> str | None:
    """Return the name of the kernel in the notebook's metadata; None if there is none."""
    metadata = notebook.raw.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    return spec.get("name") if isinstance(spec, dict) else None


def noisy_keys(part: Mapping[str, Any]) -> list[str]:
    """Return the metadata keys of a cell that tools write by themselves."""
    metadata = part.get("metadata")
    if not isinstance(metadata, dict):
        return []
    defaults = [key for key, default in DEFAULTS_IN_CELLS.items() if metadata.get(key) == default]
    return [key for key in NOISY_IN_CELLS if key in metadata] + defaults


def noisy_notebook_keys(notebook: Notebook) -> list[str]:
    """Return the metadata keys of a notebook that tools write by themselves.

    The state of widgets is not among them if a kept output shows a widget.
    """
    metadata = notebook.raw.get("metadata")
    keys = [key for key in NOISY_IN_FILE if key in metadata] if isinstance(metadata, dict) else []
    if "widgets" in keys:
        outputs = [
            notebook.raw["cells"][cell.index].get("outputs") for cell in notebook.cells if KEEP_OUTPUT_TAG in cell.tags
        ]
        if WIDGET_VIEW in json.dumps(outputs):
            keys.remove("widgets")
    return keys


KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
"""As Jupyter itself writes it, so that saving a notebook changes nothing."""


def clean(notebook: Notebook) -> dict[str, Any]:
    """Return the notebook's JSON without outputs, counts and noisy metadata, with cell ids and the kernel `python3`.

    Valid ids stay, so that diffs show only what changed; another one is made from the cell's index and text. Cells
    tagged `keep_output` keep their outputs. A notebook of another language keeps its kernel.
    """
    raw: dict[str, Any] = copy.deepcopy(dict(notebook.raw))
    metadata = raw.get("metadata")
    metadata = raw["metadata"] = metadata if isinstance(metadata, dict) else {}
    for key in noisy_notebook_keys(notebook):
        del metadata[key]
    ids: set[str] = set()
    for cell, parsed in zip(raw["cells"], notebook.cells, strict=True):
        if parsed.kind == "code" and KEEP_OUTPUT_TAG not in parsed.tags:
            cell["outputs"] = []
            cell["execution_count"] = None
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        _clean_metadata(cell["metadata"])
        if parsed.id is None or parsed.id in ids or not CELL_ID.fullmatch(parsed.id):
            cell["id"] = make_id(parsed.index, parsed.source)
        ids.add(cell["id"])
    minor = raw.get("nbformat_minor")
    raw["nbformat_minor"] = max(5, minor if isinstance(minor, int) else 0)
    _clean_language(metadata, notebook)
    return raw


def _clean_metadata(metadata: dict[str, Any]) -> None:
    for key in noisy_keys({"metadata": metadata}):
        del metadata[key]
    view = metadata.get("jupyter")
    if isinstance(view, dict):
        view.pop("outputs_hidden", None)
    for key in ("jupyter", "tags"):
        if key in metadata and not metadata[key]:
            del metadata[key]


def _clean_language(metadata: dict[str, Any], notebook: Notebook) -> None:
    """Leave out what an editor writes again with each kernel: its display name, and the version of the language."""
    language = metadata.get("language_info")
    if notebook.is_python:
        metadata["kernelspec"] = dict(KERNEL)
        metadata["language_info"] = {"name": "python"}
    elif isinstance(language, dict):
        language.pop("version", None)


def clean_text(notebook: Notebook) -> str:
    """Return the cleaned notebook as text in a single form, whichever tool wrote the file.

    The form is Jupyter's: keys sorted, indent of one space, texts as lists of lines, a last newline. A cell that keeps
    its output gets the execution count of a run from top to bottom.
    """
    raw = clean(notebook)
    run = 0
    for cell, parsed in zip(raw["cells"], notebook.cells, strict=True):
        cell["source"] = _lines(cell.get("source", ""))
        if parsed.kind != "code":
            continue
        run += bool(parsed.source.strip())
        if cell.get("execution_count") is not None:
            cell["execution_count"] = run
        for output in cell["outputs"] if isinstance(cell.get("outputs"), list) else ():
            if isinstance(output, dict):
                _normalize_output(output, run)
    return _as_json(raw, indent=1, sort_keys=True) + "\n"


def _normalize_output(output: dict[str, Any], run: int) -> None:
    if output.get("execution_count") is not None:
        output["execution_count"] = run
    if "text" in output:
        output["text"] = _lines(output["text"])
    data = output.get("data")
    if isinstance(data, dict):
        output["data"] = {kind: part if kind.endswith("json") else _lines(part) for kind, part in data.items()}


def _lines(text: Any) -> Any:
    """Return a text as a list of its lines, as Jupyter writes it; anything else unchanged."""
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        text = "".join(text)
    return text.splitlines(keepends=True) if isinstance(text, str) else text


def format_like(before: str, notebook: Mapping[str, Any]) -> str:
    """Return the notebook as JSON text with the same indent, line ends and last newline as the text `before`."""
    first = re.match(r"\s*\{(\r?\n)?([ \t]*)", before)
    text = _as_json(notebook, indent=first[2] if first and first[1] else None)
    text += "\n" if before.endswith("\n") else ""
    return text.replace("\n", "\r\n") if first and first[1] == "\r\n" else text


def _as_json(notebook: Mapping[str, Any], *, indent: int | str | None, sort_keys: bool = False) -> str:
    text = json.dumps(notebook, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    # A lone surrogate cannot be encoded in UTF-8: in a file it can only be an escape.
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


def make_id(index: int, source: str) -> str:
    """Return an id for a cell without one. The same index and source give the same id."""
    import hashlib

    return hashlib.sha256(f"{index}\n{source}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
