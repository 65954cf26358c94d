"""Take a version into a stage, step by step; a step that fails undoes the whole change at once.

    deploy    the version is loaded into a slot without traffic
    test      the slot keeps the contract
    share     a share of the traffic, or of copies of it, goes to it; it is watched beside the champion
    switch    it gets all traffic; from here on a change that is cut short is finished, earlier it is undone
    mark      the champion's mark moves
    empty     the endpoint is freed, where the settings say so

Each step stands in the journal before it is done. A process that dies leaves a journal without an end; the next change
of the stage reads how far it came, and recovers it first (`recovery.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from notebooks_lib import errors
from notebooks_lib.errors import NbopsError, PromotionError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.release import slot_checks
from notebooks_lib.release.canary_analysis import CanaryResult, CanaryWatch
from notebooks_lib.release.change_storage import bind_endpoint, changes_of
from notebooks_lib.release.journal import END, ChangeRecord, Journal, Kind
from notebooks_lib.release.recovery import NO_RETURN, recover_locked
from notebooks_lib.release.slot_checks import Probing, SlotCheck
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.release.traffic_and_champion import StageMoves
from notebooks_lib.serving import targets
from notebooks_lib.settings.sections import CanaryStep
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import release_ledger

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

_NEXT = "the next nbops promote --live or nbops rollback"


class CanaryDeployment(StageMoves):
    """The steps of a change of a stage: deploy, test, share for each canary step, switch, end.

    Only one process at a time changes a stage.
    """

    def __init__(self, store: Store, changes: StageChanges, journal: Journal, probing: Probing) -> None:
        super().__init__(store, journal)
        self._changes = changes
        self._probing = probing

    @classmethod
    def begin(
        cls,
        store: Store,
        version: Version,
        *,
        kind: Kind,
        stage: str,
        reason: str,
        run_id: str = "",
        probing: Probing | None = None,
    ) -> CanaryDeployment:
        """Lock the stage, recover an interrupted change of it, and begin the journal of a new change.

        `kind` is promotion or rollback. `reason` and `run_id`, the run of the decision, are kept in the journal. Raises
        StageBusyError when another process is changing the stage.
        """
        changes = changes_of(store.settings, version.model, stage, store=store)
        changes.take()
        try:
            endpoint = targets.stage_endpoint(store.settings, stage, version.model)
            bind_endpoint(store.settings, stage, endpoint, store=store)
            recover_locked(store, changes, giving_up=kind == "rollback")
            champion = champions.champion(store, version.model, stage)
            change = ChangeRecord(
                kind=kind,
                model=version.model,
                stage=stage,
                endpoint=store.settings.stages.endpoint(stage, version.model),
                version=version.version,
                before=champion.version if champion else "",
                reason=reason,
                run=run_id,
                who=release_ledger.acting_user(),
            )
            return cls(store, changes, changes.begin(change), probing or Probing())
        except BaseException:
            changes.release()
            raise

    def deploy(self) -> str:
        """Load the version into a slot without traffic and return the slot; no other slot is touched."""
        with self._step("deploy"):
            slot = self.load(todays_settings=self.kind == "promotion")
            bind_endpoint(self.store.settings, self.stage, self.endpoint, store=self.store)  # it may be new
            return slot

    def test(self) -> list[SlotCheck]:
        """Test the slot of the version and return the results. Raises PromotionError when a test fails."""
        with self._step("test"):
            checks = slot_checks.check_slot(
                self.endpoint,
                self.slot,
                self.golden(self.version),
                # A rollback must succeed even if the version in service is faster or accepts more.
                champion=None if self.kind == "rollback" else self.champion_slot(),
                ratio=self.store.settings.stages.of(self.stage).max_latency_ratio,
                tolerance=self.store.settings.promotion.tolerance,
                probing=self._probing,
            )
            if slot_checks.format_failed_checks(checks):
                raise PromotionError(
                    f"version {self.number} does not keep its contract: {slot_checks.format_failed_checks(checks)}"
                )
            return checks

    def share(self, step: CanaryStep) -> CanaryResult | None:
        """Give the version a share of the requests and watch it; None if no champion serves to compare it with.

        Raises PromotionError as soon as the version does worse than the settings of the stage allow.
        """
        settings = self.store.settings
        with self._step("share", traffic=step.traffic, mirror=step.mirror):
            champion = self.champion_slot()
            if champion is None:
                return None
            new, (old, old_golden) = self.slot, champion
            shares = {old: 100 - step.traffic, new: step.traffic} if step.traffic else {old: 100}
            self.split(shares, mirror={new: step.mirror} if step.mirror else None)
            watch = CanaryWatch(
                self.endpoint,
                new,
                old,
                goldens={new: self.golden(self.version), old: old_golden},
                tolerance=settings.promotion.tolerance,
                probing=self._probing,
            )
            return watch.until_done(step, settings.stages.of(self.stage))

    def switch(self) -> None:
        """Give the version all requests and the champion mark. Then free the endpoint, if the settings say so.

        Raises PromotionError, and undoes the change, when another version became champion meanwhile.
        """
        with self._step(NO_RETURN):
            rival = self.rival()
            if rival is not None:
                raise PromotionError(stale_comparison(rival))
            self.split({self.slot: 100})
        with self._step("mark"):
            self.mark()
        if self.empties:
            with self._step("empty"):
                self.empty()

    def end(self) -> None:
        """Close the journal and release the lock."""
        self.journal.write(END, outcome="done")
        self._changes.release()

    def undo(self, why: str) -> str:
        """Undo the whole change and return a text on what serves now. `why` is written to the journal and the ledger.

        The next command undoes what cannot be undone now.
        """
        try:
            self.catch_up()  # what failed may have moved traffic
            self.journal.write("undo", reason=why)
            return self.take_back(why)
        finally:
            self._changes.release()

    @contextmanager
    def _step(self, name: str, **detail: int) -> Iterator[None]:
        """Write the step down and do it. When it fails, undo the change or leave it to be finished, and say which."""
        if self.journal.ended or not self._changes.taken:
            raise PromotionError(f"this {self.kind} of version {self.number} has ended; begin again")
        try:
            self.journal.write(name, **detail)
            yield
        except (Exception, KeyboardInterrupt) as error:
            if not self._changes.taken:  # another machine has taken the change over, and settles it
                raise
            # Below the first line stand logs of containers: for the reader of the error, not for ledger and journal.
            why, newline, logs = (str(error) or type(error).__name__).partition("\n")
            try:
                outcome = self._leave_to_next() if name in ("mark", "empty") else self.undo(why)
                if "undo" in self.journal.steps and isinstance(error, NbopsError):
                    self._remove_waiting_tag()
            except NbopsError as second:
                outcome = f"it cannot be taken back now: {second}; {_NEXT} tries again"
            if isinstance(error, NbopsError):
                raise PromotionError(f"{why}; {outcome}{newline}{logs}") from error
            error.add_note(outcome)
            raise

    def _remove_waiting_tag(self) -> None:
        """Remove the waiting tag: after a failure, only a new decision can ask for an approval again."""
        if self.kind == "promotion" and self.version.waiting:
            with errors.as_model_error("what waits for an approval cannot be written"):
                registry.set_tags(self.store, self.version, {Tag.WAITING: ""})

    def _leave_to_next(self) -> str:
        """Release the lock with the version in service: only the registry's mark is missing."""
        self._changes.release()
        return f"version {self.number} serves; {_NEXT} finishes this"


def stale_comparison(rival: Version) -> str:
    """Return the message that a comparison is outdated because `rival` became champion meanwhile."""
    return (
        f"version {rival.version} of {rival.model!r} became champion while this run was compared with another; "
        "promote again to compare it with that one"
    )
