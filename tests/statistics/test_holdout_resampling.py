"""Other holdouts drawn from one: their moments, counts and bounds are those of real ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from notebooks_lib.statistics import blocks, holdout_resampling, paired_jackknife
from notebooks_lib.statistics.leave_one_out import Sums


def mean(values: np.ndarray) -> Sums:
    return Sums(np.column_stack([np.ones(len(values)), values]), lambda sums: sums[..., 1] / sums[..., 0])


def compared(gains: np.ndarray, dealt: blocks.Blocks, **more) -> paired_jackknife.PairedGain:
    return paired_jackknife.compare_paired(mean(gains), mean(gains * 0), sign=1.0, blocks=dealt, **more)


def test_the_gain_that_is_needed_is_what_new_samples_need():
    random = np.random.default_rng(1)
    drawn = compared(random.normal(size=150), blocks.single_rows(150)).draws
    real = [random.normal(size=150) for _ in range(600)]
    needed = [
        compared(each, blocks.single_rows(150)).gain - compared(each, blocks.single_rows(150)).lower(0.005)
        for each in real
    ]
    needed = np.array(needed) - [each.mean() for each in real]
    for share in (0.2, 0.5, 0.8):
        assert np.quantile(drawn.needed(0.005), share) == pytest.approx(np.quantile(needed, share), abs=0.05)


def test_units_are_rows_or_groups_that_hold_one():
    flags = np.array([True, True, False, True, False, False, False, False])
    classes = np.column_stack([~flags, flags])
    gains = np.arange(8.0)
    by_row = compared(gains, blocks.single_rows(8), classes=classes, differing=flags)
    by_group = compared(
        gains, blocks.group_blocks(np.array([1, 1, 1, 2, 2, 3, 3, 4])), classes=classes, differing=flags
    )
    assert (by_row.rarer, by_row.differing) == (3, 3)
    assert (by_group.rarer, by_group.differing) == (2, 2)
    assert by_group.draws.rarer.mean() == pytest.approx(2, abs=0.4)
    assert set(by_group.draws.differing) <= set(range(5))


def test_the_weightiest_row_of_a_draw_is_one_that_was_drawn():
    gains = np.r_[np.random.default_rng(0).normal(size=99), 30.0]
    drawn = compared(gains, blocks.single_rows(100)).draws
    assert (drawn.share > 0.3).mean() == pytest.approx(1 - np.exp(-1), abs=0.08)  # with the outlier or without it


def test_the_same_rows_are_drawn_the_same_way_and_survive_a_file():
    gains = np.random.default_rng(0).normal(size=50)
    one, two = (compared(gains, blocks.single_rows(50)).draws for _ in range(2))
    again = holdout_resampling.Draws.from_json(json.loads(json.dumps(two.as_json())))
    assert (one.needed(0.005) == again.needed(0.005)).all()
    assert (one.share == again.share).all()


def test_where_draws_tell_nothing_there_are_none():
    many = np.random.default_rng(0).normal(size=200_000)
    assert compared(many, blocks.single_rows(200_000)).draws is None
    assert compared(many[:500], blocks.time_stretches(500)).draws is None
