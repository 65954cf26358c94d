"""Counts of one slot: percentiles from buckets, and what came after a mark."""

from __future__ import annotations

import itertools

import pytest

from notebooks_lib.serving.request_counts import TIME_BOUNDS, RequestCounter, RequestCounts, read_counts


def test_percentiles_are_off_by_a_step_of_the_bounds_at_most() -> None:
    counter = RequestCounter("a")
    assert counter.counts().p50 is None
    for number in range(1000):
        counter.answered(200, 0.001 * (number + 1))
    counter.answered(400, 5.0)  # a refusal is quick or slow for other reasons
    counts = counter.counts()
    assert (counts.requests, counts.refused, counts.failed) == (1001, 1, 0)
    assert counts.p50 == pytest.approx(0.5, rel=0.13)
    assert counts.p95 == pytest.approx(0.95, rel=0.13)
    counter.answered(200, 1e9)
    assert counter.counts().times[-1] == 1
    assert all(one < other for one, other in itertools.pairwise(TIME_BOUNDS))


def test_a_mark_is_subtracted_unless_the_slot_was_deployed_anew() -> None:
    counter = RequestCounter("a")
    counter.answered(200, 0.01)
    for number, apart in enumerate((0.9, 0.00012345, 0.3)):
        counter.mirrored = number + 1
        counter.differed(apart)
    mark = read_counts(counter.counts().as_json())
    assert mark == counter.counts()
    counter.answered(500, 0.01)
    since = counter.counts() - mark
    assert (since.requests, since.failed, since.p50) == (1, 1, None)
    assert (mark.largest_difference, since.largest_difference) == (0.9, 0.0)
    counter.mirrored += 1
    counter.differed(0.00123456)
    assert [(counter.counts() - each).largest_difference for each in (mark, RequestCounts())] == [0.00123, 0.9]
    assert (counter.counts() - RequestCounts()).requests == 2
    other = RequestCounter("b")
    other.answered(200, 0.01)
    assert (other.counts() - mark).requests == 1
