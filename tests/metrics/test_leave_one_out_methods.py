"""Leaving rows out of a metric in closed form equals computing it again without them."""

from __future__ import annotations

import numpy as np
import pytest

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.leave_one_out_methods import CLIP, METHODS, leaver_of
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.statistics import blocks
from notebooks_lib.statistics.leave_one_out import Recomputed
from tests.metrics.models import answers

KINDS = (
    blocks.single_rows(36),
    blocks.group_blocks(np.random.default_rng(1).integers(0, 12, size=36)),
    blocks.stratified_blocks(36, blocks=8),
    blocks.time_stretches(36, blocks=5),
)


@pytest.mark.parametrize(
    ("metric", "classes"),
    [
        (METRICS[name], size)
        for name in METHODS
        for size in ((2, 3) if METRICS[name].task == "classification" else (0,))
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_leaving_out_in_closed_form_is_computing_anew(metric, classes):
    truth, model, _ = answers(metric.task, classes, rows=36)
    left = leaver_of(metric, truth, model)
    assert left.cheap
    assert left.whole == pytest.approx(metric.score(truth, model))
    anew = Recomputed(36, lambda at: metric.score(truth.at(at), model.at(at)))
    for dealt in KINDS:
        assert left.without(dealt) == pytest.approx(anew.without(dealt), abs=1e-12), dealt.kind


def test_a_table_of_rows_and_classes_is_not_made_too_large():
    truth, model, _ = answers("classification", rows=100)
    metric = METRICS["f1_macro"]
    assert leaver_of(metric, truth, model).cheap
    recomputed = leaver_of(metric, truth, model, largest_table=199)
    assert not recomputed.cheap
    assert recomputed.whole == pytest.approx(metric.score(truth, model))


def test_log_loss_is_clipped_where_it_decides_and_nowhere_else():
    classes = np.array([0, 1])
    truth, sure = Truth(np.array([0, 1]), classes), Answers(np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    metric = METRICS["log_loss"]
    assert metric.score(truth, sure) > 15
    assert leaver_of(metric, truth, sure).whole == pytest.approx(-np.log(CLIP) / 2)
    assert str(CLIP) in metric.note
