"""Write a review as Markdown for a comment on a pull request: bounded, and safe whatever the notebooks hold. Pure.

A pull request's text is hostile: it stands in code spans and fences only, but for single words that mean nothing to
Markdown or to a host of repositories. So it makes no mention, link, image, heading or HTML.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from notebooks_lib import safe_text
from notebooks_lib.review import report_text
from notebooks_lib.review.figure_files import file_name
from notebooks_lib.review.notebook_review import FigureChange, NotebookReview, Review

MARKER = "<!-- nbops review -->"
"""The first line. By it a bot knows its own comment again; no other line can hold it."""
LIMIT = 60_000
"""Characters at most; GitHub takes 65,536."""
MOST_TEXT = 300
"""Characters of one text or line that are shown."""
MOST_ROWS = 25
"""Rows of one table or list that are shown."""
MOST_FIGURES = 20
"""Figures of a report that are shown as images, before and after."""
FOLDED = 15
"""Lines of a diff above which it is folded."""
MOST_OPEN = 25
"""Changed cells and files of a notebook above which all of them are folded: the next notebook is near then."""

_ENUMERATION = re.compile(r"\d+\)")
"""It would begin a list."""
_WORD = re.compile(
    r"\(?(?![0-9a-f]{7,}\b)[^\W\d_]+(?:[-'][^\W\d_]+)*[,.;:?!)]*"
    r"|\(?[+−]?\d{1,6}(?:\.\d{1,6})?[,;:)]*"
    r"|[(),.;:%…·→]+"
)
"""A word or number that is text to every host: no hash of a commit, `@name`, `#12`, `GH-12`, `www.` or `:emoji:`."""


def to_markdown(review: Review, *, figures: str = "") -> str:
    """Return the review as Markdown.

    `figures` is the link to the folder that `figure_files` wrote; with it, figures are shown as images.

    If the text exceeds the limit, parts are left out in this order: lines of the longest diffs, details of the least
    important notebooks, their tables of numbers (replaced by one line each), and last these lines.
    """
    sections, images = [], MOST_FIGURES if figures else 0
    for notebook in report_text.by_importance(review.notebooks):
        sections.append(_section(notebook, _figures(notebook.figures[:images], figures)))
        images -= len(notebook.figures[:images])
    head = _head(review)
    longest = max((len(diff.lines) for section in sections for diff in section.diffs), default=0)
    shape = _Shape(longest, len(sections), len(sections), len(sections))
    for field in fields(shape):
        if len(_assemble(head, sections, shape)) <= LIMIT:
            break
        shape = _largest_that_fits(head, sections, shape, field.name)
    return _assemble(head, sections, shape)


@dataclass(frozen=True)
class _Shape:
    """How much of a report is shown."""

    lines: int
    """Lines of each diff at most."""
    detailed: int
    """Notebooks that are shown with details and diffs."""
    numbered: int
    """Notebooks that are shown with their numbers as a table."""
    named: int
    """Notebooks that have a line at least."""


@dataclass(frozen=True)
class _Diff:
    title: str
    lines: tuple[str, ...]

    def render(self, most: int) -> str:
        if not self.lines:
            return self.title
        shown = self.lines[:most]
        missing = report_text.count(len(self.lines) - len(shown), "more line" if shown else "line")
        note = f"{missing} {report_text.IN_PAGE}" if len(shown) < len(self.lines) else ""
        if not shown:
            return f"{self.title}: {note}"
        block = _fence(shown, "diff")
        if len(shown) > FOLDED:
            block = _folded(report_text.count(len(shown), "line"), block)
        return "\n\n".join(filter(None, (self.title, block, note)))


@dataclass(frozen=True)
class _Section:
    brief: str
    """The notebook in one line."""
    essentials: str
    details: str
    diffs: tuple[_Diff, ...]
    costs: str

    def render(self, lines: int) -> str:
        diffs = "\n\n".join(diff.render(lines) for diff in self.diffs)
        if len(self.diffs) > MOST_OPEN:
            diffs = _folded(report_text.count(len(self.diffs), "change"), diffs)
        return "\n\n".join(filter(None, (self.essentials, self.details, diffs, self.costs)))


def _largest_that_fits(head: str, sections: Sequence[_Section], shape: _Shape, field: str) -> _Shape:
    """Return the shape with as much of one field as fits; with nothing of it if that is still too much."""

    def too_long(amount: int) -> bool:
        return len(_assemble(head, sections, replace(shape, **{field: amount}))) > LIMIT

    amounts = range(getattr(shape, field) + 1)
    return replace(shape, **{field: max(bisect_left(amounts, True, key=too_long) - 1, 0)})


def _assemble(head: str, sections: Sequence[_Section], shape: _Shape) -> str:
    detailed = [section.render(shape.lines) for section in sections[: shape.detailed]]
    numbered = [section.essentials for section in sections[shape.detailed : shape.numbered]]
    brief = "\n".join(section.brief for section in sections[max(shape.detailed, shape.numbered) : shape.named])
    missing = len(sections) - max(shape.detailed, shape.numbered, shape.named)
    rest = f"{report_text.count(missing, 'more notebook')}: {report_text.IN_PAGE}" if missing > 0 else ""
    return "\n\n".join(filter(None, (head, *detailed, *numbered, brief, rest))) + "\n"


def _head(review: Review) -> str:
    headline = f"**{prose(' · '.join(report_text.headline(review)))}**" if report_text.headline(review) else ""
    circumstances = "  \n".join(prose(line) for line in report_text.circumstances(review))
    parts = (f"## {prose(report_text.title(review))}", headline, circumstances)
    return "\n\n".join([MARKER, *filter(None, parts)])


def _section(notebook: NotebookReview, images: str) -> _Section:
    essentials = (
        f"### {code(notebook.path)}",
        *_problems(notebook),
        prose(report_text.summary(notebook), 2 * MOST_TEXT),
        *_numbers(notebook),
    )
    details = (*_parameters(notebook), *_findings(notebook), images)
    return _Section(
        brief=_brief(notebook),
        essentials="\n\n".join(filter(None, essentials)),
        details="\n\n".join(filter(None, details)),
        diffs=tuple(_diffs(notebook)),
        costs=_costs(notebook),
    )


def _brief(notebook: NotebookReview) -> str:
    failed = "failed" if notebook.failed else ""
    cells = notebook.diff.summary if notebook.diff else notebook.summary
    parts = filter(None, (failed, cells[:100], *report_text.brief_numbers(notebook.metrics[:MOST_ROWS])))
    return f"- {code(notebook.path, 120)}: {prose('; '.join(parts), 2 * MOST_TEXT)}"


def _problems(notebook: NotebookReview) -> Iterator[str]:
    for one in notebook.run_problems:
        yield f"**{prose(report_text.problem(one))}**"
        if one.failure is not None:
            yield code(report_text.error(one.failure))
        if one.last_lines:
            yield _fence(_lines(one.last_lines[-MOST_ROWS:]), "text")


def _numbers(notebook: NotebookReview) -> Iterator[str]:
    metrics = report_text.by_verdict(notebook.metrics)
    if metrics:
        rows = [(code(metric.name), *map(prose, report_text.figures(metric))) for metric in metrics]
        emphasized = [(*row[:4], f"**{row[4]}**" if row[4] in ("better", "worse") else row[4]) for row in rows]
        yield _table(("metric", "base", "head", prose(report_text.gain_header(metrics)), ""), emphasized)
    yield _list(report_text.remarks(notebook.metrics))
    yield prose(notebook.no_metrics_because)
    proof = prose(report_text.proof(notebook), 2 * MOST_TEXT)
    figures = report_text.figure_counts(notebook.figures)
    warned = f"⚠ {proof}" if proof and not notebook.proof.exact else proof
    yield " · ".join(filter(None, (warned, f"{figures} ({report_text.IN_PAGE})" if figures else "")))


def _parameters(notebook: NotebookReview) -> Iterator[str]:
    if notebook.parameters:
        rows = [
            (code(one.name), one.kind, *(code(side) if side else "" for side in (one.base, one.head)))
            for one in notebook.parameters
        ]
        yield _table(("parameter", "change", "base", "head"), rows)


def _findings(notebook: NotebookReview) -> Iterator[str]:
    counts = report_text.finding_counts(notebook)
    yield f"**{counts}**" if counts else ""
    yield _list(map(report_text.finding, notebook.new_findings))
    yield _list(notebook.stale_text)


def _figures(changes: Sequence[FigureChange], folder: str) -> str:
    """Return figures side by side; their files are named by digests, so nothing of a notebook is in the links."""
    rows = []
    for change in changes:
        sides = (("before", change.base), ("after", change.head))
        images = (f"![{side}]({folder}/{file_name(figure)})" if figure else "" for side, figure in sides)
        rows.append((f"{change.cell} ({code(change.name, 60)})", *images))
    return _table(("figure of cell", "before", "after"), rows) if rows else ""


def _costs(notebook: NotebookReview) -> str:
    costs = _list(map(report_text.cost, notebook.costs))
    return f"**Time and memory**\n\n{costs}" if costs else ""


def _diffs(notebook: NotebookReview) -> Iterator[_Diff]:
    for helper in notebook.helpers:
        packages = _list(report_text.packages(helper))
        title = "\n\n".join(filter(None, (f"**{code(helper.path)}** {helper.state}", packages)))
        yield _Diff(title, _lines(helper.diff.splitlines()))
    for change in report_text.shown_cells(notebook):
        title = f"**{prose(report_text.cell_name(change))}** {prose(', '.join(change.descriptions))}"
        yield _Diff(title, _lines(report_text.diff_lines(change)))


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


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(_one_line(line, MOST_TEXT) for line in lines)


def _fence(lines: Sequence[str], language: str) -> str:
    """Return lines as a block that none of them can end."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    ticks = "`" * max(3, longest + 1)
    return "\n".join([ticks + language, *lines, ticks])


def _folded(title: str, block: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{block}\n\n</details>"


def _one_line(text: str, most: int) -> str:
    """Return a text in one line without control characters, cut where it is too long, and never with our marker."""
    line = safe_text.printable(text[: most + 1].replace("\n", " "))
    line = f"{line[:most]}…" if len(line) > most else line
    return re.sub(r"(?i)<!--(\s*nbops)", r"<!-\1", line)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown = [header, ["---"] * len(header), *rows[:MOST_ROWS]]
    lines = ["| " + " | ".join(map(_in_table, row)) + " |" for row in shown]
    return "\n".join([*lines, *_more(len(rows))])


def _in_table(cell: str) -> str:
    """Return a cell whose bars do not end it: hosts disagree on a backslash before a bar, so none stands there."""
    return re.sub(r"\\+(?=\|)", lambda run: "⧵" * len(run[0]), cell).replace("|", r"\|")


def _list(texts: Iterable[str]) -> str:
    lines = list(texts)
    return "\n".join([*(f"- {prose(line)}" for line in lines[:MOST_ROWS]), *_more(len(lines))])


def _more(number: int) -> Iterator[str]:
    if number > MOST_ROWS:
        yield f"\n{number - MOST_ROWS} more {report_text.IN_PAGE}"
