"""Carries a decision out: register, deploy, verify, mark champion. It never decides, and a dry run changes nothing.

    register   a version without a mark; the same run gives the same version again
    deploy     the endpoint serves a version that is not champion yet
    verify     known rows come back as they should, else the endpoint goes back to the champion
    mark       the version that serves is champion

The mark moves last, so a champion has always been verified through the endpoint. From deploy on it is a Change
(change.py): its journal lets the next command finish or undo what a crash cut short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.errors import PromotionError
from notebooks_lib.promotion import change as changes
from notebooks_lib.promotion import golden, slots
from notebooks_lib.promotion.change import Change
from notebooks_lib.promotion.decision import Decision
from notebooks_lib.records import Tag
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.tracking import registry
from notebooks_lib.tracking.registry import PROD, Version

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

StepName = Literal["register", "deploy", "verify", "mark"]
REASON_LIMIT = 1000
"""Characters of a tag that every store takes."""


@dataclass(frozen=True)
class Step:
    """What a step did, or would do."""

    name: StepName
    changed: bool
    text: str

    def __repr__(self) -> str:
        return f"{self.name}: {self.text}"


class Release:
    """One decision on its way to the endpoint; call register, deploy, verify and mark in this order."""

    def __init__(
        self, store: Store, decision: Decision, *, dry_run: bool = True, reason: str = "", run_id: str = ""
    ) -> None:
        self.store = store
        self.decision = decision
        self.dry_run = dry_run
        self.model = decision.evidence.model
        self.reason = ". ".join(part for part in (reason.strip().rstrip("."), decision.summary) if part)[:REASON_LIMIT]
        self.before = registry.champion(store, self.model)
        """The champion when this began."""
        self.version: Version | None = None
        """What is to serve: the challenger's version once it is registered, or the champion that stays."""
        self.status: Status | None = None
        self.promoted = False
        self.steps: list[Step] = []
        self._run_id = run_id
        self._change: Change | None = None

    @property
    def promoting(self) -> bool:
        """Whether the decision puts another version in service."""
        return self.decision.answer == "promote"

    def register(self) -> Step:
        """Make the challenger's model a version, once; a champion that stays is one already."""
        if not self.promoting:
            self.version = self.before
            return self._done("register", False, f"nothing to register: the answer is {self.decision.answer}")
        run_id = self.decision.challenger.run_id
        if self.dry_run:
            return self._done("register", False, f"would register the model of run {run_id} as {self.model!r}")
        rival = self._rival()
        if rival is not None:
            raise PromotionError(changes.beaten(rival))
        tags = {Tag.DECISION_RUN: self._run_id} if self._run_id else {}
        self.version = registry.register(self.store, self.model, run_id, tags=tags)
        for key, value in tags.items():  # also where an earlier promote registered it and went no further
            self.store.client.set_model_version_tag(self.model, self.version.version, key, value)
        known = golden.of(self.store, self.version, slots.known_rows(self.store, self.version))
        told = f"version {self.version.version} of {self.model!r} is run {run_id}"
        return self._done("register", True, f"{told}; {known.rows} golden predictions are kept with it")

    def deploy(self) -> Step:
        """Serve the version at the endpoint of the model's name; a champion that stays is started if it does not run.

        Raises EndpointError when it cannot be served; what served before serves on.
        """
        if self.dry_run:
            return self._done("deploy", False, f"would {self._intent()} at endpoint {self.model!r}")
        if self.version is None:
            return self._done("deploy", False, "nothing to deploy: there is no champion")
        before = slots.status(self.store, self.model)
        serves = slots.holds(before, self.version)
        if not self.promoting and serves:
            self.status = slots.serve(self.store, self.model, self.version)  # the champion stays; it may be stopped
        else:
            self._change = Change.begin(
                self.store,
                self.version,
                kind="promotion" if self.promoting else "repair",
                stage=PROD,
                name=self.model,
                reason=self.reason,
                run_id=self._run_id,
            )
            self.status = self._change.deploy()
        changed = before is None or (before.state, before.version) != (self.status.state, self.status.version)
        does = "serves" if changed else "serves already"
        return self._done("deploy", changed, f"version {self.version.version} {does} at {self.status.address}")

    def verify(self) -> Step:
        """Compare known rows through the endpoint with what the version answered when it was registered.

        When they differ, the endpoint goes back to the champion, and PromotionError says so.
        """
        if self.dry_run:
            return self._done("verify", False, "would ask the endpoint for known rows")
        if self.version is None:
            return self._done("verify", False, "nothing to verify: there is no champion")
        rows = self._change.verify() if self._change else changes.check(self.store, self.version, self.model)
        return self._done("verify", False, f"{rows} known rows are answered as when the version was registered")

    def mark(self) -> Step:
        """Make the version champion: the last write of a promotion."""
        if not self.promoting:
            if self._change is not None:
                self._change.mark()
                self._change.end()
            stays = f"version {self.before.version} stays champion" if self.before else "there is still no champion"
            return self._done("mark", False, stays)
        if self.dry_run:
            return self._done("mark", False, "would mark it champion" + self._instead())
        if self._change is None or self.version is None or [step.name for step in self.steps][-1] != "verify":
            raise PromotionError("a version is marked champion after register, deploy and verify, in this order")
        self._change.mark()
        self._change.end()
        self.promoted = True
        return self._done("mark", True, f"version {self.version.version} is champion{self._instead()}")

    @property
    def undo(self) -> str:
        """The command that takes the promotion back; empty when there is nothing to take back."""
        return f"nbops rollback {self.model}" if self.promoted and self.before else ""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {
            "dry_run": self.dry_run,
            "promoted": self.promoted,
            "version": self.version.version if self.version else None,
            "previous": self.before.version if self.before else None,
            "endpoint": self.status.address if self.status else None,
            "reason": self.reason,
            "undo": self.undo,
            "steps": [vars(step) for step in self.steps],
        }

    def _rival(self) -> Version | None:
        """A champion that the decision did not know of: somebody else promoted meanwhile."""
        now, mine = registry.champion(self.store, self.model), self.decision.challenger.run_id
        known = now is None or now.version == self.decision.champion.version or now.run_id == mine
        return None if known else now

    def _intent(self) -> str:
        if self.promoting:
            return "serve the new version"
        return f"see to it that version {self.before.version} is served" if self.before else "serve nothing"

    def _instead(self) -> str:
        if self.before is None or (self.version is not None and self.before.version == self.version.version):
            return ""
        return f", instead of version {self.before.version}"

    def _done(self, name: StepName, changed: bool, text: str) -> Step:  # noqa: FBT001 - private
        step = Step(name, changed, text)
        self.steps = [*(each for each in self.steps if each.name != name), step]  # a notebook cell may be run again
        return step
