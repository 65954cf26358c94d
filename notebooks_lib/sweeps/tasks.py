"""What a trial's runner is given: all that it takes, made from a proposal; it can be pickled and sent anywhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from notebooks_lib.running.plan import Plan
from notebooks_lib.sweeps import executors, formatting
from notebooks_lib.sweeps.records import Goal, Proposal
from notebooks_lib.sweeps.request import Limits, Request
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owner import OwnedRun, Start

NAME_ROOM = 100


@dataclass(frozen=True)
class Task:
    """One trial that is to be run."""

    number: int
    values: Mapping[str, object]
    plan: Plan
    sweep: str
    """The parent run."""
    goal: Goal | None
    limits: Limits
    by_tag: bool
    """Whether it may be asked to stop by the tag on its run."""

    @property
    def start(self) -> Start:
        """What is known of its run already."""
        assert self.plan.start is not None  # trials are always tracked
        return self.plan.start


class Tasks:
    """Makes the tasks of one sweep. What they have in common is looked up once."""

    def __init__(self, request: Request, parent: OwnedRun) -> None:
        self._request = request
        self._parent = parent
        self._experiments: dict[str, str] = {}

    def make(self, proposal: Proposal) -> Task:
        """The task of a proposal. Raises UsageError when the notebook cannot be run with its values."""
        request = self._request
        stem = request.source.notebook.path.stem
        plan = request.source.plan(
            {**request.domain.fixed, **proposal.values},
            name=f"{stem} {formatting.assigned(proposal.values)}"[:NAME_ROOM],
            tags={
                "mlflow.parentRunId": self._parent.run_id,
                Tag.TRIAL: str(proposal.number),
                Tag.TRIAL_VALUES: json.dumps(dict(proposal.values), default=str, ensure_ascii=False),
            },
        )
        return Task(
            number=proposal.number,
            values=proposal.values,
            plan=dataclasses.replace(plan, start=self._settled(plan)),
            sweep=self._parent.run_id,
            goal=request.goal,
            limits=request.limits,
            by_tag=request.prune is not None or request.on != executors.LOCAL,
        )

    def _settled(self, plan: Plan) -> Start:
        start = plan.start
        assert start is not None
        if start.experiment_id is None:
            name = start.experiment
            if name not in self._experiments:
                self._experiments[name] = self._parent.store.experiment_id(name)
            start = dataclasses.replace(start, experiment_id=self._experiments[name])
        # What is not committed is kept once, on the parent.
        git = None if start.git is None else dataclasses.replace(start.git, diff="")
        return dataclasses.replace(start, git=git)
