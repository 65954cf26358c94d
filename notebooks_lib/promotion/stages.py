"""A version's way through the stages, one after the other, as a notebook shows it. What is done is done in change.py.

A stage that fails ends the way: what is behind it stands, what is before it is not touched. A stage that wants an
approval ends it too, without a failure: `go_on` continues there, as `nbops promote --continue` does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.errors import PromotionError, UnknownNameError, UsageError
from notebooks_lib.promotion import change as changes
from notebooks_lib.promotion import mending, moves, slots, traits, verify
from notebooks_lib.promotion.change import Change
from notebooks_lib.records import Tag
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.settings import STAGES, Settings, Stage
from notebooks_lib.tracking import ledger, registry
from notebooks_lib.tracking.ledger import Entry, What
from notebooks_lib.tracking.registry import PROD, Version

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

StepName = Literal["register", "deploy", "test", "canary", "switch"]
REASON_LIMIT = 400
"""Characters of a reason that are kept with what waits; a tag holds little."""


@dataclass(frozen=True)
class Step:
    """What a step did, or would do."""

    name: StepName
    changed: bool
    text: str
    stage: str = ""

    def __repr__(self) -> str:
        return f"{f'{self.stage} ' if self.stage else ''}{self.name}: {self.text}"


class Way:
    """A version on its way through some stages."""

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
    ) -> None:
        self.store = store
        self.model = model
        self.names = check(store.settings, stages)
        self.dry_run = dry_run
        self.reason = reason
        self.run_id = run_id
        self.approved = approved
        """The stage that may be entered although it wants an approval."""
        self.compared = ""
        """The champion that the version was compared with, by its number."""
        self.version: Version | None = None
        self.promoting = True
        """False: the champion stays, and is only looked after."""
        self.waiting = ""
        """The stage before which it waits for an approval."""
        self.passed: list[str] = []
        """Stages whose champion the version is now."""
        self.status: Status | None = None
        """Of the last endpoint that was touched."""
        self.steps: list[Step] = []
        self.stages = tuple(OneStage(self, name) for name in self.names)

    @property
    def promoted(self) -> bool:
        """Whether the version became champion of all the stages that were asked for."""
        return self.promoting and not self.dry_run and self.passed == list(self.names)

    def done(self, step: Step) -> Step:
        """Keep what a step did; a notebook's cell may be run again."""
        kept = [each for each in self.steps if (each.name, each.stage) != (step.name, step.stage)]
        self.steps = [*kept, step]
        return step

    def wait(self, stage: str) -> None:
        """Say on the version, and in the ledger, that it waits before a stage."""
        assert self.version is not None
        self.waiting = stage
        rest = self.names[self.names.index(stage) :]
        told = {"stages": rest, "compared": self.compared, "run": self.run_id, "reason": self.reason[:REASON_LIMIT]}
        for other in registry.versions(self.store, self.model):
            if other.tags.get(Tag.WAITING) and other.version != self.version.version:
                registry.set_tags(self.store, other, {Tag.WAITING: ""})
        before = json.loads(self.version.tags.get(Tag.WAITING) or "{}")
        if (before.get("stages"), before.get("compared")) != (list(rest), self.compared):
            registry.set_tags(self.store, self.version, {Tag.WAITING: json.dumps(told, ensure_ascii=False)})
            _note(self, "waiting", stage)


class OneStage:
    """One stage of a way; call deploy, test, canary and switch in this order."""

    def __init__(self, way: Way, name: str) -> None:
        self.way = way
        self.name = name
        self.policy: Stage = way.store.settings.stages.of(name)
        self.endpoint = way.store.settings.stages.endpoint(name, way.model)
        self._change: Change | None = None
        self._over = ""
        """Why nothing is to be done here, or nothing any more."""

    def deploy(self) -> Step:
        """Load the version into an idle slot, beside what serves. Raises PromotionError when it may not or cannot."""
        way, version = self.way, self.way.version
        if way.dry_run:
            return self._done("deploy", f"would load the version at endpoint {self.endpoint!r}, without traffic")
        mending.mend(way.store, way.model, self.name)
        self._over = self._nothing_to_do()
        if self._over:
            return self._done("deploy", self._over)
        assert version is not None
        if way.promoting and not slots.holding(slots.status(way.store, self.endpoint), version):
            endpoint.idle(way.store.settings, self.endpoint)  # raises where somebody has split the traffic by hand
        kind: moves.Kind = "promotion" if way.promoting else "repair"
        self._change = Change.begin(
            way.store, version, kind=kind, stage=self.name, reason=way.reason, run_id=way.run_id
        )
        slot = self._change.deploy()
        way.status = self._change.status
        return self._done(
            "deploy", f"version {version.version} is in slot {slot} at {way.status.address}", changed=True
        )

    def test(self) -> Step:
        """Hold its slot to the contract. When it does not keep it, what served before serves on, and this raises."""
        if self._change is None:
            text = "would hold its slot to the contract" if self.way.dry_run else self._over
            return self._done("test", text)
        return self._done("test", "; ".join(check.text for check in self._change.test()))

    def canary(self) -> Step:
        """Go through the settings' steps of a canary; as soon as it does badly, traffic goes back, and this raises."""
        steps = self.policy.canary
        if not steps:
            return self._done("canary", "the settings name no steps")
        if self._change is None or not self.way.promoting:
            return self._done("canary", f"would take {len(steps)} step(s)" if self.way.dry_run else self._over)
        told = []
        for step in steps:
            seen = self._change.share(step)
            how = f"{step.traffic} % of the traffic" if step.traffic else f"{step.mirror} % mirrored"
            told.append(f"{how}: {seen}" if seen else "nothing serves that it could be compared with")
            if seen is None:
                break
        return self._done("canary", ". ".join(told), changed=True)

    def switch(self) -> Step:
        """Give it all requests, and the champion's mark of this stage."""
        way, change = self.way, self._change
        if change is None:
            return self._done("switch", "would give it all traffic and the mark" if way.dry_run else self._over)
        if [step.name for step in way.steps if step.stage == self.name] != ["deploy", "test", "canary"]:
            raise PromotionError("a version gets all traffic after deploy, test and canary, in this order")
        change.switch()
        change.end()
        self._change = None
        self._over = "done"
        way.status = change.status
        way.passed.append(self.name)
        old = change.before
        instead = f", instead of version {old.version}" if old and old.version != change.number else ""
        freed = "; its endpoint was freed" if change.empties else ""
        if way.version is not None and way.version.tags.get(Tag.WAITING) and self.name == way.names[-1]:
            registry.set_tags(way.store, way.version, {Tag.WAITING: ""})
        return self._done("switch", f"version {change.number} is champion of {self.name}{instead}{freed}", changed=True)

    def _nothing_to_do(self) -> str:
        way, version = self.way, self.way.version
        if way.waiting:
            return f"not before somebody has said yes to {way.waiting}"
        if version is None:
            return "nothing to deploy: there is no champion"
        status = slots.status(way.store, self.endpoint)
        mine = registry.champion(way.store, way.model, self.name)
        holds = mine is not None and mine.version == version.version
        if (
            way.promoting
            and self.name == PROD
            and mine is not None
            and mine.version not in (way.compared, version.version)
        ):
            raise PromotionError(changes.beaten(mine))  # while it was in the stages before
        if not way.promoting and self.name != PROD:
            return "nothing to do: the champion of prod stays"
        if way.promoting and not holds:
            self._admit(version)  # before anybody is asked to approve of it
        if way.promoting and self.policy.approval and self.name != way.approved and not holds:
            way.wait(self.name)
            return f"waits for an approval: {continuing(way.model)}"
        if not holds:
            return ""
        if self.policy.empty_after and way.promoting:
            way.passed.append(self.name)
            return f"version {version.version} has passed already"
        if slots.serves(status, version) or (status and status.state == "stopped" and slots.holding(status, version)):
            way.status = endpoint.start(way.store.settings, self.endpoint)
            known = moves.known(way.store, version)
            rows = verify.predictions(way.store.settings, self.endpoint, known)
            if way.promoting:
                way.passed.append(self.name)
            return f"version {version.version} serves already: {rows} known rows are answered as they should be"
        return ""

    def _admit(self, version: Version) -> None:
        tags = slots.run_tags(self.way.store, version)
        if self.policy.require_clean and tags.get(Tag.GIT_DIRTY) != "false":
            raise PromotionError(
                f"version {version.version} may not enter {self.name}: it was not trained from a clean commit, and "
                f"stages.{self.name}.require_clean wants that"
            )
        if self.policy.require_fingerprint:
            why = traits.irreproducible(self.way.store, slots.run_of(self.way.store, version))
            if why:
                raise PromotionError(
                    f"version {version.version} may not enter {self.name}: {why}, and "
                    f"stages.{self.name}.require_fingerprint wants its fingerprint to come out again"
                )

    def _done(self, name: StepName, text: str, *, changed: bool = False) -> Step:
        return self.way.done(Step(name, changed, text, self.name))


def check(settings: Settings, stages: Sequence[str]) -> tuple[str, ...]:
    """The stages that are meant, in their order; the settings' default when none is named. Raises UsageError."""
    names = tuple(stages) or settings.stages.default
    for name in names:
        if name not in STAGES:
            raise UnknownNameError("stage", name, STAGES)
    return tuple(name for name in STAGES if name in names)


def continuing(model: str) -> str:
    """The command that says yes."""
    return f"nbops promote --continue {model}"


def waiting(store: Store, model: str) -> Version | None:
    """The version that waits for an approval, if any."""
    return next((each for each in registry.versions(store, model) if each.tags.get(Tag.WAITING)), None)


def go_on(store: Store, model: str) -> Way:
    """Say yes to the stage before which a version waits, and take it there, and through what comes after.

    Raises UsageError when nothing waits, PromotionError when another version became champion meanwhile.
    """
    found = waiting(store, model)
    if found is None:
        if model not in registry.models(store):
            registry.get(store, model, "1")  # raises, naming the models there are
        raise UsageError(f"no version of {model!r} waits for an approval; nbops history {model} says what happened")
    told: dict[str, Any] = json.loads(found.tags[Tag.WAITING])
    first = str(told["stages"][0])
    way = Way(store, model, told["stages"], dry_run=False, reason=told["reason"], run_id=told["run"], approved=first)
    way.version, way.compared = found, str(told["compared"])
    for name in way.names:
        mending.mend(store, model, name)
    now = registry.champion(store, model)
    if now is not None and now.version not in (way.compared, found.version):
        raise PromotionError(changes.beaten(now))
    _note(way, "approved", first)
    for stage in way.stages:
        for step in (stage.deploy, stage.test, stage.canary, stage.switch):
            step()
    if way.run_id:
        with suppress(Exception):  # the run was deleted since; the ledger knows, too
            store.client.set_tag(way.run_id, Tag.PROMOTED, str(way.promoted).lower())
    return way


def _note(way: Way, what: What, stage: str) -> None:
    assert way.version is not None
    champion = registry.champion(way.store, way.model, stage)
    before, after = champion.version if champion else "", way.version.version
    entry = Entry(way.model, stage, what, before, after, reason=way.reason, run=way.run_id)
    ledger.write(way.store, entry, f"{what}-{uuid.uuid4().hex}")
