"""Which cells a review names for their time and memory, and which runs count; the rest of it is tested through its command."""

from __future__ import annotations

from notebooks_lib.review.reviewer import _costs, _only_first
from notebooks_lib.review.run_comparison import CostChange, RunComparison
from notebooks_lib.review.run_record import CellCost, RunRecord
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import RunInfo

Figures = tuple[float, float | None]


def named(*cells: tuple[Figures, Figures], kernels: tuple[str, str] = ("warm", "warm")) -> list[int]:
    costs = [CostChange(i, i, "", CellCost(*base), CellCost(*head)) for i, (base, head) in enumerate(cells)]
    base, head = (
        RunRecord(RunInfo("", "", "", "", "FINISHED", 0, {}, {}, {Tag.KERNEL: kernel}), {}) for kernel in kernels
    )
    comparison = RunComparison(base, head, (), (), (), "", (), (), tuple(costs), None)
    return [cost.cell for cost in _costs(comparison)]


def test_more_than_half_as_long_again_and_a_second() -> None:
    assert named(((1.0, None), (2.4, None)), ((10.0, None), (14.0, None)), ((0.2, None), (1.1, None))) == [0]
    assert named(((9.0, None), (1.0, None))) == [0], "much less, too"


def test_a_warm_and_a_cold_kernel_are_not_compared() -> None:
    started = ((6.2, 367), (0.1, 300))
    assert named(started) == named(started, kernels=("cold", "cold")) == [0]
    assert named(started, kernels=("cold", "warm")) == named(started, kernels=("warm", "cold")) == []


def test_memory_counts_where_it_comes_from() -> None:
    grown = (((1, 100), (1, 160)), ((1, 200), (1, 260)), ((1, 210), (1, 370)), ((1, 220), (1, 380)))
    assert named(*grown) == [2], "not the kernel's own start, and not the cells after"
    assert named(((1, None), (1, 500)), ((1, 100), (1, 100))) == []


def test_a_side_without_a_seed_has_one_run_that_counts() -> None:
    assert _only_first(1, 3) == "the base has no parameter `seed`: of 3 runs of the other side the first counts"
    assert _only_first(3, 1).startswith("the head has no parameter `seed`")
    assert [_only_first(*numbers) for numbers in ((3, 3), (1, 1), (0, 3))] == [""] * 3
