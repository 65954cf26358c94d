"""Somebody says yes to the stage before which a version waits: it goes on from there. Nothing is compared again."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.promotion import mending
from notebooks_lib.promotion.change import beaten
from notebooks_lib.promotion.stages import through
from notebooks_lib.promotion.way import Way, note
from notebooks_lib.records import Tag
from notebooks_lib.tracking import registry
from notebooks_lib.tracking.registry import Version

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


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
        raise PromotionError(beaten(now))
    note(way, "approved", first)
    for stage in through(way):
        for step in (stage.deploy, stage.test, stage.canary, stage.switch):
            step()
    if way.run_id:
        with suppress(Exception):  # the run was deleted since; the ledger knows, too
            store.client.set_tag(way.run_id, Tag.PROMOTED, str(way.promoted).lower())
    return way
