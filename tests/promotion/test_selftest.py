"""The self-test passes the gate that we have, and fails every gate that was tampered with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from notebooks_lib import __main__ as program
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.leave_one_out_methods import leaver_of
from notebooks_lib.metrics.metric import gain
from notebooks_lib.promotion import selftest
from notebooks_lib.promotion.decision import decide
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.selftest import CASES, EQUAL, LIMIT, planted_evidence, population, real_gate, tables
from notebooks_lib.statistics import blocks, paired_jackknife, simulated_population


def test_the_gate_passes(capsys):
    assert program.run(["gate", "selftest", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ok"]
    assert len(content["checks"]) == 15


def strict(metric, truth, new, old, policy):
    """What every project that we learned from does."""
    better = gain(metric.direction, leaver_of(metric, truth, new).whole, leaver_of(metric, truth, old).whole)
    return "promote" if better > policy.min_gain else "keep"


def always(metric, truth, new, old, policy):
    return "promote"


def never(metric, truth, new, old, policy):
    return "keep"


def flipped(metric, truth, new, old, policy):
    return real_gate(metric, truth, old, new, policy)


def doubled(metric, truth, new, old, policy):
    return real_gate(metric, truth, new, old, policy.model_copy(update={"alpha": 2 * policy.alpha}))


def unpaired(metric, truth, new, old, policy):
    """As if each model had seen rows of its own."""
    dealt = blocks.single_rows(len(truth.values))
    leavers = [leaver_of(metric, truth, each) for each in (new, old)]
    error = math.hypot(*(paired_jackknife.standard_error(each.without(dealt)) for each in leavers))
    if not error:
        return "undecided"
    t = gain(metric.direction, *(each.whole for each in leavers)) / error
    p = stats.t.sf(t, 2 * len(truth.values) - 2)
    return "promote" if p < policy.level(None) else "keep" if p > 0.95 else "undecided"


def light(metric, truth, new, old, policy):
    """As if t held whatever carries the spread: without skew, heavy tails and outcomes not seen."""
    dealt, sign = blocks.single_rows(len(truth.values)), -1.0 if metric.direction == "min" else 1.0
    one, other = (leaver_of(metric, truth, each) for each in (new, old))
    error = paired_jackknife.standard_error(one.without(dealt) - other.without(dealt))
    t = sign * (one.whole - other.whole) / error if error else 0.0
    p = stats.t.sf(t, len(truth.values) - 1)
    return "promote" if p < policy.level(None) else "keep" if p > 0.95 else "undecided"


@pytest.mark.parametrize(
    ("gate", "caught_by"),
    [
        (strict, "400 equal pairs"),
        (always, "40 clearly worse"),
        (never, "40 clearly better"),
        (flipped, "40 clearly better"),
        (unpaired, "correlated 0.999"),
        (doubled, "paired t test"),
        (light, "60 equal pairs with few calls"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_gate_that_was_tampered_with_fails(gate, caught_by):
    failed = [check.name for check in selftest.run_selftest(gate) if not check.ok]
    assert any(name.startswith(caught_by) for name in failed), failed


def test_a_gate_that_fails_ends_with_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(
        selftest,
        "run_selftest",
        lambda: [selftest.SelftestCheck("400 equal pairs", False, "200 promoted", "at most 44")],
    )
    assert program.run(["gate", "selftest"]) == 1
    assert "promote nothing with it" in capsys.readouterr().out


def test_the_limit_is_exceeded_once_in_a_million_selftests():
    assert LIMIT == 44
    assert stats.binom.sf(LIMIT, EQUAL, 0.05) < 1e-6 <= stats.binom.sf(LIMIT - 1, EQUAL, 0.05)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_planted_pairs_are_equal_and_look_like_their_table(case):
    name, metric, new, old, _ = case
    rows, table, judged = population(name, metric, new, old), tables()[name], METRICS[metric]
    one, other = (
        simulated_population.weighted_metric(leaver_of(judged, table.truth, table.models[each]), rows.weights)
        for each in (new, old)
    )
    assert one == pytest.approx(other, rel=1e-9)
    assert rows.weights.sum() == pytest.approx(1)
    assert rows.effective > 0.9 * len(rows.weights)


DECISIONS = json.loads(Path(__file__).with_name("decisions.json").read_text("utf-8"))
"""Figures of the gate whose error rates docs/promotion-figures.md shows: if one moves, `make proof` comes first."""


def decided(case: tuple[str, str, str, str, int], *, equal: bool) -> dict[str, object]:
    """The figures of one decision on a holdout of a bundled table, drawn with a seed of its own."""
    name, metric, new, old, rows = case
    random, table = np.random.default_rng([1, *map(ord, "".join(case[:4]))]), tables()[name]
    size = len(table.truth.values)
    at = population(name, metric, new, old).draw(rows, random) if equal else random.integers(0, size, size=rows)
    planted = METRICS[metric], table.truth.at(at), table.models[new].at(at), table.models[old].at(at)
    policy = Policy(worthwhile_gain=1.0)
    decision = decide(planted_evidence(*planted, paired_gain(*planted), uses=10), policy).as_json()
    failed = [rule["id"] for rule in decision["rules"] if not rule["ok"]]
    return {"answer": decision["answer"], "failed": failed, **decision["interval"]}


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "as they are"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_decisions_have_the_figures_that_were_proved(case, equal):
    now, proved = (
        decided(case, equal=equal),
        DECISIONS["-".join(map(str, (*case, "equal" if equal else "as they are")))],
    )
    figures = {key for key, value in proved.items() if isinstance(value, float)}
    assert {key: now[key] for key in figures} == pytest.approx({key: proved[key] for key in figures}, rel=1e-9)
    assert {key: now[key] for key in now.keys() - figures} == {key: proved[key] for key in proved.keys() - figures}
