"""The gate on real models and real data: a planted worse one never gets in (docs/design trap 9), a better one does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib.errors import HoldoutError, PromotionError, UsageError
from notebooks_lib.models import champions, model_files, registry
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings.sections import Promotion, Stage, Stages
from notebooks_lib.tags import Tag
from tests.promotion.conftest import better, middling, worse, write_houses
from tests.serving.memory_endpoint import in_memory

pytestmark = pytest.mark.tracking


def champion(trials, run_id: str, model: str = "houses", stage: str = "prod"):
    """Make a run's model the champion, as a release does last."""
    version = registry.register(trials.store, model, run_id)
    champions.mark_champion(trials.store, version, reason="planted", stage=stage)
    return version


def answer(gate):
    return gate.decide(gate.holdout(gate.candidates()))


def failed(decision) -> list[str]:
    return [rule.id for rule in decision.rules if not rule.ok]


def readings(project) -> int:
    file = project.layout.state / "holdout.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_worse_model_is_never_promoted(trials, houses, gate):
    champion(trials, trials.fitted(better(), houses, experiment="before"))
    bad = trials.fitted(worse(), houses)
    trials.fitted(worse(), houses, rmse=0.0)  # the liar does not help it
    decision = answer(gate())
    assert decision.answer == "keep"
    assert decision.challenger.run_id == bad
    assert failed(decision) == ["gain"]
    assert decision.challenger.score > decision.champion.score


def test_a_better_model_is_promoted(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))
    good = trials.fitted(better(), houses)
    decision = answer(gate())
    assert decision.answer == "promote"
    assert decision.challenger.run_id == good
    assert decision.challenger.score < 0.3 < decision.champion.score
    assert decision.challenger.rows == houses.rows_held_out
    assert len(decision.challenger.losses) == len(decision.champion.losses) == houses.rows_held_out
    assert readings(project) == 1


def test_a_liar_alone_is_refused(trials, houses, gate, project):
    champion(trials, trials.fitted(better(), houses, experiment="before"))
    trials.fitted(worse(), houses, rmse=0.0)
    decision = answer(gate())
    assert decision.answer == "keep"
    assert decision.summary.startswith("version 1 stays: experiment 'houses' has no candidate on houses@1: run ")
    assert "it logged rmse 0, but its model has" in decision.summary
    assert readings(project) == 0


def test_without_a_champion_a_liar_alone_is_an_error(trials, houses, gate):
    trials.fitted(worse(), houses, rmse=0.0)
    with pytest.raises(PromotionError, match="it logged rmse 0, but its model has"):
        answer(gate())


@pytest.mark.proof
def test_a_refused_best_candidate_makes_room_for_the_next(trials, houses, gate, project):
    champion(trials, trials.fitted(worse(), houses))
    unclean = trials.fitted(better(), houses, **{Tag.GIT_DIRTY: "true"})
    good = trials.fitted(middling(), houses)
    strict = gate()
    strict.policy = strict.policy.model_copy(update={"require_clean": True})
    found = strict.candidates()
    assert [each.run.run_id for each in found.ranked[:2]] == [unclean, good]
    decision = strict.decide(strict.holdout(found))
    assert (decision.challenger.run_id, decision.evidence.unread) == (good, False)
    assert [(each.challenger.run_id, each.answer) for each in decision.others] == [(unclean, "keep")]
    assert "uncommitted changes" in decision.others[0].summary
    assert readings(project) == 1


def test_the_champion_is_kept_without_reading_the_holdout(trials, houses, gate, project):
    trials.fitted(worse(), houses)
    champion(trials, trials.fitted(better(), houses))
    decision = answer(gate())
    assert decision.answer == "keep"
    assert decision.summary == "version 1 stays: the best candidate is the champion itself"
    assert readings(project) == 0


def test_a_twin_of_the_champion_is_kept(trials, houses, gate):
    champion(trials, trials.fitted(better(), houses, experiment="before"))
    trials.fitted(better(), houses)
    decision = answer(gate())
    assert decision.answer == "keep"
    assert "predicts exactly what version 1 does" in decision.summary


def test_the_first_model_must_beat_the_mean(trials, houses, gate):
    from sklearn.dummy import DummyRegressor

    trials.fitted(DummyRegressor(strategy="constant", constant=-3.0), houses)
    kept = answer(gate())
    assert kept.answer == "keep"
    assert kept.champion.label == "the mean of the training rows"
    trials.fitted(middling(), houses)
    decision = answer(gate())
    assert decision.answer == "promote", decision


def test_a_candidate_that_fails_on_the_holdout_gives_way_to_the_next(trials, houses, gate):
    import numpy as np

    inner = better().fit(houses.train.X, houses.train.y)
    expected = inner.predict(houses.validation.X)

    class Fragile:
        """Right on the rows it has seen, nothing elsewhere."""

        def __init__(self, known):
            self.known = known

        def predict(self, x):
            found = [self.known.get(round(float(rooms), 6)) for rooms in x["rooms"]]
            return np.array([np.nan if value is None else value for value in found])

    rows = zip(houses.validation.X["rooms"], expected, strict=True)
    fragile = Fragile({round(float(rooms), 6): float(value) for rooms, value in rows})
    honest = float(np.sqrt(np.mean((houses.validation.y - expected) ** 2)))
    trials.run({"rmse": honest}, model=fragile, example=houses.validation.X, dataset=houses)
    good = trials.fitted(middling(), houses)
    decision = answer(gate())
    assert decision.challenger.run_id == good


def test_a_champion_that_does_not_load_leaves_it_undecided(trials, houses, gate):
    import shutil
    from urllib.parse import urlparse

    version = champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses, experiment="next")
    shutil.rmtree(urlparse(version.source).path)
    decision = answer(gate(experiment="next"))
    assert decision.answer == "undecided"
    assert "version 1: " in decision.summary


def test_too_few_rows_are_undecided(trials, houses, gate, project):
    project = project.model_copy(update={"promotion": project.promotion.model_copy(update={"min_rows": 1000})})
    trials.fitted(better(), houses)
    assert answer(gate(settings=project)).answer == "undecided"


def test_another_interface_is_kept_out(trials, houses, gate):
    champion(trials, trials.fitted(worse(), houses))

    class OneColumn:
        def predict(self, x):
            return 3 * x["rooms"] + 1

    from sklearn.metrics import root_mean_squared_error

    model = OneColumn()
    metrics = {"rmse": float(root_mean_squared_error(houses.validation.y, model.predict(houses.validation.X)))}
    trials.run(metrics, model=model, example=houses.train.X[["rooms"]], dataset=houses, experiment="next")
    decision = answer(gate(experiment="next"))
    assert failed(decision) == ["signature"], decision
    assert "does not take 'roof'" in decision.summary


@pytest.mark.parametrize(
    "metric", ["accuracy", *(pytest.param(one, marks=pytest.mark.proof) for one in ("f1", "roc_auc")), "log_loss"]
)
def test_classification_is_judged_by_classes_and_by_probabilities(trials, gate, project, metric):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from notebooks_lib import datasets
    from notebooks_lib.metrics.builtin import METRICS
    from notebooks_lib.models import logged_models as models
    from notebooks_lib.promotion import model_scoring

    data = datasets.read("breast_cancer", project)
    # Of a model that is nearly always right one row in error outweighs the others, and the answer is undecided.
    two = make_column_transformer((StandardScaler(), ["mean texture", "mean compactness"]))
    model = make_pipeline(two, LogisticRegression()).fit(data.train.X, data.train.y)
    run_id = trials.run({}, model=model, example=data.train.X, dataset=data, experiment="cells")
    truth = model_scoring.truth_of(data, data.validation, METRICS[metric])
    source = models.model_of_run(trials.store, run_id).source
    honest = model_scoring.score_model(source, data.validation, METRICS[metric], truth).value
    trials.store.client.log_metric(run_id, metric, honest)
    decision = answer(gate(experiment="cells", metric=metric))
    assert decision.answer == "promote"
    answer_judged = "class shares" if METRICS[metric].needs_probabilities else "most frequent class"
    assert decision.champion.label == f"the {answer_judged} of the training rows"
    assert {"accuracy", "roc_auc", "log_loss"} <= set(decision.challenger.metrics)


def test_the_question_is_checked_before_anything_is_read(gate):
    from notebooks_lib.release.gate import Gate

    with pytest.raises(UsageError, match="did you mean 'rmse'"):
        gate(metric="rmsee")
    with pytest.raises(UsageError, match="model 'a b'"):
        Gate("a b", experiment="houses", metric="rmse")


def test_a_target_of_the_gate_decides_nothing_and_says_where_it_is_set(gate):
    with pytest.warns(DeprecationWarning, match=r"set endpoint under \[stages.STAGE\]"):
        assert "local endpoint" in repr(gate(target="local"))
    with pytest.raises(UsageError, match="the stages have local; leave it out"):
        gate(target="azureml")


def test_nobody_else_reads_the_holdout(houses):
    with pytest.raises(HoldoutError):
        _ = houses.holdout


def test_the_endpoint_that_is_shown_is_that_of_prod(trials, houses, gate, project, tmp_path):
    version = champion(trials, trials.fitted(better(), houses))
    settings = project.model_copy(update={"stages": Stages(prod=Stage(endpoint="{model}-live"))})
    question = gate(settings=settings)
    assert "local endpoint 'houses-live'" in repr(question)
    with in_memory(tmp_path / "memory"):
        assert question.champion_table().rows[-1] == ("endpoint", "none yet")
        model = ServedVersion.in_folder(model_files.local_model_folder(version.source), version=version.version)
        endpoint_for(settings, "houses-live").deploy("blue", model, traffic=True)
        assert question.champion_table().rows[-1] == ("endpoint", "running, version 1")


def test_a_dry_run_says_what_it_would_do_and_records_it(trials, houses, gate):
    from notebooks_lib.release import decision_record

    good = trials.fitted(better(), houses)
    asked = gate()
    candidates = asked.candidates()
    release = asked.release(asked.decide(asked.holdout(candidates)))
    (stage,) = release.stages
    for step in (release.register, stage.deploy, stage.test, stage.switch):
        assert "would" in step().text
    assert registry.models(trials.store) == []
    assert ("champion", "none yet") in asked.champion_table().rows
    run_id = trials.run({}, experiment="promotion")
    decision_record.write_decision(trials.store, run_id, release, candidates)
    record = decision_record.read_decision(trials.store, run_id)
    assert record.decision.answer == "promote"
    assert record.release == decision_record.ReleaseRecord.of(release)
    assert record.candidates["runs"][0]["run_id"] == good
    file = trials.store.client.download_artifacts(run_id, f"{decision_record.FOLDER}/{decision_record.FILE}")
    assert json.loads(Path(file).read_text("utf-8"))["format"] == decision_record.FORMAT
    run = trials.store.client.get_run(run_id)
    assert run.data.tags["nbops.promoted"] == "false"
    assert run.data.metrics["gain"] == pytest.approx(record.decision.content["gain"])
    assert json.dumps(record.decision.content, allow_nan=False)


def test_a_dry_run_foretells_what_a_stage_would_refuse_or_wait_for(trials, houses, gate, project):
    good = trials.fitted(better(), houses)
    waits = Stages(prod=Stage(approval=True, require_clean=False, require_fingerprint=False))
    asked = gate(settings=project.model_copy(update={"stages": waits}))
    decision = asked.decide(asked.holdout(asked.candidates()))

    def told(stages: str) -> dict[str, list[str]]:
        release = asked.release(decision, stages=stages)
        release.register()
        found = {each.name: [step().text for step in (each.deploy, each.test, each.switch)] for each in release.stages}
        return found | {"ends": release.rollout.ends}

    said = told("dev,test,prod")
    assert all(text.startswith("would ") and "refused" not in text for text in said["dev"])
    assert said["test"][0].startswith("would be refused: its run has no fingerprint")
    assert "require_fingerprint = false under [stages.test]" in said["test"][0]
    assert said["test"][1:] == ["would not come to that"] * 2
    assert said["prod"][0] == "would not come to that: test would refuse it"
    assert said["ends"] == "test would refuse it"
    assert registry.models(trials.store) == []

    champion(trials, good, stage="dev")
    said = told("dev,prod")
    assert said["dev"][0] == "version 1 is its champion already, and would be asked for known rows"
    assert said["prod"][0] == "would wait for an approval: nbops promote --continue houses"
    assert said["ends"] == "it would wait for an approval before prod"

    champion(trials, good)
    decision = asked.decide(asked.holdout(asked.candidates()))
    said = told("dev,prod")
    assert said["dev"][0] == "nothing to do: the champion of prod stays"
    assert said["prod"][0].startswith("version 1 stays: endpoint 'houses' would be started if it does not run")
    assert said["ends"] == ""


def test_a_run_without_a_decision_is_an_error(trials):
    from notebooks_lib.release import decision_record

    with pytest.raises(PromotionError, match="recorded no decision"):
        decision_record.read_decision(trials.store, trials.run({}))


def test_the_figure_shows_both(trials, houses, gate):
    trials.fitted(better(), houses)
    asked = gate()
    figure = asked.figure(asked.holdout(asked.candidates()))
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert any("the mean of the training rows" in label for label in labels)
    assert any("run " in label for label in labels)


def test_a_champion_that_came_meanwhile_is_not_overwritten(trials, houses, gate):
    champion(trials, trials.fitted(worse(), houses))
    trials.fitted(better(), houses)
    asked = gate()
    release = asked.release(asked.decide(asked.holdout(asked.candidates())), dry_run=False)
    rival = champion(trials, trials.fitted(middling(), houses, experiment="elsewhere"))
    with pytest.raises(PromotionError, match="version 2 of 'houses' became champion while this run was compared"):
        release.register()
    assert champions.champion(trials.store, "houses").version == rival.version


def test_a_function_of_ones_own_decides(trials, houses, gate):
    import numpy as np

    from notebooks_lib.metrics.metric import own_metric

    def costs(truth, predicted):
        return float(np.mean(np.maximum(truth - predicted, 0)))  # too low a price costs, too high a one does not

    first = champion(trials, trials.fitted(worse(), houses))
    good = trials.fitted(better(), houses)
    for run_id in (first.run_id, good):
        from notebooks_lib.models import logged_models as models

        said = models.load(models.model_of_run(trials.store, run_id).source).predict(houses.validation.X)
        trials.store.client.log_metric(run_id, "costs", costs(houses.validation.y, said))
    decision = answer(gate(metric=own_metric(costs, "min")))
    assert decision.answer == "promote"
    assert decision.evidence.paired.by == "blocks"
    assert decision.challenger.run_id == good


@pytest.mark.proof
def test_rows_of_a_group_are_not_taken_for_independent_and_have_no_order(trials, gate, project, tmp_path):
    import pandas as pd

    from notebooks_lib import datasets
    from notebooks_lib.errors import UnknownNameError

    table = pd.read_csv(write_houses(tmp_path / "streets.csv", rows=900))
    table["street"] = table.index % 150
    table["sold"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(table.index, unit="h")
    table.to_csv(tmp_path / "streets.csv", index=False)
    data = datasets.add(tmp_path / "streets.csv", "streets", project, target="price", key="house", group="street")

    def fitted(model, **more):
        from sklearn.compose import make_column_transformer
        from sklearn.pipeline import make_pipeline

        return trials.fitted(
            make_pipeline(make_column_transformer(("passthrough", ["rooms", "roof"])), model), data, **more
        )

    champion(trials, fitted(worse()))
    fitted(better())
    decision = answer(gate())
    assert decision.answer == "promote"
    assert decision.evidence.paired.by == "groups"
    assert "groups" in [rule.id for rule in decision.rules]
    with pytest.raises(UsageError, match="order_by='sold': streets@1 has the group column 'street'"):
        answer(gate(order_by="sold"))
    with pytest.raises(UnknownNameError, match="did you mean 'sold'"):
        answer(gate(order_by="solt"))
    assert readings(project) == 1


def test_a_holdout_is_used_up(trials, houses, gate, project):
    promotion = project.promotion.model_copy(update={"holdout_uses": 2})
    project = project.model_copy(update={"promotion": promotion})
    trials.fitted(better(), houses)
    uses = [answer(gate(settings=project, min_gain=0.001 * number)) for number in range(3)]
    assert [each.answer for each in uses] == ["promote", "promote", "undecided"]
    assert uses[0].level == 0.025
    assert "nbops data holdout houses@1 --fresh" in uses[2].summary


def test_a_large_budget_hides_the_estimates(trials, houses, gate, project):
    from notebooks_lib.release import decision_record

    promotion = project.promotion.model_copy(update={"holdout_uses": 11})
    project = project.model_copy(update={"promotion": promotion})
    trials.fitted(better(), houses)
    asked = gate(settings=project)
    candidates = asked.candidates()
    evidence = asked.holdout(candidates)
    decision = asked.decide(evidence)
    assert decision.answer == "promote"
    assert "wear it out" in repr(asked.scores(evidence))
    assert "wear it out" in asked.figure(evidence).axes[0].texts[0].get_text()
    run_id = trials.run({})
    decision_record.write_decision(trials.store, run_id, asked.release(decision), candidates)
    assert not set(trials.store.client.get_run(run_id).data.metrics) & {"gain", "challenger_rmse", "champion_rmse"}
    score = f"{evidence.challenger.score:.4g}"
    assert score not in json.dumps(decision_record.read_decision(trials.store, run_id).decision.content)
    assert score not in repr(decision)


def test_the_gate_goes_by_the_policy_of_its_model(gate, project):
    def policy(**models):
        own = Promotion(limits={"rmse": 9.0}, models=models)
        made = gate(settings=project.model_copy(update={"promotion": own}))
        return dict(made.policy.limits), "[promotion.models.houses]" in repr(made)

    assert policy(cats={"limits": {"accuracy": 0.9}}) == ({"rmse": 9.0}, False)
    assert policy(houses={"limits": {"mae": 1.0}}) == ({"mae": 1.0}, True)


@pytest.mark.parametrize("key", ["limits", "not_worse"])
def test_a_policy_that_names_no_metric_of_the_task_is_refused_before_anything_is_read(key, gate, project):
    def made(names, **options):
        own = Promotion(**{key: dict.fromkeys(names, 1.0)})
        return gate(settings=project.model_copy(update={"promotion": own}), **options)

    made(["rmse", "r2"])
    made(["accuracy", "log_loss"], metric="auc")
    with pytest.raises(UsageError, match=f"unknown metric in promotion.{key} for houses 'rmsee', did you mean 'rmse'"):
        made(["rmsee"])
    with pytest.raises(UsageError, match="accuracy .* of classification, but rmse, .*promotion.models.houses") as told:
        made(["mae", "accuracy"])
    assert "\n" not in str(told.value)
