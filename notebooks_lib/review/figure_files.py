"""The figures of a review as PNG files, for a host that shows images beside a comment. Named by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from notebooks_lib.review.notebook_review import Review


def file_name(figure: bytes) -> str:
    """Return the file name for a figure, made from its content: equal figures have the same name, others never."""
    return f"{hashlib.sha256(figure).hexdigest()[:16]}.png"


def write_figures(review: Review, folder: Path) -> None:
    """Write the figures that differ, of base and head, into a folder, which is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in review.notebooks:
        for change in notebook.figures:
            for figure in filter(None, (change.base, change.head)):
                (folder / file_name(figure)).write_bytes(figure)
