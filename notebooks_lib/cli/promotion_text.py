"""The text of a promotion for people: the answer, its rules, the steps of its release, and how to undo them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import output
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.errors import NbopsError

if TYPE_CHECKING:
    from notebooks_lib.promotion.rule_registry import RuleResult
    from notebooks_lib.release.decision_record import RecordedDecision, ReleaseRecord
    from notebooks_lib.release.rollout import RolloutStep
    from notebooks_lib.serving.endpoint import EndpointStatus
    from notebooks_lib.settings import Settings

ROWS_SETTLE = {"gain", "one_row", "class_rows", "rows_differ", "holdout_rows", "groups", "time_rows"}
"""Rules that more rows of the same kind can pass."""
_COLOURS = {"promote": "green", "keep": "green", "undecided": "yellow"}


def print_decision(
    decision: RecordedDecision, release: ReleaseRecord, status: EndpointStatus | None, project: Settings
) -> None:
    """Print a decision with its rules, what its release did or would do, and how to continue or undo it."""
    from notebooks_lib.promotion.table_formatting import shown

    first = safe_text.printable(headline(decision, release))  # it holds the name of a run, which is any text
    click.echo(click.style(first, fg=_COLOURS[decision.answer], bold=True))
    click.echo(f"  {safe_text.printable(decision.summary)}\n")
    rows = [
        (rule.mark, rule.id, shown(rule.figure), shown(rule.limit), _table_reason(rule, decision))
        for rule in decision.rules
    ]
    output.table(("", "rule", "found", "wanted", "reason"), rows)
    click.echo()
    if decision.others:
        others = [(other.answer, other.label, other.summary) for other in decision.others]
        output.table(("", "other challengers", "reason"), others)
        click.echo()
    print_steps(release.steps)
    if release.dry_run:
        then = "; to do it: the same command with --live" if decision.answer == "promote" else ""
        click.echo(f"  nothing was changed{_cost(decision)}{then}")
    if status is not None:
        click.echo(f"  endpoint   {status.address} ({status.state}, version {status.version})")
        if status.curl:
            click.echo(f"  try it     {status.curl}")
    if decision.answer == "undecided" and _rows_settle(decision):
        ref = DatasetTag.parse(decision.dataset).ref
        name = safe_text.printable(ref.partition("@")[0])
        click.echo(f"  next       add rows: nbops data add FILE --name {name}; then run the notebook on that version")
        odd = _odd_features(ref, project)
        if odd:
            click.echo(f"  or         look at text that may be numbers or dates ({odd}): nbops data show {ref}")
    if release.next:
        click.echo(f"  continue   {release.next}")
    elif not release.dry_run:
        stages = release.passed if release.promoted else ()
        click.echo(f"  undo       {release.undo or no_undo(decision.model, stages, project)}")


def _rows_settle(decision: RecordedDecision) -> bool:
    """Return whether more rows may settle it: not where both models give the same answers on all of these."""
    failed = {rule.id: rule.figure for rule in decision.rules if not rule.ok}
    return failed.keys() <= ROWS_SETTLE and failed.get("rows_differ") != 0


def _odd_features(ref: str, project: Settings) -> str:
    """Return the features that are text and look like numbers or dates; empty where the dataset is not at hand."""
    from notebooks_lib import datasets
    from notebooks_lib.datasets import data_quality

    try:
        dataset = datasets.read(ref, project)
    except NbopsError:
        return ""
    odd = [column for column in data_quality.look_alikes(dataset) if column in dataset.train.features]
    return safe_text.printable(", ".join(odd))


def print_steps(steps: Sequence[RolloutStep]) -> None:
    """Print the result of each step. Steps of a stage with the same text share a line."""
    names: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        names.setdefault((step.stage, step.text), []).append(step.name)
    labels = {key: " ".join(filter(None, (key[0], ", ".join(group)))) for key, group in names.items()}
    width = max((*map(len, labels.values()), 12))
    for (_, text), label in labels.items():
        click.echo(f"  {label:<{width}}  {safe_text.printable_lines(text)}")


def _table_reason(rule: RuleResult, decision: RecordedDecision) -> str:
    """Return a rule's reason for the table; "above" where the summary above the table gives it in full."""
    return "above" if rule.reason and rule.reason in decision.summary else rule.reason


def _cost(decision: RecordedDecision) -> str:
    """Return what a dry run has cost, and what the same question would cost again."""
    uses = decision.uses
    if uses is None or decision.unread:
        return ""
    remaining = f"({uses.left} of {uses.budget} are left)"
    if uses.asked:
        return f"; no use of the holdout was spent {remaining}"
    return f"; one use of the holdout was spent {remaining}, and the same question again spends none"


def headline(decision: RecordedDecision, release: ReleaseRecord) -> str:
    """Return the decision's answer and its consequence, in one line."""
    model, version = decision.model, release.version
    if decision.answer == "promote":
        if release.waiting:
            return f"waiting: {model} version {version} needs an approval to enter {release.waiting}"
        if release.promoted:
            return f"promoted: {model} version {version}{target_stages(release.passed)}"
        but = f", but {release.ends}" if release.ends else ""
        return f"would promote: {decision.challenger} as {model}{target_stages(release.stages)}{but}"
    champion = f"{model} version {release.previous} stays" if release.previous else f"{model} has no champion yet"
    return f"{'kept' if decision.answer == 'keep' else 'undecided'}: {champion}"


def target_stages(stages: Sequence[str]) -> str:
    """Return the stages as " to dev, test", for a headline; empty if prod is the only stage."""
    return "" if list(stages) == ["prod"] else f" to {', '.join(stages)}"


def no_undo(model: str, stages: Sequence[str], project: Settings) -> str:
    """Return why a promotion cannot be undone: nothing was promoted, or there is no earlier version."""
    if not stages:
        return "nothing was promoted"
    name = project.stages.endpoint(stages[-1], model)
    return f"it is the first version in {stages[-1]}, none to go back to; to stop serving: nbops endpoint stop {name}"
