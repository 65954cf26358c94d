"""Run a sweep: open its parent run, run its trials, stop them, and end the parent run."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field

from notebooks_lib import errors
from notebooks_lib.run_result import Failure, RunStatus
from notebooks_lib.running import interruption
from notebooks_lib.running.kernel_process import find_kernel
from notebooks_lib.running.stop_tag import StopTagWatcher
from notebooks_lib.sweeps import open_trials, parent_run, stop_requests, trial_runner, trial_source
from notebooks_lib.sweeps.executors import Executor, Session
from notebooks_lib.sweeps.intermediate_values import IntermediateValues
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trial_runner import TaskBuilder, TrialOutcome, TrialTask
from notebooks_lib.sweeps.trials import SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.owned_run import OwnedRun
from notebooks_lib.tracking.store import Store

POLL_EVERY = 0.2
"""Seconds between checks for ended trials and stop requests."""
STORE_PATIENCE = 20.0
"""Seconds without an answer of the store before the sweep stops."""
MAX_WITHOUT_GOAL = 3
"""Stop a search after so many finished trials if none has the goal's metric: it has nothing to learn from."""
MAX_UNWRITTEN = 10
"""Stop after so many consecutive trials that the store did not accept, even if it answers."""


@dataclass(kw_only=True)
class _SweepSession:
    """One session of a sweep, from the open parent run to its end."""

    request: SweepRequest
    owned: OwnedRun
    executor: Executor[TrialTask, TrialOutcome]
    local_sweep: stop_requests.LocalSweep
    interrupted: Callable[[], bool]
    on_change: Callable[[Mapping[int, Trial], int], None]
    tell: Callable[[str], None]
    began: float
    store_patience: float

    trials: dict[int, Trial] = field(default_factory=dict)
    running: dict[Future[TrialOutcome], TrialTask] = field(default_factory=dict)
    stopped: RunStatus | None = None
    """The status of a sweep that was stopped."""
    store_error: str = ""
    """Why the store accepts no more runs."""
    unwritten: int = 0
    """Consecutive trials that the store did not accept."""
    without_goal: int = 0
    """Finished trials that did not log the goal's metric."""
    deadline: float = math.inf
    stop_seconds: float = 0.0
    """In which the trials must end once they were asked to stop."""
    taken_over: bool = False
    """True once another session has resumed the sweep: the parent run is then that session's."""

    def __post_init__(self) -> None:
        request = self.request
        self.store = self.owned.store
        self.goal_logged = isinstance(request.domain.swept, ParameterGrid)
        """True once a trial has logged the goal's metric; always True for a grid, which runs on without it."""
        self.tasks = TaskBuilder(request, self.owned)
        self.stop_tag = StopTagWatcher(self.store)
        self.shared = not (request.place.is_local and self.store.local)
        """Whether another machine may stop or resume the sweep; on this one, its lock prevents that."""
        self.intermediate_values = (
            IntermediateValues(self.store, self.owned.run_id, request.goal) if request.prune and request.goal else None
        )

    def run(self) -> SweepResult:
        """Run the session. The parent run is always ended, if the store accepts it and no other session has it."""
        status: RunStatus = "FAILED"
        failure: Failure | None = None
        try:
            self._begin()
            self._run_trials()
            if self.store_error:
                raise errors.TrackingError(self.store_error)
            if self._is_taken_over():
                raise errors.SweepTakenOverError(self.owned.run_id)
            open_trials.close_open(self.store, self.owned.run_id)
            if self.intermediate_values is not None and self.intermediate_values.empty and self.stopped is None:
                self.tell("--prune had no effect: no trial logged the metric with step= more than once")
            status = parent_run.sweep_status(self.trials, stopped=self.stopped)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            status = "KILLED" if interrupted or self.stopped == "KILLED" else "FAILED"
            failure = Failure("interrupt" if interrupted else "error", type(error).__name__, errors.reason(error))
            raise
        finally:
            result = self._result(status)
            if not self._is_taken_over():
                parent_run.report_and_end_sweep(self.owned, result, failure, self.tell)
        return result

    def _begin(self) -> None:
        """Open the source of trials; on a resume, clean up what the last session left."""
        if self.request.resume is not None:
            self.executor.stop_earlier(self.owned.run_id, self.interrupted)
            if self.interrupted():
                raise KeyboardInterrupt
        source = trial_source.trial_source(self.request, self.owned, self._jobs(), self.tell)
        self.previous_results, self.proposals = source.previous_results, source.proposals
        self.trials |= source.ended
        goal = self.request.goal
        self.goal_logged |= goal is not None and any(goal.metric in trial.metrics for trial in source.ended.values())
        self._show()

    def _run_trials(self) -> None:
        try:
            if self.shared:
                self.stop_tag.begin(self.owned.run_id, self.owned.run_id, parent_run.session(self.owned.start))
            self._loop()
        except Exception as error:
            self._stop("FAILED")
            wait(self.running, timeout=self.stop_seconds)
            # A lost cluster cannot report how its trials ended.
            if isinstance(error, errors.ClusterError) and not self._is_taken_over():
                with contextlib.suppress(Exception):
                    open_trials.close_open(self.store, self.owned.run_id)
            raise
        finally:
            self.stop_tag.end()
            self.local_sweep.stop.set()

    def _jobs(self) -> int:
        return self.request.jobs or self.executor.capacity()

    def _loop(self) -> None:
        more = True
        while more or self.running:
            self.executor.poll()
            if self.stopped is None and (self.interrupted() or self.stop_tag()):
                self._stop("KILLED")
            more = more and self.stopped is None
            while more and len(self.running) < self._jobs() and not self.interrupted():
                more = self._start_next()
            if time.monotonic() > self.deadline:
                for task in self.running.values():
                    reason = f"it did not stop within {self.stop_seconds:g} s"
                    self._settle(Trial(task.number, task.values, "killed", reason=reason))
                return
            done, _ = wait(self.running, timeout=POLL_EVERY, return_when=FIRST_COMPLETED)
            for future in done:
                self._ended(future)
            if self.intermediate_values is not None and self.stopped is None:
                self._prune(self.intermediate_values)

    def _start_next(self) -> bool:
        """Start the next trial, or record it without a run. Return whether there was one."""
        proposal = self.proposals.ask()
        if proposal is None:
            return False
        try:
            task = self.tasks.make(proposal)
        except errors.NbopsError as error:
            self._settle(trial_runner.failed_trial(proposal.number, proposal.values, error))
            return True
        earlier = self.previous_results.find(proposal, task.start)
        if earlier is not None:
            self._settle(earlier)
            return True
        self.trials[task.number] = Trial(task.number, task.values, "running")
        self.running[self.executor.submit(task)] = task
        self._show()
        return True

    def _ended(self, future: Future[TrialOutcome]) -> None:
        task = self.running.pop(future)
        try:
            outcome = future.result()
        except CancelledError:
            outcome = TrialOutcome(Trial(task.number, task.values, "killed", reason="stopped before it began"))
        except errors.ClusterError:
            raise  # the other trials would fail in the same way
        except Exception as error:  # noqa: BLE001  # a worker that died, say
            outcome = TrialOutcome(trial_runner.failed_trial(task.number, task.values, error))
        ended = outcome.trial
        if self.intermediate_values is not None and self.stopped is None:
            ended = self.intermediate_values.finished(self.proposals, ended)
        self._settle(ended)
        self.previous_results.note(ended, task.start)
        self.unwritten = self.unwritten + 1 if outcome.unwritten else 0
        if outcome.unwritten and self.stopped is None and not self._store_accepts_runs():
            self._give_up_on_store(ended.reason)
        if self.request.fail_fast and self.stopped is None and ended.state in ("failed", "killed"):
            self._stop("FAILED")

    def _settle(self, ended: Trial) -> None:
        self.trials[ended.number] = ended
        self.proposals.tell(ended.number, ended.state, ended.value)
        self._show()
        self._check_goal(ended)

    def _check_goal(self, ended: Trial) -> None:
        """Stop a search when its finished trials lack the goal's metric."""
        goal = self.request.goal
        if self.goal_logged or goal is None or self.stopped is not None:
            return
        self.goal_logged = goal.metric in ended.metrics
        self.without_goal += not self.goal_logged and ended.state == "finished"
        if self.without_goal >= MAX_WITHOUT_GOAL:
            self.tell(f"the search stops after {MAX_WITHOUT_GOAL} trials without its metric: {ended.reason}")
            self._stop("FAILED")

    def _prune(self, values: IntermediateValues) -> None:
        try:
            values.read(self.proposals, {task.number for task in self.running.values()})
        except Exception as error:  # noqa: BLE001  # whatever the store's client raises
            if not self._store_answers():
                self._give_up_on_store(errors.reason(error))

    def _stop(self, status: RunStatus) -> None:
        """Start no new trials and ask the running ones to stop."""
        self.stopped = status
        self.stop_seconds = self.executor.stop_seconds
        self.deadline = time.monotonic() + self.stop_seconds
        self.local_sweep.stop.set()
        if not self.request.place.is_local and not self.store_error:
            with contextlib.suppress(Exception):  # they are asked again at the end
                if not self._is_taken_over():  # trials about to start look at the parent's tag
                    stop_requests.request_stop(self.store, self.owned.run_id, "stopped")
                session = parent_run.session(self.owned.start)
                for run in open_trials.open_trials(self.store, self.owned.run_id):
                    if run.tags.get(Tag.SWEEP_SESSION) == session:
                        stop_requests.request_stop(self.store, run.run_id, "stopped")
        self.executor.cancel()

    def _is_taken_over(self) -> bool:
        if self.shared and not self.taken_over and not self.store_error:
            with contextlib.suppress(Exception):  # whatever the store's client raises; then it accepts no end either
                self.taken_over = parent_run.is_taken_over(self.owned)
        return self.taken_over

    def _give_up_on_store(self, why: str) -> None:
        self.store_error = f"the sweep stopped: {self.store.shown} takes no more runs ({why})"
        self._stop("KILLED")

    def _store_accepts_runs(self) -> bool:
        return self.unwritten < MAX_UNWRITTEN and self._store_answers()

    def _store_answers(self) -> bool:
        """Return whether the store answers, waiting for it if necessary."""
        until = time.monotonic() + self.store_patience
        while not self.interrupted():
            try:
                self.store.client.get_run(self.owned.run_id)
                return True
            except Exception:  # noqa: BLE001  # whatever its client raises
                if time.monotonic() > until:
                    return False
                time.sleep(1)
        return True

    def _show(self) -> None:
        self.on_change(self.trials, self.request.total)

    def _result(self, status: RunStatus) -> SweepResult:
        return SweepResult(
            run_id=self.owned.run_id,
            url=self.owned.url,
            status=status,
            goal=self.request.goal,
            trials=[self.trials[number] for number in sorted(self.trials)],
            total=self.request.total,
            seconds=time.monotonic() - self.began,
        )


def run_sweep(
    request: SweepRequest,
    store: Store,
    *,
    on_open: Callable[[str, str], None] = lambda run_id, url: None,
    on_change: Callable[[Mapping[int, Trial], int], None] = lambda trials, total: None,
    tell: Callable[[str], None] = lambda line: None,
    store_patience: float = STORE_PATIENCE,
) -> SweepResult:
    """Run all trials as children of one parent run and return the result.

    A failed trial is part of the result. Ctrl-C, SIGTERM and SIGHUP stop the running trials; the status is then KILLED.
    `on_open` gets the parent run's id and address, `on_change` all trials so far and their total number, and `tell`
    lines for the user. The sweep stops when the store does not answer for `store_patience` seconds. Raise UsageError,
    before anything starts, for a request that cannot be carried out. Raise TrackingError when the store, and
    ClusterError when the cluster, cannot be reached any more, and SweepTakenOverError when another process has resumed
    the sweep.
    """
    if request.place.is_local:  # workers elsewhere use kernels of their own
        find_kernel(request.source.notebook, request.limits.kernel)
    started = parent_run.parent_start(request.source, request.domain, request.goal, request.name)
    earlier = None if request.resume is None else parent_run.find_sweep(store, started, request.resume)
    if earlier is not None:
        trial_source.check_study(request, store, earlier.run_id)
    with contextlib.ExitStack() as stack:
        session = Session(request.source, started, store, tell, request.limits)
        executor = request.place.connect(trial_runner.run_trial, session)  # it may take minutes: Ctrl-C ends it at once
        stop_signal = stack.enter_context(interruption.catch_signals())
        stack.callback(executor.close)
        if earlier is None:
            owned = OwnedRun.open(store, started)
            stack.push(_ended_if_not_begun(owned))
            stack.enter_context(parent_run.locked_sweep(store.settings, owned.run_id))
            seconds_before = 0.0
        else:
            seconds_before = parent_run.seconds_before(earlier)
            stack.enter_context(parent_run.locked_sweep(store.settings, earlier.run_id))
            owned = OwnedRun.reopen(store, earlier.run_id, started)
        local_sweep = stack.enter_context(stop_requests.registered_sweep(owned.run_id, store))
        on_open(owned.run_id, owned.url)
        return _SweepSession(
            request=request,
            owned=owned,
            executor=executor,
            local_sweep=local_sweep,
            interrupted=lambda: stop_signal() is not None,
            on_change=on_change,
            tell=tell,
            began=time.monotonic() - seconds_before,
            store_patience=store_patience,
        ).run()


def _ended_if_not_begun(owned: OwnedRun) -> Callable[..., None]:
    """End the parent run when the sweep fails before its first trial. A session that has ended it is not changed."""

    def leave(kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            with contextlib.suppress(Exception):
                if query.get_run(owned.store, owned.run_id).status == "RUNNING" and not parent_run.is_taken_over(owned):
                    owned.end("FAILED", failure=Failure("error", type(error).__name__, errors.reason(error)))

    return leave
