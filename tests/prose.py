"""Wraps the prose of the pages: `python -m tests.prose`. Tables, headings, code and links are left as they are."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WIDTH = 100
_WORD = re.compile(r"(?:`[^`]*`|\]\([^)]*\)|\S)+")
"""A word; code and the address of a link count as one, whatever they hold."""
_BLOCK = re.compile(r"(?:[-+*]|#+|\d+[.)]|=+|-+)$|[>|<]|```|~~~")
"""Words that would begin a list, a heading or the like at the start of a line."""


def wrapped(page: str) -> str:
    """Return the page with each paragraph wrapped that has a line above WIDTH characters."""
    lines = page.split("\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    for opening, inline in reversed(list(pairwise(tokens))):
        if opening.type == "paragraph_open" and opening.map is not None:
            first, last = opening.map
            broken = any(child.type == "hardbreak" for child in inline.children or ())
            if not broken and any(len(line) > WIDTH for line in lines[first:last]):
                lines[first:last] = _paragraph(lines[first], inline.content)
    return "\n".join(lines)


def _paragraph(first_line: str, content: str) -> list[str]:
    """Return the lines of a paragraph; `first_line` has its indentation, and the mark of a list's item."""
    prefix = first_line[: first_line.index(content.split("\n")[0])]
    first, *words = _WORD.findall(re.sub(r"[ \t]*\n[ \t]*", " ", content))
    lines = [prefix + first]
    for word in words:
        if len(lines[-1]) + 1 + len(word) <= WIDTH or _BLOCK.match(word):
            lines[-1] += f" {word}"
        else:
            lines.append(re.sub(r"[^>\s]", " ", prefix) + word)
    return lines


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(wrapped(path.read_text("utf-8")), "utf-8")
