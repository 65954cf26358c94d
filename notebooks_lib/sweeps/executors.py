"""The executors of trials: threads of this process, or a cluster behind the same interface (docs/design D4)."""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from notebooks_lib import cores, errors

LOCAL = "local"
DASK = re.compile(r"dask://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})/?")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def check(on: str) -> None:
    """Raise UsageError unless `on` names an executor whose packages are installed."""
    if on == LOCAL:
        return
    match = DASK.fullmatch(on)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise errors.UsageError(f"--on {on!r}: found no such executor, allowed local or dask://HOST:PORT")
    if importlib.util.find_spec("distributed") is None:
        from importlib import metadata

        pins = metadata.requires("nbops") or []
        pin = next((pin.split(";")[0].strip() for pin in pins if pin.startswith("distributed")), "distributed")
        raise errors.UsageError(f"--on {on}: Dask is not installed: pip install '{pin}', here and on the workers")


class TrialExecutor(Executor):
    """An executor that knows its capacity and can fail as a whole. It may run a task more than once."""

    def room(self) -> int:
        """Return the number of parallel tasks."""
        return cores.whole()

    def look(self) -> None:
        """Update the state; called several times a second. Raise ClusterError when nothing can run any more."""

    def stop(self) -> None:
        """Cancel the tasks that have not begun."""


def thread_limits(jobs: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that share the cores between `jobs` kernels, except those that the user has set.

    Without them, two boosting trials on two cores take hundreds of times as long as one (docs/design trap 15).
    """
    threads = str(max(1, cores.whole() // jobs))
    return {name: threads for name in THREAD_VARIABLES if name not in environ}


class ThreadExecutor(TrialExecutor):
    """Runs each task in a thread, which mostly waits for the trial's kernel process.

    The threads are daemons, so that a store that hangs cannot block the exit after repeated interrupts.
    """

    def __init__(self) -> None:
        self._running: set[threading.Thread] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start the task at once. The caller limits how many run."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                if not future.set_running_or_notify_cancel():
                    return
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # it is the caller's, as in every executor
                future.set_exception(error)
            finally:
                self._running.discard(threading.current_thread())

        thread = threading.Thread(target=work, name="nbops-trial", daemon=True)
        self._running.add(thread)
        thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """With `wait`, return after all tasks have ended."""
        for thread in list(self._running) if wait else ():
            thread.join()
