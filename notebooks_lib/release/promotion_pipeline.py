"""Carry out a decision: register the challenger as a version, and roll it out stage by stage.

    register        make a version, with golden predictions but no champion mark; once for each run
    each stage      deploy, test, canary, switch

A stage that fails ends the rollout: earlier stages keep the version, later stages stay as they are. A stage that needs
an approval ends the rollout as well, without a failure; `approval.py` continues it. When the champion stays, its
endpoint is started if necessary and checked against known rows. A dry run changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from notebooks_lib.errors import PromotionError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.models.registry import Version
from notebooks_lib.promotion.decision import Decision
from notebooks_lib.release import canary_deployment as changes
from notebooks_lib.release import monitor_update, recovery, slot_checks, traffic_and_champion, version_deployment
from notebooks_lib.release.canary_deployment import CanaryDeployment
from notebooks_lib.release.journal import Kind
from notebooks_lib.release.rollout import Rollout, RolloutStep, StepName, continue_command
from notebooks_lib.release.rollout_dry_run import OVER, predict_outcome
from notebooks_lib.release.stage_requirements import admission_refusal
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import EndpointStatus
from notebooks_lib.settings.sections import Stage
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.release_ledger import LIMIT

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


def stage_rollouts(rollout: Rollout) -> tuple[StageRollout, ...]:
    """Return a `StageRollout` for each stage of a rollout, in order."""
    return tuple(StageRollout(rollout, name) for name in rollout.names)


class StageRollout:
    """One stage of a rollout; call deploy, test, canary and switch in this order."""

    def __init__(self, rollout: Rollout, name: str) -> None:
        self.rollout = rollout
        self.name = name
        self.policy: Stage = rollout.store.settings.stages.of(name)
        self.endpoint = targets.stage_endpoint(rollout.store.settings, name, rollout.model)
        self._change: CanaryDeployment | None = None
        self._over = ""
        """Why there is nothing to do in this stage, or nothing more; empty while there is."""

    def deploy(self) -> RolloutStep:
        """Load the version into an idle slot, without traffic.

        Raises PromotionError when the stage does not admit the version, or the version cannot be loaded.
        """
        rollout, version = self.rollout, self.rollout.version
        if rollout.dry_run:
            outcome = predict_outcome(rollout, self.name)
            self._over = OVER if rollout.ends else outcome
            return self._done(
                "deploy", outcome or f"would load the version at endpoint {self.endpoint.name!r}, without traffic"
            )
        if not self._closed:
            recovery.recover(rollout.store, rollout.model, self.name)
        self._over = self._nothing_to_do()
        if self._over:
            return self._done("deploy", self._over)
        assert version is not None
        status = version_deployment.endpoint_status(self.endpoint)
        if rollout.promoting and not version_deployment.slot_holding(status, version):
            self.endpoint.idle_slot()  # raises if all slots have traffic, as after a split by hand
        kind: Kind = "promotion" if rollout.promoting else "repair"
        self._change = CanaryDeployment.begin(
            rollout.store,
            version,
            kind=kind,
            stage=self.name,
            reason=rollout.reason,
            run_id=rollout.run_id,
            probing=rollout.probing,
        )
        slot = self._change.deploy()
        rollout.status = self._change.status
        return self._done(
            "deploy", f"version {version.version} is in slot {slot} at {rollout.status.address}", changed=True
        )

    def test(self) -> RolloutStep:
        """Test the slot of the version. Raises PromotionError when a test fails; the champion keeps serving."""
        if self._change is None:
            return self._done("test", self._instead("would hold its slot to the contract"))
        return self._done("test", "; ".join(check.text for check in self._change.test()))

    def canary(self) -> RolloutStep:
        """Run the stage's canary steps. Raises PromotionError when a step fails; the traffic is then moved back."""
        steps = self.policy.canary
        if not steps:
            return self._done("canary", "the settings name no steps")
        if self._change is None or not self.rollout.promoting:
            return self._done("canary", self._instead(f"would take {len(steps)} step(s)"))
        outcomes = []
        for step in steps:
            result = self._change.share(step)
            how = f"{step.traffic} % of the traffic" if step.traffic else f"{step.mirror} % mirrored"
            outcomes.append(f"{how}: {result}" if result else "no version serves to compare with")
            if result is None:
                break
        return self._done("canary", ". ".join(outcomes), changed=True)

    def switch(self) -> RolloutStep:
        """Give the version all requests and the champion mark of this stage."""
        rollout, change = self.rollout, self._change
        if change is None:
            return self._done("switch", self._instead("would give it all traffic and the mark"))
        if [step.name for step in rollout.steps if step.stage == self.name] != ["deploy", "test", "canary"]:
            raise PromotionError("a version gets all traffic after deploy, test and canary, in this order")
        change.switch()
        change.end()
        self._change = None
        self._over = "done"
        rollout.status = change.status
        old = change.before if change.before and change.before.version != change.number else None
        self._passes(old)
        instead = f", instead of version {old.version}" if old else ""
        freed = "; its endpoint was freed" if change.empties else ""
        text = f"version {change.number} is champion of {self.name}{instead}{freed}"
        return self._done("switch", self._with_monitor(text), changed=True)

    @property
    def _closed(self) -> bool:
        """Whether CI asks for an approval before this stage, and this is not it: then its endpoint is left alone."""
        return self.name in self.rollout.store.settings.stages.approval and self.name != self.rollout.approved

    def _with_monitor(self, text: str) -> str:
        """Let the monitor watch the slot that serves now; return the text with what changed of it."""
        monitored = monitor_update.update_monitor(self.rollout.store, self.rollout.model, self.name)
        return f"{text}; {monitored}" if monitored else text

    def _nothing_to_do(self) -> str:
        rollout, version = self.rollout, self.rollout.version
        if rollout.waiting:
            return f"not before {rollout.waiting} is approved"
        if version is None:
            return "nothing to deploy: there is no champion"
        mine = champions.champion(rollout.store, rollout.model, self.name)
        holds = mine is not None and mine.version == version.version
        if (
            rollout.promoting
            and self.name == PROD
            and mine is not None
            and mine.version not in (rollout.compared, version.version)
        ):
            raise PromotionError(changes.stale_comparison(mine))  # while it was in the stages before
        if not rollout.promoting and self.name != PROD:
            return "nothing to do: the champion of prod stays"
        if self._closed and not rollout.promoting:
            return f"version {version.version} stays; its endpoint is not asked: {self.name} needs an approval"
        if rollout.promoting and not holds:
            self._admit(version)  # before an approval is asked for
        if rollout.promoting and self.policy.approval and self.name != rollout.approved and not holds:
            rollout.wait(self.name)
            return f"waits for an approval: {continue_command(rollout.model)}"
        if not holds:
            return ""
        if (self._closed or self.policy.empty_after) and rollout.promoting:
            self._passes(champions.previous(rollout.store, rollout.model, self.name))
            return f"version {version.version} has passed already"
        status = version_deployment.endpoint_status(self.endpoint)
        if version_deployment.serves_all(status, version) or self._only_stopped(status, version):
            rollout.status = self.endpoint.start()
            golden = traffic_and_champion.golden_predictions(rollout.store, version)
            rows = slot_checks.verify_golden(self.endpoint, golden, rollout.store.settings.promotion.tolerance)
            text = f"version {version.version} serves already: {rows} known rows are answered as they should be"
            if rollout.promoting:
                self._passes(champions.previous(rollout.store, rollout.model, self.name))
            return self._with_monitor(text)  # a promotion that was killed has perhaps not moved it
        return ""

    def _passes(self, instead_of: Version | None) -> None:
        """Record that the version is champion of this stage; after the last one it waits for nothing more."""
        rollout = self.rollout
        rollout.passes(self.name, instead_of)
        if rollout.version is not None and rollout.version.waiting and self.name == rollout.names[-1]:
            registry.set_tags(rollout.store, rollout.version, {Tag.WAITING: ""})

    def _only_stopped(self, status: EndpointStatus | None, version: Version) -> bool:
        """Return True if starting the endpoint makes it serve again: its files are complete and unchanged."""
        slot = version_deployment.slot_holding(status, version)
        stopped = status is not None and status.state == "stopped" and bool(slot)
        return stopped and self.endpoint.is_intact(slot)

    def _admit(self, version: Version) -> None:
        why = admission_refusal(self.rollout, self.name, query.find_run(self.rollout.store, version.run_id))
        if why:
            raise PromotionError(f"version {version.version} may not enter {self.name}: {why}")

    def _instead(self, would: str) -> str:
        """Return the text of a step that does nothing."""
        return self._over or (would if self.rollout.dry_run else "nothing to do")

    def _done(self, name: StepName, text: str, *, changed: bool = False) -> RolloutStep:
        return self.rollout.done(RolloutStep(name, changed, text, self.name))


class Release:
    """Releases the model that a promotion chose. Call `register`, then the steps of each of `stages`."""

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
        """The champion when the release began."""
        self.rollout = Rollout(store, self.model, stages, dry_run=dry_run, reason=self.reason, run_id=run_id)
        self.rollout.promoting = self.promoting
        self._stages = stage_rollouts(self.rollout)
        self.rollout.candidate = decision.challenger.run_id
        self.rollout.compared = decision.champion.version or ""

    @property
    def promoting(self) -> bool:
        """True if the decision is to put another version in service."""
        return self.decision.answer == "promote"

    @property
    def stages(self) -> tuple[StageRollout, ...]:
        """Return the stages of the release, in order."""
        return self._stages

    @property
    def version(self) -> Version | None:
        """Return the challenger's version once it is registered; the champion if it stays."""
        return self.rollout.version

    @property
    def status(self) -> EndpointStatus | None:
        """Return the status of the endpoint that was changed or checked last; None if there is none."""
        return self.rollout.status

    @property
    def promoted(self) -> bool:
        """True if the version became champion of all requested stages."""
        return self.rollout.promoted

    @property
    def steps(self) -> list[RolloutStep]:
        """Return the results of the steps done so far."""
        return self.rollout.steps

    def register(self) -> RolloutStep:
        """Register the challenger's model as a version, once. A champion that stays is registered already."""
        rollout, run_id = self.rollout, self.decision.challenger.run_id
        if not self.promoting:
            rollout.version = self.before
            return rollout.done(
                RolloutStep("register", False, f"nothing to register: the answer is {self.decision.answer}")
            )
        if rollout.dry_run:
            return rollout.done(
                RolloutStep("register", False, f"would register the model of run {run_id} as {self.model!r}")
            )
        rival = self._rival()
        if rival is not None:
            raise PromotionError(changes.stale_comparison(rival))
        tags = {Tag.DECISION_RUN: rollout.run_id} if rollout.run_id else {}
        version = registry.register(self.store, self.model, run_id, tags=tags)
        version_deployment.pin_checksum(self.store, version, self.decision.challenger.model_sha256)
        if tags:  # also where an earlier promote registered it and went no further
            registry.set_tags(self.store, version, tags)
        golden = traffic_and_champion.golden_predictions(self.store, version)
        rollout.version = registry.get(self.store, self.model, version.version)
        summary = f"version {version.version} of {self.model!r} is run {run_id}"
        return rollout.done(
            RolloutStep("register", True, f"{summary}; {golden.rows} golden predictions are kept with it")
        )

    @property
    def undo(self) -> str:
        """Return the command that undoes the promotion; empty when there is nothing to undo."""
        return self.rollout.undo if self.promoted else ""

    @property
    def next(self) -> str:
        """Return the command that continues the release after an approval; empty when no approval is awaited."""
        return continue_command(self.model) if self.rollout.waiting else ""

    def _rival(self) -> Version | None:
        """Return a champion that the decision did not know of: another promotion came first."""
        now, mine = champions.champion(self.store, self.model), self.decision.challenger.run_id
        foreseen = now is None or now.version == self.decision.champion.version or now.run_id == mine
        return None if foreseen else now
