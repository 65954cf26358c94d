"""Carries a decision out: the winner becomes a version, and goes through the stages. It never decides.

    register        a version without a mark, with its golden predictions; the same run gives the same version again
    stages          for each: deploy, test, canary, switch (stages.py)

A champion that stays is looked after instead: it is started if it does not run, and asked for known rows. A dry run
changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import PromotionError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.promotion.decision import Decision
from notebooks_lib.release import checksums, moves
from notebooks_lib.release import stage_change as changes
from notebooks_lib.release.rollout import Step, Way, continuing
from notebooks_lib.release.stages import OneStage, through
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.ledger import LIMIT

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


class Release:
    """One decision on its way; call register, then the steps of each stage."""

    def __init__(
        self,
        store: Store,
        decision: Decision,
        *,
        stages: Sequence[str] = (),
        dry_run: bool = True,
        reason: str = "",
        run_id: str = "",
    ) -> None:
        self.store = store
        self.decision = decision
        self.model = decision.evidence.model
        self.reason = ". ".join(part for part in (reason.strip().rstrip("."), decision.summary) if part)[:LIMIT]
        self.before = champions.champion(store, self.model)
        """The champion when this began."""
        self.way = Way(store, self.model, stages, dry_run=dry_run, reason=self.reason, run_id=run_id)
        self.way.promoting = self.promoting
        self._stages = through(self.way)
        self.way.candidate = decision.challenger.run_id
        self.way.compared = decision.champion.version or ""

    @property
    def promoting(self) -> bool:
        """Whether the decision puts another version in service."""
        return self.decision.answer == "promote"

    @property
    def stages(self) -> tuple[OneStage, ...]:
        """The stages it goes through, in their order."""
        return self._stages

    @property
    def version(self) -> Version | None:
        """What is to serve: the challenger's version once it is registered, or the champion that stays."""
        return self.way.version

    @property
    def status(self) -> Status | None:
        """Of the last endpoint that was touched."""
        return self.way.status

    @property
    def promoted(self) -> bool:
        """Whether the version became champion of all the stages that were asked for."""
        return self.way.promoted

    @property
    def steps(self) -> list[Step]:
        """What was done so far."""
        return self.way.steps

    def register(self) -> Step:
        """Make the challenger's model a version, once; a champion that stays is one already."""
        way, run_id = self.way, self.decision.challenger.run_id
        if not self.promoting:
            way.version = self.before
            return way.done(Step("register", False, f"nothing to register: the answer is {self.decision.answer}"))
        if way.dry_run:
            return way.done(Step("register", False, f"would register the model of run {run_id} as {self.model!r}"))
        rival = self._rival()
        if rival is not None:
            raise PromotionError(changes.beaten(rival))
        tags = {Tag.DECISION_RUN: way.run_id} if way.run_id else {}
        found = registry.register(self.store, self.model, run_id, tags=tags)
        checksums.pin(self.store, found, self.decision.challenger.model_sha256)
        if tags:  # also where an earlier promote registered it and went no further
            registry.set_tags(self.store, found, tags)
        known = moves.known(self.store, found)
        way.version = registry.get(self.store, self.model, found.version)
        told = f"version {found.version} of {self.model!r} is run {run_id}"
        return way.done(Step("register", True, f"{told}; {known.rows} golden predictions are kept with it"))

    @property
    def undo(self) -> str:
        """The command that takes the promotion back; empty when there is nothing to take back."""
        return self.way.undo if self.promoted else ""

    @property
    def next(self) -> str:
        """The command that continues where an approval is waited for; empty when none is."""
        return continuing(self.model) if self.way.waiting else ""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {
            "dry_run": self.way.dry_run,
            "promoted": self.promoted,
            "version": self.version.version if self.version else None,
            "previous": self.before.version if self.before else None,
            "stages": list(self.way.names),
            "passed": list(self.way.passed),
            "waiting": self.way.waiting,
            "ends": self.way.ends,
            "next": self.next,
            "endpoint": self.status.address if self.status else None,
            "reason": self.reason,
            "undo": self.undo,
            "steps": [vars(step) for step in self.steps],
        }

    def _rival(self) -> Version | None:
        """A champion that the decision did not know of: somebody else promoted meanwhile."""
        now, mine = champions.champion(self.store, self.model), self.decision.challenger.run_id
        known = now is None or now.version == self.decision.champion.version or now.run_id == mine
        return None if known else now
