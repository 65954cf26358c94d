"""A study proposes values in its space, learns, prunes, and survives a kill."""

from __future__ import annotations

import itertools
import logging
import math
import random
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notebooks_lib.errors import TrackingError, UsageError
from notebooks_lib.sweeps import samplers_and_pruners
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.study import GridProposals, StudyProposals
from notebooks_lib.sweeps.trials import Proposal, Proposals
from tests.sweeps.building import WIDE, grid, spread

FILE = Path(".nbops/studies/a.journal")
TOLD = b'"values":[1.0]'  # what the journal says of a trial that ended with 1.0
LOSS = Goal("loss")
EVERYTHING = spread(
    "alpha=loguniform(1e-3, 10)",
    "beta=normal(0, 1)",
    "gamma=quniform(0, 1, 0.1)",
    "delta=lognormal(-1, 1)",
    "seed=randint(1000)",
    "depth=qnormal(10, 20, 3)",
    "width=choice(16, 64)",
    "layers=choice([1], [2, 3])",
    "note=choice(a, None)",
    "rate=uniform(0, 0.5)",
    "free=qloguniform(1, 100, 5)",
    "either=int(1, 5)",
)
ONE = spread("beta=uniform(-1, 1)")
THREE = grid("seed=1..3")


def study(domain=ONE, goal=LOSS, **options) -> StudyProposals:
    if domain is not THREE:
        options = {"trials": 10, **options}
    return StudyProposals(FILE, domain, goal, **options)


def ask_all(proposals: Proposals) -> Iterator[Proposal]:
    return iter(proposals.ask, None)


def run(proposals: Proposals, loss: Callable[[Proposal], float], count: int | None = None) -> list[Proposal]:
    proposed = []
    for proposal in itertools.islice(ask_all(proposals), count):
        proposals.tell(proposal.number, "finished", loss(proposal))
        proposed.append(proposal)
    return proposed


@pytest.mark.parametrize("sampler", samplers_and_pruners.SAMPLERS)
def test_every_proposal_is_in_the_space_and_has_the_type_of_the_schema(sampler):
    proposals = study(EVERYTHING, trials=60, sampler=sampler, seed=1)
    draw = random.Random(0)
    proposed = run(proposals, lambda proposal: draw.random())
    assert [proposal.number for proposal in proposed] == list(range(60))
    for values in (proposal.values for proposal in proposed):
        checked = WIDE.check(values)
        assert checked == values
        assert {name: type(one) for name, one in checked.items()} == {name: type(one) for name, one in values.items()}
        assert 0.001 <= values["alpha"] <= 10
        assert 0 < values["delta"] < 1
        assert values["depth"] in range(3, 19, 3)
        assert values["gamma"] in [k / 10 for k in range(11)]
        assert values["free"] in range(0, 101, 5)
        assert values["layers"] in ([1], [2, 3])
    assert len({proposal.values["alpha"] for proposal in proposed}) == 60
    assert {proposal.values["either"] for proposal in proposed} == {1, 2, 3, 4, 5}
    assert {proposal.values["width"] for proposal in proposed} == {16, 64}
    assert {int(proposal.values["rate"] / 0.125) for proposal in proposed} >= {0, 1, 2, 3}, "no quarter is left out"


@pytest.mark.parametrize(
    ("text", "best"),
    [("beta=normal(0, 1)", 2.5), ("beta=lognormal(0, 1)", 8.0), ("beta=loguniform(1e-3, 10)", 0.002)],
)
def test_tpe_learns_good_regions_even_in_a_tail(text, best):
    def miss(proposal: Proposal) -> float:
        return abs(math.log(max(proposal.values["beta"], 1e-9) / best))

    missed = {}
    for sampler in samplers_and_pruners.SAMPLERS:
        FILE.unlink(missing_ok=True)
        proposed = run(study(spread(text), trials=80, seed=0, sampler=sampler), miss)
        missed[sampler] = statistics.median(map(miss, proposed[40:]))
    assert missed["tpe"] < missed["random"] / 2


def test_the_same_seed_gives_the_same_proposals():
    def proposed(seed: int | None, sampler: str) -> list[object]:
        FILE.unlink(missing_ok=True)
        return [
            proposal.values
            for proposal in run(study(trials=15, seed=seed, sampler=sampler), lambda proposal: proposal.values["beta"])
        ]

    for sampler in samplers_and_pruners.SAMPLERS:
        assert proposed(3, sampler) == proposed(3, sampler)
        assert proposed(3, sampler) != proposed(4, sampler)
        assert proposed(None, sampler) != proposed(None, sampler)


@pytest.mark.parametrize("sampler", samplers_and_pruners.SAMPLERS)
def test_a_resumed_study_does_not_repeat_proposals(sampler):
    first = run(study(trials=20, seed=3, sampler=sampler), lambda one: 0.0, count=8)
    more = run(study(trials=20, seed=3, sampler=sampler), lambda one: 0.0)
    values = [proposal.values["beta"] for proposal in [*first, *more]]
    assert len(set(values)) == len(values) == 20
    assert [proposal.number for proposal in [*first, *more]] == list(range(20))


def test_a_resume_replaces_only_killed_trials():
    proposals = study(trials=8)
    for state, value in (
        ("finished", 1.0),
        ("finished", None),
        ("finished", math.nan),
        ("failed", None),
        ("skipped", 2.0),
        ("pruned", None),
        ("killed", None),
    ):
        proposals.tell(proposals.ask().number, state, value)
    assert proposals.ask().number == 7
    assert proposals.ask() is None  # the killed one is made up for by the next session alone
    resumed = study(trials=8)
    assert [proposal.number for proposal in ask_all(resumed)] == [8, 9]
    assert resumed.total == 8
    assert list(ask_all(study(trials=6))) == []
    assert len(list(ask_all(study(trials=12)))) == 6


def test_unreported_ends_of_the_last_session_can_be_passed():
    proposals = study(trials=5)
    for _ in range(5):
        proposals.ask()
    ended = {0: ("finished", 1.0), 1: ("failed", None), 2: ("killed", None), 3: ("pruned", None)}
    assert len(list(ask_all(study(trials=5, ended=ended)))) == 2
    # Of what was told a second time, nothing is lost or counted twice.
    assert len(list(ask_all(study(trials=5, ended=ended)))) == 2
    with pytest.raises(TrackingError, match="does not know trial 99"):
        study(trials=5, ended={99: ("finished", 1.0)})


def test_a_grid_is_proposed_in_order_and_killed_trials_again():
    proposals = study(THREE, pruner="median")
    assert [proposals.ask() for _ in range(4)] == [Proposal(n, {"seed": n + 1}) for n in range(3)] + [None]
    proposals.tell(0, "finished", 1.0)
    proposals.tell(1, "killed", None)
    resumed = study(THREE, pruner="median")
    assert [proposal.number for proposal in ask_all(resumed)] == [1, 2]
    resumed.tell(1, "failed", None)
    resumed.tell(2, "pruned", None)
    assert list(ask_all(study(THREE, pruner="median"))) == []
    FILE.unlink()
    assert [
        proposal.number for proposal in ask_all(study(THREE, ended={1: ("finished", 1.0), 7: ("failed", None)}))
    ] == [
        0,
        2,
    ]


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("domain", [ONE, grid("seed=1..12")], ids=["space", "grid"])
@pytest.mark.parametrize("pruner", ["median", "percentile:25"])
def test_a_trial_worse_than_others_is_pruned(pruner, domain, direction):
    sign = 1 if direction == "min" else -1
    proposals = study(domain, Goal("loss", direction), trials=12, pruner=pruner)
    for level in range(8):
        number = proposals.ask().number
        assert not any(proposals.report(number, step, sign * level / 10) for step in range(3) if level < 5)
        proposals.tell(number, "finished", sign * level / 10)
    good, bad = proposals.ask().number, proposals.ask().number
    assert not proposals.report(good, 0, sign * 0.0)
    assert not proposals.report(good, 1, sign * 0.0)
    assert proposals.report(bad, 0, sign * 9.0)
    assert proposals.report(bad, 1, sign * -9.0)  # once given up, for good
    proposals.tell(bad, "pruned", None)
    assert not proposals.report(bad, 2, sign * 9.0)


def test_hyperband_prunes_early_and_keeps_the_best():
    steps: dict[int, int] = {}
    proposals = study(trials=60, pruner="hyperband", seed=0)
    for proposal in ask_all(proposals):
        loss = abs(proposal.values["beta"])
        state = "finished"
        for step in range(1, 28):
            steps[proposal.number] = step
            if proposals.report(proposal.number, step, loss):
                state = "pruned"
                break
        proposals.tell(proposal.number, state, loss)
    early = sum(step < 27 for step in steps.values())
    assert 20 <= early < 60
    # Most of what was given up reached only one of the first rungs.
    assert sum(step in (1, 3) for step in steps.values()) >= early * 0.7


def test_odd_reports_are_ignored():
    proposals = study(pruner="median", trials=16)
    for _ in range(6):  # before that it prunes nothing
        number = proposals.ask().number
        assert not any(proposals.report(number, step, 9.0) for step in range(10))
        proposals.tell(number, "finished", 9.0)
    number = proposals.ask().number
    for step, value in (
        (4, math.nan),
        (4, math.inf),
        (4, -math.inf),
        (5, 1.0),
        (5, 2.0),
        (3, 1.0),
        (5, 1.0),
        (-1, 1.0),
        (6, math.nan),
        (7, math.inf),
        (10**15, 1.0),
    ):
        assert proposals.report(number, step, value) is False
    assert proposals.report(99, 0, 1.0) is False
    proposals.tell(number, "finished", 1.0)
    proposals.tell(number, "failed", None)
    proposals.tell(99, "finished", 1.0)
    assert proposals.report(number, 8, 1.0) is False
    assert len(list(ask_all(study(pruner="median", trials=16)))) == 9


def test_without_a_pruner_nothing_is_pruned():
    proposals = study()
    for level in range(9):
        number = proposals.ask().number
        assert not proposals.report(number, 0, level)
        proposals.tell(number, "finished", level)


def test_another_sweep_and_a_foreign_file_are_rejected():
    run(study(), lambda one: 0.0, count=2)
    for domain, goal in (
        (spread("beta=uniform(-1, 2)"), LOSS),
        (ONE, Goal("loss", "max")),
        (ONE, Goal("rmse")),
        (THREE, LOSS),
    ):
        with pytest.raises(UsageError, match="a sweep is resumed as it was started"):
            study(domain, goal)
    for content in ("not a journal\n", '{"op_code": 99}\n', '{"a": 1}\n', "[]\n", "{}\n{\n"):
        FILE.write_text(content)
        with pytest.raises(TrackingError, match=r"a\.journal: found no study that can be read or written"):
            study()
    with pytest.raises(UsageError, match="give the number of trials with --trials"):
        study(trials=None)
    with pytest.raises(UsageError, match="found the pruner 'best'"):
        study(pruner="best")


def test_a_journal_opens_after_a_kill_at_any_point_of_a_write():
    proposals = study(EVERYTHING, trials=6, pruner="median", jobs=2)
    for proposal in itertools.islice(ask_all(proposals), 3):
        proposals.report(proposal.number, 1, 0.5)
        proposals.tell(proposal.number, "finished", 1.0)
    content = FILE.read_bytes()
    cuts = random.Random(0).sample(range(len(content)), 60)
    for cut in [0, 1, len(content) - 1, *cuts]:
        FILE.write_bytes(content[:cut])
        whole = content[:cut].rpartition(b"\n")[0].count(TOLD)
        proposed = run(study(EVERYTHING, trials=6, pruner="median"), lambda one: 0.0)
        assert len(proposed) == 6 - whole
        assert list(ask_all(study(EVERYTHING, trials=6))) == []


def test_an_unwritable_file_is_named():
    proposals = study(pruner="median")
    number = proposals.ask().number
    FILE.unlink()
    FILE.mkdir()
    for call in (
        proposals.ask,
        lambda: proposals.report(number, 1, 0.5),
        lambda: proposals.tell(number, "failed", None),
    ):
        with pytest.raises(TrackingError, match=r"a\.journal: the study cannot be written: .*directory"):
            call()
    with pytest.raises(TrackingError, match=r"a\.journal: found no study that can be read or written"):
        study()


SESSION = """
from tests.sweeps.test_study import ONE, LOSS, FILE
from notebooks_lib.sweeps.study import StudyProposals
proposals = StudyProposals(FILE, ONE, LOSS, trials=100_000, sampler="random", pruner="median")
while True:
    proposal = proposals.ask()
    proposals.report(proposal.number, 1, 0.5)
    proposals.tell(proposal.number, "finished", 1.0)
    print(proposal.number, flush=True)
"""


def test_kill_nine_loses_only_the_running_trials():
    last_told = -1
    for _ in range(2):
        session = subprocess.Popen(
            [sys.executable, "-c", SESSION],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        )
        assert session.stdout is not None
        first = int(session.stdout.readline())
        for _ in range(30):
            session.stdout.readline()
        session.send_signal(signal.SIGKILL)
        rest = session.stdout.read().split()
        session.wait()
        session.stdout.close()
        assert first - last_told in (1, 2, 3)  # the one in flight has a number too
        last_told = int(rest[-1]) if rest else first + 30
    assert last_told >= 60
    done = FILE.read_bytes().rpartition(b"\n")[0].count(TOLD)
    assert done >= 62
    assert len(list(ask_all(study(trials=done + 3)))) == 3


def test_a_stale_lock_is_ignored():
    lock = FILE.with_name("a.journal.lock")
    FILE.parent.mkdir(parents=True)
    lock.symlink_to(FILE)
    run(study(trials=1), lambda one: 1.0)
    assert lock.is_symlink()


def test_a_dimension_with_one_value_proposes_it():
    proposed = run(
        study(spread("model=choice(ridge)", "seed=int(3, 3)", "beta=uniform(0, 1)"), trials=15), lambda one: 1.0
    )
    assert {(proposal.values["model"], proposal.values["seed"]) for proposal in proposed} == {("ridge", 3)}
    assert len({proposal.values["beta"] for proposal in proposed}) == 15


@pytest.mark.parametrize("sampler", samplers_and_pruners.SAMPLERS)
def test_optuna_prints_nothing(sampler, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    proposals = study(EVERYTHING, trials=15, sampler=sampler, pruner="hyperband", jobs=4)
    run(proposals, lambda one: 1.0, count=12)
    for proposal in ask_all(proposals):
        proposals.tell(proposal.number, "failed", None)
    study(EVERYTHING, trials=15, sampler=sampler)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("optuna")]


def test_every_combination_comes_once_with_its_number():
    combinations = grid("alpha=0.1,1", "seed=1..3")
    proposals: Proposals = GridProposals(combinations)
    proposed = []
    while (proposal := proposals.ask()) is not None:
        proposed.append(proposal)
        assert proposals.report(proposal.number, 1, 0.5) is False
        proposals.tell(proposal.number, "failed", None)
    assert [proposal.number for proposal in proposed] == list(range(6))
    assert [proposal.values for proposal in proposed] == [
        combinations.at(number) for number in range(combinations.size)
    ]
    assert proposals.total == 6
    assert proposals.ask() is None


def test_a_million_combinations_are_cheap():
    proposals = GridProposals(ParameterGrid({"a": tuple(range(1000)), "b": tuple(range(1000))}))
    assert proposals.total == 1_000_000
    assert [proposal.values for proposal in itertools.islice(iter(proposals.ask, None), 2)] == [
        {"a": 0, "b": 0},
        {"a": 0, "b": 1},
    ]
