"""Where trials run: each place is one `concurrent.futures.Executor` (docs/design D4). It knows nothing of sweeps."""

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
    """Raise UsageError unless `on` names a place, and what it takes is installed."""
    if on == LOCAL:
        return
    found = DASK.fullmatch(on)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise errors.UsageError(f"--on {on!r}: found no such place, allowed local or dask://HOST:PORT")
    if importlib.util.find_spec("distributed") is None:
        from importlib import metadata

        pins = metadata.requires("nbops") or []
        wanted = next((pin.split(";")[0].strip() for pin in pins if pin.startswith("distributed")), "distributed")
        raise errors.UsageError(f"--on {on}: Dask is not installed: pip install '{wanted}', here and on the workers")


class TrialExecutor(Executor):
    """An executor that knows how much it takes, and whether it still can. Its tasks may run more than once."""

    def room(self) -> int:
        """How many tasks run at once."""
        return cores.whole()

    def look(self) -> None:
        """See to what has changed; asked several times a second. Raises ClusterError when nothing can run any more."""

    def stop(self) -> None:
        """Begin nothing more: tasks that have not begun are cancelled."""


def thread_limits(jobs: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables by which the kernels of `jobs` trials at once share the cores, but for those that a person has set.

    Without them two boosting trials on two cores take hundreds of times as long as one (docs/design trap 15).
    """
    threads = str(max(1, cores.whole() // jobs))
    return {name: threads for name in THREAD_VARIABLES if name not in environ}


class ThreadExecutor(TrialExecutor):
    """A thread for each task. A trial's work is done by its kernel's process; its thread mostly waits.

    They are daemons: whoever interrupts a second and a third time must not wait for a store that hangs.
    """

    def __init__(self) -> None:
        self._running: set[threading.Thread] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start at once: how many run is up to the caller."""
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
        """With `wait`, return when all tasks have ended."""
        for thread in list(self._running) if wait else ():
            thread.join()
