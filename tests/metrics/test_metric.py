"""A user's own function as a metric: what it is given, its direction, and its code as a part of its identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.metrics.metric import Answers, Truth, gain, import_metric, own_metric, sort_key


def cost(truth, predicted):
    return float(np.abs(truth - predicted).sum())


def spread(truth, predicted, probabilities):
    return float(probabilities.max(axis=1).mean())


def test_a_function_of_truth_and_predictions_is_a_metric():
    metric = own_metric(cost, "min")
    assert (metric.name, metric.direction, metric.own) == ("cost", "min", True)
    assert metric.score(Truth(np.array([1.0, 2.0])), Answers(np.array([1.5, 2.0]))) == 0.5
    assert metric.gain(1.0, 3.0) == 2.0


def test_a_function_that_names_probabilities_gets_them():
    chances = np.array([[0.2, 0.8], [0.6, 0.4]])
    metric = own_metric(spread, "max", task="classification", name="sure")
    assert metric.needs_probabilities
    truth, answers = Truth(np.array([0, 1]), np.array([0, 1])), Answers(np.array([1, 0]), chances)
    assert metric.score(truth, answers) == pytest.approx(0.7)
    assert (metric.name, metric.gain(3.0, 1.0)) == ("sure", 2.0)


def test_another_code_is_another_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    codes = set()
    for module, factor in (("cheap_metric", 1), ("dear_metric", 2)):
        (tmp_path / f"{module}.py").write_text(f"def cost(truth, predicted):\n    return {factor} * len(truth)\n")
        metric = import_metric(f"{module}:cost:min")
        assert (metric.name, metric.task) == ("cost", "regression")
        codes.add(metric.code)
    assert len(codes) == 2


@pytest.mark.parametrize("text", ["nowhere:cost:min", "math:nothing:min", "math:pi:max"])
def test_what_is_no_function_is_refused(text: str):
    with pytest.raises(UsageError, match=text.split(":")[0]):
        import_metric(text)


def test_better_is_positive_and_sorts_first_in_either_direction():
    assert (gain("min", 1.0, 2.0), gain("max", 2.0, 1.0)) == (1.0, 1.0)
    assert sorted([2.0, 1.0, 3.0], key=lambda value: sort_key("max", value)) == [3.0, 2.0, 1.0]
    assert sorted([2.0, 1.0, 3.0], key=lambda value: sort_key("min", value)) == [1.0, 2.0, 3.0]
