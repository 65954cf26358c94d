"""How much of each notebook a report shows, so that it stays below a limit: the longest diffs shrink first. Pure.

What a notebook has more than its share is cut from its own part: it takes no room away from another one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from notebooks_lib.review import report_text
from notebooks_lib.review.markdown_text import fence, folded

FOLDED = 15
"""Lines of a diff above which it is folded."""
MOST_OPEN = 25
"""Changed cells and files of a notebook above which all of them are folded: the next notebook is near then."""
FEW_LINES, FEW_DIFFS = 8, 3
"""Diffs lose lines down to the first number, then some of them go, down to the second, and then lines again."""
_BREAK = "\n\n"


@dataclass(frozen=True)
class Diff:
    """The diff of one cell or file."""

    title: str
    """Markdown."""
    lines: tuple[str, ...]

    def render(self, most: int, elsewhere: str) -> str:
        """Return the title and at most so many lines."""
        if not self.lines:
            return self.title
        shown = _first_lines(self.lines, most)
        left_out = len(self.lines) - len(shown)
        note = f"{report_text.count(left_out, 'more line' if shown else 'line')} ({elsewhere})" if left_out else ""
        if not shown:
            return f"{self.title}: {note}"
        block = fence(_with_gaps(self.lines, shown), "diff")
        if len(shown) > FOLDED:
            block = folded(report_text.count(len(shown), "line"), block)
        return _joined(self.title, block, note)


@dataclass(frozen=True)
class Detail:
    """A table or list of a notebook, which is shown as a whole or only counted."""

    text: str
    """Markdown."""
    size: str
    """How much it holds, as "25 parameters"."""


@dataclass(frozen=True)
class ReportSection:
    """One notebook in a report, as Markdown of which more or less is shown."""

    brief: str
    """The notebook in one line."""
    essentials: str
    """What failed, the summary, numbers and findings."""
    details: tuple[Detail, ...]
    diffs: tuple[Diff, ...]


def fit(head: str, sections: Sequence[ReportSection], limit: int, elsewhere: str) -> str:
    """Return a report of `head` and the sections, the most important first, with at most `limit` characters.

    Details and diffs have the room that essentials leave, each notebook an equal share; of its share, diffs have half,
    and what the other ones do not need. Notebooks whose essentials do not fit have one line in their place. What is
    left out is counted, and `elsewhere` says where it is.
    """
    rest = _BREAK + "{}" + f" ({elsewhere})\n"
    room = limit - len(head) - len(rest.format(report_text.count(len(sections), "more notebook"))) - len(_BREAK)
    named = _first_that_fit([len(section.brief) + 1 for section in sections], room)
    shown = [_Shown(section, elsewhere) for section in sections[:named]]
    room -= sum(len(section.text) + len(_BREAK) for section in shown)
    for section in shown:
        room -= section.with_essentials(room)
    open_ones = sorted((section for section in shown if section.essential), key=lambda section: section.length_of_rest)
    for place, section in enumerate(open_ones):
        room -= section.with_rest(room // (len(open_ones) - place))
    full, brief = ([section.text for section in shown if bool(section.essential) is kind] for kind in (True, False))
    missing = report_text.count(len(sections) - named, "more notebook")
    last = f"{missing} ({elsewhere})" if len(sections) > named else ""
    return _joined(head, *full, "\n".join(brief), last) + "\n"


class _Shown:
    """A section and its text so far. Each step returns by how many characters the text grew: none without room."""

    def __init__(self, section: ReportSection, elsewhere: str) -> None:
        self.section, self.elsewhere = section, elsewhere
        self.text = section.brief
        self.essential = False

    def with_essentials(self, room: int) -> int:
        grown = self._grow(room, self.section.essentials, *self._sizes(self.section.details, self.section.diffs))
        self.essential = grown is not None
        return grown or 0

    def with_rest(self, room: int) -> int:
        """Show details and diffs, each of them with the half of the room at least, if it needs so much."""
        section = self.section
        most = max(room // 2, room - self._length_of_diffs)
        shown: list[Detail] = []
        for detail in section.details:
            if len(detail.text) + len(_BREAK) <= most:
                most -= len(detail.text) + len(_BREAK)
                shown.append(detail)
        others = [detail for detail in section.details if detail not in shown]
        text = _joined(section.essentials, *(detail.text for detail in shown), *self._sizes(others))
        diffs = _render_some(section.diffs, len(self.text) + room - len(text) - len(_BREAK), self.elsewhere)
        return self._grow(room, text, diffs) or 0

    @cached_property
    def length_of_rest(self) -> int:
        return sum(len(detail.text) for detail in self.section.details) + self._length_of_diffs

    @cached_property
    def _length_of_diffs(self) -> int:
        diffs = self.section.diffs
        return len(_render(diffs, len(diffs), max((len(diff.lines) for diff in diffs), default=0), self.elsewhere))

    def _sizes(self, details: Sequence[Detail], diffs: Sequence[Diff] = ()) -> tuple[str, str]:
        sizes = ", ".join(detail.size for detail in details)
        return f"{sizes} ({self.elsewhere})" if sizes else "", _left_out(diffs, self.elsewhere)

    def _grow(self, room: int, *parts: str) -> int | None:
        text = _joined(*parts)
        grown = len(text) - len(self.text)
        if grown > room:
            return None
        self.text = text
        return grown


def _render_some(diffs: Sequence[Diff], room: int, elsewhere: str) -> str:
    """Return as much of a notebook's diffs as fits; if nothing does, how much there is."""
    lines, number = max((len(diff.lines) for diff in diffs), default=0), len(diffs)

    def too_long(lines: int, number: int) -> bool:
        return len(_render(diffs, number, lines, elsewhere)) > room

    for few_lines, few_diffs in ((FEW_LINES, FEW_DIFFS), (1, 1), (0, 0)):
        if too_long(lines, number):
            lines = _most(few_lines, lines, partial(too_long, number=number))
        if too_long(lines, number):
            number = _most(few_diffs, number, partial(too_long, lines))
    return _render(diffs, number, lines, elsewhere)


def _most(fewest: int, most: int, too_many: Callable[[int], bool]) -> int:
    """Return the largest number that is not too many, or the fewest if all are."""
    numbers = range(min(fewest, most), most + 1)
    return numbers[max(bisect_left(numbers, True, key=too_many) - 1, 0)]


def _render(diffs: Sequence[Diff], number: int, lines: int, elsewhere: str) -> str:
    text = _BREAK.join(diff.render(lines, elsewhere) for diff in diffs[:number])
    if number > MOST_OPEN:
        text = folded(report_text.count(number, "change"), text)
    return _joined(text, _left_out(diffs[number:], elsewhere, "more change" if number else "change"))


def _left_out(diffs: Sequence[Diff], elsewhere: str, noun: str = "change") -> str:
    if not diffs:
        return ""
    lines = sum(len(diff.lines) for diff in diffs)
    size = f" with {report_text.count(lines, 'line')}" if lines else ""
    return f"{report_text.count(len(diffs), noun)}{size} ({elsewhere})"


def _first_lines(lines: Sequence[str], most: int) -> list[int]:
    """Return which lines are shown, at most so many: of a hunk that is cut, removed and added ones alike."""
    if len(lines) <= most:
        return [*range(len(lines))]
    starts = [place for place in range(1, len(lines)) if lines[place].startswith("@")]
    start = max((place for place in starts if place <= most), default=0)
    hunk = range(start, min((place for place in starts if place > start), default=len(lines)))
    removed, added = ([place for place in hunk if lines[place].startswith(mark)] for mark in "-+")
    if not (removed and added):
        return [*range(most)]
    heads = [start] if lines[start].startswith("@") else []
    room = most - start - len(heads)
    if room < 2:  # no room for one of each
        return [*range(start)]
    half = min(len(removed), max(room // 2, room - len(added)))
    return [*range(start), *heads, *sorted([*removed[:half], *added[: room - half]])]


def _with_gaps(lines: Sequence[str], shown: Sequence[int]) -> list[str]:
    """Return the shown lines. Each gap between them becomes a line with the number of lines left out."""
    texts = []
    for before, place in zip([*shown[:1], *shown], shown, strict=False):
        if place - before > 1:
            texts.append(f"@@ {report_text.count(place - before - 1, 'line')} left out @@")
        texts.append(lines[place])
    return texts


def _first_that_fit(lengths: Sequence[int], room: int) -> int:
    for number, length in enumerate(lengths):
        room -= length
        if room < 0:
            return number
    return len(lengths)


def _joined(*parts: str) -> str:
    return _BREAK.join(filter(None, parts))
