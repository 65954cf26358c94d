"""One stage of a version's way, step by step, as a notebook shows it. What is done is done in change.py.

A stage that fails ends the way: what is behind it stands, what is before it is not touched. A stage that wants an
approval ends it too, without a failure: approval.py continues there.
"""

from __future__ import annotations

from notebooks_lib.errors import PromotionError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.models.registry import Version
from notebooks_lib.release import admission, contract_tests, dry_run, moves, recovery, slots
from notebooks_lib.release import stage_change as changes
from notebooks_lib.release.rollout import Step, StepName, Way, continuing
from notebooks_lib.release.stage_change import Change
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.settings.sections import Stage
from notebooks_lib.tags import Tag


def through(way: Way) -> tuple[OneStage, ...]:
    """The stages of a way, in their order."""
    return tuple(OneStage(way, name) for name in way.names)


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
            told = dry_run.foreseen(way, self.name)
            self._over = dry_run.OVER if way.ends else told
            return self._done(
                "deploy", told or f"would load the version at endpoint {self.endpoint!r}, without traffic"
            )
        recovery.mend(way.store, way.model, self.name)
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
            return self._done("test", self._instead("would hold its slot to the contract"))
        return self._done("test", "; ".join(check.text for check in self._change.test()))

    def canary(self) -> Step:
        """Go through the settings' steps of a canary; as soon as it does badly, traffic goes back, and this raises."""
        steps = self.policy.canary
        if not steps:
            return self._done("canary", "the settings name no steps")
        if self._change is None or not self.way.promoting:
            return self._done("canary", self._instead(f"would take {len(steps)} step(s)"))
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
            return self._done("switch", self._instead("would give it all traffic and the mark"))
        if [step.name for step in way.steps if step.stage == self.name] != ["deploy", "test", "canary"]:
            raise PromotionError("a version gets all traffic after deploy, test and canary, in this order")
        change.switch()
        change.end()
        self._change = None
        self._over = "done"
        way.status = change.status
        old = change.before if change.before and change.before.version != change.number else None
        way.passes(self.name, old)
        instead = f", instead of version {old.version}" if old else ""
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
        mine = champions.champion(way.store, way.model, self.name)
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
            way.passes(self.name, champions.previous(way.store, way.model, self.name))
            return f"version {version.version} has passed already"
        if slots.serves(status, version) or self._only_stopped(status, version):
            way.status = endpoint.start(way.store.settings, self.endpoint)
            known = moves.known(way.store, version)
            rows = contract_tests.predictions(way.store.settings, self.endpoint, known)
            if way.promoting:
                way.passes(self.name, champions.previous(way.store, way.model, self.name))
            return f"version {version.version} serves already: {rows} known rows are answered as they should be"
        return ""

    def _only_stopped(self, status: Status | None, version: Version) -> bool:
        """Whether it serves again when it is started: nobody has lost or changed its files since."""
        slot = slots.holding(status, version)
        stopped = status is not None and status.state == "stopped" and bool(slot)
        return stopped and endpoint.whole(self.way.store.settings, self.endpoint, slot)

    def _admit(self, version: Version) -> None:
        why = admission.refusal(self.way, self.name, slots.run_of(self.way.store, version))
        if why:
            raise PromotionError(f"version {version.version} may not enter {self.name}: {why}")

    def _instead(self, would: str) -> str:
        """What a step says that does nothing."""
        return self._over or (would if self.way.dry_run else "nothing to do")

    def _done(self, name: StepName, text: str, *, changed: bool = False) -> Step:
        return self.way.done(Step(name, changed, text, self.name))
