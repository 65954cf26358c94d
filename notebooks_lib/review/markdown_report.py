"""Write a review as Markdown for a comment on a pull request: bounded, and safe whatever the notebooks hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from notebooks_lib.review import report_length, report_text
from notebooks_lib.review.figure_files import file_name
from notebooks_lib.review.markdown_text import MOST_ROWS, MOST_TEXT, bullets, code, fence, lines, prose, table
from notebooks_lib.review.notebook_review import FigureChange, NotebookReview, Review
from notebooks_lib.review.report_length import Detail, Diff, ReportSection

MARKER = "<!-- nbops review -->"
"""The first line. By it a bot knows its own comment again; no other line can hold it."""
LIMIT = 60_000
"""Characters at most; GitHub takes 65,536."""
MOST_FIGURES = 20
"""Figures of a report that are shown as images, before and after."""


def to_markdown(review: Review, *, figures: str = "", page: bool = True) -> str:
    """Return the review as Markdown.

    `figures` is the link to the folder that `figure_files` wrote; with it, figures are shown as images. `page` tells
    whether the page is written, too: the report says where the reader finds what is left out.
    """
    elsewhere = report_text.elsewhere(page=page)
    sections, images = [], MOST_FIGURES if figures else 0
    for notebook in report_text.by_importance(review.notebooks):
        shown = notebook.figures[:images]
        sections.append(_section(notebook, shown, figures, elsewhere))
        images -= len(shown)
    return report_length.fit(_head(review), sections, LIMIT, elsewhere)


def _head(review: Review) -> str:
    headline = f"**{prose(' · '.join(report_text.headline(review)))}**" if report_text.headline(review) else ""
    circumstances = "  \n".join(prose(line) for line in report_text.circumstances(review))
    parts = (f"## {prose(report_text.title(review))}", headline, circumstances)
    return "\n\n".join([MARKER, *filter(None, parts)])


def _section(notebook: NotebookReview, images: Sequence[FigureChange], folder: str, elsewhere: str) -> ReportSection:
    figures = "below" if len(images) == len(notebook.figures) else elsewhere
    essentials = (
        f"### {code(notebook.path)}",
        *_problems(notebook),
        _counted(report_text.summary(notebook), elsewhere),
        *_numbers(notebook, elsewhere, figures),
        *_findings(notebook, elsewhere),
    )
    parameters, cells = len(notebook.parameters), len(notebook.costs)
    details = (
        Detail(_parameters(notebook, elsewhere), report_text.count(parameters, "parameter")),
        Detail(
            _figures(images, folder, elsewhere, only_new=notebook.state == "added"),
            report_text.count(len(images), "figure"),
        ),
        Detail(_costs(notebook, elsewhere), f"time or memory of {report_text.count(cells, 'cell')}"),
    )
    return ReportSection(
        brief=_brief(notebook),
        essentials="\n\n".join(filter(None, essentials)),
        details=tuple(detail for detail in details if detail.text),
        diffs=tuple(_diffs(notebook, elsewhere)),
    )


def _brief(notebook: NotebookReview) -> str:
    failed = "failed" if notebook.failed else ""
    changed = notebook.diff.summary if notebook.diff and notebook.diff.changes else notebook.summary
    cells = prose(changed, 100)
    unproven = f"⚠ {report_text.NOT_PROVEN}" if notebook.metrics and notebook.proof.differences else ""
    numbers = prose(report_text.brief_numbers(notebook.metrics, MOST_ROWS, MOST_TEXT), 2 * MOST_TEXT)
    parts = filter(None, (failed, cells, report_text.finding_counts(notebook), unproven, numbers))
    return f"- {code(notebook.path, 120)}: {'; '.join(parts)}"


def _counted(text: str, elsewhere: str) -> str:
    """Return a text of which so much is shown as fits; what is cut is counted."""
    more = len(text) - 2 * MOST_TEXT
    return prose(text, 2 * MOST_TEXT) + (
        f" {report_text.count(more, 'more character')} ({elsewhere})" if more > 0 else ""
    )


def _problems(notebook: NotebookReview) -> Iterator[str]:
    for problem in notebook.run_problems:
        yield f"**{prose(report_text.problem(problem))}**"
        if problem.failure is not None:
            yield code(report_text.error(problem.failure))
        if problem.last_lines:
            yield fence(lines(problem.last_lines[-MOST_ROWS:]), "text")


def _numbers(notebook: NotebookReview, elsewhere: str, where_figures: str) -> Iterator[str]:
    metrics = report_text.by_verdict(notebook.metrics)
    if metrics:
        texts = [(code(metric.name), *map(prose, report_text.figures(metric))) for metric in metrics]
        rows = [(*row[:4], f"**{row[4]}**" if row[4] in ("better", "worse") else row[4]) for row in texts]
        header = ("metric", "base", "head", prose(report_text.gain_header(metrics)), "")
        columns = (0, 2, 4) if notebook.state == "added" else range(len(header))
        shown = [[row[column] for column in columns] for row in (header, *rows)]
        yield table(shown[0], shown[1:], elsewhere)
    yield bullets(report_text.remarks(notebook.metrics), elsewhere)
    yield prose(notebook.no_metrics_because)
    proof = _counted(report_text.proof(notebook), elsewhere)
    figures = report_text.figure_counts(notebook.figures)
    warned = f"⚠ {proof}" if proof and not notebook.proof.exact else proof
    yield " · ".join(filter(None, (warned, f"{figures} ({where_figures})" if figures else "")))


def _parameters(notebook: NotebookReview, elsewhere: str) -> str:
    rows = [
        (
            code(parameter.name),
            parameter.kind,
            *(code(side) if side else "" for side in (parameter.base, parameter.head)),
        )
        for parameter in notebook.parameters
    ]
    return table(("parameter", "change", "base", "head"), rows, elsewhere) if rows else ""


def _findings(notebook: NotebookReview, elsewhere: str) -> Iterator[str]:
    counts = report_text.finding_counts(notebook)
    yield f"**{counts}**" if counts else ""
    yield bullets(map(report_text.finding, notebook.new_findings), elsewhere)
    yield bullets(notebook.stale_text, elsewhere)


def _figures(changes: Sequence[FigureChange], folder: str, elsewhere: str, *, only_new: bool) -> str:
    """Return figures side by side; their files are named by digests, so nothing of a notebook is in the links."""
    rows = []
    for change in changes:
        sides = [("after", change.head)] if only_new else [("before", change.base), ("after", change.head)]
        images = (f"![{side}]({folder}/{file_name(figure)})" if figure else "" for side, figure in sides)
        rows.append((f"{change.cell} ({code(change.name, 60)})", *images))
    header = ("figure of cell", *(["after"] if only_new else ["before", "after"]))
    return table(header, rows, elsewhere) if rows else ""


def _costs(notebook: NotebookReview, elsewhere: str) -> str:
    costs = bullets(map(report_text.cost, notebook.costs), elsewhere)
    return f"**Time and memory**\n\n{costs}" if costs else ""


def _diffs(notebook: NotebookReview, elsewhere: str) -> Iterator[Diff]:
    for helper in notebook.helpers:
        packages = bullets(report_text.packages(helper), elsewhere)
        title = "\n\n".join(filter(None, (f"**{code(helper.path)}** {helper.state}", packages)))
        yield Diff(title, lines(helper.diff.splitlines()))
    for change in report_text.shown_cells(notebook):
        title = f"**{prose(report_text.cell_name(change))}** {prose(', '.join(change.descriptions))}"
        yield Diff(title, lines(report_text.diff_lines(change)))
