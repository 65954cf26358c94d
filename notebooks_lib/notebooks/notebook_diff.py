"""What changed between two versions of a notebook, cell by cell, as a value. Outputs and counts are not in it.

Nothing else of a cell is either: its id, and metadata other than tags, do not count as changes.
"""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from notebooks_lib.notebooks import cell_pairing
from notebooks_lib.notebooks.document import Notebook, NotebookCell

ChangeKind = Literal["edited", "kind changed", "retagged", "moved", "added", "removed"]
CHANGE_KINDS: tuple[ChangeKind, ...] = ("edited", "kind changed", "retagged", "moved", "added", "removed")
CONTEXT = 1
"""Unchanged lines that are shown before and after changed ones."""
MOST_LINES = 10_000
"""Lines of a cell that are compared one by one; above, all of its changed part is old or new."""


class DiffLine(NamedTuple):
    """One line of a cell's diff."""

    mark: Literal[" ", "-", "+"]
    text: str


@dataclass(frozen=True)
class Hunk:
    """Changed lines of a cell next to each other, with the unchanged lines around them."""

    base_line: int
    """Number of its first line in the base's cell, from 1."""
    head_line: int
    lines: tuple[DiffLine, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the hunk as plain values for JSON: each line begins with its mark."""
        lines = [line.mark + line.text for line in self.lines]
        return {"base_line": self.base_line, "head_line": self.head_line, "lines": lines}


@dataclass(frozen=True)
class CellChange:
    """A cell before and after; `base` is None for an added one, `head` for a removed one."""

    base: NotebookCell | None
    head: NotebookCell | None
    moved: bool = False
    """Whether it stands out of the order that the other cells keep."""

    @cached_property
    def kinds(self) -> tuple[ChangeKind, ...]:
        """The kinds of change that the cell has; empty if it did not change."""
        base, head = self.base, self.head
        if base is None or head is None:
            return ("added",) if base is None else ("removed",)
        happened: dict[ChangeKind, bool] = {
            "edited": base.source != head.source,
            "kind changed": base.kind != head.kind,
            "retagged": set(base.tags) != set(head.tags),
            "moved": self.moved,
        }
        return tuple(kind for kind, true in happened.items() if true)

    @property
    def cell(self) -> NotebookCell:
        """The cell in the new version; for a removed cell, that in the old version."""
        cell = self.head or self.base
        assert cell is not None
        return cell

    @property
    def new_tags(self) -> tuple[str, ...]:
        """Tags that the cell has in the head but not in the base."""
        return _without(self.head, self.base)

    @property
    def lost_tags(self) -> tuple[str, ...]:
        """Tags that the cell has in the base but not in the head."""
        return _without(self.base, self.head)

    @property
    def descriptions(self) -> tuple[str, ...]:
        """The changes of the cell as phrases, such as "moved from 12" and "added (code)"."""
        base, head = self.base, self.head
        if base is None or head is None:
            tags = f", tagged {', '.join(self.cell.tags)}" if self.cell.tags else ""
            return (f"{self.kinds[0]} ({self.cell.kind}{tags})",)
        tags = " ".join([*(f"+{tag}" for tag in self.new_tags), *(f"-{tag}" for tag in self.lost_tags)])
        details: dict[ChangeKind, str] = {
            "kind changed": f"kind changed from {base.kind} to {head.kind}",
            "retagged": f"retagged {tags}",
            "moved": f"moved from {base.index}",
        }
        return tuple(details.get(kind, kind) for kind in self.kinds)

    def as_json(self) -> dict[str, Any]:
        """Return the change as plain values for JSON."""
        return {
            "changes": list(self.kinds),
            "base": _as_json(self.base),
            "head": _as_json(self.head),
            "hunks": [hunk.as_json() for hunk in self.hunks()],
        }

    def hunks(self, context: int = CONTEXT) -> tuple[Hunk, ...]:
        """Return the changed lines, with `context` unchanged lines before and after."""
        return tuple(_hunks(_lines(self.base), _lines(self.head), context))


@dataclass(frozen=True)
class NotebookDiff:
    """All cells of two versions of a notebook, each once.

    They are in the order of the head; a removed cell comes after the cell that it followed.
    """

    base: Notebook
    head: Notebook
    cells: tuple[CellChange, ...]

    @cached_property
    def changes(self) -> tuple[CellChange, ...]:
        """The cells that changed."""
        return tuple(change for change in self.cells if change.kinds)

    @property
    def notes(self) -> tuple[str, ...]:
        """Other differences than in the cells' source, kind and tags, a line each: language, images in Markdown."""
        base, head = self.base, self.head
        pairs = [(change.base, change.head) for change in self.cells if change.base and change.head]
        differing = sum(_attachments(base, old) != _attachments(head, new) for old, new in pairs)
        other_language = base.language != head.language and not (base.is_python and head.is_python)
        notes = [f"language {base.language}, now {head.language}"] if pairs and other_language else []
        cells = "cell" if differing == 1 else "cells"
        return (*notes, *([f"other attachments in {differing} {cells}"] if differing else []))

    @property
    def summary(self) -> str:
        """The changes in one line: "6 cells edited, 2 moved, 2 added"."""
        counts = Counter(kind for change in self.changes for kind in change.kinds)
        texts = [f"{counts[kind]} {kind}" for kind in CHANGE_KINDS if counts[kind]]
        if not texts:
            return "no source change"
        number, _, rest = texts[0].partition(" ")
        return ", ".join([f"{number} cell{'' if number == '1' else 's'} {rest}", *texts[1:]])

    def as_json(self) -> dict[str, Any]:
        """Return all changes as plain values for JSON. The head can be rebuilt from the base and these changes."""
        return {
            "summary": self.summary,
            "notes": list(self.notes),
            "cells": [change.as_json() for change in self.changes],
        }


def compare_notebooks(base: Notebook, head: Notebook) -> NotebookDiff:
    """Pair the cells of two versions of a notebook and return what changed."""
    pairs = cell_pairing.pair_cells(base.cells, head.cells)
    unmoved = set(cell_pairing.longest_increasing(pairs))
    partner = {new: old for old, new in pairs}
    paired = {old for old, _ in pairs}
    changes = []
    following = 0  # the first base cell behind those that are written
    for cell in head.cells:
        old = partner.get(cell.index)
        if old is not None and (old, cell.index) in unmoved:
            changes += _removed(base.cells[following:old], paired)
            following = old + 1
        changes.append(
            CellChange(None, cell)
            if old is None
            else CellChange(base.cells[old], cell, moved=(old, cell.index) not in unmoved)
        )
    changes += _removed(base.cells[following:], paired)
    return NotebookDiff(base, head, tuple(changes))


def _removed(cells: Sequence[NotebookCell], paired: set[int]) -> list[CellChange]:
    return [CellChange(cell, None) for cell in cells if cell.index not in paired]


def _attachments(notebook: Notebook, cell: NotebookCell) -> object:
    return notebook.raw["cells"][cell.index].get("attachments") or {} if notebook.raw else {}


def _without(cell: NotebookCell | None, other: NotebookCell | None) -> tuple[str, ...]:
    others = other.tags if other else ()
    return tuple(tag for tag in dict.fromkeys(cell.tags if cell else ()) if tag not in others)


def _as_json(cell: NotebookCell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {"index": cell.index, "id": cell.id, "kind": cell.kind, "tags": list(cell.tags)}


def _lines(cell: NotebookCell | None) -> list[str]:
    return cell.source.split("\n") if cell is not None and cell.source else []


def _hunks(base: list[str], head: list[str], context: int) -> Iterator[Hunk]:
    rows = list(_rows(base, head))
    changed = [place for place, row in enumerate(rows) if row.line.mark != " "]
    shown = sorted({place for at in changed for place in range(at - context, at + context + 1)} & set(range(len(rows))))
    for _, places in itertools.groupby(enumerate(shown), lambda numbered: numbered[1] - numbered[0]):
        hunk = [rows[place] for _, place in places]
        yield Hunk(hunk[0].base_line, hunk[0].head_line, tuple(row.line for row in hunk))


class _Row(NamedTuple):
    line: DiffLine
    base_line: int
    head_line: int


def _rows(base: list[str], head: list[str]) -> Iterator[_Row]:
    """Yield all lines, with where they stand, from 1; of a line that is new, before which line of the base."""
    for tag, base_start, base_end, head_start, head_end in _steps(base, head):
        if tag == "equal":
            for offset, text in enumerate(base[base_start:base_end], 1):
                yield _Row(DiffLine(" ", text), base_start + offset, head_start + offset)
            continue
        for line, text in enumerate(base[base_start:base_end], base_start + 1):
            yield _Row(DiffLine("-", text), line, head_start + 1)
        for line, text in enumerate(head[head_start:head_end], head_start + 1):
            yield _Row(DiffLine("+", text), base_end + 1, line)


def _steps(base: list[str], head: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield the steps from one text to the other as `difflib` does, which sees only what lies between equal ends."""
    shorter = min(len(base), len(head))
    start = next((line for line in range(shorter) if base[line] != head[line]), shorter)
    rest = range(1, shorter - start + 1)
    end = next((back - 1 for back in rest if base[-back] != head[-back]), len(rest))
    base_end, head_end = len(base) - end, len(head) - end
    yield "equal", 0, start, 0, start
    if base_end + head_end - 2 * start > MOST_LINES:
        yield "replace", start, base_end, start, head_end
    else:
        matcher = difflib.SequenceMatcher(None, base[start:base_end], head[start:head_end])
        for tag, base_start, base_stop, head_start, head_stop in matcher.get_opcodes():
            yield tag, base_start + start, base_stop + start, head_start + start, head_stop + start
    yield "equal", base_end, len(base), head_end, len(head)
