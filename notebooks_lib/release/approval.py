"""Continue with a version that waits for an approval, or whose promotion was cut short. No model is compared again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.models.registry import Version
from notebooks_lib.release import decision_record, recovery
from notebooks_lib.release.canary_deployment import stale_comparison
from notebooks_lib.release.change_storage import unfinished_changes
from notebooks_lib.release.journal import Journal, can_continue, describe, recovery_hint
from notebooks_lib.release.pending_approval import WaitingRecord, read_waiting_tag
from notebooks_lib.release.promotion_pipeline import stage_rollouts
from notebooks_lib.release.rollout import Rollout, continue_command, write_ledger_note
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


def waiting_version(store: Store, model: str) -> Version | None:
    """Return the version of a model that waits for an approval; None if there is none."""
    return next((version for version in registry.versions(store, model) if version.waiting), None)


def _check_passed(store: Store, version: Version, passed: Sequence[str]) -> None:
    """Raise PromotionError when the results of the stages passed before no longer hold."""
    number, again = version.version, "promote again: nbops promote --live"
    if version.withdrawn:
        how = " and ".join(champions.rollback_command(version.model, stage, number) for stage in version.withdrawn)
        raise PromotionError(
            f"version {number} of {version.model!r} was withdrawn from {', '.join(version.withdrawn)}, so its "
            f"rollout cannot continue; if the withdrawal was wrong: {how}, then {again}"
        )
    for stage in passed:
        now = champions.champion(store, version.model, stage)
        if now is None or now.version != number:
            serves = f"version {now.version} is champion there now" if now else "it has no champion now"
            raise PromotionError(f"version {number} of {version.model!r} had passed {stage}, but {serves}; {again}")


def _find(store: Store, model: str, number: str, stage: str) -> tuple[Version, WaitingRecord]:
    """Return the version to continue with and what is left of its rollout; with `number`, also one that is through.

    Raises UsageError when there is none.
    """
    waiting, changes = waiting_version(store, model), unfinished_changes(store.settings, model, store=store)
    cut = [each for each in changes if can_continue(each) and number in ("", each.change.version)]
    cut = [each for each in cut if stage in ("", each.change.stage)]
    if waiting is not None and not number and cut and cut[0].change.version != waiting.version:
        commands = " or ".join(continue_command(model, each) for each in (waiting.version, cut[0].change.version))
        raise UsageError(
            f"version {waiting.version} of {model!r} waits for an approval, and unfinished is {describe(cut[0])}: "
            f"name the one to continue with: {commands}"
        )
    if waiting is not None and (number in ("", waiting.version) or not cut):
        record = read_waiting_tag(waiting)
        assert record is not None  # it waits
        _check_approved(waiting, record, number, stage)
        return waiting, record
    if cut:
        return registry.get(store, model, cut[0].change.version), _what_is_left(store, cut[0])
    if model not in registry.models(store):
        registry.get(store, model, "1")  # raises, naming the models there are
    champion = champions.champion(store, model, stage or PROD)
    if champion is not None and champion.version == number:
        return champion, WaitingRecord((stage or PROD,), number, champion.tags.get(Tag.DECISION_RUN, ""), "")
    why = f"no version of {model!r} waits for an approval"
    for change in changes:
        raise UsageError(f"{why}; unfinished: {describe(change)}; {recovery_hint(change)}")
    raise UsageError(f"{why}; nbops history {model} says what happened")


def _what_is_left(store: Store, unfinished: Journal) -> WaitingRecord:
    """Return the stages that a promotion had before it; its decision's run names them, without one there is one."""
    change = unfinished.change
    if not change.run:
        now = champions.champion(store, change.model)
        return WaitingRecord((change.stage,), now.version if now else "", "", change.reason)
    release = decision_record.read_decision(store, change.run).release
    first = release.stages.index(change.stage)
    stages, passed = release.stages[first:], release.stages[:first]
    return WaitingRecord(stages, release.previous or "", change.run, change.reason, passed)


def _is_champion(store: Store, version: Version, stage: str) -> bool:
    """Return True for the champion of a stage: nothing is left to approve, but its endpoint may need repair."""
    now = champions.champion(store, version.model, stage)
    return now is not None and now.version == version.version


def _check_approved(version: Version, record: WaitingRecord, number: str, stage: str) -> None:
    """Raise UsageError when another version waits than the one that was approved, or before another stage."""
    waits = f"version {version.version} of {version.model!r} waits for an approval before {record.stages[0]}"
    if number and number != version.version:
        raise UsageError(
            f"{waits}, and version {number}, which was approved, does not any more: nothing was done; "
            f"to approve the one that waits: {continue_command(version.model, version.version)}"
        )
    if stage and stage != record.stages[0] and stage not in record.passed:
        raise UsageError(f"{waits}, not before {stage}: nothing was done")


def approve(store: Store, model: str, *, number: str = "", stage: str = "", probing: Probing | None = None) -> Rollout:
    """Approve the version that waits before a stage, and roll it out to that stage and those after it.

    If none waits, continue a promotion that was cut short, here or on another machine: what it began is finished or
    undone, then its version goes through the stages that are left. That approves no stage.

    With `number` and `stage`, only this version is approved, and only for this stage: if it has passed the stage
    already, as when a job is run again, nothing is approved, and the rollout says what the version waits for.

    Raises UsageError when there is nothing to continue with, or another version waits, or before another stage. Raises
    PromotionError when nbops did not write the tag by which it waits, or when the decision is outdated: the version was
    withdrawn from a stage, or another version became champion of prod or of a stage that this version had passed. If a
    stage rejects the version, the approval is used up: the version does not wait any more. Raises StageBusyError, and
    changes nothing, while another process changes one of the stages.
    """
    version, record = _find(store, model, number, stage)
    first = record.stages[0]
    rollout = Rollout(
        store,
        model,
        record.stages,
        dry_run=False,
        reason=record.reason,
        run_id=record.run,
        approved=first if version.waiting or _is_champion(store, version, first) else "",
        probing=probing,
    )
    rollout.version, rollout.compared, rollout.earlier = version, record.compared, record.passed
    if stage and stage in record.passed:
        rollout.waiting = first
        return rollout
    for name in [stage] if stage else rollout.names:  # the approval of one stage settles no other
        recovery.recover(store, model, name)
    _check_passed(store, registry.get(store, model, version.version), rollout.earlier)
    now = champions.champion(store, model)
    if now is not None and now.version not in (rollout.compared, version.version):
        raise PromotionError(stale_comparison(now))
    if version.waiting:
        write_ledger_note(rollout, "approved", first)
    for each in stage_rollouts(rollout):
        for step in (each.deploy, each.test, each.canary, each.switch):
            step()
    if rollout.run_id:
        with suppress(Exception):  # the run may have been deleted; the ledger has the approval too
            store.client.set_tag(rollout.run_id, Tag.PROMOTED, str(rollout.promoted).lower())
    return rollout
