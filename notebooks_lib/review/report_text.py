"""The words and figures of a review that Markdown and page share, as plain text with names in backticks.

Nothing is escaped here: what shows a text makes it safe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from notebooks_lib.notebooks.notebook_diff import CellChange
from notebooks_lib.notebooks.notebook_rules import RuleViolation
from notebooks_lib.review.notebook_review import (
    CostRise,
    FigureChange,
    Gain,
    HelperChange,
    MetricChange,
    NotebookReview,
    Review,
    RunProblem,
    Verdict,
)
from notebooks_lib.run_result import Failure

_VERDICTS: tuple[Verdict, ...] = ("worse", "better", "higher", "lower", "no difference found")
"""From what matters most to what matters least."""
NOT_PROVEN = "not shown to be from this source"
NAME = re.compile(r"`([^`]+)`")
"""A name in backticks; splitting a text by it gives plain words and names in turn."""


def elsewhere(*, page: bool) -> str:
    """Return where a reader finds what a report leaves out: in the page, or how to get one if none was written."""
    return "in the page" if page else "shown by `--html`"


def by_importance(notebooks: Iterable[NotebookReview]) -> list[NotebookReview]:
    """Return the notebooks sorted: failed ones first, then those with a worse metric, then those with new findings."""

    def importance(notebook: NotebookReview) -> tuple[bool, ...]:
        return not (notebook.failed or notebook.problem), not notebook.worse, not notebook.new_findings

    return sorted(notebooks, key=importance)


def title(review: Review) -> str:
    """Return the title of the review: how many notebooks changed since the base."""
    return f"{count(len(review.notebooks), 'notebook')} changed since `{review.base}`"


def headline(review: Review) -> list[str]:
    """Return how many notebooks fail, are worse, better or equal, or have new findings, as short phrases."""
    verdicts = [{metric.gain.verdict for metric in notebook.metrics if metric.gain} for notebook in review.notebooks]
    findings = sum(len(notebook.new_findings) for notebook in review.notebooks)
    unproven = [notebook for notebook in review.notebooks if notebook.metrics and notebook.proof.differences]
    counts = {
        "not comparable": sum(bool(notebook.problem) for notebook in review.notebooks),
        "failed": sum(notebook.failed for notebook in review.notebooks),
        "worse": sum("worse" in names for names in verdicts),
        "better": sum("better" in names for names in verdicts),
        "no difference found": sum(names == {"no difference found"} for names in verdicts),
        NOT_PROVEN: len(unproven),
        f"new finding{'s' * (findings != 1)}": findings,
    }
    return [f"{number} {kind}" for kind, number in counts.items() if number]


def status(notebook: NotebookReview) -> str:
    """Return one word or two on a notebook: that it failed, or the verdict that matters most; else an empty text."""
    if notebook.problem or notebook.failed:
        return "failed" if notebook.failed else "not compared"
    verdicts = {metric.gain.verdict for metric in notebook.metrics if metric.gain}
    return next((verdict for verdict in _VERDICTS if verdict in verdicts), "")


def circumstances(review: Review) -> list[str]:
    """Return lines on what was compared, which notebooks are not shown, and why numbers are missing."""
    head = f"commit `{review.head_commit[:8]}`" if review.head_commit else "no commit yet"
    lines = [f"base `{review.base_commit[:8]}`, head {head}{', with uncommitted changes' if review.dirty else ''}"]
    if review.only_outputs:
        names = listed([f"`{path}`" for path in review.only_outputs], 5)
        lines.append(f"no source change, only outputs, counts, metadata or ids: {names}")
    if review.other_files:
        names = listed([f"`{path}`" for path in review.other_files], 5)
        lines.append(f"also changed, and a notebook that reads it may give other numbers: {names}")
    if review.renamed:
        names = listed([f"`{old}` → `{new}`" for old, new in review.renamed.items()], 5)
        lines.append(f"renamed, no source change: {names}")
    if review.unchanged:
        lines.append(f"{count(review.unchanged, 'notebook')} unchanged")
    if not review.notebooks and review.base_commit == review.head_commit:
        lines.append("this branch is at its base: name another one, as in `nbops review HEAD~1` for the last commit")
    if review.no_runs:
        lines.append(f"no numbers ({review.no_runs})")
    shown = {path for one in review.notebooks for path in (one.path, one.old_path)}
    if missing := [f"`{path}`" for path in review.missing.paths if path not in shown]:
        lines.append(f"files of the base that this clone lacks: {listed(missing, 5)}; {review.missing.reason}")
    if review.check_changed:
        names = " and ".join(f"`[check] {name}`" for name in review.check_changed)
        lines.append(f"{names} changed; findings are by the rules of the base")
    if review.faults_only:
        lines.append("findings: faults only; `--select ALL` adds the conventions of a project")
    return lines


def summary(notebook: NotebookReview) -> str:
    """Return the notebook's changes in one sentence, with the note that it is new, deleted or renamed."""
    if notebook.problem:
        return f"not compared: {notebook.problem.removeprefix(f'{notebook.path}: ')}"
    state = {"added": "new notebook", "deleted": "deleted", "modified": ""}[notebook.state]
    before = f"before: `{notebook.old_path}`" if notebook.old_path else ""
    return " · ".join(filter(None, (state, notebook.summary, before)))


def shown_cells(notebook: NotebookReview) -> tuple[CellChange, ...]:
    """Return the cells whose diffs are shown. Of a deleted notebook, none are."""
    return () if notebook.state == "deleted" else notebook.changes


def problem(run_problem: RunProblem) -> str:
    """Return a sentence that says which side's notebook failed, and in which cell."""
    side = "The notebook" if run_problem.side == "head" else "The base's notebook"
    if run_problem.failure is None:
        return f"{side} could not be run: {run_problem.reason}"
    where = "" if run_problem.failure.cell is None else f" in cell {run_problem.failure.cell}"
    line = f" (`{run_problem.failure.line}`)" if run_problem.failure.line else ""
    return f"{side} failed{where}{line}:"


def error(failure: Failure) -> str:
    """Return the exception's type and message."""
    return f"{failure.error}: {failure.message}" if failure.message else failure.error


def by_verdict(metrics: Iterable[MetricChange]) -> list[MetricChange]:
    """Return the metrics sorted: worse ones first, those without a gain last. Without those of `equal_metrics`."""
    return sorted((metric for metric in metrics if not _equal(metric)), key=_rank)


def _rank(metric: MetricChange) -> tuple[int, bool]:
    return _VERDICTS.index(metric.gain.verdict) if metric.gain else len(_VERDICTS), _equal(metric)


def equal_metrics(metrics: Iterable[MetricChange]) -> str:
    """Return the metrics that both runs logged alike and that have no gain, in one line; empty without any."""
    equal = [f"`{metric.name}` {figures(metric)[1]}" for metric in metrics if _equal(metric)]
    return f"the same on both sides, as logged: {listed(equal, 10)}" if equal else ""


def _equal(metric: MetricChange) -> bool:
    return metric.gain is None and metric.base is not None and metric.base == metric.head


def remarks(metrics: Sequence[MetricChange]) -> list[str]:
    """Return a line for each thing that the table of metrics leaves open."""
    judged = [metric for metric in metrics if metric.gain]
    alone = [f"`{metric.name}`" for metric in judged if metric.gain and _would_differ_alone(metric.gain)]
    why = f"would differ if it were the only metric; of {len(judged)}, one may by chance"
    lines = [f"{listed(alone, 5)} {why}"] if alone else []
    return [*lines, *logged(metrics), *filter(None, [equal_metrics(metrics)])]


def _would_differ_alone(gain: Gain) -> bool:
    return gain.verdict == "no difference found" and not gain.lower <= 0 <= gain.upper


def gain_header(metrics: Sequence[MetricChange]) -> str:
    """Return the header for the column of gains; empty if there are no gains."""
    bases = {metric.gain.of for metric in metrics if metric.gain}
    return f"gain on the same {' or '.join(sorted(bases))}, 95 %" if bases else ""


def figures(metric: MetricChange) -> tuple[str, str, str, str]:
    """Return four texts: base, head, the gain with its interval, and the verdict or the reason why there is none."""
    places, gain = _places(metric), metric.gain
    base, head = (_figure(side, places) for side in (metric.base, metric.head))
    if gain is None:
        return base, head, "", metric.no_gain_because
    sizes = [("+" if bound > 0 else "") + _figure(bound, places) for bound in (gain.gain, gain.lower, gain.upper)]
    return base, head, f"{sizes[0]} ({sizes[1]} … {sizes[2]})", gain.verdict


def brief_numbers(metrics: Iterable[MetricChange], most: int, room: int) -> str:
    """Return the metrics by verdict, worse ones first, with base and head of the first `most`; others are counted.

    So many of them are counted only that the text has no more than `room` characters.
    """
    groups: dict[str, list[str]] = {}
    for metric in sorted(metrics, key=_rank):
        base, head, *_ = figures(metric)
        verdict = metric.gain.verdict if metric.gain else "no interval"
        groups.setdefault(verdict, []).append(f"`{metric.name}` {head if metric.base is None else f'{base} → {head}'}")
    texts = (_first_numbers(groups, shown) for shown in range(most, 0, -1))
    return next((text for text in texts if len(text) <= room), _first_numbers(groups, 0))


def _first_numbers(groups: Mapping[str, Sequence[str]], most: int) -> str:
    parts = []
    for verdict, texts in groups.items():
        parts.append(f"{verdict}: {listed(texts, most) if most else count(len(texts), 'metric')}")
        most = max(0, most - len(texts))
    return "; ".join(parts)


def logged(metrics: Iterable[MetricChange]) -> list[str]:
    """Return a line for each metric that a run logged with another value than its saved model gives."""
    lines = []
    for metric in metrics:
        pairs = (("base", metric.logged_base), ("head", metric.logged_head))
        sides = [f"{_figure(value, _places(metric))} by the {side}'s run" for side, value in pairs if value is not None]
        if sides:
            words = "the notebook does something to predictions that the model file does not"
            lines.append(f"`{metric.name}` was logged as {', '.join(sides)}: {words}")
    return lines


def proof(notebook: NotebookReview) -> str:
    """Return whether the head's numbers come from exactly this source, or what differs; empty without a run.

    Parameters that did not have the notebook's defaults are named.
    """
    origin = notebook.proof
    parameters = "".join(f"; run with `{name} = {value!r}`, set for reviews" for name, value in origin.given.items())
    if origin.exact:
        names = {"fingerprint": origin.fingerprint, "commit": origin.commit}
        parts = [f"{name} `{digest[:8]}`" for name, digest in names.items() if digest]
        return f"from exactly this source ({', '.join([*parts, 'clean'])}){parameters}"
    differences = "; ".join(origin.differences)
    return f"{NOT_PROVEN}: {differences}{parameters}" if differences else ""


def figure_counts(changes: Sequence[FigureChange]) -> str:
    """Return the numbers of new, changed and removed figures, as a text; empty if there are none."""
    new, gone = sum(change.base is None for change in changes), sum(change.head is None for change in changes)
    counts = {"new": new, "changed": len(changes) - new - gone, "gone": gone}
    texts = [f"{number} {kind}" for kind, number in counts.items() if number]
    return f"figures: {', '.join(texts)}" if texts else ""


def finding_counts(notebook: NotebookReview) -> str:
    """Return the numbers of new and fixed findings, as a text; empty if there are none."""
    new, mended = len(notebook.new_findings), notebook.mended_findings
    return ", ".join(([count(new, "new finding")] if new else []) + ([f"{mended} mended"] if mended else []))


def finding(violation: RuleViolation) -> str:
    """Return a finding as text, with its cell."""
    identity = f" (`{violation.id}`)" if violation.id else ""
    return f"cell {violation.cell}{identity}: `{violation.code}` {violation.text}"


def cost(rise: CostRise) -> str:
    """Return a cell's time and memory at the base and at the head, as a text."""
    seconds = _from_to(rise.base_seconds, rise.head_seconds, "s", 1)
    memory = _from_to(rise.base_memory_mb, rise.head_memory_mb, "MB", 0)
    return f"cell {rise.cell} (`{rise.name}`): {', '.join([*seconds, *memory])}"


def packages(helper: HelperChange) -> list[str]:
    """Return a line for each package whose version in the lock file changed."""
    return [f"`{name}`: {old or 'none'} → {new or 'none'}" for name, (old, new) in sorted(helper.packages.items())]


def cell_name(change: CellChange) -> str:
    """Return index and id of a cell; for a removed cell, those at the base."""
    return change.cell.label + ("" if change.head else " of the base")


def diff_lines(change: CellChange) -> Iterator[str]:
    """Yield the lines of a cell's diff, each after its mark. Later hunks begin with their line number."""
    for number, hunk in enumerate(change.hunks()):
        if number:
            yield f"@@ line {hunk.head_line} @@"
        yield from (line.mark + line.text for line in hunk.lines)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 line", "2 lines"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(texts: Sequence[str], most: int) -> str:
    """Return the first `most` texts, separated by commas, and how many more there are."""
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest


def _from_to(base: float | None, head: float | None, unit: str, places: int) -> list[str]:
    if base is None and head is None:
        return []
    return [" → ".join(f"{_figure(side, places)} {unit}" if side is not None else "unknown" for side in (base, head))]


def _places(metric: MetricChange) -> int:
    """Return the decimals that show four digits of a metric, and two of its interval's half width."""
    sizes = [abs(side) for side in (metric.base, metric.head) if side and math.isfinite(side)]
    places = 3 - math.floor(math.log10(max(sizes))) if sizes else 2
    half = (metric.gain.upper - metric.gain.lower) / 2 if metric.gain else 0.0
    if half > 0 and math.isfinite(half):
        places = max(places, 1 - math.floor(math.log10(half)))
    return min(max(places, 0), 6)


def _figure(value: float | None, places: int) -> str:
    if value is None:
        return "unknown"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    shown = f"{value:.{places}f}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.4g}"
    return shown.replace("-", "−")
