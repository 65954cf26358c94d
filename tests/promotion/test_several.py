"""Several challengers meet the champion in one use of the holdout: what it costs, who takes part, what is told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib.datasets import holdout_budget
from notebooks_lib.errors import UsageError
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.release import record
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from tests.promotion.conftest import better, middling, worse
from tests.promotion.test_holdout_uses import spent, within
from tests.release.test_gate import answer, champion, failed, readings

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


def test_three_meet_in_one_use_and_all_are_told(trials, houses, gate, project, tmp_path):
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
    record.write(trials.store, run_id, asked.release(decision), candidates)
    told = record.read(trials.store, run_id)["decision"]
    assert [each["run"] for each in told["others"]] == [middle, poor]
    card = Path(trials.store.client.download_artifacts(run_id, "promotion/card.html", str(tmp_path))).read_text()
    assert all(f"run {other[:8]}" in text for other in (middle, poor) for text in (card, decision._repr_html_()))

    again = asked.decide(asked.holdout(replace(candidates, ranked=candidates.ranked[::-1])))
    assert again.evidence.uses.asked
    assert (again.summary, again.as_json()["others"]) == (decision.summary, told["others"][::-1])
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
    found = query.search(trials.store, "", [trials.store.experiment_id(holdout_budget.EXPERIMENT)])
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


def test_who_is_refused_before_has_no_share_and_who_fails_on_the_holdout_has(trials, houses, gate, project):
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


def test_as_many_as_are_looked_at_may_be_asked(gate):
    assert gate(challengers=5).challengers == 5
    for count, limit in ((0, 5), (6, 5)):
        with pytest.raises(UsageError, match=f"challengers is {count} and max_candidates {limit}"):
            gate(challengers=count, max_candidates=limit)
