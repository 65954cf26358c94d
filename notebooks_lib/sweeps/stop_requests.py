"""Ask trials to stop: in this process by an event, on other machines by a tag on their runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from notebooks_lib.running import stop_tag
from notebooks_lib.running.interruption import StopReason
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store


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
        sweep.reasons[run_id] = stop_tag.REASONS[word]
    if point is not None:
        store.client.set_tag(run_id, Tag.STOP_STEP, str(point[0]))
        store.client.set_tag(run_id, Tag.STOP_VALUE, repr(point[1]))
    store.client.set_tag(run_id, Tag.STOP, word)
