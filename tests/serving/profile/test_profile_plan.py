"""What may be asked for, and what a request of so many rows is."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.serving.profile import profile_plan

MACHINE = profile_plan.Machine(cpus=2, memory_gib=7.6, processor="any")


def test_defaults_are_as_much_as_the_machine_has() -> None:
    found = profile_plan.make_grid(MACHINE)
    assert (found.cpus, found.memories) == ((0.5, 1.0, 2.0), (1.0, 2.0, 4.0))
    assert profile_plan.make_grid(profile_plan.Machine(1.5, 2.5, "")).cpus == (0.5, 1.0)
    assert profile_plan.make_grid(profile_plan.Machine(0.25, 0.9, "")).cpus == (0.2,)


def test_limits_are_sorted_and_batches_keep_their_order() -> None:
    found = profile_plan.make_grid(MACHINE, cpus="2, 0.5,2", memories="1", concurrencies="8,1", batches="10,1")
    assert (found.cpus, found.concurrencies, found.batches) == ((0.5, 2.0), (1, 8), (10, 1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cpus": "0"}, "--cpu '0': found '0'; expected numbers from 0.1"),
        ({"cpus": "one"}, "found 'one'"),
        ({"cpus": "1,,2"}, "found ''"),
        ({"cpus": "nan"}, "found 'nan'"),
        ({"cpus": "4"}, "--cpu 4: this machine has 2 CPUs for this process"),
        ({"memories": "-1"}, "found '-1'"),
        ({"memories": "64"}, "--memory 64: this machine has 7.6 GiB"),
        ({"concurrencies": "1.5"}, "expected whole numbers from 1 to 100"),
        ({"concurrencies": "101"}, "found '101'"),
        ({"batches": "0"}, "found '0'"),
        ({"seconds": 0.0}, "--seconds 0: expected 0.2 to 600"),
    ],
)
def test_invalid_limits_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        profile_plan.make_grid(MACHINE, **given)
    assert said in str(refused.value)


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("0.5s", 0.5), (" 20 ms ", 0.02)])
def test_a_time_needs_its_unit(text: str, seconds: float) -> None:
    assert profile_plan.make_target(50, text) == profile_plan.LoadTarget(50, pytest.approx(seconds))


@pytest.mark.parametrize(("rate", "text"), [(50, "100"), (50, "0ms"), (50, "soon"), (0, "1s"), (float("nan"), "1s")])
def test_an_invalid_target_is_refused(rate: float, text: str) -> None:
    with pytest.raises(UsageError):
        profile_plan.make_target(rate, text)
