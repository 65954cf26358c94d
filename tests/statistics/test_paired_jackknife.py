"""The interval: exact where theory is, near the bootstrap elsewhere, and honest about what it cannot know."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from notebooks_lib.statistics import blocks, paired_jackknife
from notebooks_lib.statistics.leave_one_out import Recomputed, Sums


def mean(values: np.ndarray) -> Sums:
    ones = np.ones(len(values))
    return Sums(np.column_stack([ones, values]), lambda sums: sums[..., 1] / sums[..., 0])


def drawn(rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    one = random.normal(size=rows)
    return one, one + 0.3 * random.normal(size=rows) + 0.05


def test_of_a_mean_over_rows_without_skew_it_is_the_paired_t_test():
    new, _ = drawn()
    old = new + 0.3 * stats.norm.ppf((np.arange(60) + 0.5) / 60) + 0.05
    gain = paired_jackknife.compare_paired(mean(new), mean(old), sign=-1.0, blocks=blocks.single_rows(len(new)))
    test = stats.ttest_rel(old, new, alternative="greater")
    assert gain.gain == pytest.approx((old - new).mean())
    assert gain.gain / gain.standard_error == pytest.approx(test.statistic)
    assert gain.p_value() == pytest.approx(test.pvalue)
    assert gain.df == test.df
    interval = test.confidence_interval(0.995)
    assert gain.lower(0.005) == pytest.approx(interval.low)
    assert gain.upper(0.05) == pytest.approx(
        stats.ttest_rel(old, new, alternative="less").confidence_interval(0.95).high
    )


def test_of_a_mean_over_groups_of_one_size_it_is_the_t_test_of_their_means():
    new, old = drawn(60)
    gain = paired_jackknife.compare_paired(
        mean(new), mean(old), sign=-1.0, blocks=blocks.group_blocks(np.repeat(np.arange(20), 3))
    )
    test = stats.ttest_rel(old.reshape(20, 3).mean(axis=1), new.reshape(20, 3).mean(axis=1))
    assert (gain.by, gain.blocks, gain.effective, gain.df) == ("groups", 20, 20.0, 19.0)
    assert gain.gain / gain.standard_error == pytest.approx(test.statistic)


def test_of_groups_of_many_sizes_it_is_near_what_new_groups_would_do():
    """A mean over groups of very different sizes, drawn 4,000 times: the error that is said is the error that is made."""
    random = np.random.default_rng(1)
    gains, errors = [], []
    for _ in range(4000):
        sizes = random.integers(1, 12, size=40)
        of_row = np.repeat(np.arange(40), sizes)
        values = random.normal(size=40)[of_row] + 0.5 * random.normal(size=len(of_row))
        dealt = blocks.group_blocks(of_row)
        left = mean(values).without(dealt)
        gains.append(values.mean())
        errors.append(paired_jackknife.standard_error(left))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(gains), rel=0.06)


def test_a_group_that_has_most_rows_leaves_few_degrees_of_freedom():
    dealt = blocks.group_blocks(np.array([0] * 90 + list(range(1, 31))))
    assert dealt.count == 31
    assert dealt.effective == pytest.approx(120**2 / (90**2 + 30))
    assert paired_jackknife.compare_paired(mean(drawn(120)[0]), mean(drawn(120)[1]), sign=1.0, blocks=dealt).df < 1


def test_it_is_near_the_paired_bootstrap_of_a_ratio():
    new, old = (np.abs(each) for each in drawn(400, seed=3))

    def root(values):
        return Sums(np.column_stack([np.ones(len(values)), values**2]), lambda s: np.sqrt(s[..., 1] / s[..., 0]))

    gain = paired_jackknife.compare_paired(root(new), root(old), sign=-1.0, blocks=blocks.single_rows(400))
    random = np.random.default_rng(0)
    places = random.integers(0, 400, size=(4000, 400))
    resampled = np.sqrt((old[places] ** 2).mean(axis=1)) - np.sqrt((new[places] ** 2).mean(axis=1))
    assert gain.standard_error == pytest.approx(resampled.std(), rel=0.06)
    low, high = np.quantile(resampled, [0.05, 0.95])
    assert gain.lower(0.05) == pytest.approx(low, abs=0.15 * gain.standard_error)
    assert gain.upper(0.05) == pytest.approx(high, abs=0.15 * gain.standard_error)


def test_blocks_of_rows_say_nearly_what_rows_say():
    new, old = drawn(800)
    score_new, score_old = (
        Recomputed(800, lambda at, values=values: float(values[at].mean())) for values in (new, old)
    )
    dealt = blocks.stratified_blocks(800)
    gain = paired_jackknife.compare_paired(score_new, score_old, sign=1.0, blocks=dealt)
    by_row = paired_jackknife.compare_paired(mean(new), mean(old), sign=1.0, blocks=blocks.single_rows(800))
    assert (gain.blocks, gain.df) == (40, 39.0)
    assert gain.gain == pytest.approx(by_row.gain)
    assert gain.standard_error == pytest.approx(
        by_row.standard_error, rel=0.35
    )  # of 39 degrees of freedom: 11 % a sigma
    assert gain == paired_jackknife.compare_paired(
        score_new, score_old, sign=1.0, blocks=blocks.stratified_blocks(800)
    )  # nothing at random


@pytest.mark.parametrize("anew", [False, True])
def test_the_weightiest_row_is_found(anew):
    new, old = drawn(300)
    old = old.copy()
    old[123] += 50.0
    pair = [
        Recomputed(300, lambda at, values=values: float(values[at].mean())) if anew else mean(values)
        for values in (new, old)
    ]
    dealt = blocks.stratified_blocks(300) if anew else blocks.single_rows(300)
    gain = paired_jackknife.compare_paired(*pair, sign=-1.0, blocks=dealt)
    squares = ((old - new) - (old - new).mean()) ** 2
    assert gain.largest_share == pytest.approx(squares.max() / squares.sum(), rel=0.05)


def test_an_unknown_figure_is_nan_not_a_guess():
    same = mean(np.ones(50))
    flat = paired_jackknife.compare_paired(same, mean(np.full(50, 2.0)), sign=-1.0, blocks=blocks.single_rows(50))
    assert (flat.gain, flat.standard_error, flat.sound, flat.p_value()) == (1.0, 0.0, False, 1.0)
    assert math.isnan(flat.largest_share)
    alone = paired_jackknife.compare_paired(same, same, sign=1.0, blocks=blocks.group_blocks(np.zeros(50)))
    assert math.isnan(alone.standard_error)
    assert not alone.sound
    assert math.isnan(alone.lower(0.05))
    assert alone.as_json()["standard_error"] is None
    undefined = paired_jackknife.compare_paired(
        mean(np.full(50, np.nan)), same, sign=1.0, blocks=blocks.single_rows(50)
    )
    assert not undefined.sound


def test_the_level_at_which_the_bound_is_reached_is_the_p_value():
    for skew in (-4.0, -1.0, 0.0, 2.0):
        gain = replace(
            paired_jackknife.compare_paired(
                mean(drawn()[0]), mean(drawn()[1]), sign=-1.0, blocks=blocks.single_rows(60)
            ),
            gain=1.0,
        )
        gain = replace(gain, skewness=skew, standard_error=0.4)
        for alpha in (0.2, 0.05, 0.005):
            assert gain.p_value(gain.lower(alpha)) == pytest.approx(alpha)
        assert gain.p_value(1.0) >= 0.5


def test_bounds_are_only_ever_wider_than_those_of_t():
    random = np.random.default_rng(4)
    for _ in range(50):
        gains = random.choice([-1, 1]) * random.exponential(size=60) ** random.choice([0.5, 1, 2])
        gain = paired_jackknife.compare_paired(mean(gains), mean(gains * 0), sign=1.0, blocks=blocks.single_rows(60))
        test = stats.ttest_1samp(gains, 0.0, alternative="greater").confidence_interval(0.995)
        assert gain.lower(0.005) <= test.low + 1e-12


@pytest.mark.parametrize(("uses", "bar"), [(1, 0.05), (10, 0.005)])
def test_skew_and_heavy_tails_are_paid_for(uses: int, bar: float):
    """Rare large losses against steady gains, true mean zero: t alone is wrong three to ten times as often."""
    random = np.random.default_rng(6)
    wrong, plain = 0, 0
    critical = stats.t.ppf(1 - bar, 59)
    for _ in range(1000):
        gains = 1 - random.exponential(size=60)
        gain = paired_jackknife.compare_paired(mean(gains), mean(gains * 0), sign=1.0, blocks=blocks.single_rows(60))
        wrong += gain.lower(bar) > 0
        plain += gains.mean() > critical * gains.std(ddof=1) / math.sqrt(60)
    assert wrong <= stats.binom.ppf(1 - 1e-4, 1000, bar * 1.3)
    assert plain > wrong


def test_rows_in_the_order_of_time_tell_how_they_hang_together():
    random = np.random.default_rng(2)
    values = np.zeros(3000)
    for place in range(1, 3000):
        values[place] = 0.7 * values[place - 1] + random.normal()
    gain = paired_jackknife.compare_paired(
        mean(values), mean(np.zeros(3000)), sign=1.0, blocks=blocks.time_stretches(3000)
    )
    assert gain.autocorrelation == pytest.approx(0.7, abs=0.05)
    assert gain.standard_error > 1.5 * values.std() / math.sqrt(3000)  # what independent rows would say is too little
    assert (
        paired_jackknife.compare_paired(
            mean(values), mean(values * 0), sign=1.0, blocks=blocks.single_rows(3000)
        ).autocorrelation
        is None
    )


def test_holm_stops_at_the_first_that_fails():
    assert paired_jackknife.holm([0.01, 0.04, 0.03], 0.05) == pytest.approx([0.05 / 3, 0.025, 0.025])
    assert paired_jackknife.holm([0.001, 0.02, 0.04], 0.05) == pytest.approx([0.05 / 3, 0.025, 0.05])
    assert paired_jackknife.holm([0.02, 0.02], 0.05) == pytest.approx([0.025, 0.05])
    assert paired_jackknife.holm([], 0.05) == []
