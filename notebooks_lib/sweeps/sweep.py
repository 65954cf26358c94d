"""Runs a sweep: opens its parent run and the place where trials run, and leaves both in order. See `run`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from notebooks_lib import errors
from notebooks_lib.records import Failure
from notebooks_lib.running import interruption
from notebooks_lib.running.kernel import installed
from notebooks_lib.sweeps import executors, parent, resume, stopping
from notebooks_lib.sweeps.executors import Place, Threads
from notebooks_lib.sweeps.records import SweepResult, Trial
from notebooks_lib.sweeps.request import Request
from notebooks_lib.sweeps.session import Session
from notebooks_lib.tracking import query
from notebooks_lib.tracking.owner import OwnedRun, Start
from notebooks_lib.tracking.store import Store


def run(
    request: Request,
    store: Store,
    *,
    on_open: Callable[[str, str], None] = lambda run_id, url: None,
    on_change: Callable[[Mapping[int, Trial], int], None] = lambda trials, total: None,
    tell: Callable[[str], None] = lambda line: None,
) -> SweepResult:
    """Run all trials, each as a child of one parent run, and say what came of them.

    A failing trial is a value. Ctrl-C, SIGTERM and SIGHUP stop the running trials; the result then says KILLED.
    `on_open` is given the parent run's id and address, `on_change` all trials so far and how many there will be,
    `tell` a line that a person should know. Raises UsageError before anything is started, TrackingError when the store
    has gone away, ClusterError when the place has.
    """
    if request.on == executors.LOCAL:  # a worker's kernels are its own
        installed(request.source.notebook, request.limits.kernel)
    started = parent.start(request.source, request.domain, request.goal, request.name)
    with contextlib.ExitStack() as stack:
        wanted = stack.enter_context(interruption.catch_signals())
        place = _place(request, store, started, tell)
        stack.callback(place.shutdown, wait=False, cancel_futures=True)
        if request.resume is None:
            owned = OwnedRun.open(store, started)
            stack.push(_ended_if_not_begun(owned))
            stack.enter_context(parent.held(store.settings, owned.run_id))
            before = 0.0
        else:
            found = resume.find(store, started, request.resume)
            before = resume.seconds_before(found)
            stack.enter_context(parent.held(store.settings, found.run_id))
            owned = OwnedRun.reopen(store, found.run_id, started)
        here = stack.enter_context(stopping.announced(owned.run_id, store))
        on_open(owned.run_id, owned.url)
        return Session(request, owned, place, here, lambda: wanted() is not None, on_change, tell, before).run()


def _ended_if_not_begun(owned: OwnedRun) -> Callable[..., None]:
    """Leaves no run open when the sweep fails before its first trial; what its session has ended stays as it is."""

    def leave(kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            with contextlib.suppress(Exception):
                if query.get_run(owned.store, owned.run_id).status == "RUNNING":
                    owned.end("FAILED", failure=Failure("error", type(error).__name__, errors.reason(error)))

    return leave


def _place(request: Request, store: Store, started: Start, tell: Callable[[str], None]) -> Place:
    """Where the trials run; whoever asks for it shuts it down."""
    if request.on == executors.LOCAL:
        return Threads()
    from notebooks_lib.sweeps.dask import cluster

    return cluster.connect(request.on, request.source, started, store, tell)
