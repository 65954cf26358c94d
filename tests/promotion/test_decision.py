"""The gate, from figures alone: what it must never promote, what it must, and that what is unknown fails."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from notebooks_lib.promotion.decision import decide, decide_each, decide_use
from notebooks_lib.promotion.evidence import Evidence, Side, Uses
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.statistics.paired_jackknife import PairedGain

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
    seen_rows=0,
    loose=(),
)
OLD = replace(NEW, label="version 3", run_id="r0", version="3", score=2.0, predictions_sha256="p0")


def paired(gain: float = 1.0, error: float = 0.2, **more) -> PairedGain:
    """A gain of five standard errors: promoted at any level that is used here."""
    figures = {"df": 99.0, "rows": 100, "blocks": 100, "by": "rows", "effective": 100.0, "largest_share": 0.05}
    return PairedGain(gain=gain, standard_error=error, **{**figures, **more})


def evidence(new: Side = NEW, old: Side = OLD, **more) -> Evidence:
    question = {
        "model": "m",
        "metric": "rmse",
        "direction": "min",
        "dataset": DATA,
        "uses": Uses(10, 1),
        "data_faults": (),
    }
    return Evidence(**{**question, "paired": paired(), **more}, challenger=new, champion=old)


def failed(decision) -> list[str]:
    return [rule.id for rule in decision.rules if not rule.ok]


def rule(decision, name: str):
    return next(rule for rule in decision.rules if rule.id == name)


def test_a_better_model_is_promoted_with_the_figures_in_one_sentence():
    decision = decide(evidence(), Policy())
    assert decision.answer == "promote"
    assert not failed(decision)
    assert decision.summary == (
        "run 1 wins on the 100 holdout rows of cats@1: rmse 1 against 2 of version 3: a gain of 1, with 99.5 % "
        "confidence above 0.474719; more than 0 wanted"
    )


def test_a_gain_is_promoted_kept_or_left_open_by_its_bounds():
    at = Policy().level(Uses(10, 1))
    assert at == 0.005
    barely = paired(gain=paired(0.0).upper(at))  # its lower bound is 0
    assert decide(evidence(paired=replace(barely, gain=barely.gain * 1.000001)), Policy()).answer == "promote"
    assert decide(evidence(paired=replace(barely, gain=barely.gain * 0.999999)), Policy()).answer == "undecided"
    hardly = paired(gain=paired(0.0).lower(0.05))  # its upper bound is 0
    assert decide(evidence(paired=replace(hardly, gain=hardly.gain * 0.999999)), Policy()).answer == "undecided"
    kept = decide(evidence(paired=replace(hardly, gain=hardly.gain * 1.000001)), Policy())
    assert kept.answer == "keep"
    assert [(each.id, each.mark) for each in kept.rules if not each.ok] == [("gain", "keep")]


def test_the_gain_must_exceed_the_minimum():
    assert decide(evidence(), Policy(min_gain=0.4)).answer == "promote"
    assert decide(evidence(), Policy(min_gain=0.5)).answer == "undecided"
    assert decide(evidence(), Policy(min_gain=1.5)).answer == "keep"


def test_an_undecided_decision_shows_the_detectable_gain_and_the_rows_needed():
    compared = evidence(paired=paired(gain=0.3))
    decision = decide(compared, Policy())
    assert decision.answer == "undecided"
    assert (
        "100 rows find a gain of 0.694334 in 80% of cases; set worthwhile_gain under [promotion] of" in decision.summary
    )
    advised = decide(compared, Policy(worthwhile_gain=0.35))
    assert advised.rows_needed == 394
    assert "to settle a gain of 0.35 takes 394 rows" in advised.summary
    other = decide(evidence(paired=paired(gain=-0.2)), Policy(worthwhile_gain=0.35))
    assert other.rows_needed == advised.rows_needed  # the observed gain plays no part
    assert "not more than min_gain" in decide(compared, Policy(min_gain=0.1, worthwhile_gain=0.1)).summary


def test_models_that_answer_alike_are_called_that_and_no_share_of_a_row_is_named():
    alike = paired(gain=0.0, rarer=50, differing=0, largest_share=math.nan)
    decision = decide(evidence(paired=alike), Policy())
    assert failed(decision) == ["gain", "rows_differ"]
    assert "both models give the same answers on all 100 holdout rows" in decision.summary
    assert "nan" not in decision.summary
    assert "100 rows find" not in decision.summary


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"rarer": 19}, "class_rows"),
        ({"rarer": 50, "differing": 9}, "rows_differ"),
        ({"by": "groups", "effective": 19.4, "blocks": 40}, "groups"),
        ({"by": "time", "autocorrelation": 0.6}, "time_rows"),
        ({"by": "time", "autocorrelation": math.nan}, "time_rows"),
        ({"by": "time", "autocorrelation": None}, "time_rows"),
        ({"standard_error": 0.0}, "error"),
        ({"standard_error": math.nan}, "error"),
        ({"standard_error": math.inf}, "error"),
        ({"df": 0.0}, "error"),
        ({"largest_share": math.nan}, "one_row"),
    ],
)
def test_too_little_evidence_is_undecided_and_names_the_rule(change, name):
    decision = decide(evidence(paired=replace(paired(), **change)), Policy())
    assert decision.answer == "undecided"
    assert failed(decision) == [name]
    assert rule(decision, name).reason in decision.summary


@pytest.mark.parametrize(
    "change",
    [
        {"rarer": 20, "differing": 10},
        {"by": "groups", "effective": 20.0},
        {"by": "time", "autocorrelation": 0.5},
        {"by": "time", "autocorrelation": -0.9},
        {"largest_share": 0.25},
    ],
)
def test_just_enough_decides(change):
    assert decide(evidence(paired=replace(paired(), **change)), Policy()).answer == "promote"


def test_without_an_error_of_the_gain_it_is_undecided():
    decision = decide(evidence(paired=None, unpaired="the metric raised"), Policy())
    assert (decision.answer, failed(decision)) == ("undecided", ["error"])
    assert decision.summary == "version 3 stays: the metric raised"


@pytest.mark.parametrize("uses", [None, Uses(10, 11)])
def test_a_holdout_that_is_used_up_or_uncounted_decides_nothing(uses):
    decision = decide(evidence(uses=uses), Policy())
    assert (decision.answer, failed(decision)) == ("undecided", ["holdout_uses"])
    assert uses is None or "nbops data holdout cats@1 --fresh" in decision.summary


def test_each_use_of_a_holdout_is_tested_at_its_share_of_the_level():
    compared = evidence(paired=paired(gain=0.6))
    assert decide(replace(compared, uses=Uses(10, 10)), Policy()).answer == "promote"
    assert decide(replace(compared, uses=Uses(100, 1)), Policy()).answer == "undecided"
    assert decide(replace(compared, uses=Uses(100, 1)), Policy(alpha=0.49)).answer == "promote"


def test_with_more_than_ten_uses_no_estimate_is_shown():
    new, old = (
        replace(NEW, score=1.2345, metrics={"rmse": 1.2345}),
        replace(OLD, score=2.3456, metrics={"rmse": 2.3456}),
    )
    for gain in (1.1111, 0.3333, -1.1111):
        compared = evidence(new, old, paired=paired(gain=gain), uses=Uses(11, 1))
        decision = decide(compared, Policy(worthwhile_gain=0.5, limits={"rmse": 1.0}))
        text = json.dumps(decision.as_json()) + repr(decision)
        assert not any(figure in text for figure in ("1.23", "2.34", "1.11", "0.33"))
        content = decision.as_json()["interval"]
        assert (content["gain"], content["lower"], content["upper"]) == (None, None, None)
        assert content["detectable"] > 0
        assert content["rows_needed"] > 0


def test_a_model_beyond_an_absolute_limit_is_refused():
    compared = evidence(replace(NEW, metrics={"rmse": 1.0, "r2": 0.6}), first=True)
    assert decide(compared, Policy(limits={"rmse": 1.0, "r2": 0.5})).answer == "promote"
    for limits, says in (({"rmse": 0.9}, "rmse is 1"), ({"r2": 0.7}, "r2 is 0.6"), ({"mae": 9.0}, "mae is unknown")):
        kept = decide(compared, Policy(limits=limits))
        assert (kept.answer, failed(kept)) == ("keep", ["limits"])
        assert says in kept.summary


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
    sides = replace(NEW, score=0.0, **few), replace(OLD, score=1e9, **few)
    decision = decide(evidence(*sides, paired=paired(1e9)), Policy())
    assert decision.answer == "undecided"
    assert decision.summary == "version 3 stays: 29 holdout rows, at least 30 wanted"
    assert rule(decision, "holdout_rows").mark == "undecided"


@pytest.mark.parametrize("change", [{"dirty": True}, {"dirty": None}, {"commit": ""}])
def test_an_unclean_commit_is_a_warning_unless_the_policy_wants_it(change):
    compared = evidence(replace(NEW, **change))
    warned = decide(compared, Policy())
    assert warned.answer == "promote"
    assert "a warning" in next(rule.reason for rule in warned.rules if rule.id == "clean_commit")
    refused = decide(compared, Policy(require_clean=True))
    assert refused.answer == "keep"
    assert failed(refused) == ["clean_commit"]


def test_the_champion_itself_is_kept_without_a_look_at_the_holdout():
    decision = decide(evidence(replace(NEW, run_id="r0", score=None, rows=0)), Policy())
    assert decision.answer == "keep"
    assert decision.summary == "version 3 stays: the best candidate is the champion itself"
    assert [(each.id, each.mark) for each in decision.rules] == [("not_itself", "keep")]  # no fault of anybody's
    assert "FAIL" not in repr(decision)


def test_the_first_model_must_beat_the_baseline():
    dull = Side("the mean of the training rows", score=2.0, rows=100, rows_sha256="d", predictions_sha256="p0")
    assert decide(evidence(old=dull, first=True), Policy()).answer == "promote"
    kept = decide(evidence(replace(NEW, score=3.0), dull, first=True, paired=paired(-1.0)), Policy())
    assert kept.answer == "keep"
    assert kept.summary.startswith("no model is promoted: rmse 3 against 2 of the mean of the training rows")


def test_the_decision_is_plain_json_without_rows_and_without_nan():
    compared = evidence(replace(NEW, score=math.nan, losses=(1.0, 2.0)))
    content = json.dumps(decide(compared, Policy()).as_json(), allow_nan=False)
    assert "losses" not in content
    assert json.loads(content)["challenger"]["score"] is None


def test_a_notebook_shows_every_rule():
    decision = decide(evidence(replace(NEW, label="<b>")), Policy())
    shown = decision._repr_html_()
    assert "&lt;b&gt;" in shown
    assert all(rule.id in shown and rule.id in repr(decision) for rule in decision.rules)


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
def test_a_challenger_that_another_rule_refuses_hands_no_level_on(refused):
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


def test_a_use_that_was_not_spent_is_not_called_one():
    reasons = [rule(decide(evidence(unread=unread), Policy()), "holdout_uses").reason for unread in (True, False)]
    assert reasons == ["would be use 1 of 10 of these holdout rows", "use 1 of 10 of these holdout rows"]


def test_a_challenger_that_is_not_evaluated_has_no_share_of_the_level():
    out = replace(challenger("a", 0, paired=None), unread=True, data_faults=("a column is empty",))
    left, alone = decide_each([out, challenger("b", 0.53)], Policy())
    assert failed(left) == ["data_tests"]
    assert (alone.answer, alone.level) == ("promote", 0.005)


def test_of_several_the_one_with_the_highest_lower_bound_wins():
    compared = together(challenger("a", 0.8), challenger("b", 1.0), challenger("c", 0.1), challenger("d", 1.0))
    decision = decide_use(compared, Policy())
    assert (decision.challenger.run_id, decision.answer, decision.level) == ("b", "promote", 0.005 / 4)
    others = decision.as_json()["others"]
    assert [(each["run"], each["answer"]) for each in others] == [
        ("a", "promote"),
        ("c", "undecided"),
        ("d", "promote"),
    ]
    assert others[1]["summary"].startswith("version 3 stays: ")
    assert others[2]["summary"].endswith("not taken, for the lower bound of run b is no lower")
    assert [each["level"] for each in others] == pytest.approx([0.005 / 2, 0.005, 0.005 / 3])
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


def test_a_single_challenger_is_decided_at_the_whole_level_of_the_use():
    assert decide_use(evidence(), Policy()) == decide(evidence(), Policy())


@pytest.mark.parametrize(
    ("metric", "change", "reason"),
    [
        ("median_ae", {"rows": 99}, "99 holdout rows, at least 100 wanted for median_ae"),
        (
            "roc_auc",
            {"by": "groups", "effective": 59.9, "blocks": 80},
            "80 groups in the holdout that say as much as 59.9 equal ones, 60 wanted for roc_auc",
        ),
    ],
)
def test_metrics_whose_interval_is_too_narrow_on_few_rows_or_groups_want_more_of_them(metric, change, reason):
    known = evidence(paired=replace(paired(), **change))
    if "rows" in change:
        sides = {side: replace(getattr(known, side), **change) for side in ("challenger", "champion")}
        known = replace(known, **sides)
    decision = decide(replace(known, metric=metric), Policy())
    assert decision.answer == "undecided"
    assert reason in decision.summary
    assert decide(known, Policy()).answer == "promote", "any other metric"
