"""Several challengers in one use of the holdout, from figures alone: how they share its level, and who is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebooks_lib.promotion.decision import Evidence, Policy, decide, decide_each, decide_use
from tests.promotion.test_decision import NEW, evidence, failed, paired


def test_several_challengers_in_one_use_share_its_level_after_holm():
    questions = [evidence(paired=paired(gain=gain)) for gain in (0.62, 0.7, 0.53, 0.528)]
    assert [decide(each, Policy()).answer for each in questions] == ["promote"] * 4
    decisions = decide_each(questions, Policy())
    assert [each.answer for each in decisions] == ["promote", "promote", "undecided", "undecided"]
    assert [each.level for each in decisions] == pytest.approx([0.005 / 3, 0.005 / 4, 0.005 / 2, 0.005 / 2])
    assert decide_each([], Policy()) == ()


def challenger(name: str, gain: float, **more) -> Evidence:
    side = {key: more.pop(key) for key in ("metrics", "score", "fault") if key in more}
    new = replace(NEW, label=f"run {name}", run_id=name, predictions_sha256=name, **side)
    return evidence(new, **{"paired": paired(gain), **more})


def together(best: Evidence, *rivals: Evidence) -> Evidence:
    return replace(best, rivals=rivals)


@pytest.mark.parametrize(
    "refused",
    [
        {"metrics": {"rmse": 9.0}},  # a limit: its p-value is sound, but it is not promoted
        {"paired": paired(5.0, largest_share=0.3)},  # its p-value is none
        {"paired": paired(5.0, rarer=19, differing=50)},
        {"paired": None, "score": None, "fault": "it raised"},
    ],
)
def test_whom_another_rule_refuses_hands_no_level_on(refused):
    """At 0.005 / 2 the second is promoted, at 0.005 / 3 not: only a promotion before it may give it the half."""
    rules = Policy(limits={"rmse": 8.0})
    known = {"metrics": {"rmse": 1.0}}
    first, second, third = challenger("a", 5, **known), challenger("b", 0.59, **known), challenger("c", 0.1, **known)
    handed = decide_each([first, second, third], rules)
    assert [each.answer for each in handed] == ["promote", "promote", "undecided"]
    assert [each.level for each in handed] == pytest.approx([0.005 / 3, 0.005 / 2, 0.005])
    kept = decide_each([challenger("a", 5, **{**known, **refused}), second, third], rules)
    assert [each.answer == "promote" for each in kept] == [False, False, False]
    assert [each.level for each in kept] == pytest.approx([0.005 / 3] * 3)


def test_who_does_not_meet_the_holdout_has_no_share():
    out = replace(challenger("a", 0, paired=None), unread=True, data_faults=("a column is empty",))
    left, alone = decide_each([out, challenger("b", 0.53)], Policy())
    assert failed(left) == ["data_tests"]
    assert (alone.answer, alone.level) == ("promote", 0.005)


def test_of_several_the_one_with_the_highest_lower_bound_wins():
    asked = together(challenger("a", 0.8), challenger("b", 1.0), challenger("c", 0.1), challenger("d", 1.0))
    decision = decide_use(asked, Policy())
    assert (decision.challenger.run_id, decision.answer, decision.level) == ("b", "promote", 0.005 / 4)
    told = decision.as_json()["others"]
    assert [(each["run"], each["answer"]) for each in told] == [("a", "promote"), ("c", "undecided"), ("d", "promote")]
    assert told[1]["summary"].startswith("version 3 stays: ")
    assert told[2]["summary"].endswith("not taken, for the lower bound of run b is no lower")
    assert [each["level"] for each in told] == pytest.approx([0.005 / 2, 0.005, 0.005 / 3])
    surer = together(challenger("a", 0.9, paired=paired(0.9, 0.1)), challenger("b", 1.175))  # at 0.005 b would
    assert decide_use(surer, Policy()).challenger.run_id == "a"
    ahead = together(challenger("a", 0.98), challenger("b", 1.0))  # at its own, larger level a's bound is the higher
    assert decide_use(ahead, Policy()).challenger.run_id == "b"


def test_when_none_of_several_is_promoted_the_best_by_validation_is_shown():
    decision = decide_use(together(challenger("a", 0.1), challenger("b", 0.3), challenger("c", -3.0)), Policy())
    assert (decision.challenger.run_id, decision.answer) == ("a", "undecided")
    assert [(each.challenger.run_id, each.answer) for each in decision.others] == [("b", "undecided"), ("c", "keep")]
    assert not any(each.evidence.rivals for each in (decision, *decision.others))
    for shown in (repr(decision), decision._repr_html_()):
        assert "run c" in shown
        assert "0.1667 %" in shown
    refused = replace(challenger("a", 0, paired=None), unread=True, data_faults=("x",))
    half = decide_use(together(refused, challenger("b", 0.3)), Policy())
    assert (half.challenger.run_id, half.unread) == ("a", False)
    assert decide_use(together(refused, refused), Policy()).unread


def test_one_challenger_alone_is_decided_as_ever():
    assert decide_use(evidence(), Policy()) == decide(evidence(), Policy())
