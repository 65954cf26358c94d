"""Progress counts each trial once, and its pace is recent."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.sweep_progress import SweepProgress
from notebooks_lib.sweeps.trials import Trial
from tests.sweeps.results import Clock, trial

RMSE = Goal("rmse")


def take(tally: SweepProgress, trials: dict[int, Trial], total: int = 50) -> list[int]:
    return [ended.number for ended in tally.take(trials, total)]


def test_counting_changes_equals_counting_everything() -> None:
    rng = random.Random(7)
    tally, trials, ends = SweepProgress(300, RMSE, 4), {}, []
    while len(trials) < 300 or tally.running:
        running = [n for n, t in trials.items() if t.state == "running"]
        if len(trials) < 300 and len(running) < 4:
            trials[len(trials)] = trial(len(trials), "running")
        else:
            number = rng.choice(running)
            state = rng.choice(["finished", "finished", "failed", "killed", "pruned"])
            value = rng.choice([None, float("nan"), float("inf"), rng.random()]) if state != "failed" else None
            trials[number] = trial(number, state, value)
        ends += take(tally, trials, 300)
    assert sorted(ends) == list(range(300))
    assert tally.counts == Counter(t.state for t in trials.values())
    worth = [t for t in trials.values() if t.state == "finished" and t.value is not None and 0 <= t.value <= 1]
    assert tally.best == min(worth, key=lambda t: t.value or 0)


def test_ended_trials_are_not_read_again() -> None:
    class Watched(dict[int, Trial]):
        looks = 0

        def __getitem__(self, number: int) -> Trial:
            self.looks += 1
            return super().__getitem__(number)

    tally, trials = SweepProgress(2000, RMSE, 1), Watched()
    for number in range(2000):
        trials[number] = trial(number, "running")
        take(tally, trials, 2000)
        trials[number] = trial(number, "finished", 1.0)
        take(tally, trials, 2000)
    assert trials.looks < 5 * 2000


def test_the_higher_value_is_best_when_the_goal_is_max() -> None:
    tally = SweepProgress(3, Goal("r2", "max"), 1)
    trials = {0: trial(0, "running")}
    take(tally, trials)
    for number, value in enumerate([0.1, 0.9, 0.5]):
        trials[number] = trial(number, "finished", value)
        take(tally, trials)
    assert tally.best is not None
    assert tally.best.value == 0.9


def test_pace_and_time_left_ignore_skipped_trials() -> None:
    clock = Clock()
    tally, trials = SweepProgress(14, RMSE, 2, clock=clock), {}
    for number in range(4):
        trials[number] = trial(number, "skipped", 1.0)
        assert take(tally, trials) == [number]
    trials |= {4: trial(4, "running"), 5: trial(5, "running")}
    take(tally, trials, 14)
    assert tally.gap() is None
    clock.now += 10
    trials[4] = trial(4, "finished", 1.0)
    take(tally, trials, 14)
    assert tally.left() is None, "half of the jobs have shown nothing yet"
    trials[5] = trial(5, "failed")
    take(tally, trials, 14)
    assert tally.gap() == 5
    assert tally.left() == 8 * 5
    clock.now += 3
    assert tally.left() == 8 * 5 - 3
    clock.now += 97
    gap = tally.gap()
    assert gap is not None
    assert gap > 50, "a long silence slows the pace"


def test_the_pace_is_recent() -> None:
    clock = Clock()
    tally, trials = SweepProgress(1000, RMSE, 1, clock=clock), {}
    for number in range(400):
        trials[number] = trial(number, "running")
        take(tally, trials, 1000)
        clock.now += 10 if number < 200 else 1
        trials[number] = trial(number, "finished", 1.0)
        take(tally, trials, 1000)
    assert tally.gap() == pytest.approx(1)


def test_earlier_sessions_are_counted_but_do_not_affect_the_pace() -> None:
    clock = Clock()
    tally = SweepProgress(50, RMSE, 1, clock=clock)
    trials = {number: trial(number, "finished" if number % 2 else "failed", float(number)) for number in range(20)}
    assert take(tally, trials) == []
    trials[20] = trial(20, "finished", 0.5)  # a grid finds them one by one
    assert take(tally, trials) == []
    assert tally.earlier == {"finished": 11, "failed": 10}
    assert tally.ended == 21
    assert tally.best is not None
    assert tally.best.number == 20
    assert tally.gap() is None
    trials[21] = trial(21, "failed", reason="refused before it ran")
    assert take(tally, trials) == [21]


def test_the_time_left_is_right_where_nobody_knows_beforehand_how_many_trials_run_at_once() -> None:
    clock = Clock()
    tally, trials = SweepProgress(40, RMSE, None, clock=clock), {}
    for number in range(4):
        trials[number] = trial(number, "running")
    take(tally, trials)
    clock.now += 100
    trials[0] = trial(0, "finished", 1.0)
    take(tally, trials)
    assert tally.left() is None, "one of four has ended: the pace is not known yet"
    for number in range(1, 4):
        trials[number] = trial(number, "finished", 1.0)
    take(tally, trials)
    assert tally.left() == pytest.approx(46 * 25, rel=0.1)
