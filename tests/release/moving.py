"""Versions that load in a moment, their way into a stage, and what must agree whatever became of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from notebooks_lib.models import champions, logged_models, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.release import change_storage, traffic_and_champion, version_deployment
from notebooks_lib.release.canary_deployment import CanaryDeployment
from notebooks_lib.release.local_stage_changes import FileJournal, LocalStageChanges
from notebooks_lib.release.rollback import Restored, rollback
from notebooks_lib.release.shared_stage_changes import RunJournal, SharedStageChanges
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving import targets
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.store import Store

MODEL = "houses"


class Killed(BaseException):
    """Nobody catches it, as nobody catches a SIGKILL: only locks are let go, as the kernel does for a dead process."""


BUSY = 7.0
"""Rooms of the houses that callers really ask for; no known row has so many."""


def version(store: Store, value: float, *, model: str = MODEL, when_busy: str = "") -> Version:
    """A registered version that always says `value` and has golden predictions.

    `when_busy` is "slow" or "failing": so it is for the rows of real callers, and right on all that are known.
    """
    import pandas as pd

    rows = pd.DataFrame({"rooms": [1.0, 2.0]})

    class Constant:
        """Defined here, so that it is saved whole: a server knows no module of the tests."""

        def __init__(self, value: float, when_busy: str, busy: float) -> None:
            self.value = value
            self.when_busy = when_busy
            self.busy = busy

        def predict(self, X: Any) -> list[float]:
            if self.when_busy and (X["rooms"] == self.busy).any():
                if self.when_busy == "failing":
                    raise RuntimeError("a house so large was not foreseen")
                import time

                time.sleep(0.2)
            return [self.value] * len(X)

    run_id = str(store.client.create_run(store.experiment_id("moving")).info.run_id)
    logged_models.log_model(store, run_id, Constant(value, when_busy, BUSY), example=rows)
    found = registry.register(store, model, run_id)
    traffic_and_champion.golden_predictions(store, found)
    return registry.get(store, model, found.version)


FAST = Probing(load=8, quiet=0.0)
"""A canary's requests are our own, at once; the small load is very small."""


def promote(store: Store, found: Version, stage: str = "prod", *, probing: Probing = FAST) -> CanaryDeployment:
    """As a release does it, step by step."""
    moving = CanaryDeployment.begin(store, found, kind="promotion", stage=stage, reason="a test", probing=probing)
    moving.deploy()
    moving.test()
    for step in store.settings.stages.of(stage).canary:
        moving.share(step)
    moving.switch()
    moving.end()
    return moving


def agreed(store: Store, *, stage: str = "prod", model: str = MODEL) -> str:
    """The champion, after holding mark, traffic and ledger against each other."""
    settings = store.settings
    found = champions.champion(store, model, stage)
    champion = found.version if found else ""
    endpoint = targets.stage_endpoint(settings, stage, model)
    entries = release_ledger.read_entries(store, model, stage)
    for what, now in (
        ("mark", champion),
        ("traffic", version_deployment.traffic_by_version(version_deployment.endpoint_status(endpoint))),
    ):
        moves = [(entry.before, entry.after) for entry in reversed(entries) if entry.what == what]
        assert moves, what
        assert moves[-1][1] == now, f"the ledger's last {what}"
        for earlier, later in itertools.pairwise(moves):
            assert earlier[1] == later[0], f"a move of {what} that the ledger does not have: {moves}"
    if not settings.stages.of(stage).empty_after:
        assert version_deployment.traffic_by_version(version_deployment.endpoint_status(endpoint)) == f"{champion}=100"
    assert change_storage.unfinished_changes(settings, model) == []
    return champion


@contextmanager
def dying(at: int, *, written: bool, how: Callable[[], None]) -> Iterator[None]:
    """Die at a journal's entry number `at`: just after it was `written`, or just before, when the last one's is done."""

    def deadly(real: Callable[..., Any], number: Callable[[Any], int]) -> Callable[..., Any]:
        def write(self: Any, what: Any) -> Any:
            here = number(self) == at
            if here and not written:
                how()
            result = real(self, what)
            if here and written:
                how()
            return result

        return write

    with pytest.MonkeyPatch.context() as patch:
        for changes in (LocalStageChanges, SharedStageChanges):
            patch.setattr(changes, "begin", deadly(changes.begin, lambda _: 0))
        for journal in (FileJournal, RunJournal):
            patch.setattr(journal, "_append", deadly(journal._append, lambda self: len(self.entries) + 1))
        yield


def die() -> None:
    raise Killed


def forgive(store: Store, number: int, *, model: str = MODEL) -> None:
    """As if nobody had ever taken the version back: a rollback to it would do that, and move traffic."""
    found = registry.get(store, model, number)
    registry.set_tags(store, found, {Tag.WITHDRAWN_PREFIX + stage: "" for stage in found.withdrawn})


def back(settings: Settings) -> Restored:
    return rollback(settings, MODEL, probing=FAST)
