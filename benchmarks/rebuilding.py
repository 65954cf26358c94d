"""Makes a notebook again from its older version and `nbops diff --json`: proof that the diff holds everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from notebooks_lib.notebooks.document import NotebookCell

Content = tuple[str, str, frozenset[str]]
"""Kind, source and tags of a cell."""


def content(cell: NotebookCell) -> Content:
    """What a diff is about."""
    return cell.kind, cell.source, frozenset(cell.tags)


def rebuilt_head(base: Sequence[NotebookCell], changes: Sequence[dict[str, Any]]) -> list[Content]:
    """The cells of the head: changed ones stand where they say, all others keep their order."""
    changed = {change["base"]["index"] for change in changes if change["base"]}
    unchanged = [content(cell) for cell in base if cell.index not in changed]
    placed = {change["head"]["index"]: _head_cell(base, change) for change in changes if change["head"]}
    kept = iter(unchanged)
    cells = [placed.get(index) or next(kept) for index in range(len(unchanged) + len(placed))]
    assert next(kept, None) is None
    return cells


def _head_cell(base: Sequence[NotebookCell], change: dict[str, Any]) -> Content:
    source = base[change["base"]["index"]].source if change["base"] else ""
    return change["head"]["kind"], _patched(source, change["hunks"]), frozenset(change["head"]["tags"])


def _patched(source: str, hunks: Sequence[dict[str, Any]]) -> str:
    """The source after its hunks; each must fit the lines that it finds, as for `patch`."""
    old = source.split("\n") if source else []
    new: list[str] = []
    done = 0
    for hunk in hunks:
        start = hunk["base_line"] - 1
        new += old[done:start]
        assert len(new) == hunk["head_line"] - 1
        before = [line[1:] for line in hunk["lines"] if line[0] in " -"]
        assert old[start : start + len(before)] == before
        new += [line[1:] for line in hunk["lines"] if line[0] in " +"]
        done = start + len(before)
    return "\n".join(new + old[done:])
