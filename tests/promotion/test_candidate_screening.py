"""Who may become champion."""

from __future__ import annotations

import pytest

from notebooks_lib.errors import PromotionError, UnknownNameError
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.promotion.candidate_screening import find_candidates
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import SelectionLimits
from tests.promotion.conftest import better, middling, worse, write_houses

pytestmark = pytest.mark.tracking


def outcomes(candidates):
    return {each.run.run_id: each.refused for each in candidates.others}


def test_the_validation_score_of_the_file_ranks_not_the_logged_number(trials, houses, gate):
    bad = trials.fitted(worse(), houses)
    good = trials.fitted(better(), houses)
    liar = trials.fitted(worse(), houses, rmse=0.0)
    candidates = gate().candidates()
    assert [each.run.run_id for each in candidates.ranked] == [good, bad]
    assert "it logged rmse 0, but its model has" in outcomes(candidates)[liar]


def test_a_run_with_a_wrong_metric_takes_no_place(trials, houses, gate):
    for lie in (0.0, 0.001, 0.002):
        trials.fitted(worse(), houses, rmse=lie)
    honest = trials.fitted(middling(), houses)
    assert [each.run.run_id for each in gate(max_candidates=1).candidates().ranked] == [honest]


def test_runs_that_did_not_end_well_or_used_other_data_are_no_candidates(trials, houses, gate, tmp_path, project):
    from notebooks_lib import datasets

    more = datasets.add(write_houses(tmp_path / "more.csv", rows=320), "houses", project)
    assert more.ref == "houses@2"
    mine = trials.fitted(middling(), houses)
    trials.fitted(better(), more)
    trials.fitted(better(), houses, end=None)
    trials.fitted(better(), houses, end="FAILED")
    candidates = gate(dataset="houses@1").candidates()
    assert [each.run.run_id for each in candidates.ranked] == [mine]
    assert not candidates.others
    assert candidates.elsewhere == 1
    assert gate().candidates().dataset.ref == "houses@2"  # that of the newest run


def test_trials_of_a_sweep_are_candidates_and_its_own_run_is_not(trials, houses, gate):
    parent = trials.run({"best_rmse": 1.0, "rmse": 0.0}, dataset=houses, **{Tag.SWEEP: "parent"})
    child = {"mlflow.parentRunId": parent, Tag.TRIAL: "0", Tag.TRIAL_STATE: "finished"}
    good = trials.fitted(better(), houses, **child)
    trials.fitted(worse(), houses, end="KILLED", **child | {Tag.TRIAL_STATE: "pruned"})
    candidates = gate().candidates()
    assert [each.run.run_id for each in candidates.ranked] == [good]
    assert not candidates.others


def test_a_run_that_cannot_be_scored_is_refused_with_the_reason(trials, houses, gate):
    class Half:
        def fit(self, x, y):
            return self

        def predict(self, x):
            import numpy as np

            return np.where(np.arange(len(x)) % 7 == 6, np.nan, 1.0)

    half = Half().fit(None, None)
    missing = trials.run({"rmse": 0.5}, model=half, example=houses.train.X, dataset=houses)
    without = trials.run({"rmse": 0.1}, dataset=houses)
    silent = trials.run({"mae": 0.1}, dataset=houses)
    good = trials.fitted(middling(), houses)
    candidates = gate().candidates()
    assert [each.run.run_id for each in candidates.ranked] == [good]
    assert "with a missing value" in outcomes(candidates)[missing]
    assert "has no model" in outcomes(candidates)[without]
    assert "has no model" in outcomes(candidates)[silent]
    assert candidates.table.rows[0][-1] == "in"


def test_repeated_runs_are_scored_once(trials, houses, gate):
    first = trials.fitted(middling(), houses, **{Tag.RUN_FINGERPRINT: "same"})
    again = trials.fitted(middling(), houses, **{Tag.RUN_FINGERPRINT: "same"})
    candidates = gate().candidates()
    assert [each.run.run_id for each in candidates.ranked] == [again]
    assert outcomes(candidates)[first] == f"repeated by run {again[:8]}"


def test_of_many_runs_the_best_and_the_champions_own_are_considered(trials, houses):
    from notebooks_lib.models import champions, registry

    champion = trials.fitted(worse(), houses)
    version = registry.register(trials.store, "houses", champion)
    champions.mark_champion(trials.store, version, reason="first")
    best = trials.fitted(better(), houses)
    trials.fitted(middling(), houses)
    again = [trials.fitted(worse(), houses, **{Tag.RUN_FINGERPRINT: champion}) for _ in range(2)]
    few = SelectionLimits(newest=2, best=1)
    candidates = find_candidates(trials.store, "houses", METRICS["rmse"], champion=version, runs=few)
    assert [each.run.run_id for each in candidates.ranked] == [best, champion]
    assert outcomes(candidates) == dict.fromkeys(again, f"repeated by run {champion[:8]}")
    assert "only the 2 newest runs and the 1 best on each of their datasets" in str(candidates)


def test_a_metric_that_was_not_logged_is_computed(trials, houses, gate):
    silent = trials.fitted(better(), houses, metric="mae")
    liar = trials.fitted(worse(), houses, rmse=0.0)
    candidates = gate().candidates()
    assert [each.run.run_id for each in candidates.ranked] == [silent]
    assert candidates.ranked[0].logged is None
    assert candidates.ranked[0].validation > 0
    assert "it logged rmse 0" in outcomes(candidates)[liar]


def test_of_many_runs_that_did_not_log_the_metric_the_newest_are_scored(trials, houses, gate):
    runs = [trials.run({"mae": float(number)}, dataset=houses) for number in range(4)]
    new = trials.fitted(better(), houses, metric="mae")
    candidates = gate(max_candidates=2).candidates()
    assert [each.run.run_id for each in candidates.ranked] == [new]
    assert [outcomes(candidates)[run] for run in runs[:3]] == ["it has no rmse, and is not among the newest"] * 3
    assert "no run has logged rmse: of 5 runs only the 2 newest are scored" in str(candidates)
    assert str(candidates).endswith("to score all: -p max_candidates=5")
    assert "no run has logged" not in str(gate(max_candidates=5).candidates())


def test_without_candidates_and_champion_the_error_says_why(trials, houses, gate):
    with pytest.raises(UnknownNameError, match="unknown experiment 'houses'"):
        gate().candidates()
    trials.run({"rmse": 1.0})
    with pytest.raises(PromotionError, match="says which data it used"):
        gate().candidates()
    trials.run({"rmse": 1.0}, dataset=houses)
    with pytest.raises(PromotionError, match=r"has no candidate on houses@1: .*has no model"):
        gate().candidates()
