"""Take a stage back to an earlier version, after that version has shown that it still predicts the same.

A change that was cut short is recovered first. Where recovery takes the stage back, nothing else moves: after a release
that died half way, a rollback restores the champion from before that release, not the one before it.

The older version is first loaded here and compared with its golden predictions: an upgraded library or a damaged file
shows before anything moves. Then it is a CanaryDeployment like a promotion, without a canary: deploy, test, switch.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.models import champions, model_files, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.models.registry import Version
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.release import monitor_update, recovery, rollout, traffic_and_champion, version_deployment
from notebooks_lib.release.canary_deployment import CanaryDeployment
from notebooks_lib.release.recovery import Recovered
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import EndpointStatus
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import Store, connect


@dataclass(frozen=True)
class Restored:
    """The result of a rollback: the version that serves now, and the version that served before."""

    version: Version | None
    """The champion; None when there was none before the change that was undone."""
    before: Version | None
    """The champion that was replaced; None when recovery was all that was needed."""
    status: EndpointStatus | None
    """None where there is no endpoint."""
    rows: int = 0
    """Golden predictions that it reproduced, here and through the endpoint."""
    mended: Recovered | None = None
    """A change that an earlier command left unfinished, and its outcome."""
    further: str = ""
    """The command that goes back one more version; empty when there is none."""
    monitor: str = ""
    """What became of the endpoint's monitor; empty where there is none."""


def rollback(
    settings: Settings,
    model: str,
    *,
    stage: str = PROD,
    to: str | None = None,
    reason: str = "",
    probing: Probing | None = None,
) -> Restored:
    """Restore the previous champion of a stage, or version `to`: traffic and champion mark move back.

    `reason` is written to the ledger. An interrupted change is recovered first. If that brings an earlier version back,
    nothing else is done, unless `to` names another version. The replaced version is withdrawn: no promotion brings it
    back automatically. Raises UsageError when there is no previous champion, or `to` was never champion of the stage.
    Raises PromotionError when the older version does not reproduce its golden predictions. In both cases nothing has
    moved.
    """
    rollout.check_stages(settings, [stage])
    store = connect(settings)
    cause = f"nbops rollback: {reason}" if reason else "nbops rollback"
    mended = recovery.recover(store, model, stage, giving_up=True, cause=cause)
    before = champions.champion(store, model, stage)
    is_champion = before is not None and before.version == to
    if mended is not None and (mended.back if to is None else is_champion and mended.outcome != "given up"):
        status = version_deployment.endpoint_status(targets.stage_endpoint(settings, stage, model))
        further, watched = _further(store, model, stage), monitor_update.update_monitor(store, model, stage)
        return Restored(before, None, status, mended=mended, further=further, monitor=watched)
    if before is None:
        if model not in registry.models(store):
            registry.get(store, model, to or "1")  # raises, naming the models there are
        raise UsageError(f"model {model!r} has no champion in {stage}, so there is nothing to go back from")
    target = _target(store, before, stage, to)
    rows = _check(store, target)
    reason = reason or f"version {before.version} was taken back by hand"
    change = CanaryDeployment.begin(store, target, kind="rollback", stage=stage, reason=reason, probing=probing)
    change.deploy()
    change.test()
    change.switch()
    change.end()
    restored = registry.get(store, model, target.version)
    watched = monitor_update.update_monitor(store, model, stage)
    return Restored(restored, before, change.status, rows, mended, _further(store, model, stage), watched)


def _further(store: Store, model: str, stage: str) -> str:
    return champions.rollback_command(model, stage) if champions.previous(store, model, stage) else ""


def _target(store: Store, before: Version, stage: str, to: str | None) -> Version:
    if to is None:
        target = champions.previous(store, before.model, stage)
        if target is None:
            name = store.settings.stages.endpoint(stage, before.model)
            withdrawn = [other.version for other in registry.versions(store, before.model) if stage in other.withdrawn]
            raise UsageError(
                f"there is nothing to go back to: no version of {before.model!r} was champion in {stage} before "
                f"version {before.version}{_except_withdrawn(before.model, stage, withdrawn)}; "
                f"to stop serving it: nbops endpoint stop {name}"
            )
        return target
    target = registry.get(store, before.model, to)
    if target.version == before.version:
        raise UsageError(f"version {to} of {before.model!r} is the champion of {stage} already")
    if not champions.was_champion(store, target, stage):
        on = f"it waits: {rollout.continue_command(before.model)}" if target.waiting else "nbops promote --live"
        raise UsageError(
            f"version {to} of {before.model!r} was never champion of {stage}, and a rollback only goes back; forward, "
            f"through all that {stage} asks for: {on}"
        )
    return target


def _except_withdrawn(model: str, stage: str, numbers: list[str]) -> str:
    """Return the part of a refusal that names the versions which a rollback withdrew, and how to bring one back."""
    if not numbers:
        return ""
    command = champions.rollback_command(model, stage, max(numbers, key=int))
    return f", except withdrawn ones ({', '.join(sorted(numbers, key=int))}); to bring one back all the same: {command}"


def _check(store: Store, version: Version) -> int:
    """Load a version here and compare its golden predictions; return how many there are."""
    with tempfile.TemporaryDirectory() as scratch:
        model = ServedModel.load(model_files.download(version.source, Path(scratch)))
        golden = traffic_and_champion.golden_predictions(store, version)
        apart = golden.differences(model)
    if apart > store.settings.promotion.tolerance:
        raise PromotionError(
            f"version {version.version} of {version.model!r} does not predict here what it predicted when it was "
            f"registered (they differ by {apart:.3g}): its files or a library changed; nothing was moved"
        )
    return golden.rows
