"""Write the decision as one self-contained HTML page, for a reviewer who has seen nothing else. Pure: values in, text
out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.promotion import charts
from notebooks_lib.promotion.charts import HIDDEN, few
from notebooks_lib.promotion.decision import Decision, Evidence, RuleResult
from notebooks_lib.promotion.holdout_rules import KEEP
from notebooks_lib.promotion.model_facts import ModelCard
from notebooks_lib.promotion.report_table import percent, shown
from notebooks_lib.promotion.rules import RuleFigure
from notebooks_lib.settings.sections import STAGES

if TYPE_CHECKING:
    from notebooks_lib.metrics.metric import Direction

ANSWERS = {"promote": "Promote", "keep": "Keep", "undecided": "Undecided"}
STYLE = Path(__file__).with_name("decision_card.css")
MARKS = {"pass": "passed", "FAIL": "failed", "keep": "keep", "undecided": "undecided"}


def decision_page(
    decision: Decision,
    about: ModelCard,
    *,
    made: str,
    stages: Sequence[str] = STAGES[-1:],
    dry_run: bool = False,
    links: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the whole page. It is made before any stage changes.

    `made` says when and by whom; `links` are pairs of label and address.
    """
    evidence = decision.evidence
    answer, meaning = ANSWERS[decision.answer], _meaning(decision, stages, dry_run=dry_run)
    title = f"{evidence.model}: {answer.lower()}"
    sections = [
        f'<header class="{decision.answer}">'
        f'<p class="kicker">Decision on the model <b>{_escape(evidence.model)}</b></p>'
        f"<h1>{answer}</h1><p class='lead'>{meaning}</p><p>{_escape(_sentence(decision.summary))}</p></header>",
        _question(evidence),
        _gain(decision),
        _others(decision),
        _slices(decision),
        _holdout(decision),
        _rules(decision.rules),
        _about(about),
        f"<footer><p>{_escape(made)}</p>{_links(links)}</footer>",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text('utf-8')}</style></head>"
        f"<body><main>{''.join(filter(None, sections))}</main></body></html>\n"
    )


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


def _question(evidence: Evidence) -> str:
    other = f"the one in service (<b>{_escape(evidence.champion.label)}</b>)"
    if evidence.first:
        other = f"<b>{_escape(evidence.champion.label)}</b>, for no model serves yet"
    return (
        "<section><h2>The question</h2>"
        f"<p>Is the new model (<b>{_escape(evidence.challenger.label)}</b>, the challenger) better than {other}"
        f", the champion, on new rows like those of <b>{_escape(evidence.ref)}</b>? "
        f"Both are judged by {_escape(evidence.metric)} ({_direction(evidence.direction)}) "
        "on the <i>holdout</i>: rows that neither was trained on or chosen by, the "
        "same for both. The holdout is a sample, so the gain has an error; the answer rests on the bounds, not on "
        "the gain itself.</p></section>"
    )


def _gain(decision: Decision) -> str:
    evidence, paired = decision.evidence, decision.evidence.paired
    if evidence.unread or paired is None:
        who = "The holdout was not read" if decision.unread else "This challenger did not meet the holdout"
        why = f"{who}: a rule below already settles the answer." if evidence.unread else evidence.unpaired
        if evidence.no_candidate:
            why = "There is no candidate, so nothing was compared, and the holdout was not read."
        elif evidence.is_champion_itself:
            why = (
                "The best candidate is the champion itself: there is nothing to compare, and the holdout was not read."
            )
        return (
            f"<section><h2>The gain</h2><p>{_escape(why or 'One of the two models could not be scored.')}</p></section>"
        )
    drawn = f'<p class="note">{_escape(HIDDEN)}</p>'
    if evidence.shows_estimates and paired.sound:
        drawn = charts.interval_svg(
            lower=paired.lower(decision.level),
            gain=paired.gain,
            upper=paired.upper(KEEP),
            least=decision.policy.min_gain,
            unit=evidence.metric,
            names=("champion", "challenger"),
        )
        sure = f"more than {few(paired.lower(decision.level))}, with {100 * (1 - decision.level):.4g} % confidence, "
        sure += f"and less than {few(paired.upper(KEEP))}, with {100 * (1 - KEEP):.4g} %"
        drawn += (
            f"<p>The dot, {few(paired.gain)}, is what was measured on these rows; the bar is what the true gain may "
            f"be: {sure}. <b>Promote</b> needs the whole bar right of the dashed line, <b>keep</b> left of it; a bar "
            "across it is <b>undecided</b>.</p>"
        )
    needed = decision.rows_needed
    facts = [
        ("holdout rows", str(paired.rows)),
        (f"a true gain that so many rows promote in {decision.policy.power:.0%} of cases", _reach(decision)),
        (
            f"rows that settle a gain of {shown(decision.policy.worthwhile_gain)}, which would be worth it",
            shown(needed) if needed is not None else "not known: no worthwhile gain is set",
        )
        if decision.policy.worthwhile_gain is not None
        else ("rows needed", "unknown: promotion.worthwhile_gain is not set"),
    ]
    return f"<section><h2>The gain</h2>{drawn}{_facts(facts)}{_metrics(evidence)}</section>"


def _reach(decision: Decision) -> str:
    power = decision.holdout_power
    if power is None or not power.obstacle:
        alone = " (by the interval alone, without the other rules)" if power and power.interval_only else ""
        return few(power.detectable if power else None) + alone
    enough = f"; about {power.rows_needed} rows mend that" if power.rows_needed else ""
    return f"none, for {power.obstacle} fails in {power.fails:.0%} of them{enough}"


def _metrics(evidence: Evidence) -> str:
    sides = (evidence.champion, evidence.challenger)
    if not evidence.shows_estimates or any(side.score is None for side in sides):
        return ""
    names = [evidence.metric, *sorted({name for side in sides for name in side.metrics} - {evidence.metric})]
    scores = [{**side.metrics, evidence.metric: side.score} for side in sides]
    rows = [[_escape(name), *(_escape(few(each.get(name))) for each in scores)] for name in names]
    head = ("on the holdout", f"champion: {sides[0].label}", f"challenger: {sides[1].label}")
    return _table(tuple(map(_escape, head)), rows, "figures")


def _others(decision: Decision) -> str:
    if not decision.others:
        return ""
    head = ("challenger", "answer", "tested at", "why")
    rows = [[_escape(cell) for cell in row] for row in decision.others_table.rows]
    at = "" if decision.evidence.unread else f" The one above was tested at {percent(decision.level)}."
    return (
        f"<section><h2>The other challengers</h2><p>{1 + len(decision.others)} were asked in one use of the holdout. "
        "They share its level (Holm), so that the chance that any of them is promoted wrongly is that of one alone. "
        "Of those that may be promoted the one with the highest lower bound is; if none may, the best by validation is "
        f"shown.{at}</p>{_table(head, rows, 'figures')}</section>"
    )


def _slices(decision: Decision) -> str:
    evidence = decision.evidence
    if not evidence.slices:
        return ""
    if not evidence.shows_estimates:
        return f'<section><h2>Slices</h2><p class="note">{_escape(HIDDEN)}</p></section>'
    margin = decision.policy.slice_margin
    drawn = charts.slices_svg([(each.label, each.rows, each.gain) for each in evidence.slices], margin=margin)
    meaning = (
        f"No slice may lose more than {shown(margin)} (dashed)."
        if margin is not None
        else "They are shown, not judged."
    )
    return (
        "<section><h2>Slices</h2><p>The gain in parts of the holdout: to the right the challenger is better. Small "
        f"parts swing by chance; those of less than {decision.policy.min_slice_rows} rows are not judged. "
        f"{_escape(meaning)}</p>{drawn}</section>"
    )


def _holdout(decision: Decision) -> str:
    uses = decision.evidence.uses
    if uses is None:
        return ""
    spent = uses.budget - uses.left
    asked = (
        f" This is the answer that was given on {uses.asked} to the same question; nothing was spent."
        if uses.asked
        else ""
    )
    asked = " The holdout was not read, so nothing was spent." if decision.unread else asked
    level = decision.policy.alpha / uses.budget
    return (
        f"<section><h2>Uses of the holdout: {uses.left} of {uses.budget} left</h2>"
        "<p>Who asks the same rows again and again finds what these rows happen to like. So they answer "
        f"{uses.budget} questions, each tested at {100 * level:.3g} %.{_escape(asked)}</p>"
        f"{charts.uses_svg(uses.budget, spent, 0 if decision.unread else uses.number)}"
        '<p class="note">Dark: spent before. Coloured: this question. Empty: left.</p></section>'
    )


def _rules(rules: Iterable[RuleResult]) -> str:
    rows = [
        [
            f'<span class="mark {MARKS[each.mark]}">{MARKS[each.mark]}</span>',
            f"<code>{_escape(each.id)}</code>",
            _escape(_figure(each.figure)),
            _escape(_figure(each.limit)),
            _escape(each.reason),
        ]
        for each in sorted(rules, key=lambda each: each.ok)
    ]
    table = _table(("", "rule", "found", "wanted", "reason"), rows, "rules")
    return f"<section><h2>Rules</h2><p>All must pass.</p>{table}</section>"


def _figure(value: RuleFigure) -> str:
    return few(value) if isinstance(value, float) else shown(value)


def _about(card: ModelCard) -> str:
    intended = "".join(_paragraph(text) for text in re.split(r"\n\s*\n", card.intended) if text.strip())
    sections = "".join(f"<h3>{_escape(name)}</h3>{_facts(facts)}" for name, facts in card.sections if facts)
    title = _escape(card.title or "Its notebook has no title.")
    intended = intended or "<p>Its notebook does not say.</p>"
    return f"<section><h2>The challenger</h2><h3>Intended use</h3><p><b>{title}</b></p>{intended}{sections}</section>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{_escape(name)}</dt><dd>{_escape(value)}</dd>" for name, value in facts) + "</dl>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str) -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _links(links: Sequence[tuple[str, str]]) -> str:
    """Show an address that a browser can open as a link, others as text."""
    items = "".join(
        f'<li>{_escape(name)}: <a href="{html.escape(url, quote=True)}">{_escape(url)}</a></li>'
        if url.startswith(("http://", "https://"))
        else f"<li>{_escape(name)}: {_escape(url)}</li>"
        for name, url in links
        if url
    )
    return f"<ul>{items}</ul>" if items else ""


def _paragraph(text: str) -> str:
    """Show a list when every line is an item, else a paragraph."""
    if not re.match(r"\s*[-*] ", text):
        return f"<p>{_inline(text)}</p>"
    items = re.split(r"(?m)^\s*[-*] ", text)[1:]
    return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"


def _inline(text: str) -> str:
    """Render Markdown's code, bold and the text of links; leave the rest as typed."""
    safe = _escape(" ".join(text.split()))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", safe)
    safe = re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])", r"<i>\1</i>", safe)
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", safe)


def _direction(direction: Direction) -> str:
    return "less is better" if direction == "min" else "more is better"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _escape(text: object) -> str:
    return html.escape(str(text))
