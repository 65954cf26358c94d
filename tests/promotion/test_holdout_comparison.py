"""One question to the holdout is one use: what an answer costs, and how several challengers share it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import fresh_holdout, holdout_budget, holdout_ledger
from notebooks_lib.errors import UnknownNameError, UsageError
from notebooks_lib.models import champions, registry
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.release import decision_record
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from tests.promotion.conftest import better, middling, worse, write_houses
from tests.release.test_gate import answer, champion, failed, readings

pytestmark = pytest.mark.tracking


def spent(trials, ref: str = "houses@1") -> int:
    return holdout_budget.count_uses(trials.store, ref, alpha=0.05, budget=10)


def within(project, **promotion):
    return project.model_copy(update={"promotion": project.promotion.model_copy(update=promotion)})


def test_a_dry_run_and_the_same_question_live_are_one_use(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses)
    first, again = answer(gate()), answer(gate())
    assert first.answer == again.answer == "promote"
    assert (spent(trials), readings(project)) == (1, 1)
    rule = next(rule for rule in again.rules if rule.id == "holdout_uses")
    assert "the answer of 20" in rule.reason
    assert again.evidence.uses.left == 9
    kept = replace(again.evidence, uses=first.evidence.uses)
    assert gate().decide(kept).as_json() == first.as_json()
    assert again.challenger.losses == first.challenger.losses


@pytest.mark.proof
def test_another_question_is_another_use(trials, houses, gate):
    champion(trials, trials.fitted(worse(), houses))
    run_id = trials.fitted(better(), houses)
    trials.store.client.log_metric(run_id, "mae", 0.1)
    answer(gate())
    answer(gate(min_gain=0.1))
    assert spent(trials) == 2
    timed = answer(gate(order_by="rooms")).evidence.paired
    assert (timed.by, timed.blocks) == ("time", 10)
    assert spent(trials) == 3


def test_a_used_up_holdout_is_undecided_and_names_the_remedy(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses)
    one = within(project, holdout_uses=1)
    assert answer(gate(settings=one)).answer == "promote"
    late = answer(gate(settings=one, min_gain=0.1))
    assert (late.answer, failed(late)) == ("undecided", ["holdout_uses"])
    assert "nbops data holdout houses@1 --fresh" in late.summary
    assert late.challenger.score is None
    assert readings(project) == 1


def test_two_machines_at_the_last_use_both_see_each_other(trials, houses, gate, project, monkeypatch):
    """Between machines there is no lock: a use that appears between the count and the use is counted, too."""
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses)
    add_use = holdout_ledger.HoldoutLedger.add_use

    def meanwhile(ledger, rows, question, *, level, reader):
        add_use(ledger, rows, "another question", level=0.05, reader="elsewhere")
        return add_use(ledger, rows, question, level=level, reader=reader)

    monkeypatch.setattr(holdout_ledger.HoldoutLedger, "add_use", meanwhile)
    late = answer(gate(settings=within(project, holdout_uses=1)))
    assert (late.answer, failed(late)) == ("undecided", ["holdout_uses"])
    assert readings(project) == 0


def test_a_rule_that_fails_without_the_holdout_costs_no_use(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses, **{"nbops.git.dirty": "true"})
    decision = answer(gate(settings=within(project, require_clean=True)))
    assert (decision.answer, failed(decision)) == ("keep", ["clean_commit"])
    assert decision.evidence.unread
    assert (spent(trials), readings(project)) == (0, 0)


def test_a_champion_that_has_seen_holdout_rows_is_refused(trials, houses, gate, project, tmp_path):
    other = datasets.add(write_houses(tmp_path / "o.csv"), "copied", project, target="price")  # other parts: no key
    rows = other.train.X[["rooms", "roof"]]
    run_id = trials.run({}, model=worse().fit(rows, other.train.y), example=rows, dataset=other, experiment="before")
    champion(trials, run_id)
    trials.fitted(better(), houses)
    decision = answer(gate())
    assert failed(decision) == ["holdout_unseen"]
    seen = decision.champion.seen_rows
    assert 0 < seen < houses.rows_held_out
    assert f"version 1 has seen {seen} of the holdout rows of houses@1" in decision.summary
    assert spent(trials) == 0


def exported(file: Path, name: str, project, *, seed: int = 0, decimals: int = 6) -> Any:
    """Houses under another key, of other values, and with a column more."""
    import pandas as pd

    write_houses(file, seed=seed)
    frame = pd.read_csv(file).round(decimals).rename(columns={"house": "home"})
    frame.assign(home="H" + frame["home"], storeys=range(len(frame))).to_csv(file, index=False)
    return datasets.add(file, name, project, target="price", key="home")


def test_a_new_export_with_another_key_and_column_is_seen_and_used(trials, houses, gate, project, tmp_path):
    other = exported(tmp_path / "e.csv", "exported", project)
    rows = other.train.X[["rooms", "roof"]]
    run_id = trials.run({}, model=worse().fit(rows, other.train.y), example=rows, dataset=other, experiment="before")
    champion(trials, run_id)
    trials.fitted(better(), houses)
    decision = answer(gate())
    assert failed(decision) == ["holdout_unseen"]
    assert 0 < decision.champion.seen_rows < houses.rows_held_out
    champion(trials, trials.fitted(worse(), houses))
    assert answer(gate()).answer == "promote"
    assert (spent(trials), spent(trials, "exported")) == (1, 1)


def test_other_houses_with_the_same_coarse_columns_are_neither_seen_nor_used(trials, gate, project, tmp_path):
    other = exported(tmp_path / "o.csv", "others", project, seed=1, decimals=1)
    rows = other.train.X[["rooms", "roof"]]
    run_id = trials.run({}, model=worse().fit(rows, other.train.y), example=rows, dataset=other, experiment="before")
    champion(trials, run_id)
    file = write_houses(tmp_path / "h.csv")
    file.write_text(re.sub(r"(\.\d)\d+", r"\1", file.read_text()))
    trials.fitted(better(), datasets.add(file, "houses", project, target="price", key="house"))
    decision = answer(gate())
    assert (decision.answer, decision.champion.seen_rows) == ("promote", 0)
    assert (spent(trials), spent(trials, "others")) == (1, 0)


def test_after_a_fresh_holdout_promotion_goes_on_and_the_old_one_is_closed_to_its_models(
    trials, houses, gate, project, tmp_path
):
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses)
    one = within(project, holdout_uses=1)
    answer(gate(settings=one))
    grown = datasets.add(write_houses(tmp_path / "more.csv", rows=700), "houses", project)
    trials.fitted(better(), grown)
    assert failed(answer(gate(settings=one))) == ["holdout_uses"]
    fresh = fresh_holdout.make_fresh_holdout(trials.store, "houses", min_rows=30)
    promoted = trials.fitted(better(), fresh)
    decision = answer(gate(settings=one))
    assert (decision.answer, decision.evidence.ref, decision.challenger.rows) == (
        "promote",
        "houses@3",
        fresh.rows_held_out,
    )
    champion(trials, promoted)
    trials.fitted(better(), houses, experiment="back")
    back = answer(gate(experiment="back"))
    assert failed(back) == ["holdout_unseen", "holdout_uses"]
    assert back.champion.seen_rows == houses.rows_held_out


def test_a_champion_with_unknown_data_is_undecided_until_the_settings_trust_it(trials, houses, gate, project):
    run_id = trials.run({}, model=worse().fit(houses.train.X, houses.train.y), example=houses.train.X)
    champion(trials, run_id)
    trials.fitted(better(), houses)
    decision = answer(gate())
    assert (decision.answer, failed(decision)) == ("undecided", ["holdout_unseen"])
    assert answer(gate(settings=within(project, trust_champion_data=True))).answer == "promote"


def test_limits_of_size_time_and_other_metrics(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses)
    tight = within(project, max_size_mb=1e-6, max_latency_ms=1e-6)
    decision = answer(gate(settings=tight))
    assert failed(decision) == ["size_mb", "latency_p95_ms"]
    assert spent(trials) == 0
    roomy = within(project, max_size_mb=100, max_latency_ms=10_000, not_worse={"mae": 0.0, "r2": 0.0})
    assert answer(gate(settings=roomy)).answer == "promote"


def test_a_challenger_that_is_worse_for_some_rows_is_kept_out(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))

    class Partly:
        """Nearly right, but far off where the roof is old."""

        def predict(self, x):
            truth = 3 * x["rooms"] + x["roof"] ** 2
            return truth.where(x["roof"] < 0.8, truth + 4.0)

    model = Partly()
    metrics = {"rmse": float(((houses.validation.y - model.predict(houses.validation.X)) ** 2).mean() ** 0.5)}
    trials.run(metrics, model=model, example=houses.train.X, dataset=houses)
    shown = answer(gate(settings=within(project, slices=("roof",), min_slice_rows=10)))
    assert len(shown.evidence.slices) == 4
    assert sum(each.rows for each in shown.evidence.slices) == houses.rows_held_out
    judged = answer(gate(settings=within(project, slices=("roof",), min_slice_rows=10, slice_margin=0.1)))
    assert (shown.answer, failed(judged)) == ("promote", ["worst_slice"])
    assert "roof over" in judged.summary
    small = answer(gate(settings=within(project, slices=("roof",), min_slice_rows=1000, slice_margin=0.1)))
    assert (small.answer, failed(small)) == ("undecided", ["worst_slice"])
    with pytest.raises(UnknownNameError, match="column of houses@1 in promotion.slices"):
        answer(gate(settings=within(project, slices=("rof",))))


def test_the_file_that_was_scored_is_the_file_that_is_registered(trials, houses, gate):
    from pathlib import Path
    from urllib.parse import urlparse

    from notebooks_lib.errors import PromotionError
    from notebooks_lib.models import logged_models
    from notebooks_lib.release import version_deployment

    run_id = trials.fitted(better(), houses)
    asked = gate()
    release = asked.release(asked.decide(asked.holdout(asked.candidates())), dry_run=False)
    folder = Path(urlparse(logged_models.model_of_run(trials.store, run_id).source).path)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "left.pyc").write_bytes(b"behind")
    with pytest.raises(PromotionError, match="bytecode that was not scored"):
        release.register()
    shutil.rmtree(folder / "__pycache__")
    release.register()
    version = registry.get(trials.store, "houses", 1)
    assert "as scored" in version_deployment.confirm_checksum(version, folder, ["sklearn"])[1]
    unknown = replace(version, tags={})  # as an older nbops registered it
    assert "has no digest" in version_deployment.confirm_checksum(unknown, folder, ["sklearn"])[1]
    with pytest.raises(PromotionError, match="its files cannot be checked"):
        version_deployment.confirm_checksum(replace(version, tags={Tag.CARD: "runs:/r/card.html"}), folder, ["sklearn"])
    (folder / "MLmodel").write_text((folder / "MLmodel").read_text() + "\n")
    with pytest.raises(PromotionError, match="are not those that were scored"):
        version_deployment.confirm_checksum(version, folder, ["sklearn"])
    with pytest.raises(PromotionError, match="a refit is a new challenger"):
        release.register()


@pytest.mark.proof  # benchmarks/promotion.py counts how often
def test_a_hundred_useless_trials_do_not_dethrone_the_champion(trials, houses, gate, project):
    """The luckiest on validation of a hundred that differ from the champion by noise alone is the candidate."""
    import numpy as np

    # Through the real way, but for the fitting: each trial is logged as a run, with a model that can be loaded.
    champion(trials, trials.fitted(better(), houses, experiment="before"))
    random = np.random.default_rng(7)
    best = better().fit(houses.train.X, houses.train.y)
    weights = best[-1].coef_ + 0.02 * random.normal(size=(100, len(best[-1].coef_)))

    def score(coefficients) -> float:
        best[-1].coef_ = coefficients
        return float(((houses.validation.y - best.predict(houses.validation.X)) ** 2).mean() ** 0.5)

    scores = [score(each) for each in weights]
    for place in np.argsort(scores)[:5]:
        score(weights[place])
        trials.run({"rmse": scores[place]}, model=best, example=houses.train.X, dataset=houses)
    for value in sorted(scores)[5:]:
        trials.run({"rmse": value}, dataset=houses)
    decision = answer(gate())
    assert decision.answer != "promote", decision
    assert champions.champion(trials.store, "houses").version == "1"


pytestmark = pytest.mark.tracking


class Known:
    """Right by a shift on the rows that it was given, without an answer for others."""

    def __init__(self, part, shift: float) -> None:
        self.prices = dict(zip(rows(part.X), part.y + shift, strict=True))

    def predict(self, x):
        import numpy as np

        return np.array([self.prices.get(row, np.nan) for row in rows(x)])


def rows(x) -> list[tuple[float, float]]:
    return [(round(rooms, 5), round(roof, 5)) for rooms, roof in zip(x["rooms"], x["roof"], strict=True)]


def runs(decision) -> list[str]:
    return [each.challenger.run_id for each in (decision, *decision.others)]


@pytest.mark.proof
def test_three_challengers_share_one_use_and_all_are_shown(trials, houses, gate, project, tmp_path):
    champion(trials, trials.fitted(worse(), houses, experiment="before"))
    poor, middle, good = (trials.fitted(model, houses) for model in (worse(), middling(), better()))
    asked = gate(challengers=3)
    candidates = asked.candidates()
    evidence = asked.holdout(candidates)
    decision = asked.decide(evidence)
    assert (decision.answer, runs(decision)) == ("promote", [good, middle, poor])
    assert [each.answer for each in decision.others] == ["promote", "keep"]  # the last is the champion's twin
    assert sorted(each.level for each in (decision, *decision.others)) == pytest.approx([0.005 / 3, 0.005 / 2, 0.005])
    assert (spent(trials), readings(project)) == (1, 1)

    assert len(asked.scores(evidence).rows[0]) == 5
    assert len(asked.figure(evidence).axes[0].get_yticklabels()) == 4
    run_id = trials.run({}, experiment="promotion")
    decision_record.write_decision(trials.store, run_id, asked.release(decision), candidates)
    told = decision_record.read_decision(trials.store, run_id).decision
    assert [each.run for each in told.others] == [middle, poor]
    card = Path(trials.store.client.download_artifacts(run_id, "promotion/card.html", str(tmp_path))).read_text()
    assert all(f"run {other[:8]}" in text for other in (middle, poor) for text in (card, decision._repr_html_()))

    again = asked.decide(asked.holdout(replace(candidates, ranked=candidates.ranked[::-1])))
    assert again.evidence.uses.asked
    assert (again.summary, again.other_challengers) == (decision.summary, told.others[::-1])
    assert (spent(trials), readings(project)) == (1, 1)
    two = answer(gate(challengers=2))
    assert (runs(two), spent(trials)) == ([good, middle], 2)
    late = answer(gate(challengers=3, min_gain=0.001, settings=within(project, holdout_uses=1)))
    assert (late.answer, failed(late), late.unread) == ("undecided", ["holdout_uses"], True)
    assert [each.answer for each in late.others] == ["undecided"] * 2


def test_the_champion_is_no_challenger_and_one_alone_is_the_question_of_one(trials, houses, gate):
    """As it was asked before there were several: answers that were stored then are found."""
    other = trials.fitted(worse(), houses)
    champion(trials, trials.fitted(middling(), houses))
    assert answer(gate()).summary == "version 1 stays: the best candidate is the champion itself"
    assert spent(trials) == 0
    decision = answer(gate(challengers=3))
    assert (decision.answer, runs(decision), spent(trials)) == ("keep", [other], 1)
    found = query.search(trials.store, "", [trials.store.experiment_id(holdout_ledger.EXPERIMENT)])
    (use,) = [run for run in found if Tag.HOLDOUT_QUESTION in run.data.tags]
    question = {
        "form": 1,
        "rows": use.data.tags[Tag.HOLDOUT_ROWS],
        "challenger": decision.challenger.model_sha256,
        "champion": decision.champion.model_sha256,
        "metric": ["rmse", "min", ""],
        "policy": Policy.of(trials.settings.promotion, "houses").question(),
        "order_by": "",
    }
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
    assert use.data.tags[Tag.HOLDOUT_QUESTION] == digest


def test_a_challenger_refused_early_has_no_share_and_one_that_fails_on_the_holdout_has(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses, experiment="before"))
    dirty, fragile = Known(houses.validation, 0.01), Known(houses.validation, 0.02)
    more = {"example": houses.validation.X, "dataset": houses}
    unclean = trials.run({"rmse": 0.01}, model=dirty, **{Tag.GIT_DIRTY: "true"}, **more)
    broken = trials.run({"rmse": 0.02}, model=fragile, **more)
    good = trials.fitted(better(), houses)
    trials.fitted(middling(), houses)
    asked = gate(challengers=3, settings=within(project, require_clean=True))
    candidates = asked.candidates()
    decision = asked.decide(asked.holdout(candidates))
    assert (decision.answer, runs(decision)) == ("promote", [good, unclean, broken])
    assert decision.level == 0.005 / 2  # of the three one never met the holdout
    first, second = decision.others
    assert (first.answer, failed(first), first.evidence.unread) == ("keep", ["clean_commit"], True)
    assert second.answer == "undecided"
    assert "with a missing value" in second.summary
    assert [each["level"] for each in decision.as_json()["others"]] == [None, 0.005]
    assert asked.holdout(replace(candidates, ranked=candidates.ranked[1:3])).uses.asked  # nor was it in the question
    assert spent(trials) == 1


def test_there_are_at_most_as_many_challengers_as_candidates(gate):
    assert gate(challengers=5).challengers == 5
    for count, limit in ((0, 5), (6, 5)):
        with pytest.raises(UsageError, match=f"challengers is {count} and max_candidates {limit}"):
            gate(challengers=count, max_candidates=limit)
