"""A metric without one block, by sums, by placements or by their mean: what computing it again gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.statistics import blocks
from notebooks_lib.statistics.blocks import Blocks
from notebooks_lib.statistics.leave_one_out import Mean, Placements, Recomputed, Sums


def test_placements_count_ties_half():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    positive, chance = random.random(200) < 0.3, random.integers(0, 12, size=200) / 12
    assert Placements(positive, chance).whole == pytest.approx(roc_auc_score(positive, chance))
    assert math.isnan(Placements(np.ones(5, dtype=bool), chance[:5]).whole)


@st.composite
def dealt_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Blocks]:
    """Values with ties, a class for each, and blocks of one of the four kinds."""
    count = draw(st.integers(4, 30))
    values = np.array(draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)), dtype=float)
    positive = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    named = np.array(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    kinds = (
        blocks.single_rows(count),
        blocks.stratified_blocks(count),
        blocks.time_stretches(count),
        blocks.group_blocks(named),
    )
    return values, positive, draw(st.sampled_from(kinds))


@given(dealt_rows())
def test_sums_without_a_block_are_the_sums_of_the_others(rows):
    values, _, dealt = rows
    figures = np.column_stack([np.ones(len(values)), values])
    by_sums = Sums(figures, lambda sums: sums[..., 1] / sums[..., 0])
    again = Recomputed(len(values), lambda at: values[at].mean() if len(at) else math.nan)
    assert by_sums.whole == pytest.approx(again.whole)
    assert by_sums.without(dealt) == pytest.approx(again.without(dealt), nan_ok=True)


@given(dealt_rows())
def test_the_area_without_a_block_is_the_area_of_the_others(rows):
    values, positive, dealt = rows
    again = Recomputed(len(values), lambda at: Placements(positive[at], values[at]).whole)
    assert Placements(positive, values).without(dealt) == pytest.approx(again.without(dealt), nan_ok=True)


@given(dealt_rows())
def test_a_mean_of_metrics_is_left_out_of_part_by_part(rows):
    values, positive, dealt = rows
    one, other = Placements(positive, values), Placements(~positive, values)
    assert Mean((one, other)).without(dealt) == pytest.approx(
        (one.without(dealt) + other.without(dealt)) / 2, nan_ok=True
    )


def test_an_outcome_that_may_be_missing_by_chance_makes_a_share_uncertain():
    """Three right answers of three: no spread, and one more wrong one would change the share."""
    figures, outcomes = np.array([[1.0, 1.0]] * 3), np.array([[1.0, 1.0], [0.0, 1.0]])
    share = Sums(figures, lambda sums: sums[..., 0] / sums[..., 1], outcomes)
    assert share.whole == 1.0
    assert share.unseen_variance(1.0) == pytest.approx((1 - 3 / 4) ** 2)
    assert Sums(figures, share.of).unseen_variance(1.0) == 0.0
