"""Lets a trial of a sweep notice, on whatever machine it runs, that it must stop: by a tag on its run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping

from notebooks_lib.running.interruption import StopReason
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store

LOOK_EVERY = 1.0
"""Seconds between checks of the tag, at first."""
LOOK_AT_LEAST_EVERY = 10.0
"""Seconds between checks in a long trial: each one loads the store, and there may be hundreds of trials."""
REASONS: Mapping[str, StopReason] = {"pruned": "pruned", "stopped": "interrupt"}
"""The word in the tag -> why the trial must stop."""


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
        """Start watching an open run; if its `sweep` is over already, it must stop at once."""
        threading.Thread(target=self._watch, args=(run_id, sweep), name="nbops-watch", daemon=True).start()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def __call__(self) -> StopReason | None:
        """Return why the run must stop; None if it may continue."""
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
                self._reason = REASONS.get(tags.get(Tag.STOP, ""))
