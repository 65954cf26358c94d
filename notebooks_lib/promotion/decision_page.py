"""Write the decision as one self-contained HTML page, for a reviewer who has seen nothing else. Pure.

`decision_page.html` is its template, for Jinja2 with every value escaped: names and notes on it may be any text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.promotion.decision import Decision
from notebooks_lib.promotion.evidence import Evidence, Slice, Uses
from notebooks_lib.promotion.gain_rules import KEEP
from notebooks_lib.promotion.model_facts import ModelCard
from notebooks_lib.promotion.table_formatting import HIDDEN, few, percent, shown
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from jinja2 import Environment, Template

WIDTH = 720
PAD = 24
"""Of the charts, in units of their SVG."""
ANSWERS = {"promote": "Promote", "keep": "Keep", "undecided": "Undecided"}
MARKS = {"pass": "passed", "FAIL": "failed", "keep": "keep", "undecided": "undecided"}
NOT_IN_TEXT = ("heading", "lheading", "image", "hr")
"""Markdown that is not rendered: a notebook's text must not look like a part of the page, or load anything."""


def decision_page(
    decision: Decision,
    about: ModelCard,
    *,
    origin: str,
    stages: Sequence[str] = STAGES[-1:],
    dry_run: bool = False,
    links: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the decision as an HTML page. It is made before any stage changes.

    `about` is the challenger's model card, `origin` a text with time and author. `stages` and `dry_run` say what would
    follow. `links` are pairs of label and address.
    """
    evidence, uses = decision.evidence, decision.evidence.uses
    return _template().render(
        about=about,
        answer=ANSWERS[decision.answer],
        boxes=uses_boxes(uses, read=not decision.unread) if uses else (),
        chart=_interval(decision),
        decision=decision,
        evidence=evidence,
        gain_facts=_gain_facts(decision),
        hidden=HIDDEN,
        keep_level=KEEP,
        links=links,
        origin=origin,
        marks=MARKS,
        meaning=_meaning(decision, stages, dry_run=dry_run),
        metrics=_metrics(evidence),
        metrics_head=(
            "on the holdout",
            f"champion: {evidence.champion.label}",
            f"challenger: {evidence.challenger.label}",
        ),
        pad=PAD,
        policy=decision.policy,
        slice_chart=SliceChart(evidence.slices, decision.policy.slice_margin),
        summary=_sentence(decision.summary),
        uses=uses,
        why_no_gain=_why_no_gain(decision),
        width=WIDTH,
    )


def template_environment(folder: Path) -> Environment:
    """Return a Jinja2 environment for the HTML templates in a folder.

    It escapes values; an undefined name is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _template() -> Template:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    text = MarkdownIt("js-default").disable(list(NOT_IN_TEXT))  # "js-default" escapes HTML
    for link in ("link_open", "link_close"):  # only the text of a link is shown
        text.add_render_rule(link, lambda *_: "")
    environment = template_environment(Path(__file__).parent)
    environment.tests["finite"] = math.isfinite
    environment.filters["at"] = "{:.1f}".format
    environment.filters["few"] = few
    environment.filters["figure"] = lambda value: few(value) if isinstance(value, float) else shown(value)
    environment.filters["markdown"] = lambda typed: Markup(text.render(typed))  # which escapes HTML
    environment.filters["percent"] = percent
    environment.filters["shown"] = shown
    return environment.get_template("decision_page.html")


def _meaning(decision: Decision, stages: Sequence[str], *, dry_run: bool) -> str:
    """Return what the answer means in practice; a first model, a dry run and stages before prod each differ."""
    first = decision.evidence.first
    if decision.answer == "promote":
        done = "be the first in service" if first else "replace the one in service"
        if STAGES[-1] not in stages:
            done = f"enter {', '.join(stages)}, and nothing changes in {STAGES[-1]}"
        if dry_run:
            return f"The new model would {done}. This was a dry run: nothing was changed."
        return f"The new model is to {done}, if it passes the tests of its stages."
    stays = "There is no model in service, and none comes" if first else "The model in service stays"
    why = {
        "keep": f"the new one may not {'serve' if first else 'or need not replace it'}",
        "undecided": "what is known does not settle the question",
    }[decision.answer]
    return f"{stays}: {why}."


def _why_no_gain(decision: Decision) -> str:
    """Return why there is no gain to show; empty when there is one."""
    evidence = decision.evidence
    if evidence.paired is not None and not evidence.unread:
        return ""
    if evidence.no_candidate:
        return "There is no candidate, so nothing was compared, and the holdout was not read."
    if evidence.is_champion_itself:
        return "The best candidate is the champion itself: there is nothing to compare, and the holdout was not read."
    if evidence.unread:
        unread = "The holdout was not read" if decision.unread else "This challenger did not meet the holdout"
        return f"{unread}: a rule below already settles the answer."
    return evidence.unpaired or "One of the two models could not be scored."


def _interval(decision: Decision) -> IntervalChart | None:
    """Return the drawing of the gain; None when it may not be shown or has no error."""
    paired, evidence = decision.evidence.paired, decision.evidence
    if paired is None or not paired.sound or not evidence.shows_estimates:
        return None
    return IntervalChart(
        lower=paired.lower(decision.level),
        gain=paired.gain,
        upper=paired.upper(KEEP),
        least=decision.policy.min_gain,
        unit=evidence.metric,
    )


def _gain_facts(decision: Decision) -> list[tuple[str, str]]:
    paired, wish, needed = decision.evidence.paired, decision.policy.worthwhile_gain, decision.rows_needed
    if paired is None:
        return []
    rows = ("rows needed", "unknown: promotion.worthwhile_gain is not set")
    if wish is not None:
        settles = shown(needed) if needed is not None else "not known"
        rows = (f"rows that settle a gain of {shown(wish)}, which would be worth it", settles)
    return [
        ("holdout rows", str(paired.rows)),
        (f"a true gain that so many rows promote in {decision.policy.power:.0%} of cases", _reach(decision)),
        rows,
    ]


def _reach(decision: Decision) -> str:
    power = decision.holdout_power
    if power is None or not power.obstacle:
        alone = " (by the interval alone, without the other rules)" if power and power.interval_only else ""
        return few(power.detectable if power else None) + alone
    enough = f"; about {power.rows_needed} rows mend that" if power.rows_needed else ""
    return f"none, for {power.obstacle} fails in {power.fails:.0%} of them{enough}"


def _metrics(evidence: Evidence) -> list[tuple[str, ...]]:
    """Return a row for each metric, the deciding one first; none when they may not be shown."""
    sides = (evidence.champion, evidence.challenger)
    if not evidence.shows_estimates or any(side.score is None for side in sides):
        return []
    scores: list[dict[str, Any]] = [{**side.metrics, evidence.metric: side.score} for side in sides]
    names = [evidence.metric, *sorted({name for side in sides for name in side.metrics} - {evidence.metric})]
    return [(name, *(few(figures.get(name)) for figures in scores)) for name in names]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


@dataclass(frozen=True)
class IntervalChart:
    """A chart of the gain and its bounds. The axis marks `least`, the gain that a promotion requires."""

    lower: float
    gain: float
    upper: float
    least: float
    unit: str

    @property
    def low(self) -> float:
        """Return the left end of the axis."""
        return min(self.lower, self.least, 0.0) - self._room

    @property
    def high(self) -> float:
        """Return the right end of the axis."""
        return max(self.upper, self.least, 0.0) + self._room

    @property
    def _room(self) -> float:
        return (max(self.upper, self.least, 0.0) - min(self.lower, self.least, 0.0)) * 0.12 or 1.0

    @property
    def tone(self) -> str:
        """Return the CSS class for the interval: "good" above `least`, "bad" below it, else "open"."""
        return "good" if self.lower > self.least else "bad" if self.upper < self.least else "open"

    @property
    def ticks(self) -> list[float]:
        """Return round values along the axis, at most eight or nine."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 7)
        first = math.ceil(self.low / step)
        return [float(f"{place * step:.6g}") for place in range(first, math.floor(self.high / step) + 1)]

    def x(self, value: float) -> float:
        """Return the x coordinate of a value."""
        return PAD + (value - self.low) / (self.high - self.low) * (WIDTH - 2 * PAD)

    def inside(self, value: float, half: float) -> float:
        """Return the x coordinate to centre a text on a value. `half` is half its width; the text stays on the page."""
        return min(max(self.x(value), PAD + half), WIDTH - PAD - half)


@dataclass(frozen=True)
class SliceChart:
    """A bar chart of the gain in each slice; bars to the right mean that the challenger is better."""

    slices: Sequence[Slice]
    margin: float | None
    """How much a slice may lose."""
    left = 250
    middle = (250 + WIDTH - 90) / 2

    @property
    def height(self) -> int:
        """Return the height of the drawing."""
        return 26 * len(self.slices) + 12

    def x(self, gain: float) -> float:
        """Return the x coordinate of a gain; the largest gain reaches an end of the axis."""
        gains = (abs(part.gain) for part in self.slices if math.isfinite(part.gain))
        reach = max([*gains, self.margin or 0.0]) or 1.0
        return self.middle + gain / reach * (self.middle - self.left)


def uses_boxes(uses: Uses, *, read: bool) -> list[str]:
    """Return "now", "spent" or "left" for each use in the holdout's budget, at most 40.

    `read` says whether this decision has spent a use.
    """
    spent, number = uses.budget - uses.left, uses.number if read else 0
    places = range(1, min(uses.budget, 40) + 1)
    return ["now" if place == number else "spent" if place <= spent else "left" for place in places]
