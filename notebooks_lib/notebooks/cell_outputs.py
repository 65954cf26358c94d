"""What the outputs of a cell hold: plain text and PNG images. HTML and SVG are never taken."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from notebooks_lib.notebooks.document import Notebook, NotebookCell


def read_text(notebook: Notebook, cell: NotebookCell) -> str:
    """Return the printed and displayed text in a cell's outputs."""
    return "\n".join(_text(output) for output in read_outputs(notebook, cell)).strip()


def read_images(notebook: Notebook, cell: NotebookCell) -> list[bytes]:
    """Return the PNG images in a cell's outputs, as bytes; an image that is not base64 is left out."""
    images = []
    for output in read_outputs(notebook, cell):
        encoded = _joined(_data(output).get("image/png"))
        try:
            images += [base64.b64decode(encoded)] if encoded else []
        except (binascii.Error, ValueError):
            continue
    return images


def read_outputs(notebook: Notebook, cell: NotebookCell) -> list[dict[str, Any]]:
    """Return the outputs of a cell as in the file; an empty list if they are damaged."""
    cells = notebook.raw.get("cells", ())
    outputs = cells[cell.index].get("outputs") if cell.index < len(cells) else None
    return [output for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []


def _text(output: dict[str, Any]) -> str:
    return _joined(output.get("text")) + _joined(_data(output).get("text/plain"))


def _data(output: dict[str, Any]) -> dict[str, Any]:
    data = output.get("data")
    return data if isinstance(data, dict) else {}


def _joined(value: object) -> str:
    lines: Iterator[object] = iter(value) if isinstance(value, list) else iter([value])
    return "".join(line for line in lines if isinstance(line, str))
