"""Owns the trials that Optuna proposes or prunes: asked for one by one, told of each.

Optuna is asked for coordinates, not for values: a place in a choice, a whole number, or for everything continuous a
share from 0 to 1 that the distribution turns into a value. So distributions that Optuna lacks are learned like others.

Asking and telling, measured on two cores with three parameters: "random" takes 1 ms a trial, 2 ms after 10,000. TPE
looks at every trial that was told: 7 ms after 1,000 trials, 55 ms after 10,000 (290 s in all). The sweep's process
waits for it, so with TPE no more than some 20 trials a second can begin then. A report to a pruner takes 0.4 ms after
1,000 trials and 2 ms after 10,000; opening the journal of 10,000 trials (14 MB) 0.6 s.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib import errors
from notebooks_lib.records import TrialState, finite
from notebooks_lib.sweeps import journal
from notebooks_lib.sweeps.distributions import Choice, Int
from notebooks_lib.sweeps.fitting import Dimension
from notebooks_lib.sweeps.records import Goal, Proposal
from notebooks_lib.sweeps.search_space import Grid, Space
from notebooks_lib.sweeps.sweepfile import Sampler, pruning

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

_COMBINATION = "nbops.combination"  # on a trial of a grid: which one it is
_ENDED = "nbops.ended"  # on a trial without a value: how it ended; one that was killed has none
_COUNTED = ("finished", "failed", "pruned", "skipped")


class StudyProposals:
    """Trials that a study proposes in a space, or a grid in its order; a pruner may stop either's.

    The journal at `path` is made, or gone on with: trials that ended stay and count, failed ones too; those that were
    killed, or still ran when the last session was, do not count and are made up for. A grid proposes the same number
    again for these, a space a new one. `ended` says how trials ended that the last session could no longer tell.
    The same seed proposes the same trials if they are told in the same order and in one session.
    One process at a time, and one thread.
    """

    def __init__(
        self,
        path: Path,
        domain: Space | Grid,
        goal: Goal,
        *,
        trials: int | None = None,
        sampler: Sampler = "tpe",
        seed: int | None = None,
        pruner: str | None = None,
        jobs: int = 1,
        ended: Mapping[int, tuple[TrialState, float | None]] | None = None,
    ) -> None:
        """`trials` of a space, in all; a grid has as many as combinations. Raises UsageError, TrackingError."""
        self._grid = domain if isinstance(domain, Grid) else None
        if self._grid is None and (trials is None or trials < 1):
            raise errors.UsageError("a space has no end of its own: say how many trials with --trials")
        self.total = self._grid.size if self._grid else trials or 0
        self._space = domain.dimensions if isinstance(domain, Space) else {}
        self._coordinates = {name: _coordinate(dimension) for name, dimension in self._space.items()}
        self._prunes = pruner is not None
        self._running: dict[int, Trial] = {}
        self._steps: dict[int, set[int]] = {}
        self._hopeless: set[int] = set()
        self._path = path
        self._study = journal.open_study(path, domain, goal, _pruner(pruner))
        with journal.writing(path):
            done = self._settle(ended or {})
        self._left = self.total - len(done)
        self._numbers = (number for number in range(self.total) if number not in done)
        # After a resume the same seed must not propose what it has proposed before.
        started = len(self._study.get_trials(deepcopy=False))
        mixed = seed if seed is None or not started else zlib.crc32(f"{seed} {started}".encode())
        self._study.sampler = _sampler("random" if self._grid else sampler, mixed, jobs)

    def ask(self) -> Proposal | None:
        """The next trial; None when as many as wanted have been asked for. One that is killed later counts here."""
        if self._left <= 0:
            return None
        self._left -= 1
        with journal.writing(self._path):
            trial = self._study.ask(self._coordinates)
            number = trial.number
            values = {name: dimension.at(trial.params[name]) for name, dimension in self._space.items()}
            if self._grid is not None:
                number = next(self._numbers)
                trial.set_user_attr(_COMBINATION, number)
                values = self._grid.at(number)
        self._running[number] = trial
        return Proposal(number, values)

    def report(self, number: int, step: int, value: float) -> bool:
        """Whether the pruner gives the trial up, once and for all. The first value of a step counts.

        Nothing is made of negative steps, of what is not a finite number, or of trials that don't run.
        """
        trial = self._running.get(number)
        if trial is None or not self._prunes or step < 0 or not finite(value):
            return False
        seen = self._steps.setdefault(number, set())
        if step not in seen and number not in self._hopeless:
            seen.add(step)
            with journal.writing(self._path):
                trial.report(float(value), int(step))
                if trial.should_prune():
                    self._hopeless.add(number)
        return number in self._hopeless

    def tell(self, number: int, state: TrialState, value: float | None) -> None:
        """How a trial ended; one without a finite value teaches nothing. What is told of it later is not heard."""
        trial = self._running.pop(number, None)
        self._steps.pop(number, None)
        self._hopeless.discard(number)
        if trial is None:
            return
        with journal.writing(self._path):
            if not _told(self._study, trial.number, state, value):
                if state in _COUNTED:
                    trial.set_user_attr(_ENDED, state)
                _fail(self._study, trial.number)

    def _settle(self, ended: Mapping[int, tuple[TrialState, float | None]]) -> set[int]:
        """Tell what became of trials that still ran; the numbers of those that are done."""
        from optuna.trial import TrialState as Optuna

        ended = {number: end for number, end in ended.items() if end[0] in _COUNTED}
        done: set[int] = set()
        known: set[int] = set()
        for trial in self._study.get_trials(deepcopy=False):
            number = self._number(trial)
            if number is None:  # killed before it was said which combination it is
                _fail(self._study, trial.number)
                continue
            known.add(number)
            if trial.state == Optuna.RUNNING:
                if number in ended:
                    _told(self._study, trial.number, *ended[number])
                _fail(self._study, trial.number)  # unless it was told
            if trial.state in (Optuna.COMPLETE, Optuna.PRUNED) or _ENDED in trial.user_attrs or number in ended:
                done.add(number)
        if self._grid is not None:
            return {number for number in done | ended.keys() if number < self.total}
        if lost := ended.keys() - known:
            raise errors.TrackingError(
                f"{self._path}: the study does not know trial {min(lost)}, which has ended: "
                "it is not this sweep's file, or it was cut; start a new sweep"
            )
        return done

    def _number(self, trial: FrozenTrial) -> int | None:
        return trial.number if self._grid is None else trial.user_attrs.get(_COMBINATION)


def _told(study: Study, number: int, state: TrialState, value: float | None) -> bool:
    """Whether Optuna could be told of the end as one to learn from."""
    from optuna.trial import TrialState as Optuna

    if state == "pruned":
        study.tell(number, state=Optuna.PRUNED)
    elif state in ("finished", "skipped") and value is not None and finite(value):
        study.tell(number, float(value))
    else:
        return False
    return True


def _fail(study: Study, number: int) -> None:
    from optuna.trial import TrialState as Optuna

    study.tell(number, state=Optuna.FAIL, skip_if_finished=True)


def _coordinate(dimension: Dimension) -> BaseDistribution:
    from optuna import distributions

    match dimension.distribution:
        case Choice(values):
            return distributions.CategoricalDistribution(range(len(values)))
        case Int(low, high):
            return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(0.0, 1.0)


def _sampler(name: Sampler, seed: int | None, jobs: int) -> BaseSampler:
    from optuna import samplers

    if name == "random":
        return samplers.RandomSampler(seed=seed)
    # With others running, what they try counts as bad: else several trials at once would ask for the same values.
    return samplers.TPESampler(seed=seed, constant_liar=jobs > 1)


def _pruner(text: str | None) -> BasePruner:
    from optuna import pruners

    name, share = pruning(text) if text is not None else ("", 0.0)
    if name == "hyperband":
        return pruners.HyperbandPruner()
    return pruners.PercentilePruner(share) if name else pruners.NopPruner()
