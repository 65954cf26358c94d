"""Takes a promotion back: the endpoint and the mark return to an earlier version, after it has proved that it serves.

Same order as a release: serve, verify, then move the mark. A crash before the mark leaves the champion as it was; the
next live promote lets it serve again, or the same command finishes.
"""

from __future__ import annotations

from dataclasses import dataclass

from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.promotion.release import back_to, check, serve
from notebooks_lib.records import Tag
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import registry
from notebooks_lib.tracking.registry import Version
from notebooks_lib.tracking.store import Store, connect


@dataclass(frozen=True)
class Restored:
    """What serves now and what did before."""

    version: Version
    before: Version
    rows: int
    """Known rows that the endpoint answered right."""
    status: Status


def restore(settings: Settings, model: str, version: str | None = None, *, reason: str = "") -> Restored:
    """Make the champion before this one, or `version`, serve and hold the mark again.

    The version that it replaces is withdrawn: no later promote brings it back by itself. Raises UsageError when there
    is nothing to go back to, PromotionError when the older version does not serve; the champion serves on then.
    """
    store = connect(settings)
    before = registry.champion(store, model)
    if before is None:
        if model not in registry.models(store):
            registry.get(store, model, version or "1")  # raises, naming the models there are
        raise UsageError(f"model {model!r} has no champion, so there is nothing to take back")
    target = _target(store, before, version)
    reason = reason or f"version {before.version} was taken back by hand"
    try:
        serve(store, target, reason=reason)
        rows = check(store, target)
    except PromotionError as error:
        raise PromotionError(f"{error}; {back_to(store, model, before)}") from error
    _move(store, before, target, reason)
    return Restored(registry.get(store, model, target.version), before, rows, serve(store, target))


def _target(store: Store, before: Version, version: str | None) -> Version:
    if version is None:
        found = registry.previous(store, before.model)
        if found is None:
            raise UsageError(
                f"version {before.version} of {before.model!r} is the first champion: there is nothing to go back to; "
                f"to stop serving it: nbops endpoint stop {before.model}"
            )
        return found
    found = registry.get(store, before.model, version)
    if found.version == before.version:
        raise UsageError(f"version {version} of {before.model!r} is the champion already")
    return found


def _move(store: Store, before: Version, target: Version, reason: str) -> None:
    """Undo exactly where the target is the version before, so that its own predecessor is known again."""
    previous = registry.previous(store, before.model)
    if previous is not None and previous.version == target.version:
        registry.unmark(store, before, reason=reason)
        return
    registry.mark_champion(store, target, reason=reason)
    store.client.set_model_version_tag(before.model, before.version, Tag.ROLE, "withdrawn")
