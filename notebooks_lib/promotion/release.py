"""Carries a decision out: register, deploy, verify, mark champion. It never decides, and a dry run changes nothing.

The order of the writes, and what a crash after each leaves for the next promote:

    register   a version without a mark; the same run gives the same version again
    deploy     the endpoint serves a version that is not champion; the mark still points to the one that was verified
    verify     the same: nothing is written
    mark       the version that serves is champion; this one write is what makes the promotion true

The mark moves last, so a champion has always been verified through the endpoint. The next promote with the same
answer repeats all four, which changes nothing that is done already. When it keeps the champion instead, `deploy`
brings the endpoint back to the champion: what serves and what is marked agree after every live promote.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.errors import DatasetError, EndpointError, PromotionError, UnknownNameError, UsageError
from notebooks_lib.promotion import verify
from notebooks_lib.promotion.decision import Decision
from notebooks_lib.records import Tag
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import SlotStatus, Status
from notebooks_lib.tracking import datasets, models, query, registry
from notebooks_lib.tracking.registry import Version

if TYPE_CHECKING:
    import pandas as pd

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
            raise PromotionError(_beaten(rival))
        tags = {Tag.DECISION_RUN: self._run_id} if self._run_id else {}
        self.version = registry.register(self.store, self.model, run_id, tags=tags)
        for key, value in tags.items():  # also where an earlier promote registered it and went no further
            self.store.client.set_model_version_tag(self.model, self.version.version, key, value)
        return self._done("register", True, f"version {self.version.version} of {self.model!r} is run {run_id}")

    def deploy(self) -> Step:
        """Serve the version at the endpoint of the model's name; a champion that stays is started if it does not run.

        Raises EndpointError when it cannot be served; what served before serves on.
        """
        if self.dry_run:
            return self._done("deploy", False, f"would {self._intent()} at endpoint {self.model!r}")
        if self.version is None:
            return self._done("deploy", False, "nothing to deploy: there is no champion")
        before = _status(self.store, self.model)
        self.status = serve(self.store, self.version, reason=self.reason)
        changed = before is None or (before.state, before.version) != (self.status.state, self.status.version)
        does = "serves" if changed else "serves already"
        return self._done("deploy", changed, f"version {self.version.version} {does} at {self.status.address}")

    def verify(self) -> Step:
        """Compare known rows through the endpoint with the model in this process.

        When they differ, the endpoint goes back to the champion, and PromotionError says so.
        """
        if self.dry_run:
            return self._done("verify", False, "would ask the endpoint for known rows")
        if self.version is None:
            return self._done("verify", False, "nothing to verify: there is no champion")
        try:
            rows = check(self.store, self.version)
        except PromotionError as error:
            if not self.promoting:
                raise
            raise PromotionError(f"{error}; {back_to(self.store, self.model, self.before)}") from error
        return self._done("verify", False, f"{rows} known rows are answered as by the model in this process")

    def mark(self) -> Step:
        """Make the version champion: the last write of a promotion."""
        if not self.promoting:
            stays = f"version {self.before.version} stays champion" if self.before else "there is still no champion"
            return self._done("mark", False, stays)
        if self.dry_run:
            return self._done("mark", False, "would mark it champion" + self._instead())
        if self.version is None or [step.name for step in self.steps] != ["register", "deploy", "verify"]:
            raise PromotionError("a version is marked champion after register, deploy and verify, in this order")
        rival = self._rival()
        if rival is not None:
            raise PromotionError(f"{_beaten(rival)}; {back_to(self.store, self.model, rival)}")
        registry.mark_champion(self.store, self.version, reason=self.reason)
        self.promoted = True
        return self._done("mark", True, f"version {self.version.version} is champion{self._instead()}")

    @property
    def undo(self) -> str:
        """The command that takes the promotion back; empty when there is nothing to take back."""
        return f"nbops promote --undo {self.model}" if self.promoted and self.before else ""

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


def serve(store: Store, version: Version, *, reason: str = "") -> Status:
    """Let the endpoint of the model's name serve `version`: from the slot that holds it, or deployed to the idle one.

    What served before stays in its slot without traffic. Raises EndpointError when it cannot be served.
    """
    settings, model, now = store.settings, version.model, _status(store, version.model)
    held = [name for name, slot in now.slots.items() if _is(slot, version) and slot.state != "failed"] if now else []
    if now is not None and held:
        slot = max(held, key=lambda name: now.slots[name].traffic)
        if now.state != "running":
            endpoint.start(settings, model)
        return endpoint.split(settings, model, {slot: 100})
    slot = endpoint.idle(settings, model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = models.download(version.source, Path(scratch))
        detail = _detail(store, version, reason or version.tags.get(Tag.REASON, ""))
        endpoint.deploy(settings, model, slot, folder, version=version.version, detail=detail)
    return endpoint.split(settings, model, {slot: 100})


def check(store: Store, version: Version) -> int:
    """How many known rows the endpoint answered right for `version`. Raises PromotionError when one is wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = models.download(version.source, Path(scratch))
        rows = _known_rows(store, version)
        return verify.through_endpoint(store.settings, version.model, folder, version.version, rows)


def back_to(store: Store, model: str, champion: Version | None) -> str:
    """Let the endpoint serve the champion again, or nothing when there is none; say which."""
    if champion is None:
        endpoint.stop(store.settings, model)
        return f"endpoint {model!r} was stopped: there is no champion to go back to"
    try:
        serve(store, champion)
    except EndpointError as error:
        return f"version {champion.version} is champion as before, but cannot be served again: {error}"
    return f"version {champion.version} serves again and is champion as before"


def _beaten(rival: Version) -> str:
    return (
        f"version {rival.version} of {rival.model!r} became champion while this run was compared with another; "
        "promote again to compare it with that one"
    )


def _status(store: Store, model: str) -> Status | None:
    try:
        return endpoint.status(store.settings, model)
    except UnknownNameError:
        return None


def _is(slot: SlotStatus, version: Version) -> bool:
    """Whether the slot holds this very version: another store may have one of the same number."""
    mine = slot.detail.get("run_id", "") == version.run_id and slot.detail.get("model") == version.model
    return slot.version == version.version and mine


def _detail(store: Store, version: Version, reason: str) -> dict[str, Any]:
    tags = _run_tags(store, version)
    used = [value for key, value in sorted(tags.items()) if key.startswith(Tag.DATASET_PREFIX)]
    refs = ", ".join(value.partition("#")[0] for value in used)
    return {"model": version.model, "run_id": version.run_id, "dataset": refs or None, "reason": reason}


def _known_rows(store: Store, version: Version) -> pd.DataFrame | None:
    """Validation rows of the dataset that the version was trained on, if its run says which and it is still there."""
    for key, value in sorted(_run_tags(store, version).items()):
        if key.startswith(Tag.DATASET_PREFIX):
            try:
                return datasets.read(value.partition("#")[0], store.settings).validation.X
            except (UnknownNameError, DatasetError):
                continue
    return None


def _run_tags(store: Store, version: Version) -> Mapping[str, str]:
    try:
        return query.get_run(store, version.run_id).tags if version.run_id else {}
    except UsageError:  # the run was deleted; its version serves on
        return {}
