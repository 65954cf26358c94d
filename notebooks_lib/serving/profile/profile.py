"""Profiles a model: measures it under limits, recommends a size, and keeps both. The parts do the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from notebooks_lib.errors import NbopsError
from notebooks_lib.serving.profile import instances, record, subject
from notebooks_lib.serving.profile.grid import Grid, Machine, Target
from notebooks_lib.serving.profile.measuring import Bench
from notebooks_lib.serving.profile.notes import notes
from notebooks_lib.serving.profile.recommending import HEADROOM, MEMORY_FILL, Recommendation, recommend
from notebooks_lib.serving.profile.record import Kept
from notebooks_lib.serving.profile.results import Profile
from notebooks_lib.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """What a profile came to."""

    profile: Profile
    advised: tuple[Recommendation, ...]
    """One for each batch size; the first is the one that the target is about."""
    notes: tuple[str, ...]
    kept: Kept = field(default_factory=Kept)
    fault: str = ""
    """Why it could not be kept; empty when it is."""

    def as_json(self) -> dict[str, Any]:
        """The object that `nbops profile --json` prints."""
        return {
            **content(self.profile, self.advised, self.notes),
            **asdict(self.kept),
            "fault": self.fault,
        }


def profile(
    settings: Settings,
    model: str,
    *,
    version: str | None = None,
    stage: str | None = None,
    data: Mapping[str, Any] | None = None,
    target: Target,
    grid: Grid,
    machine: Machine,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Measure `model`, a registered name or the folder of a model, and keep what came of it as an MLflow run.

    `data` is a request to repeat rows of; without it the model's own example. Nothing is kept when it is cut short.
    Raises UsageError for what cannot be profiled, ModelError or EndpointError when the model does not serve at all.
    """
    folder = subject.as_folder(model, version, stage)

    from notebooks_lib.tracking.store import answering, connect

    store = connect(settings)
    with answering(store):
        store.experiment_id(record.EXPERIMENT)  # before the minutes that would be lost if it cannot be had
    with ExitStack() as stack:
        if folder is None:
            found = subject.find(store, model, version, stage)
            folder = stack.enter_context(subject.fetched(found))
        if data is None:
            subject.check_example(folder.folder)
        began, when = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        trials = Bench(folder.folder, target, data, settings.endpoint, tell).run(grid)
    measured = Profile(
        model=folder.name,
        version=folder.version.version if folder.version else "",
        target=target,
        grid=grid,
        machine=machine,
        trials=trials,
        when=when,
        seconds=time.monotonic() - began,
    )
    known = instances.table()
    advised = tuple(recommend(trials, target, batch, known) for batch in grid.batches)
    said = tuple(notes(trials, machine, advised))
    outcome = Outcome(measured, advised, said)
    try:
        with answering(store):
            kept = record.write(store, measured, content(measured, advised, said), advised[0], folder.version)
    except NbopsError as error:  # minutes of measuring are not thrown away with it
        return replace(outcome, fault=str(error))
    return replace(outcome, kept=kept)


def content(measured: Profile, advised: tuple[Recommendation, ...], said: tuple[str, ...]) -> dict[str, Any]:
    """What is kept as JSON."""
    return {
        **measured.as_json(),
        "headroom": HEADROOM,
        "memory_fill": MEMORY_FILL,
        "recommendations": [each.as_json() for each in advised],
        "notes": list(said),
    }
