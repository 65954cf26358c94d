"""The source of the trials of one session: a grid or a study, without what earlier sessions have done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.sweeps.earlier_trials import EarlierTrial, PreviousResults, take_over
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.search_space import ParameterSpace
from notebooks_lib.sweeps.study import GridProposals
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trials import Proposals, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.owned_run import OwnedRun
from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class TrialSource:
    """The source of a session's trials, with the results of earlier sessions."""

    previous_results: PreviousResults
    proposals: Proposals
    ended: Mapping[int, Trial] = field(default_factory=dict)
    """Trials of earlier sessions that a study has learned from, by number."""


def check_study(request: SweepRequest, store: Store, run_id: str) -> None:
    """Raise UsageError if a space is to be resumed without the study of its trials. Nothing is changed.

    A grid needs none: the runs of its trials say which ones have ended.
    """
    journal = _journal(store, run_id)
    if not isinstance(request.domain.swept, ParameterSpace) or journal.exists():
        return
    if any(Tag.TRIAL in run.tags for run in query.children(store, run_id)):
        raise errors.UsageError(
            f"sweep {run_id} cannot be resumed here: its study is not on this machine (no {journal}); resume it where"
            " it was started, or start a new sweep"
        )


def _journal(store: Store, run_id: str) -> Path:
    return store.settings.layout.sweeps / f"{run_id}.journal"


def trial_source(request: SweepRequest, owned: OwnedRun, jobs: int, tell: Callable[[str], None]) -> TrialSource:
    """Return the source of trials: a plain grid, or a study that continues with the results of earlier sessions."""
    store, notebook = owned.store, request.source.notebook
    earlier: dict[int, EarlierTrial] = {}
    if request.resume is not None:
        earlier = take_over(store, owned.run_id, request.goal)
    results = PreviousResults(store, notebook, request.goal, earlier=earlier, anywhere=request.skip_seen, tell=tell)
    swept = request.domain.swept
    if isinstance(swept, ParameterGrid) and not request.learns:
        # Trials that ended before are recognised by their fingerprint.
        return TrialSource(results, GridProposals(swept))
    from notebooks_lib.sweeps.study import StudyProposals

    if isinstance(swept, ParameterSpace) and swept.size is not None and swept.size < request.total:
        tell(f"the space has only {swept.size} different trials: some of {request.total} will be repeated")
    assert request.goal is not None
    done = {n: result for n, result in earlier.items() if result.trial.state in ("finished", "failed", "pruned")}
    changed = sum(result.run.tags.get(Tag.CODE_SHA256) != notebook.code_sha256 for result in done.values())
    if changed:
        tell(f"the notebook has changed since {changed} of the trials ran: the study keeps their results")
    ended = {number: result.trial for number, result in done.items()}
    proposals = StudyProposals(
        _journal(store, owned.run_id),
        swept,
        request.goal,
        trials=request.trials,
        sampler=request.sampler,
        seed=request.seed,
        pruner=request.prune,
        jobs=jobs,
        ended={number: (trial.state, trial.value) for number, trial in ended.items()},
    )
    return TrialSource(results, proposals, ended)
