"""Which way each metric is better is known once, for sweeps, compare and promotion; and by how much."""

from __future__ import annotations

import math

import numpy as np
import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.sweeps.goal import Goal


def test_promotion_computes_only_what_it_knows():
    with pytest.raises(UsageError, match="did you mean 'rmse'"):
        builtin.find("rmsee")


def test_gain_is_positive_when_better():
    assert METRICS["rmse"].gain(1.0, 3.0) == 2.0
    assert METRICS["r2"].gain(0.5, 0.75) == -0.25


@pytest.mark.parametrize(
    "metric", [each for each in METRICS.values() if each.task == "regression"], ids=lambda m: m.name
)
def test_a_perfect_regression_beats_a_poor_one(metric):
    truth = Truth(np.array([1.0, 2.0, 3.0, 4.0]))
    perfect, poor = Answers(truth.values), Answers(np.array([4.0, 1.0, 2.0, 2.0]))
    assert metric.gain(metric.score(truth, perfect), metric.score(truth, poor)) > 0


@pytest.mark.parametrize("names", [[0, 1], ["no", "yes"], ["a", "b", "c"]], ids=["numbers", "two", "three"])
@pytest.mark.parametrize(
    "metric", [each for each in METRICS.values() if each.task == "classification"], ids=lambda m: m.name
)
def test_a_perfect_classification_beats_a_poor_one(metric, names):
    classes = np.array(names)
    place = np.arange(12) % len(classes)
    truth = Truth(classes[place], classes)
    sure = np.full((12, len(classes)), 0.1 / (len(classes) - 1))
    sure[np.arange(12), place] = 0.9
    wrong = np.roll(sure, 1, axis=1)
    good = Answers(truth.values, sure)
    poor = Answers(np.roll(classes, 1)[place], wrong)
    assert metric.gain(metric.score(truth, good), metric.score(truth, poor)) > 0


@pytest.mark.parametrize("name", ["mse", "mae", "accuracy", "brier", "log_loss"])
def test_losses_of_rows_average_to_the_metric(name):
    metric = METRICS[name]
    assert metric.losses is not None
    chances = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    if metric.task == "regression":
        truth, answers = Truth(np.array([1.0, 2.0, 4.0])), Answers(np.array([1.5, 2.5, 2.0]))
    else:
        truth = Truth(np.array([0, 1, 1]), np.array([0, 1]))
        answers = Answers(np.array([0, 1, 0]), chances)
    mean = metric.losses(truth, answers).mean()
    expected = metric.score(truth, answers)
    assert mean == pytest.approx(1 - expected if name == "accuracy" else expected)


def test_log_loss_and_brier_are_scikit_learns():
    from sklearn.metrics import brier_score_loss, log_loss

    y, chances = np.array([0, 1, 1, 0]), np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    truth, answers = Truth(y, np.array([0, 1])), Answers(np.array([0, 1, 0, 0]), chances)
    assert METRICS["log_loss"].score(truth, answers) == pytest.approx(log_loss(y, chances))
    assert METRICS["brier"].score(truth, answers) == pytest.approx(brier_score_loss(y, chances[:, 1]))


def test_undefined_is_nan_and_no_sentinel():
    truth = Truth(np.array([1, 1, 1]), np.array([0, 1]))
    scores = builtin.score_all("classification", truth, Answers(np.array([1, 1, 0]), np.array([[0.2, 0.8]] * 3)))
    assert math.isnan(scores["roc_auc"])
    assert scores["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", builtin.DIRECTIONS)
def test_all_parts_know_the_same_direction(name: str):
    assert METRICS[name].direction == builtin.DIRECTIONS[name]
    assert Goal.parse(name) == Goal(name, builtin.DIRECTIONS[name])
    assert set(METRICS) == set(builtin.DIRECTIONS)


def test_direction_comes_from_the_table_or_is_said():
    assert builtin.parse("rmse") == ("rmse", "min")
    assert builtin.parse("r2:max") == ("r2", "max")
    assert builtin.parse("cost:min") == ("cost", "min")
    assert builtin.parse("profit:max") == ("profit", "max")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rmes", "did you mean 'rmse'.*rmes:min or rmes:max"),
        ("profit", "profit:min or profit:max"),
        ("rmse:max", "the smaller is better"),
        ("cost:up", "'up' is no direction"),
    ],
)
def test_a_metric_without_direction_is_a_usage_error(text, says):
    with pytest.raises(UsageError, match=says):
        builtin.parse(text)


def test_a_metric_names_the_class_it_took_and_how_to_ask_for_the_other():
    f1, brier = builtin.METRICS["f1"], builtin.METRICS["brier"]
    assert builtin.with_class_named(f1, ["no", "yes"]).note == "of class yes; for the other: -p positive=no"
    assert builtin.with_class_named(f1, ["not yet", "yes"]).note.endswith("-p 'positive=not yet'")
    assert builtin.with_class_named(f1, ["a", "b", "c"]).note == "the mean over the classes"
    assert builtin.with_class_named(builtin.find("f1", positive="no"), ["yes", "no"]).note == "of class no"
    assert builtin.with_class_named(brier, ["no", "yes"]) is brier
