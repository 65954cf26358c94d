"""The gate, from figures alone: what it must never promote, what it must, and that what is unknown fails."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from notebooks_lib.promotion.decision import Evidence, Policy, Side, decide

DATA = "cats@1#" + "a" * 64
SIGNATURE = {
    "inputs": [{"name": "x", "type": "double", "required": True}],
    "outputs": [{"type": "double", "required": True}],
    "params": None,
}
NEW = Side(
    "run 1",
    run_id="r1",
    score=1.0,
    rows=100,
    rows_sha256="d",
    predictions_sha256="p1",
    dataset=DATA,
    signature=SIGNATURE,
    commit="c0ffee00",
    dirty=False,
)
OLD = replace(NEW, label="version 3", run_id="r0", version="3", score=2.0, predictions_sha256="p0")


def evidence(new: Side = NEW, old: Side = OLD, **more) -> Evidence:
    return Evidence(
        **{"model": "m", "metric": "rmse", "direction": "min", "dataset": DATA, **more}, challenger=new, champion=old
    )


def failed(decision) -> list[str]:
    return [rule.id for rule in decision.rules if not rule.ok]


def test_a_better_model_is_promoted_with_the_figures_in_one_sentence():
    decision = decide(evidence(), Policy())
    assert decision.answer == "promote"
    assert not failed(decision)
    assert decision.summary == ("run 1 has rmse 1 on the 100 holdout rows of cats@1, version 3 has 2: a gain of 1")


@pytest.mark.parametrize(
    ("score", "metric", "direction"), [(2.5, "rmse", "min"), (2.0, "rmse", "min"), (1.5, "r2", "max")]
)
def test_a_worse_or_equal_model_is_never_promoted(score, metric, direction):
    decision = decide(evidence(replace(NEW, score=score), metric=metric, direction=direction), Policy())
    assert decision.answer == "keep"
    assert failed(decision) == ["gain"]


def test_the_gain_must_exceed_the_minimum():
    assert decide(evidence(), Policy(min_gain=1.0)).answer == "keep"
    assert decide(evidence(), Policy(min_gain=0.999)).answer == "promote"


@pytest.mark.parametrize(
    ("change", "rule", "answer"),
    [
        ({"predictions_sha256": "p0"}, "not_itself", "keep"),
        ({"dataset": "cats@2#" + "b" * 64}, "data_same", "keep"),
        ({"dataset": ""}, "data_same", "keep"),
        ({"rows_sha256": "other"}, "rows_same", "undecided"),
        ({"rows_sha256": ""}, "rows_same", "undecided"),
        ({"score": math.nan}, "metric_finite", "undecided"),
        ({"score": -math.inf}, "metric_finite", "undecided"),
        ({"score": None, "fault": "it raised"}, "metric_finite", "undecided"),
        ({"signature": None}, "signature", "keep"),
    ],
)
def test_what_is_wrong_or_unknown_of_the_challenger_fails(change, rule, answer):
    decision = decide(evidence(replace(NEW, **change)), Policy())
    assert rule in failed(decision)
    assert decision.answer == answer


@pytest.mark.parametrize("change", [{"score": None, "fault": "it does not load"}, {"score": math.inf}])
def test_a_champion_that_cannot_be_scored_leaves_it_undecided(change):
    decision = decide(evidence(old=replace(OLD, **change)), Policy())
    assert decision.answer == "undecided"
    assert "metric_finite" in failed(decision)


def test_too_few_rows_are_undecided_however_large_the_gain():
    few = {"rows": 29}
    decision = decide(evidence(replace(NEW, score=0.0, **few), replace(OLD, score=1e9, **few)), Policy())
    assert decision.answer == "undecided"
    assert decision.summary == "version 3 stays: 29 holdout rows, at least 30 wanted"


@pytest.mark.parametrize("change", [{"dirty": True}, {"dirty": None}, {"commit": ""}])
def test_an_unclean_commit_is_a_warning_unless_the_policy_wants_it(change):
    found = evidence(replace(NEW, **change))
    warned = decide(found, Policy())
    assert warned.answer == "promote"
    assert "a warning" in next(rule.reason for rule in warned.rules if rule.id == "clean_commit")
    refused = decide(found, Policy(require_clean=True))
    assert refused.answer == "keep"
    assert failed(refused) == ["clean_commit"]


def test_the_champion_itself_is_kept_without_a_look_at_the_holdout():
    decision = decide(evidence(replace(NEW, run_id="r0", score=None, rows=0)), Policy())
    assert decision.answer == "keep"
    assert decision.summary == "version 3 stays: the best candidate is the champion itself"


def test_the_first_model_must_beat_the_baseline():
    dull = Side("the mean of the training rows", score=2.0, rows=100, rows_sha256="d", predictions_sha256="p0")
    assert decide(evidence(old=dull, first=True), Policy()).answer == "promote"
    kept = decide(evidence(replace(NEW, score=2.0), dull, first=True), Policy())
    assert kept.answer == "keep"
    assert kept.summary.startswith("no model is promoted: rmse 2 against 2 of the mean of the training rows")


def test_the_decision_is_plain_json_without_rows_and_without_nan():
    found = evidence(replace(NEW, score=math.nan, losses=(1.0, 2.0)))
    content = json.dumps(decide(found, Policy()).as_json(), allow_nan=False)
    assert "losses" not in content
    assert json.loads(content)["challenger"]["score"] is None


def test_a_notebook_shows_every_rule():
    decision = decide(evidence(replace(NEW, label="<b>")), Policy())
    shown = decision._repr_html_()
    assert "&lt;b&gt;" in shown
    assert all(rule.id in shown and rule.id in repr(decision) for rule in decision.rules)
