"""Stop running trials, on request or by a pruner. A trial in another process learns of it by a tag on its run."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from notebooks_lib.run_result import restore_infinity
from notebooks_lib.running.interruption import StopReason
from notebooks_lib.sweeps.trials import Goal, Proposals, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import owned_run, query
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store

STOP_PATIENCE = 15.0
"""Seconds to wait for trials that may still run elsewhere."""
OVER = "its sweep is over"

LOOK_EVERY = 1.0
"""Seconds between checks of the tag, at first."""
LOOK_AT_LEAST_EVERY = 10.0
"""Seconds between checks in a long trial: each one loads the store, and there may be hundreds of trials."""

_REASONS: dict[str, StopReason] = {"pruned": "pruned", "stopped": "interrupt"}


@dataclass(frozen=True)
class LocalSweep:
    """A sweep of this process, which its trials in the same process can ask if they must stop."""

    store: Store
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to stop all trials."""
    reasons: dict[str, StopReason] = field(default_factory=dict)
    """Stop reasons of single runs: trials in this process need not read the tags."""

    def stop_reason(self, run_id: str) -> StopReason | None:
        """Return why the run must stop, or None."""
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
    """Return the sweep if it runs in this process."""
    return _local_sweeps.get(sweep)


def request_stop(
    store: Store, run_id: str, word: Literal["pruned", "stopped"], point: tuple[int, float] | None = None
) -> None:
    """Ask a trial to stop; `point` is the step and the value for which it was pruned."""
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
    """Watches the stop tag of one run in its own thread, so that neither the store nor the kernel has to wait."""

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
        """Return why the trial must stop, or None."""
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


def close_open(store: Store, run_id: str) -> None:
    """End trials whose runs are still RUNNING although no process waits for them.

    If the owner may still be alive on a worker, ask the trial to stop first and wait some seconds.
    """
    runs = open_trials(store, run_id)
    for run in runs:
        request_stop(store, run.run_id, "stopped")
    until = time.monotonic() + STOP_PATIENCE
    while any(owned_run.may_live(run.tags) for run in runs) and time.monotonic() < until:
        time.sleep(0.5)
        runs = open_trials(store, run_id)
    for run in runs:
        owned_run.end_as_killed(store, run.run_id, run.tags, OVER)


def open_trials(
    store: Store, run_id: str, *, number: int | None = None, experiment_id: str | None = None
) -> list[RunInfo]:
    """Return the trials that say RUNNING; only the runs of trial `number`, or of one experiment, if given."""
    condition = f"attributes.status = 'RUNNING' AND tags.`mlflow.parentRunId` = '{run_id}'"
    condition += "" if number is None else f" AND tags.`{Tag.TRIAL}` = '{number}'"
    return [query.run_info(run) for run in query.search(store, condition, experiment_id and [experiment_id])]


READ_EVERY = 0.1
"""Least seconds between two reads: a pruned trial must not run on for long."""
READ_AT_LEAST_EVERY = 1.0
"""Most seconds between two reads, when they are slow: many trials at once, or a distant store."""
READ_SHARE = 0.1
"""Share of the time that reads may take."""


class IntermediateValues:
    """Passes intermediate values of running trials to the pruner, each once; asks pruned trials to stop."""

    def __init__(
        self,
        store: Store,
        sweep: str,
        goal: Goal,
        *,
        least_pause: float = READ_EVERY,
        most_pause: float = READ_AT_LEAST_EVERY,
    ) -> None:
        self._store = store
        self._pauses = least_pause, most_pause
        self._sweep = sweep
        self._goal = goal
        self._last_step: dict[int, int] = {}
        self._pruned: dict[int, tuple[int, float]] = {}
        self._next_read = 0.0
        self._ended = 0

    @property
    def empty(self) -> bool:
        """True if trials have ended in this session but none logged intermediate values."""
        return self._ended > 0 and not self._last_step

    def read(self, proposals: Proposals, running: Collection[int]) -> None:
        """Report new values if the last read is long enough ago, and stop the trials that are pruned."""
        began = time.monotonic()
        if began < self._next_read:
            return
        for run in open_trials(self._store, self._sweep):
            number = int(run.tags.get(Tag.TRIAL, -1))
            if number not in running or number in self._pruned or self._goal.metric not in run.metrics:
                continue
            point = self._report(proposals, number, run.run_id)
            if point is not None:
                self._pruned[number] = point
                request_stop(self._store, run.run_id, "pruned", point)
        took = time.monotonic() - began
        least, most = self._pauses
        self._next_read = began + took + min(max(least, took / READ_SHARE), most)

    def finished(self, proposals: Proposals, trial: Trial) -> Trial:
        """Report the last values of an ended trial, because the pruner compares other trials with its whole curve.

        Return the trial. For a pruned one, value and reason are those of the step that decided: it may have logged more
        until it stopped.
        """
        self._ended += trial.state == "finished"
        point = self._pruned.get(trial.number)
        if trial.run_id is not None and point is None and self._goal.metric in trial.metrics:
            self._report(proposals, trial.number, trial.run_id)
        if trial.state != "pruned" or point is None:
            return trial
        step, value = point
        reason = f"at step {step}" + (f", in {trial.reason}" if trial.reason else "")
        return dataclasses.replace(trial, value=value, reason=reason)

    def _report(self, proposals: Proposals, number: int, run_id: str) -> tuple[int, float] | None:
        """Return the step and value that caused pruning, or None. A single value is a result, not a curve."""
        points: dict[int, float] = {}
        for point in self._store.client.get_metric_history(run_id, self._goal.metric):
            points.setdefault(point.step, restore_infinity(point.value))
        if len(points) < 2:
            return None
        for step in sorted(points):
            if step <= self._last_step.get(number, -1):
                continue
            self._last_step[number] = step
            if proposals.report(number, step, points[step]):
                return step, points[step]
        return None
