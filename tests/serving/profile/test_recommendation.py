"""From figures to a size: the smallest that holds the target with head room, or why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.serving.profile import recommendation
from notebooks_lib.serving.profile.profile_plan import GIB, LoadTarget, Machine
from notebooks_lib.serving.profile.profile_report import profile_notes
from notebooks_lib.serving.profile.recommendation import recommend
from notebooks_lib.serving.profile.results import LimitTrial, LoadPoint

TARGET = LoadTarget(rate=50, p95=0.1)
KNOWN = (
    recommendation.Instance("tiny", 1, 3.5, caution=True),
    recommendation.Instance("lean", 2, 4),
    recommendation.Instance("fair", 2, 8),
    recommendation.Instance("wide", 4, 8),
)


def cell(rate: float, p95: float | None, *, batch: int = 1, at_once: int = 4, **more: Any) -> LoadPoint:
    return LoadPoint(at_once, batch, rate, requests=300, p50=p95, p95=p95, p99=p95, **more)


def trial(cpus: float, *cells: LoadPoint, memory: float = 2.0, peak: float = 0.3, **more: Any) -> LimitTrial:
    means = {"cpu_by": "affinity", "memory_by": "watch", "outcome": "served", **more}
    return LimitTrial(cpus, memory, cells=cells, peak=int(peak * GIB), **means)


@pytest.mark.parametrize(
    ("trials", "cpus", "number"),
    [
        ([trial(0.5, cell(80, 0.05)), trial(1, cell(200, 0.02))], 0.5, 1),
        ([trial(0.5, cell(70, 0.05)), trial(1, cell(200, 0.02))], 1, 1),  # 49 to count on: one short
        ([trial(0.5, cell(90, 0.11), cell(60, 0.02)), trial(1, cell(72, 0.1))], 1, 1),  # the fast one is too slow
        ([trial(1, cell(90, 0.05, errors={"500": 1})), trial(2, cell(90, 0.05))], 2, 1),
        ([trial(1, cell(40, 0.05)), trial(2, cell(60, 0.05))], 1, 2),  # 2 x 1 CPU are no more than 2 x 2
        ([trial(0.5, cell(8, 0.09)), trial(1, cell(36, 0.05))], 1, 2),
        ([trial(0.5, cell(30, 0.05)), trial(1, cell(37, 0.05))], 0.5, 3),
        ([trial(0.5, cell(90, 0.02, cpu=0.9)), trial(1, cell(90, 0.02))], 1, 1),  # it had more than was said
        ([trial(0.5, cell(90, 0.02), cpu_by="nothing"), trial(1, cell(90, 0.02))], 1, 1),
        ([trial(0.5, cell(90, 0.02), outcome="memory"), trial(1, cell(90, 0.02))], 1, 1),
        ([trial(0.5, cell(90, 0.02), checked=cell(50, 0.3, arrivals=50)), trial(1, cell(90, 0.02))], 1, 1),
        ([trial(0.5, cell(90, 0.02), checked=cell(50, 0.09, arrivals=50)), trial(1, cell(90, 0.02))], 0.5, 1),
    ],
)
def test_the_fewest_cpus_that_hold_the_target(trials: list[LimitTrial], cpus: float, number: int) -> None:
    found = recommend(trials, TARGET, 1, KNOWN)
    assert found.met
    assert (found.cpus, found.instances) == (cpus, number)
    assert found.rate is not None
    assert found.rate * number >= TARGET.rate


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (
            [trial(1, cell(9, 0.4), cell(12, 0.9)), trial(2, cell(20, 0.32))],
            "no size tried reaches 50/s at 100 ms; the best was 20/s with a p95 of 320 ms (2 CPU, 4 at once)",
        ),
        ([trial(1, cell(90, 0.02), checked=cell(50, 2.0, arrivals=50))], "arrivals at 50/s had a p95 of 2 s (1 CPU)"),
        ([trial(1, cell(0, None, errors={"500": 7}))], "no request was answered (7 x 500)"),
        ([trial(1, cell(60, 0.01, errors={"429": 3}))], "requests failed in every combination (3 x 429)"),
        ([trial(1, cell(90, 0.02), cpu_by="nothing")], "no CPU limit could be enforced"),
        (
            [trial(1, peak=0, outcome="memory", told="it needs more than 2 GiB")],
            "it needs more than 2 GiB; give it more",
        ),
        ([trial(1, cell(90, 0.02), outcome="memory", told="killed at 100 rows")], "killed at 100 rows"),
    ],
)
def test_a_target_that_no_size_reaches_is_reported(trials: list[LimitTrial], said: str) -> None:
    found = recommend(trials, TARGET, 1, KNOWN)
    assert not found.met
    assert said in found.text
    assert (found.cpus, found.instances, found.azure) == (None, None, ())


@pytest.mark.parametrize(("lost", "disturbed"), [((0.0, 0.0), False), ((0.3, 0.0), True), ((0.0, 0.5), False)])
def test_a_recommendation_from_a_busy_machine_says_so(lost: tuple[float, float], disturbed: bool) -> None:
    """A larger server that was starved does not matter when a smaller one was not, and does."""
    trials = [trial(cpus, cell(90, 0.02, lost=each)) for cpus, each in zip((0.5, 1), lost, strict=True)]
    found = recommend(trials, TARGET, 1, KNOWN)
    assert (found.cpus, found.disturbed) == (0.5, disturbed)


def test_each_batch_size_has_its_own_recommendation() -> None:
    trials = [trial(1, cell(200, 0.02), cell(30, 0.08, batch=100))]
    assert recommend(trials, TARGET, 1, KNOWN).instances == 1
    assert recommend(trials, TARGET, 100, KNOWN).instances == 3


@pytest.mark.parametrize(
    ("peaks", "memory", "tried"),
    [
        ([(4.0, 0.3), (2.0, 0.3), (1.0, 0.3)], 1.0, True),
        ([(4.0, 0.9), (2.0, 0.9), (1.0, 0.9)], 2.0, True),  # it lived in 1 GiB, with too little left
        ([(4.0, 3.5)], 4.5, False),
        ([(2.0, 0.3)], 2.0, True),
    ],
)
def test_memory_leaves_room_over_the_peak(peaks: list[tuple[float, float]], memory: float, tried: bool) -> None:
    trials = [trial(1, cell(90, 0.02), memory=limit, peak=peak) for limit, peak in peaks]
    assert recommendation.needed_memory(trials) == (memory, tried)


def test_a_memory_limit_that_was_not_enforced_is_not_called_tried() -> None:
    trials = [trial(1, cell(90, 0.02), memory=1.0, peak=0.3, memory_by="nothing")]
    assert recommendation.needed_memory(trials) == (0.5, False)
    assert "not tried" in recommend(trials, TARGET, 1, KNOWN).text


def test_a_limit_that_killed_is_not_recommended() -> None:
    killed = trial(1, memory=1.0, peak=0, outcome="memory", told="it needs more than 1 GiB")
    assert recommend([trial(1, cell(90, 0.02)), killed], TARGET, 1, KNOWN).memory_gib == 2.0


@pytest.mark.parametrize(
    ("cpus", "memory", "names"),
    [(0.5, 1, ["tiny"]), (1, 3, ["lean", "fair"]), (2, 4, ["fair"]), (3, 2, ["wide"]), (8, 1, []), (1, 64, [])],
)
def test_the_smallest_instances_with_room_for_their_own_system(cpus: float, memory: float, names: list[str]) -> None:
    assert [each.name for each in recommendation.smallest_instances(KNOWN, cpus, memory)] == names


def test_the_table_of_azure_is_plausible() -> None:
    known = recommendation.instance_types()
    assert len({each.name for each in known}) == len(known) > 10
    assert all(each.name.startswith("Standard_") and 1 <= each.memory_gib / each.vcpus <= 16 for each in known)
    assert [each.name for each in recommendation.smallest_instances(known, 0.5, 1)] == ["Standard_DS1_v2"]
    assert [each.name for each in recommendation.smallest_instances(known, 2, 2)][:2] == [
        "Standard_F2s_v2",
        "Standard_DS2_v2",
    ]


def test_cpus_that_the_server_cannot_use_are_reported() -> None:
    """Neither used nor waited for, by a server that several ask at once: its predictions come one after the other."""
    machine = Machine(4, 8, "a processor")
    half, one = trial(0.5, cell(50, 0.02, cpu=0.5)), trial(1, cell(90, 0.02, cpu=0.98))
    for cpu, lost, at_once, useless in (
        (0.9, 0.1, 4, True),
        (1.2, 0.0, 4, False),
        (0.9, 0.5, 4, False),
        (0.9, 0, 1, False),
    ):
        two = trial(2, cell(90, 0.02, cpu=cpu, lost=lost, at_once=at_once))
        said = "\n".join(profile_notes([half, one, two], machine, []))
        assert ("of 2 CPU the server had use for 1.0" in said) == useless
        assert "of 1 CPU" not in said


def test_the_notes_say_what_was_not_enforced_and_what_disturbed() -> None:
    machine = Machine(2, 8, "a processor")
    trials = [
        trial(0.5, cell(90, 0.02), cpu_by="pauses"),
        trial(1, cell(90, 0.02, cpu=1.4)),
        trial(2, cell(90, 0.02, shared=True, client=0.1, others=1.5), cpu_by="nothing"),
        trial(1.5, cell(90, 0.02, lost=0.7)),
    ]
    said = "\n".join(profile_notes(trials, machine, [recommend(trials, TARGET, 1, recommendation.instance_types())]))
    for words in (
        "0.5 CPU: by pauses",
        "1 CPU was not held",
        "2 CPU: not enforced",
        "up to 0.10",
        "up to 0.7 cores",
    ):
        assert words in said
    busy = [trial(1, cell(90, 0.02, others=1.5))]
    assert "up to 1.5 of its 2 cores" in "\n".join(profile_notes(busy, machine, []))
    assert "up to" not in "\n".join(profile_notes([trial(1, cell(90, 0.02))], machine, []))
