"""Says where a sweep's trials come from; on a resume, puts in order what the last session left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from notebooks_lib.sweeps import resume
from notebooks_lib.sweeps.grid import GridProposals
from notebooks_lib.sweeps.records import Proposals, Trial
from notebooks_lib.sweeps.request import Request
from notebooks_lib.sweeps.results_so_far import Known
from notebooks_lib.sweeps.resume import Earlier
from notebooks_lib.sweeps.search_space import Grid, Space
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owner import OwnedRun


@dataclass(frozen=True)
class Begun:
    """What a session starts with."""

    known: Known
    proposals: Proposals
    ended: Mapping[int, Trial] = field(default_factory=dict)
    """Trials of earlier sessions that a study has learned from, by number."""


def begin(request: Request, owned: OwnedRun, jobs: int, tell: Callable[[str], None]) -> Begun:
    """Where the trials come from: a grid without memory, or a study that goes on with what earlier sessions told it."""
    store, notebook = owned.store, request.source.notebook
    earlier: dict[int, Earlier] = {}
    if request.resume is not None:
        earlier = resume.take_over(store, owned.run_id, request.goal)
    known = Known(store, notebook, request.goal, earlier=earlier, anywhere=request.skip_seen, tell=tell)
    swept = request.domain.swept
    if isinstance(swept, Grid) and not request.learns:
        return Begun(known, GridProposals(swept))  # what has ended before is found by its fingerprint
    from notebooks_lib.sweeps.study import StudyProposals

    if isinstance(swept, Space) and swept.size is not None and swept.size < request.total:
        tell(f"the space holds {swept.size} different trials only: some of {request.total} will be repeated")
    assert request.goal is not None
    done = {n: one for n, one in earlier.items() if one.trial.state in ("finished", "failed", "pruned")}
    other = sum(one.run.tags.get(Tag.CODE_SHA256) != notebook.code_sha256 for one in done.values())
    if other:
        tell(f"the notebook has changed since {other} of the trials ran: the study keeps what they told")
    ended = {number: one.trial for number, one in done.items()}
    proposals = StudyProposals(
        store.settings.layout.sweeps / f"{owned.run_id}.journal",
        swept,
        request.goal,
        trials=request.trials,
        sampler=request.sampler,
        seed=request.seed,
        pruner=request.prune,
        jobs=jobs,
        ended={number: (one.state, one.value) for number, one in ended.items()},
    )
    return Begun(known, proposals, ended)
