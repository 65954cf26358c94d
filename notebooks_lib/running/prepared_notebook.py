"""The notebook to execute, made from its author's: valid, with cells for the given values and the secrets.

papermill injects after the first cell of any type that is tagged `parameters`, and replaces the cell of an earlier run
wherever that is. Here the new cell follows the cell that the values were checked against.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notebooks_lib import errors
from notebooks_lib.notebooks import cleaning, parameter_values
from notebooks_lib.notebooks.document import INJECTED_TAG, Notebook

SECRETS_TAG = "injected-secrets"
ERROR_TAG = "papermill-error-cell-tag"
"""papermill's tag, so that its tools find the note and remove it on a later run."""
_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_KEYS = {
    "code": {"cell_type", "id", "metadata", "source", "outputs", "execution_count"},
    "markdown": {"cell_type", "id", "metadata", "source", "attachments"},
    "raw": {"cell_type", "id", "metadata", "source", "attachments"},
}


@dataclass(frozen=True)
class PreparedNotebook:
    """A notebook that is ready to be executed, with cells for parameters and secrets."""

    notebook: Any
    origins: tuple[int | None, ...]
    """For each cell the index in the author's notebook; None for injected cells."""


def prepare(source: Notebook, given: Mapping[str, object], secrets: Mapping[str, str]) -> PreparedNotebook:
    """Return the notebook with a cell for the values `given`, and a cell that reads `secrets` by their names.

    No secret's value is in the notebook. Raises NotebookError when it is not a valid notebook.
    """
    notebook = _valid(source)
    replaced = {ERROR_TAG} | ({INJECTED_TAG} if given else set()) | ({SECRETS_TAG} if secrets else set())
    parameters = source.parameters_cell
    indices = [cell.index for cell in source.cells if cell is parameters or not replaced.intersection(cell.tags)]
    cells: list[tuple[int | None, Any]] = [(index, notebook.cells[index]) for index in indices]
    place = indices.index(parameters.index) + 1 if parameters else 0
    if secrets:
        lines = ["from notebooks_lib import secret as _secret"]
        lines += [f"{name} = _secret({variable!r})" for name, variable in secrets.items()]
        cells.insert(place, (None, _cell("\n".join(lines), SECRETS_TAG)))
    if given:
        cells.insert(place, (None, _cell(f"# Parameters\n{parameter_values.assignments(given)}", INJECTED_TAG)))
    notebook.cells = [cell for _, cell in cells]
    # papermill needs language and kernel, which not every notebook states.
    notebook.metadata.setdefault("language_info", {}).setdefault("name", source.language)
    spec = {"name": source.kernel, "display_name": source.kernel, "language": source.language}
    notebook.metadata["kernelspec"] = {**spec, **notebook.metadata.get("kernelspec", {})}
    return PreparedNotebook(notebook, tuple(index for index, _ in cells))


def _valid(source: Notebook) -> Any:
    import nbformat
    from nbformat.validator import NotebookValidationError, normalize, validate

    raw = _complete(source.raw)
    for cell in raw["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None  # those of an earlier run
    try:
        _, raw = normalize(raw, 4, 5, relax_add_props=True, strip_invalid_metadata=True)
        notebook = nbformat.from_dict(raw)
        validate(notebook, version=4, version_minor=5, relax_add_props=True)
        nbformat.writes(notebook).encode()
    except NotebookValidationError as error:
        where = "".join(f"[{part!r}]" for part in error.relative_path)
        raise errors.NotebookError(f"{source.path}: not a valid notebook: {where or 'it'}: {error.message}") from error
    except UnicodeEncodeError as error:
        raise errors.NotebookError(
            f"{source.path}: not a valid notebook: it holds half a character ({error.object[error.start]!a}, as of a "
            "text cut within an emoji): mend that text"
        ) from error
    except Exception as error:
        raise errors.NotebookError(
            f"{source.path}: not a valid notebook: {type(error).__name__}: {errors.reason(error)}"
        ) from error
    return notebook


def _cell(source: str, tag: str) -> Any:
    from nbformat.v4 import new_code_cell

    return new_code_cell(source, metadata={"tags": [tag]})


def _complete(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in format 4.5 with all fields that nbformat requires and none that it forbids.

    Existing ids stay, so that diffs show only what changed; a missing one is made from the cell's index and text. A
    null in the place of an object becomes an empty object, or is left out.
    """
    completed = {key: copy.deepcopy(raw[key]) for key in ("cells", "metadata") if key in raw}
    completed["metadata"] = metadata = _table(completed.get("metadata"))
    for key in ("kernelspec", "language_info"):
        if key in metadata and not isinstance(metadata[key], dict):
            del metadata[key]
    if "name" not in metadata.get("language_info", {"name": ""}):
        del metadata["language_info"]
    ids: set[str] = set()
    completed["cells"] = [_complete_cell(index, cell, ids) for index, cell in enumerate(completed["cells"])]
    minor = raw.get("nbformat_minor")
    return {**completed, "nbformat": 4, "nbformat_minor": max(5, minor if isinstance(minor, int) else 0)}


def _complete_cell(index: int, cell: dict[str, Any], ids: set[str]) -> dict[str, Any]:
    kind = cell["cell_type"]
    cell = {key: value for key, value in cell.items() if key in _KEYS.get(kind, cell)}
    cell["metadata"] = _table(cell.get("metadata"))
    source = cell.get("source", "")
    cell["source"] = source if isinstance(source, str) else "".join(source)
    if not isinstance(cell.get("attachments", {}), dict):
        del cell["attachments"]
    if kind == "code":
        cell["outputs"] = cell["outputs"] if isinstance(cell.get("outputs"), list) else []
        cell.setdefault("execution_count", None)
    if not isinstance(cell.get("id"), str) or not _ID.fullmatch(cell["id"]) or cell["id"] in ids:
        cell["id"] = cleaning.make_id(index, cell["source"])
    ids.add(cell["id"])
    return cell


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
