"""Lines of an .ipynb file: where a line of a cell stands in it, so that a mark appears on the diff."""

from __future__ import annotations

import re
from functools import cached_property

from notebooks_lib.notebooks.document import Notebook

_FIRST_KEY = re.compile(r"\s*\{\r?\n([ \t]+)")


class FileLines:
    """Finds the lines of cells in the text of a notebook's file."""

    def __init__(self, notebook: Notebook, text: str) -> None:
        self._notebook = notebook
        self._text = text

    def line(self, cell: int, line: int) -> int | None:
        """Return the number in the file, from 1, of line `line` in cell `cell`; 0 stands for the cell's first line.

        None if the file does not have each line of source on a line of its own.
        """
        if cell >= len(self._starts):
            return None
        source = self._notebook.raw["cells"][cell].get("source")
        start = self._starts[cell]
        if isinstance(source, list) and source and all("\n" not in part[:-1] for part in source):
            return start + min(max(line, 1), len(source))
        return start if source in ("", []) or (isinstance(source, list) and len(source) == 1) or line <= 1 else None

    @cached_property
    def _starts(self) -> list[int]:
        """The line of each cell's key `source`; none where these are not one for each cell.

        Keys of a cell are indented three times. Deeper ones belong to its outputs and metadata, others to the file's.
        """
        first = _FIRST_KEY.match(self._text)
        if first is None:
            return []
        indent = first[1]
        starts: list[int] = []
        inside = False
        for number, line in enumerate(self._text.split("\n"), 1):
            if line.startswith(f'{indent}"'):
                inside = line.startswith(f'{indent}"cells":')
            elif inside and line.startswith(f'{indent * 3}"source":'):
                starts.append(number)
        return starts if len(starts) == len(self._notebook.cells) else []
