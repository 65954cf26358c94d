"""Where notebooks are executed: the protocol of an executor, what is known of a place, and threads of this process.

`compute_targets` holds the table of places that `--on` may name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from notebooks_lib import cpu_count

if TYPE_CHECKING:
    from notebooks_lib.running.plan import NotebookPlanner
    from notebooks_lib.tracking.owned_run import RunStart
    from notebooks_lib.tracking.store import Store

Task = TypeVar("Task")
AnyTask = TypeVar("AnyTask", contravariant=True)
Outcome = TypeVar("Outcome")

STOP_SECONDS = 60.0
"""In which a kernel on this machine, or on a worker, must have ended."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class Executor(Protocol[AnyTask, Outcome]):
    """Executes tasks in parallel. Each task gives one outcome. An executor is used from one thread only.

    A task can be pickled, and may be executed again when its machine dies. The outcome tells how the notebook ended,
    even if it failed. A future raises an error only when there is no outcome: ClusterError when no task can be executed
    any more.
    """

    @property
    def stop_seconds(self) -> float:
        """In which the tasks must have ended if they are asked to stop now."""

    def capacity(self) -> int:
        """Return how many tasks run in parallel, at least 1. It may change between two calls of `poll`."""

    def submit(self, task: AnyTask) -> Future[Outcome]:
        """Start the task, or queue it. The caller must not exceed the capacity."""

    def poll(self) -> None:
        """Update the list of machines; called several times a second.

        Raise ClusterError when there has been none for too long.
        """

    def cancel(self) -> None:
        """Cancel the tasks that have not begun: their futures raise CancelledError. Running ones continue."""

    def stop_earlier(self, sweep: str, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Stop the tasks that an earlier session of the sweep has left here, and wait for their end.

        Once `interrupted` returns True, it does not wait any more. Raise ClusterError if one does not end.
        """

    def close(self) -> None:
        """Release the machines and delete the files sent there, without waiting. A second call does nothing."""


@dataclass(frozen=True)
class TrialLimits:
    """Limits and kernel of each trial."""

    timeout: float | None = None
    """Seconds, like `cell_timeout`."""
    cell_timeout: float | None = None
    kernel: str | None = None
    cold: bool = False
    """Start an ordinary kernel even where a warm one is available."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the kernel."""


@dataclass(frozen=True)
class Session:
    """The data that an executor needs to begin a session of a sweep."""

    source: NotebookPlanner
    start: RunStart
    """The start of the run that owns the work."""
    store: Store
    tell: Callable[[str], None]
    """Shows a line to the user."""
    limits: TrialLimits
    """Of each task."""


@dataclass(frozen=True)
class ComputeTarget(Generic[Task, Outcome]):
    """A place where trials run, as `--on` names it, and how to connect to it."""

    on: str
    connect: Callable[[Callable[[Task], Outcome], Session], Executor[Task, Outcome]]
    """Returns an executor that calls a function with each task. Raises UsageError and ClusterError."""
    is_local: bool = False
    """True if tasks run in this process: they use its kernels and cores, and it can stop them itself."""

    def default_jobs(self) -> int | None:
        """Return the number of parallel tasks if the user gives none; None for the executor's capacity."""
        return cpu_count.max_workers() if self.is_local else None

    def thread_limits(self, jobs: int | None, environ: Mapping[str, str]) -> dict[str, str]:
        """Return variables that share this machine's cores between `jobs` kernels; empty for other machines."""
        return thread_limits(jobs, environ) if self.is_local and jobs else {}


def thread_limits(jobs: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables that share the cores between `jobs` kernels, except those that the user has set.

    Without these limits, two boosting trials on two cores take hundreds of times as long as one (docs/design trap 15).
    """
    threads = str(max(1, cpu_count.max_workers() // jobs))
    return {name: threads for name in THREAD_VARIABLES if name not in environ}


def in_thread(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """Call the function in a new thread, and return a future of its result.

    The thread is a daemon, so that a store or a scheduler that hangs cannot block the exit.
    """
    future: Future[Any] = Future()

    def call() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  # it is the caller's, as in every executor
            future.set_exception(error)

    threading.Thread(target=call, name="nbops-trial", daemon=True).start()
    return future


class LocalExecutor(Generic[Task, Outcome]):
    """Runs each task at once in a thread, which mostly waits for the task's kernel process."""

    stop_seconds = STOP_SECONDS

    def __init__(self, work: Callable[[Task], Outcome]) -> None:
        self._work = work

    def capacity(self) -> int:
        """Return how many tasks run at once: one for each core that this process may use."""
        return cpu_count.max_workers()

    def submit(self, task: Task) -> Future[Outcome]:
        """Start the task."""
        return in_thread(self._work, task)

    def poll(self) -> None:
        """Do nothing: this machine is always available."""

    def cancel(self) -> None:
        """Do nothing: every task has begun."""

    def stop_earlier(self, sweep: str, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Do nothing: no task outlives its process."""

    def close(self) -> None:
        """Do nothing: the threads are daemons."""


LOCAL: ComputeTarget[Any, Any] = ComputeTarget("local", lambda work, session: LocalExecutor(work), is_local=True)
"""This process."""
