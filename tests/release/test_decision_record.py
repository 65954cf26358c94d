"""The record of a decision is read as it was written, by this version and by the one before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from notebooks_lib.errors import PromotionError
from notebooks_lib.promotion.decision import decide_use
from notebooks_lib.promotion.evidence import HoldoutFigures, Slice, Uses
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.release import decision_record
from notebooks_lib.release.decision_record import PromotionRecord
from notebooks_lib.tags import Tag
from tests.promotion.conftest import Trials
from tests.promotion.test_decision import NEW, challenger, evidence, together

RELEASE = {
    "dry_run": False,
    "promoted": True,
    "version": "2",
    "previous": "1",
    "stages": ["dev", "prod"],
    "passed": ["dev", "prod"],
    "waiting": "",
    "ends": "",
    "next": "",
    "endpoint": "http://x",
    "reason": "r",
    "undo": "nbops rollback m",
    "steps": [{"name": "deploy", "changed": True, "text": "done", "stage": "dev"}],
}


def test_a_record_says_what_the_decision_said():
    decision = decide_use(together(challenger("a", 0.8), challenger("b", 1.0)), Policy())
    record = PromotionRecord.from_json(json.loads(json.dumps(content(decision=decision.as_json()))))
    read, release = record.decision, record.release
    assert (read.answer, read.summary, read.unread) == (decision.answer, decision.summary, decision.unread)
    assert (read.rules, read.others) == (decision.rules, decision.other_challengers)
    assert (read.uses.left, read.uses.budget, read.uses.asked) == (9, 10, "")
    assert json.dumps(read.content) == json.dumps(decision.as_json())
    assert json.loads(json.dumps(release.as_json())) == RELEASE


def test_figures_of_a_later_version_are_carried_along():
    decision = decide_use(evidence(uses=Uses(10, 3, "yesterday", 7)), Policy()).as_json()
    decision |= {"weight": 1, "rules": [{**decision["rules"][0], "weight": 1}]}
    read = PromotionRecord.from_json(content(decision=decision, release={**RELEASE, "weight": 1})).decision
    assert read.content["weight"] == 1
    assert (read.uses.asked, read.uses.left) == ("yesterday", 3)


def recorded(trials: Trials, first: object, later: object = None) -> str:
    """Return a run with these two files of a record; None leaves the second out."""
    client, run_id = trials.store.client, trials.run({})
    client.log_text(run_id, first if isinstance(first, str) else json.dumps(first), "promotion/decision.json")
    if later is not None:
        client.log_text(run_id, json.dumps(later), "promotion/release.json")
        client.set_tag(run_id, "nbops.decision.release", "promotion/release.json")
    client.set_tag(run_id, Tag.DECISION, "keep")
    return run_id


def content(**other: Any) -> dict[str, Any]:
    decision = decide_use(evidence(uses=Uses(10, 3)), Policy()).as_json()
    return {"decision": decision, "release": RELEASE, "card": "c", "candidates": {}} | other


@pytest.mark.tracking
def test_a_record_is_read_with_and_without_the_number_of_its_format(trials: Trials) -> None:
    older = decision_record.read_decision(trials.store, recorded(trials, content()))
    newer = recorded(trials, content(format=1), {"format": 1, "release": {**RELEASE, "version": "3"}})
    read = decision_record.read_decision(trials.store, newer)
    assert (older.decision, older.release.version) == (read.decision, "2")
    assert read.release == replace(older.release, version="3")


@pytest.mark.tracking
@pytest.mark.parametrize(
    ("first", "later", "problem"),
    [
        (content(format=2), None, "promotion/decision.json .*written in format 2, this nbops reads 1"),
        (content(), {"format": 2, "release": RELEASE}, "promotion/release.json .*written in format 2"),
        (content(format=True), None, "written in format True"),
        ("{half", None, "promotion/decision.json .*Expecting property name"),
        ([], None, "it is list, expected an object"),
        ({}, None, "'decision' is missing"),
        (content(decision=5), None, "'int' object is not subscriptable"),
        (content(decision=content()["decision"] | {"answer": "perhaps"}), None, "answer: Input should be 'promote'"),
        (content(decision=content()["decision"] | {"rules": [{"id": "gain"}]}), None, "rules.0.ok: Field required"),
        (content(card=None), None, "card: Input should be a valid string"),
        (content(), {"release": {**RELEASE, "steps": "deploy"}}, "with promotion/release.json .*steps: "),
    ],
)  # fmt: skip
def test_a_file_that_is_no_record_is_one_line_with_the_way_out(
    trials: Trials, first: object, later: object, problem: str
) -> None:
    run_id = recorded(trials, first, later)
    with pytest.raises(PromotionError, match=f"run {run_id}: .*{problem}.*update nbops; else promote again") as raised:
        decision_record.read_decision(trials.store, run_id)
    assert "\n" not in str(raised.value)


@pytest.mark.tracking
def test_a_file_that_is_gone_is_one_line_too(trials: Trials) -> None:
    run_id = trials.run({})
    trials.store.client.set_tag(run_id, Tag.DECISION, "keep")
    with pytest.raises(PromotionError, match=f"run {run_id}: promotion/decision.json cannot be read"):
        decision_record.read_decision(trials.store, run_id)


def test_a_figure_of_the_holdout_is_hidden_by_a_large_budget_unless_it_is_marked():
    told = HoldoutFigures(score=0.123, metrics={"mae": 0.123}, losses=(0.123,), rows=100, rows_sha256="d")
    secret = evidence(
        replace(NEW, **vars(told)), uses=Uses(11, 1), slices=(Slice("sex", "f", 60, 0.123, 0.123, 0.123),)
    )
    assert "0.123" not in json.dumps(decide_use(secret, Policy()).as_json())
