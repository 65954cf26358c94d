"""The record of a decision is read as it was written, by this version and by the one before."""

from __future__ import annotations

import json
from dataclasses import replace

from notebooks_lib.promotion.decision import Policy, Uses, decide_use
from notebooks_lib.promotion.evidence import HoldoutFigures, Slice
from notebooks_lib.release.decision_record import PromotionRecord
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
    content = {"decision": decision.as_json(), "release": RELEASE, "card": "file:///card.html", "candidates": {}}
    record = PromotionRecord.from_json(json.loads(json.dumps(content)))
    read, release = record.decision, record.release
    assert (read.answer, read.summary, read.unread) == (decision.answer, decision.summary, decision.unread)
    assert (read.rules, read.others) == (decision.rules, decision.other_challengers)
    assert (read.uses.left, read.uses.budget, read.uses.asked) == (9, 10, "")
    assert json.dumps(read.content) == json.dumps(decision.as_json())
    assert json.loads(json.dumps(release.as_json())) == RELEASE


def test_figures_of_a_later_version_are_carried_along():
    decision = decide_use(evidence(uses=Uses(10, 3, "yesterday", 7)), Policy()).as_json()
    decision |= {"weight": 1, "rules": [{**decision["rules"][0], "weight": 1}]}
    content = {"decision": decision, "release": {**RELEASE, "weight": 1}, "card": "", "candidates": {}}
    read = PromotionRecord.from_json(content).decision
    assert read.content["weight"] == 1
    assert (read.uses.asked, read.uses.left) == ("yesterday", 3)


def test_a_figure_of_the_holdout_is_hidden_by_a_large_budget_unless_it_is_marked():
    told = HoldoutFigures(score=0.123, metrics={"mae": 0.123}, losses=(0.123,), rows=100, rows_sha256="d")
    secret = evidence(
        replace(NEW, **vars(told)), uses=Uses(11, 1), slices=(Slice("sex", "f", 60, 0.123, 0.123, 0.123),)
    )
    assert "0.123" not in json.dumps(decide_use(secret, Policy()).as_json())
