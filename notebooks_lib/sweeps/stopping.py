"""How a trial learns that it shall stop: in this process at once, elsewhere by a tag on its own run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from notebooks_lib.running.interruption import StopReason
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store

LOOK_EVERY = 1.0
"""Seconds between two looks at the tag, at first."""
LOOK_AT_LEAST_EVERY = 10.0
"""Seconds, when the trial has run for long: a look costs the store, and there may be hundreds of trials."""

_REASONS: dict[str, StopReason] = {"pruned": "pruned", "stopped": "interrupt"}


@dataclass(frozen=True)
class Here:
    """A sweep of this process, as its trials see it that run in this process too."""

    store: Store
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when all its trials shall stop."""
    asked: dict[str, StopReason] = field(default_factory=dict)
    """Why single runs shall stop: in this process nobody need look at their tags."""

    def why(self, run_id: str) -> StopReason | None:
        """Why the run shall stop, if it shall."""
        return "interrupt" if self.stop.is_set() else self.asked.get(run_id)


_here: dict[str, Here] = {}


@contextlib.contextmanager
def announced(sweep: str, store: Store) -> Iterator[Here]:
    """Within the block, trials of this process find the sweep by its run's id."""
    _here[sweep] = Here(store)
    try:
        yield _here[sweep]
    finally:
        del _here[sweep]


def here(sweep: str) -> Here | None:
    """The sweep, if it is one of this process."""
    return _here.get(sweep)


def ask(store: Store, run_id: str, word: Literal["pruned", "stopped"], point: tuple[int, float] | None = None) -> None:
    """Ask whoever runs the trial to stop it; `point` is the step and the value that were not good enough."""
    for sweep in list(_here.values()):
        sweep.asked[run_id] = _REASONS[word]
    if point is not None:
        store.client.set_tag(run_id, Tag.STOP_STEP, str(point[0]))
        store.client.set_tag(run_id, Tag.STOP_VALUE, repr(point[1]))
    store.client.set_tag(run_id, Tag.STOP, word)


def is_over(store: Store, sweep: str) -> bool:
    """Whether no trial of the sweep is wanted any more: its own run was asked to stop, or has ended."""
    return not {Tag.STOP, Tag.END}.isdisjoint(store.client.get_run(sweep).data.tags)


class Watch:
    """Looks at the tag of one run, in a thread of its own: neither the store nor the kernel's messages wait."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._over = threading.Event()
        self._found: StopReason | None = None

    def begin(self, run_id: str, sweep: str) -> None:
        """The run is open: look from now on."""
        threading.Thread(target=self._look, args=(run_id, sweep), name="nbops-watch", daemon=True).start()

    def end(self) -> None:
        """The trial is over."""
        self._over.set()

    def __call__(self) -> StopReason | None:
        """Why the trial shall stop, if it shall."""
        return self._found

    def _look(self, run_id: str, sweep: str) -> None:
        with contextlib.suppress(Exception):  # who stopped the sweep a moment ago may not have seen this run
            self._found = "interrupt" if is_over(self._store, sweep) else None
        began = time.monotonic()
        pause = LOOK_EVERY
        while self._found is None and not self._over.wait(pause):
            pause = min(LOOK_AT_LEAST_EVERY, max(LOOK_EVERY, (time.monotonic() - began) / 10))
            with contextlib.suppress(Exception):  # a store that is away for a moment asks nothing
                tags = self._store.client.get_run(run_id).data.tags
                self._found = _REASONS.get(tags.get(Tag.STOP, ""))
