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


def is_over(store: Store, sweep: str, session: str = "") -> bool:
    """Return True if the sweep needs no more trials of a session.

    Its run was asked to stop, has ended, or has been resumed by another session.
    """
    tags = store.client.get_run(sweep).data.tags
    return not {Tag.STOP, Tag.END}.isdisjoint(tags) or is_taken_over(tags, session)


def is_taken_over(tags: Mapping[str, str], session: str) -> bool:
    """Return True if the run with these tags belongs to another session of its sweep; `session` may be empty."""
    return bool(session) and tags.get(Tag.SWEEP_SESSION, session) != session


class StopTagWatcher:
    """Watches the stop tag of one run in a separate thread, so that neither the store nor the kernel has to wait."""

    def __init__(self, store: Store, *, pause: float = LOOK_EVERY) -> None:
        self._store = store
        self._pause = pause
        self._over = threading.Event()
        self._reason: StopReason | None = None

    def begin(self, run_id: str, sweep: str, session: str = "") -> None:
        """Start watching an open run; if its `sweep` is over already for this session, it must stop at once."""
        threading.Thread(target=self._watch, args=(run_id, sweep, session), name="nbops-watch", daemon=True).start()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def __call__(self) -> StopReason | None:
        """Return why the run must stop; None if it may continue."""
        return self._reason

    def _watch(self, run_id: str, sweep: str, session: str) -> None:
        began, pause, sweep_goes_on = time.monotonic(), self._pause, False
        while True:
            with contextlib.suppress(Exception):  # a store that does not answer for a moment stops nothing
                if not sweep_goes_on:  # it may have been stopped or resumed just before this run was opened
                    self._reason = "interrupt" if is_over(self._store, sweep, session) else None
                    sweep_goes_on = True
                else:
                    tags = self._store.client.get_run(run_id).data.tags
                    self._reason = REASONS.get(tags.get(Tag.STOP, ""))
                    if is_taken_over(tags, session):
                        self._reason = "interrupt"
            if self._reason is not None or self._over.wait(pause):
                return
            pause = min(LOOK_AT_LEAST_EVERY, max(self._pause, (time.monotonic() - began) / 10))
