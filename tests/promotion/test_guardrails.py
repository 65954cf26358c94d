"""Each guardrail refuses what is beyond its limit, and what nobody knows, however large the gain is."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib.promotion import guardrails
from notebooks_lib.promotion.decision import decide
from notebooks_lib.promotion.evidence import Slice, Uses
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import EARLY, RULES, RuleFunction
from notebooks_lib.settings.sections import NO_ROWS, ModelPolicy
from tests.promotion.test_decision import NEW, OLD, evidence, failed, rule

MAE = {"mae": 0.5}


@pytest.mark.parametrize(
    ("side", "policy", "name", "answer"),
    [
        ({"seen_rows": 3}, {}, "holdout_unseen", "keep"),
        ({"seen_rows": None}, {}, "holdout_unseen", "keep"),
        ({"seen_rows": None}, {"trust_champion_data": True}, "holdout_unseen", "keep"),
        ({"loose": ("numpy pins no version",)}, {}, "requirements", "keep"),
        ({"loose": None}, {}, "requirements", "keep"),
        ({"fault": "it raised"}, {}, "answers", "undecided"),
        ({"size_bytes": 2_000_001}, {"max_size_mb": 2.0}, "size_mb", "keep"),
        ({}, {"max_size_mb": 2.0}, "size_mb", "keep"),
        ({"latency_ms": 20.1}, {"max_latency_ms": 20.0}, "latency_p95_ms", "keep"),
        ({}, {"max_latency_ms": 20.0}, "latency_p95_ms", "keep"),
        ({"irreproducible": "another commit"}, {"require_fingerprint": True}, "fingerprint", "keep"),
        ({}, {"require_fingerprint": True}, "fingerprint", "keep"),
        ({"metrics": {"mae": 1.6}}, {"not_worse": MAE}, "not_worse", "keep"),
        ({"metrics": {"mae": math.nan}}, {"not_worse": MAE}, "not_worse", "keep"),
        ({}, {"not_worse": MAE}, "not_worse", "keep"),
        ({"metrics": {"mae": 1.0}}, {"not_worse": {"maee": 1.0}}, "not_worse", "keep"),
    ],
)
def test_a_figure_beyond_its_limit_or_unknown_fails(side, policy, name, answer):
    old = replace(OLD, metrics={"mae": 1.0})
    decision = decide(evidence(new=replace(NEW, **side), old=old), Policy(**policy))
    assert (decision.answer, failed(decision)) == (answer, [name])
    assert rule(decision, name).reason in decision.summary


@pytest.mark.parametrize(
    ("side", "policy"),
    [
        ({"size_bytes": 2_000_000}, {"max_size_mb": 2.0}),
        ({"latency_ms": 20.0}, {"max_latency_ms": 20.0}),
        ({"irreproducible": ""}, {"require_fingerprint": True}),
        ({"metrics": {"mae": 1.5}}, {"not_worse": MAE}),
    ],
)
def test_a_figure_just_within_its_limit_passes_and_beyond_another_limit_fails(side, policy):
    found = evidence(new=replace(NEW, **side), old=replace(OLD, metrics={"mae": 1.0}))
    assert decide(found, Policy(**policy)).answer == "promote"
    for name, limit in policy.items():
        if limit is not True:
            others = [Policy().model_copy(update={name: multiple(limit, by)}) for by in (0.5, 2.0)]
            assert [decide(found, other).answer for other in others].count("promote") == 1, name


def multiple(limit: float | dict[str, float], by: float) -> float | dict[str, float]:
    """A limit, or each of several, times a number."""
    return {name: by * each for name, each in limit.items()} if isinstance(limit, dict) else by * limit


GUARDRAILS = [check for check in RULES if check.__module__ == guardrails.__name__]


def names(checks: Iterable[RuleFunction]) -> set[str]:
    """The rules as a decision names them."""
    return {name for check in checks for name in re.findall(r'RuleResult\(\s*"(\w+)"', inspect.getsource(check))}


def test_the_page_lists_each_guardrail_its_thresholds_and_which_apply_only_with_a_limit():
    page = " ".join((Path(__file__).parents[2] / "docs" / "promotion.md").read_text("utf-8").split())
    assert [name for name in sorted(names(GUARDRAILS)) if f"| `{name}` |" not in page] == []
    read = re.findall(r"\bpolicy\.(\w+)", inspect.getsource(guardrails))
    assert [name for name in sorted({*read} & {*ModelPolicy.model_fields}) if not re.search(rf"\b{name}\b", page)] == []
    (listed,) = re.findall(r"- ([^.]*) apply only if the settings name a limit", page)
    unset = [check for check in GUARDRAILS if check(evidence(), Policy()) is None]
    assert set(re.findall(r"`(\w+)`", listed)) == names(unset)


@pytest.mark.parametrize(
    ("faults", "on", "answer"),
    [((), True, "promote"), (("odd",), True, "undecided"), (None, True, "undecided"), (("odd",), False, "promote")],
)
def test_data_that_are_unlike_train_or_untested_are_undecided(faults, on, answer):
    assert decide(evidence(data_faults=faults), Policy(data_tests=on)).answer == answer


def test_kinds_that_the_champion_does_not_know_are_undecided_and_said_truly():
    decision = decide(evidence(changed_kinds="charge: text -> number"), Policy())
    (failed,) = [rule for rule in decision.rules if not rule.ok]
    assert (failed.id, decision.answer) == ("data_tests", "undecided")
    assert "on which the champion was trained (charge: text -> number): if that is meant" in failed.reason
    assert "unlike train" not in failed.reason


def test_a_champion_with_unknown_data_passes_when_the_settings_trust_it():
    unknown = evidence(old=replace(OLD, seen_rows=None))
    assert decide(unknown, Policy()).answer == "undecided"
    assert decide(unknown, Policy(trust_champion_data=True)).answer == "promote"
    found_out = evidence(old=replace(OLD, seen_rows=5))
    assert decide(found_out, Policy(trust_champion_data=True)).answer == "keep"
    first = evidence(old=replace(OLD, seen_rows=None), first=True)
    assert decide(first, Policy()).answer == "promote"


def test_the_worst_slice_that_is_large_enough_judges():
    policy = Policy(slices=("sex",), slice_margin=0.5, min_slice_rows=30)
    good, bad = Slice("sex", "f", 60, 1.0, 2.0, 1.0), Slice("sex", "m", 40, 2.0, 1.5, -0.5)
    assert decide(evidence(slices=(good, bad)), policy).answer == "promote"
    worse = replace(bad, gain=-0.51)
    refused = decide(evidence(slices=(good, worse)), policy)
    assert (refused.answer, failed(refused)) == ("keep", ["worst_slice"])
    assert "sex m (40 rows), the gain is -0.51; at least -0.5 wanted" in refused.summary
    hidden = decide(evidence(slices=(good, worse), uses=Uses(20, 1)), policy)
    assert hidden.answer == "keep"
    assert "-0.51" not in repr(hidden.as_json())
    assert decide(evidence(slices=(good, replace(worse, rows=29))), policy).answer == "promote"
    assert decide(evidence(slices=(good, replace(bad, gain=math.nan))), policy).answer == "keep"
    assert decide(evidence(slices=()), policy).answer == "undecided"
    assert decide(evidence(slices=(worse,)), policy.model_copy(update={"slice_margin": None})).answer == "promote"


def test_an_unread_holdout_is_judged_by_the_rules_that_need_none_of_its_rows():
    unread = evidence(new=replace(NEW, score=None, rows=0, loose=None), paired=None, unread=True)
    decision = decide(unread, Policy())
    assert (decision.answer, failed(decision)) == ("keep", ["requirements"])
    assert not {"gain", "rows_same", "metric_finite"} & {each.id for each in decision.rules}


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_only_thresholds_of_early_rules_leave_the_question_to_the_holdout_as_it_is(check: RuleFunction) -> None:
    read = set(re.findall(r"\bpolicy\.(\w+)", inspect.getsource(check))) & set(ModelPolicy.model_fields)
    marked = {name for name in read if NO_ROWS in ModelPolicy.model_fields[name].metadata}
    assert marked == (read if check in EARLY else set())
