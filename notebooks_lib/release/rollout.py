"""How far a version is on its way through the stages: steps, stages passed, what it waits for. It runs no step."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from notebooks_lib.errors import PromotionError, UnknownNameError, UsageError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.release.pending_approval import WaitingRecord, read_waiting_tag
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import EndpointStatus
from notebooks_lib.serving.endpoint_capabilities import unsupported_setting
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.release_ledger import LedgerEntry, What

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

StepName = Literal["register", "deploy", "test", "canary", "switch"]
REASON_LIMIT = 400
"""Characters of a reason that are stored with a waiting version; a tag holds little."""


@dataclass(frozen=True)
class RolloutStep:
    """The result of one step of a rollout: what it did, or would do in a dry run."""

    name: StepName
    changed: bool
    text: str
    stage: str = ""

    def __repr__(self) -> str:
        return f"{f'{self.stage} ' if self.stage else ''}{self.name}: {self.text}"


class Rollout:
    """The rollout of a version through stages: its steps, the stages passed, and what it waits for."""

    def __init__(
        self,
        store: Store,
        model: str,
        stages: Sequence[str] = (),
        *,
        dry_run: bool = True,
        reason: str = "",
        run_id: str = "",
        approved: str = "",
        probing: Probing | None = None,
    ) -> None:
        self.store = store
        self.model = model
        self.names = check_stages(store.settings, stages)
        check_endpoints(store.settings, self.names, model)
        self.dry_run = dry_run
        self.reason = reason
        self.run_id = run_id
        self.approved = approved
        """The stage that may be entered although it requires an approval."""
        self.probing = probing
        """How stages try their endpoints; None: as usual."""
        self.compared = ""
        """Number of the champion that the version was compared with."""
        self.version: Version | None = None
        self.promoting = True
        """False: the champion stays, and its endpoint is only checked."""
        self.waiting = ""
        """The stage before which it waits for an approval."""
        self.passed: list[str] = []
        """Stages whose champion the version is now."""
        self.candidate = ""
        """The run whose model is registered, or would be in a dry run."""
        self.ends = ""
        """In a dry run: why it would not pass all stages; empty when nothing is known against it."""
        self.earlier: tuple[str, ...] = ()
        """Stages that it passed before it waited for an approval."""
        self.undo = ""
        """The command that goes back from the last stage passed; empty when there is no earlier version."""
        self.status: EndpointStatus | None = None
        """Status of the last endpoint that was touched."""
        self.steps: list[RolloutStep] = []

    @property
    def promoted(self) -> bool:
        """True if the version became champion of all requested stages."""
        return self.promoting and not self.dry_run and self.passed == list(self.names)

    def done(self, step: RolloutStep) -> RolloutStep:
        """Store the result of a step. It replaces an earlier result of the same step."""
        other_steps = [earlier for earlier in self.steps if (earlier.name, earlier.stage) != (step.name, step.stage)]
        self.steps = [*other_steps, step]
        return step

    def passes(self, stage: str, instead_of: Version | None) -> None:
        """Record that the version is now champion of `stage`, in place of the version `instead_of`."""
        self.passed.append(stage)
        self.undo = champions.rollback_command(self.model, stage) if instead_of else ""

    def wait(self, stage: str) -> None:
        """Record on the version and in the ledger that the version waits for approval before a stage."""
        assert self.version is not None
        self.waiting = stage
        record = WaitingRecord(
            stages=tuple(self.names[self.names.index(stage) :]),
            compared=self.compared,
            run=self.run_id,
            reason=self.reason[:REASON_LIMIT],
            passed=(*self.earlier, *self.passed),
        )
        for other in registry.versions(self.store, self.model):
            if other.waiting and other.version != self.version.version:
                registry.set_tags(self.store, other, {Tag.WAITING: ""})
        before = None
        with suppress(PromotionError):  # a tag that nbops did not write is replaced
            before = read_waiting_tag(self.version)
        if before is None or replace(before, run=record.run, reason=record.reason) != record:
            text = json.dumps(asdict(record), ensure_ascii=False)
            write_ledger_note(self, "waiting", stage)  # first: with the tag, a repeated command would not write it
            registry.set_tags(self.store, self.version, {Tag.WAITING: text})


def continue_command(model: str, version: str = "") -> str:
    """Return the command that approves the version of `model` that waits, or `version`, and continues its rollout."""
    return f"nbops promote --continue {model}@{version}" if version else f"nbops promote --continue {model}"


def write_ledger_note(rollout: Rollout, what: What, stage: str) -> None:
    """Write to the ledger, without a move, that the version waits for `stage` or is approved for it."""
    assert rollout.version is not None
    champion = champions.champion(rollout.store, rollout.model, stage)
    before, after = champion.version if champion else "", rollout.version.version
    who = release_ledger.approving_user() if what == "approved" else ""
    entry = LedgerEntry(rollout.model, stage, what, before, after, reason=rollout.reason, run=rollout.run_id, who=who)
    release_ledger.write_entry(rollout.store, entry, f"{what}-{uuid.uuid4().hex}")


def check_endpoints(settings: Settings, stages: Sequence[str], model: str) -> None:
    """Raise UsageError, naming the setting, when a stage asks for what its endpoint cannot do. Nothing is asked.

    So it is when commands would take the endpoint's name for that of another stage.
    """
    for stage in check_stages(settings, stages):
        targets.check_stage_endpoint(settings, stage, model)
        endpoint = targets.stage_endpoint(settings, stage, model)
        problem = unsupported_setting(stage, settings.stages.of(stage), endpoint.capabilities)
        if problem:
            raise UsageError(problem)


def check_stages(settings: Settings, stages: Sequence[str]) -> tuple[str, ...]:
    """Return the named stages, sorted dev, test, prod; if none is named, the default of the settings.

    Raises UnknownNameError for a name that is not a stage.
    """
    names = tuple(stages) or settings.stages.default
    for name in names:
        if name not in STAGES:
            raise UnknownNameError("stage", name, STAGES)
    return tuple(name for name in STAGES if name in names)
