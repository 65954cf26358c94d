"""Figures of two executed notebooks whose pixels differ. Bytes do not count: they hold versions and dates."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator

from notebooks_lib.notebooks.cell_outputs import read_images
from notebooks_lib.notebooks.document import Notebook, NotebookCell
from notebooks_lib.notebooks.notebook_diff import NotebookDiff
from notebooks_lib.review.notebook_review import FigureChange

MOST_PIXELS = 40_000_000
"""Above, an image is not decoded: a small file may hold a huge one."""


def find_figure_changes(diff: NotebookDiff) -> tuple[FigureChange, ...]:
    """Return the figures that were changed, added or removed between the two executed notebooks of `diff`.

    The figures of a cell are compared in order with those of the same cell in the other notebook.
    """
    return tuple(change for cell in diff.cells for change in _of_cell(diff, cell.base, cell.head))


def _of_cell(diff: NotebookDiff, base: NotebookCell | None, head: NotebookCell | None) -> Iterator[FigureChange]:
    cell = head or base
    assert cell is not None
    for before, after in itertools.zip_longest(_figures(diff.base, base), _figures(diff.head, head)):
        if before != after and (before is None or after is None or _pixels(before) != _pixels(after)):
            yield FigureChange(cell.index, cell.name, before, after)


def _figures(notebook: Notebook, cell: NotebookCell | None) -> list[bytes]:
    return [image for image in read_images(notebook, cell) if _size(image)] if cell else []


def _size(image: bytes) -> tuple[int, int] | None:
    """Return the size of a PNG image; None if it is none, or too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            width, height = Image.open(io.BytesIO(image), formats=["PNG"]).size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if width * height <= MOST_PIXELS else None


def _pixels(image: bytes) -> tuple[tuple[int, int], bytes] | None:
    """Return size and decoded pixels; None where the file is damaged."""
    from PIL import Image

    try:
        decoded = Image.open(io.BytesIO(image), formats=["PNG"]).convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
    return decoded.size, decoded.tobytes()
