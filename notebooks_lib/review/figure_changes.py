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


def find_figure_changes(diff: NotebookDiff, *, most_pixels: int = MOST_PIXELS) -> tuple[FigureChange, ...]:
    """Return the figures that were changed, added or removed between the two executed notebooks of `diff`.

    The figures of a cell are compared in order with those of the same cell in the other notebook. Images of more than
    `most_pixels` are left out.
    """
    return tuple(change for cell in diff.cells for change in _of_cell(diff, cell.base, cell.head, most_pixels))


def _of_cell(
    diff: NotebookDiff, base: NotebookCell | None, head: NotebookCell | None, most_pixels: int
) -> Iterator[FigureChange]:
    cell = head or base
    assert cell is not None
    figures = _figures(diff.base, base, most_pixels), _figures(diff.head, head, most_pixels)
    for before, after in itertools.zip_longest(*figures):
        if before != after and (before is None or after is None or _pixels(before) != _pixels(after)):
            yield FigureChange(cell.index, cell.name, before, after)


def _figures(notebook: Notebook, cell: NotebookCell | None, most_pixels: int) -> list[bytes]:
    images = read_images(notebook, cell) if cell else []
    return [image for image in images if 0 < _pixel_count(image) <= most_pixels]


def _pixel_count(image: bytes) -> int:
    """Return the number of pixels of a PNG image; 0 if it is none."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            width, height = Image.open(io.BytesIO(image), formats=["PNG"]).size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0
    return int(width * height)


def _pixels(image: bytes) -> tuple[tuple[int, int], bytes] | None:
    """Return size and decoded pixels; None where the file is damaged."""
    from PIL import Image

    try:
        decoded = Image.open(io.BytesIO(image), formats=["PNG"]).convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
    return decoded.size, decoded.tobytes()
