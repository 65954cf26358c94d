"""Text of a pull request as Markdown that is safe for any content: code spans, fences, tables and lists. Pure.

A pull request's text is hostile: it stands in code spans and fences only, but for single words that mean nothing to
Markdown or to a host of repositories. So it makes no mention, link, image, heading or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from notebooks_lib import safe_text
from notebooks_lib.review import report_text

MOST_TEXT = 300
"""Characters of one text or line that are shown."""
MOST_ROWS = 25
"""Rows of one table or list that are shown."""

_ENUMERATION = re.compile(r"\d+\)")
"""It would begin a list."""
_WORD = re.compile(
    r"\(?'?(?![0-9a-f]{7,}\b)[^\W\d_]+(?:[-'][^\W\d_]+)*'?[,.;:?!)]*"
    r"|\(?[+−]?\d{1,6}(?:\.\d{1,6})?[,;:)]*"
    r"|[(),.;:%…·→]+"
)
"""A word or number that is text to every host: no hash of a commit, `@name`, `#12`, `GH-12`, `www.` or `:emoji:`."""


def prose(text: str, most: int = MOST_TEXT) -> str:
    """Return a text as one line of Markdown, cut to `most` characters: plain words as they are, all else as code."""
    out = ""
    for number, part in enumerate(report_text.NAME.split(_one_line(text, most))):
        for word in [part] if number % 2 else re.split("( +)", part):
            plain = not number % 2 and (not word.strip() or _WORD.fullmatch(word))
            if plain and not (out == "" and _ENUMERATION.match(word)):
                out += word
                continue
            core, end = (word, "") if number % 2 else _split_punctuation(word)
            out += (" " if out.endswith("`") else "") + code(core, most) + end
    return out.strip()


def _split_punctuation(word: str) -> tuple[str, str]:
    core = word.rstrip(",;:)")
    return (core, word[len(core) :]) if core else (word, "")


def code(text: str, most: int = MOST_TEXT) -> str:
    """Return a text, cut to `most` characters, as a Markdown code span that is safe for any content."""
    line = _one_line(text, most)
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    padding = " " if line[:1] in "` " or line[-1:] in "` " else ""
    return f"{ticks}{padding}{line}{padding}{ticks}" if line.strip() else "(blank)"


def lines(texts: Iterable[str]) -> tuple[str, ...]:
    """Return lines as they stand in a fence: each in one line, and cut."""
    return tuple(_one_line(line, MOST_TEXT) for line in texts)


def fence(content: Sequence[str], language: str) -> str:
    """Return lines as a block that none of them can end."""
    longest = max((len(run) for line in content for run in re.findall("`+", line)), default=0)
    ticks = "`" * max(3, longest + 1)
    return "\n".join([ticks + language, *content, ticks])


def folded(title: str, block: str) -> str:
    """Return a block that opens at a click. `title` is ours: numbers and words."""
    return f"<details><summary>{title}</summary>\n\n{block}\n\n</details>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], elsewhere: str) -> str:
    """Return a table of cells that are Markdown; `elsewhere` says where to find the rows beyond MOST_ROWS."""
    shown = [header, ["---"] * len(header), *rows[:MOST_ROWS]]
    return "\n".join(["| " + " | ".join(map(_in_table, row)) + " |" for row in shown] + _more(len(rows), elsewhere))


def bullets(texts: Iterable[str], elsewhere: str) -> str:
    """Return a list of texts; `elsewhere` says where to find those beyond MOST_ROWS."""
    every = list(texts)
    return "\n".join([f"- {prose(text)}" for text in every[:MOST_ROWS]] + _more(len(every), elsewhere))


def _more(number: int, elsewhere: str) -> list[str]:
    return [f"\n{number - MOST_ROWS} more ({elsewhere})"] if number > MOST_ROWS else []


def _one_line(text: str, most: int) -> str:
    """Return a text in one line without control characters, cut where it is too long, and never with our marker."""
    line = safe_text.printable(text[: most + 1].replace("\n", " "))
    line = f"{line[:most]}…" if len(line) > most else line
    return re.sub(r"(?i)<!--(\s*nbops)", r"<!-\1", line)


def _in_table(cell: str) -> str:
    """Return a cell whose bars do not end it: hosts disagree on a backslash before a bar, so none stands there."""
    return re.sub(r"\\+(?=\|)", lambda run: "⧵" * len(run[0]), cell).replace("|", r"\|")
