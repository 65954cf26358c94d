"""Blocks of rows that are left out together: even, stratified, by group, or stretches of time; always the same."""

from __future__ import annotations

import numpy as np
import pytest

from notebooks_lib.statistics import blocks


def test_blocks_are_even_and_so_are_their_strata():
    strata = np.array(["a"] * 160 + ["b"] * 85)
    dealt = blocks.stratified_blocks(245, strata)
    assert dealt.count == 40
    assert set(dealt.sizes) == {6, 7}
    each = [np.bincount(dealt.of_row[strata == name], minlength=40) for name in ("a", "b")]
    assert all(counts.max() - counts.min() <= 1 for counts in each)
    assert blocks.stratified_blocks(7).count == 7
    times = blocks.time_stretches(95)
    assert times.count == 10
    assert set(times.sizes) == {9, 10}
    assert (np.diff(times.of_row) >= 0).all()


def test_a_group_is_one_block_wherever_its_rows_stand():
    dealt = blocks.group_blocks(np.array(["b", "a", "b", "c", "b"]))
    assert dealt.count == 3
    assert sorted(dealt.sizes) == [1, 1, 3]
    assert len(set(dealt.of_row[[0, 2, 4]])) == 1


def test_blocks_of_one_size_count_whole_and_one_large_block_nearly_as_one():
    assert blocks.single_rows(30).effective == 30
    assert blocks.group_blocks(np.repeat(np.arange(5), 4)).effective == pytest.approx(5)
    assert blocks.group_blocks(np.array([0] * 97 + [1, 2, 3])).effective < 1.1


def test_rows_are_dealt_the_same_way_each_time():
    assert (blocks.stratified_blocks(200).of_row == blocks.stratified_blocks(200).of_row).all()
