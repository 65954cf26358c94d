"""Ask trials to stop, and let a trial notice it: in this process by an event, in another by a tag on its run."""

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
"""Seconds between checks of the tag, at first."""
LOOK_AT_LEAST_EVERY = 10.0
"""Seconds between checks in a long trial: each one loads the store, and there may be hundreds of trials."""

_REASONS: dict[str, StopReason] = {"pruned": "pruned", "stopped": "interrupt"}


@dataclass(frozen=True)
class LocalSweep:
    """A sweep of this process. Its trials in the same process ask it whether they must stop."""

    store: Store
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to stop all trials."""
    reasons: dict[str, StopReason] = field(default_factory=dict)
    """Stop reasons of single runs: trials in this process need not read the tags."""

    def stop_reason(self, run_id: str) -> StopReason | None:
        """Return why the run must stop; None if it may continue."""
        return "interrupt" if self.stop.is_set() else self.reasons.get(run_id)


_local_sweeps: dict[str, LocalSweep] = {}


@contextlib.contextmanager
def registered_sweep(sweep: str, store: Store) -> Iterator[LocalSweep]:
    """Register a sweep within the block, so that trials of this process find it by its run id."""
    _local_sweeps[sweep] = LocalSweep(store)
    try:
        yield _local_sweeps[sweep]
    finally:
        del _local_sweeps[sweep]


def local_sweep(sweep: str) -> LocalSweep | None:
    """Return the sweep with this run id; None if it does not run in this process."""
    return _local_sweeps.get(sweep)


def request_stop(
    store: Store, run_id: str, word: Literal["pruned", "stopped"], point: tuple[int, float] | None = None
) -> None:
    """Ask a trial to stop, by a tag on its run that holds `word`.

    `point` is the step and the value for which it was pruned.
    """
    for sweep in list(_local_sweeps.values()):
        sweep.reasons[run_id] = _REASONS[word]
    if point is not None:
        store.client.set_tag(run_id, Tag.STOP_STEP, str(point[0]))
        store.client.set_tag(run_id, Tag.STOP_VALUE, repr(point[1]))
    store.client.set_tag(run_id, Tag.STOP, word)


def is_over(store: Store, sweep: str) -> bool:
    """Return True if the sweep needs no more trials, because its run was asked to stop or has ended."""
    return not {Tag.STOP, Tag.END}.isdisjoint(store.client.get_run(sweep).data.tags)


class StopTagWatcher:
    """Watches the stop tag of one run in a separate thread, so that neither the store nor the kernel has to wait."""

    def __init__(self, store: Store, *, pause: float = LOOK_EVERY) -> None:
        self._store = store
        self._pause = pause
        self._over = threading.Event()
        self._reason: StopReason | None = None

    def begin(self, run_id: str, sweep: str) -> None:
        """Start watching an open run."""
        threading.Thread(target=self._watch, args=(run_id, sweep), name="nbops-watch", daemon=True).start()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def __call__(self) -> StopReason | None:
        """Return why the trial must stop; None if it may continue."""
        return self._reason

    def _watch(self, run_id: str, sweep: str) -> None:
        with contextlib.suppress(Exception):  # the sweep may have been stopped just before this run was opened
            self._reason = "interrupt" if is_over(self._store, sweep) else None
        began = time.monotonic()
        pause = self._pause
        while self._reason is None and not self._over.wait(pause):
            pause = min(LOOK_AT_LEAST_EVERY, max(self._pause, (time.monotonic() - began) / 10))
            with contextlib.suppress(Exception):  # a store that does not answer for a moment stops nothing
                tags = self._store.client.get_run(run_id).data.tags
                self._reason = _REASONS.get(tags.get(Tag.STOP, ""))
