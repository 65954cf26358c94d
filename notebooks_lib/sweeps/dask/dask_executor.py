"""Run trials on a Dask cluster: connect, prepare workers as they come, send trials and receive their outcomes.

Dask chooses the worker of a trial, and restarts the trial elsewhere when that worker dies. `worker.py` holds what
happens on a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import platform
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from notebooks_lib import __version__, errors
from notebooks_lib.sweeps.dask import bundle, worker
from notebooks_lib.sweeps.dask.bundle import ProjectBundle
from notebooks_lib.sweeps.executors import STOP_SECONDS, Session, in_thread
from notebooks_lib.sweeps.trial_runner import TrialOutcome, TrialTask
from notebooks_lib.sweeps.trials import Trial

if TYPE_CHECKING:
    from distributed import Client

REPLY_LIMIT = 30.0
"""Seconds without an answer after which a working scheduler is given up."""
PREPARE = 300.0
"""Seconds in which workers must fetch and unpack the project and reach the store."""
POLL_EVERY = 1.0
WITHOUT_WORKERS = 600.0
"""Seconds to wait for workers when all are gone: nannies and batch systems start new ones."""
ATTEMPTS = 3
"""How often a trial is sent when workers cannot accept it."""
_NAMED = 3

Work = Callable[[TrialTask], TrialOutcome]


class DaskExecutor:
    """Executes trials on the workers of a Dask scheduler. Workers may join and leave."""

    stop_seconds = STOP_SECONDS

    def __init__(self, client: Client, address: str, work: Work, project: ProjectBundle, session: Session) -> None:
        self._client = client
        self._address = address
        self._work = work
        self._project = project
        self._store, self._tell = session.store, session.tell
        self._inner = client.get_executor(pure=False)
        self._threads: Mapping[str, int] = {}
        """Connected workers -> trials that each runs in parallel."""
        self._is_ready: dict[str, bool] = {}
        """Checked workers -> whether they are ready for trials."""
        self._preparing: Future[list[str]] | None = None
        self._lock = threading.RLock()
        self._in_flight: dict[Future[TrialOutcome], tuple[str, Future[TrialOutcome | None]]] = {}
        self._polled = self._had_workers = time.monotonic()
        self._waiting = False

    def begin(self) -> None:
        """Prepare the connected workers.

        Raise UsageError if one cannot run the trials, ClusterError if there are none.
        """
        self._threads = self._call(REPLY_LIMIT, self._client.nthreads)
        if not self._threads:
            raise errors.ClusterError(
                f"the Dask scheduler at {self._address} has no workers: start some with `dask worker {self._address}`"
            )
        unfit = self._prepare(list(self._threads))
        if unfit:
            more = f"\n  and {len(unfit) - _NAMED} more" if len(unfit) > _NAMED else ""
            raise errors.UsageError("\n  ".join(unfit[:_NAMED]) + more)
        size = bundle.megabytes(len(self._project.archive))
        workers, trials = _count(len(self._threads), "worker"), _count(self.capacity(), "trial")
        self._tell(f"{workers} at {self._address}, which can run {trials} in parallel; the project ({size}) was sent")

    def capacity(self) -> int:
        """Return the threads of the ready workers, at least one, so that the sweep waits for a worker."""
        return max(1, sum(self._threads[name] for name in self._ready()))

    def submit(self, task: TrialTask) -> Future[TrialOutcome]:
        """Send a task to a worker, which runs it in its copy of the project."""
        future: Future[TrialOutcome] = Future()
        self._send(future, task)
        return future

    def poll(self) -> None:
        """Update the list of workers and prepare new ones. Raise ClusterError when none has come for too long."""
        now = time.monotonic()
        if now - self._polled < POLL_EVERY:
            return
        self._polled = now
        self._threads = self._call(REPLY_LIMIT, self._client.nthreads)
        self._prepare_new()
        if self._ready():
            self._had_workers, self._waiting = now, False
        elif not self._waiting:
            self._tell(f"no worker is left at {self._address}: waiting for one, Ctrl-C stops the sweep")
            self._waiting = True
        if now - self._had_workers > WITHOUT_WORKERS:
            raise errors.ClusterError(f"no worker came to {self._address} for {WITHOUT_WORKERS:g} s")

    def cancel(self) -> None:
        """Cancel the trials that no worker has been given. Workers check by themselves whether their sweep is over."""
        with contextlib.suppress(errors.ClusterError):
            taken = {key for keys in self._call(REPLY_LIMIT, self._client.processing).values() for key in keys}
            with self._lock:
                waiting = [(future, inner) for future, (key, inner) in self._in_flight.items() if key not in taken]
                for future, _ in waiting:
                    future.cancel()
                    future.set_running_or_notify_cancel()
            for _, inner in waiting:  # outside the lock: Dask's thread may wait for it, and is needed here
                inner.cancel()

    def stop_earlier(self, sweep: str, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Do nothing: trials of a sweep that is gone end by themselves, and those that run are asked by their tag."""

    def close(self) -> None:
        """Have the workers delete the project, and disconnect without waiting for trials."""
        with contextlib.suppress(errors.ClusterError):
            self._call(REPLY_LIMIT, self._client.run, worker.delete_project, self._project.session, on_error="ignore")
        self._client.close(timeout=5)

    def _ready(self) -> list[str]:
        return [name for name in self._threads if self._is_ready.get(name)]

    def _send(self, future: Future[TrialOutcome], task: TrialTask, attempt: int = 1) -> None:
        key = f"nbops-{self._project.session}-{task.number}-{uuid.uuid4().hex[:8]}"
        ready = self._ready()
        # Only if some workers are unfit: they may still take the trial when all ready ones are gone, and return it.
        where = {"workers": ready, "allow_other_workers": True} if 0 < len(ready) < len(self._threads) else {}
        threads: dict[str, int] = {}
        for name, count in self._threads.items():
            host = urlsplit(name).hostname or name
            threads[host] = threads.get(host, 0) + count
        call = worker.packed_call(self._project.session, threads, self._work, task)
        with self._lock:
            inner = self._inner.submit(pickle.loads, call, key=key, **where)
            self._in_flight[future] = key, inner
        inner.add_done_callback(lambda done: self._done(future, task, attempt, done))

    def _done(
        self,
        future: Future[TrialOutcome],
        task: TrialTask,
        attempt: int,
        inner: Future[TrialOutcome | None],
    ) -> None:
        """Pass on the outcome. Called in Dask's thread, which must not wait."""
        from distributed import KilledWorker

        with self._lock:
            self._in_flight.pop(future, None)
            if future.cancelled():
                return
            if inner.cancelled():
                future.set_exception(self._gone())
            elif isinstance(error := inner.exception(), KilledWorker):
                in_thread(self._give_up, future, task, error.allowed_failures + 1)
            elif error is not None and attempt < ATTEMPTS:
                in_thread(self._send_again, future, task, attempt + 1)
            elif error is not None:
                future.set_exception(error)
            elif (outcome := inner.result()) is None:
                self._send(future, task)
            else:
                future.set_result(outcome)

    def _send_again(self, future: Future[TrialOutcome], task: TrialTask, attempt: int) -> None:
        """Send a trial again that a worker could not load.

        Wait for a free ready worker: Dask would hand a trial that is queued to an idle worker, an unfit one too.
        """
        while self._client.status == "running":
            time.sleep(2 * POLL_EVERY)  # by then that worker is known
            with self._lock:
                if self._ready() and len(self._in_flight) < self.capacity():
                    self._send(future, task, attempt)
                    return
        future.set_exception(self._gone())

    def _give_up(self, future: Future[TrialOutcome], task: TrialTask, deaths: int) -> None:
        """Report a trial as killed after so many dead workers that Dask gave it up."""
        reason = f"{deaths} workers died while they ran it; often the machine ran out of memory"
        runs: list[str] = []
        with contextlib.suppress(Exception):  # the sweep closes open runs at its end
            runs = worker.close_earlier(self._store, task, "its worker died")
        run_id = runs[0] if runs else None
        future.set_result(TrialOutcome(Trial(task.number, task.values, "killed", run_id=run_id, reason=reason)))

    def _prepare_new(self) -> None:
        """Prepare new workers in the background; report and leave out an unfit one."""
        if self._preparing is not None and self._preparing.done():
            with contextlib.suppress(errors.ClusterError):
                for line in self._preparing.result():
                    self._tell(f"{line}; it is left out")
            self._preparing = None
        new = [name for name in self._threads if name not in self._is_ready]
        if new and self._preparing is None:
            self._preparing = in_thread(self._prepare, new)

    def _prepare(self, workers: Collection[str]) -> list[str]:
        """Check these workers and send them the project. Return the problems, each with the worker's name."""
        problems: dict[str, list[str]] = {}
        options = {"workers": list(workers), "on_error": "return"}
        # First only with the standard library: without the same nbops, a worker cannot load anything of ours.
        pythons = self._call(REPLY_LIMIT, self._client.run, platform.python_version, **options)
        versions = self._call(REPLY_LIMIT, self._client.run, metadata.version, "nbops", **options)
        for name in workers:
            python, version, ours = pythons.get(name), versions.get(name), self._project.requirements.python
            if not isinstance(python, str):
                problems[name] = ["it does not answer"]
            elif python.split(".")[:2] != ours.split("."):
                problems[name] = [f"it has Python {python}, this machine {ours}: use one version on both"]
            elif version != __version__:
                has = f"nbops {version}" if isinstance(version, str) else "no nbops"
                problems[name] = [f"it has {has}, this machine {__version__}: install the same environment there"]
        rest = [name for name in workers if name not in problems]
        if rest:
            options["workers"] = rest
            answers = self._call(PREPARE, self._client.run, worker.prepare_worker, self._project, **options)
            for name in rest:
                answer = answers.get(name, ["it went away"])
                unread = f"it cannot take what this machine sends ({answer}): restart it with the same nbops"
                problems[name] = answer if isinstance(answer, list) else [unread]
        self._is_ready |= {name: not faults for name, faults in problems.items()}
        return [f"worker {name}: {fault}" for name, faults in problems.items() for fault in faults]

    def _call(self, seconds: float, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call Dask with a time limit: its own calls may wait forever for a machine that is gone."""
        if self._client.status != "running":
            raise self._gone()
        try:
            return in_thread(call, *args, **kwargs).result(seconds)
        except TimeoutError as error:
            raise errors.ClusterError(f"the Dask scheduler at {self._address} no longer answers") from error
        except Exception as error:
            raise self._gone() from error

    def _gone(self) -> errors.ClusterError:
        return errors.ClusterError(f"the Dask scheduler at {self._address} has gone away")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


PROBE = 3.0
CONNECT = 5.0
"""Seconds to wait for the first answer of a scheduler."""
_NO_SCHEDULER = (
    "what listens at {address} is no Dask scheduler ({kind}): a scheduler's own port is usually 8786, that of its "
    "pages 8787"
)


def connect(address: str, work: Work, session: Session) -> DaskExecutor:
    """Return an executor for the cluster at `tcp://HOST:PORT`, whose workers call `work` with each task.

    The workers are checked and prepared first. Raise ClusterError when no scheduler answers, and UsageError, naming the
    worker, when one cannot run the trials.
    """
    client = _client(address)
    try:
        project = bundle.make_bundle(session.source, session.start, session.store)
        cluster = DaskExecutor(client, address, work, project, session)
        cluster.begin()
    except BaseException:
        client.close(timeout=2)
        raise
    return cluster


def _client(address: str, connect_limit: float = CONNECT) -> Client:
    """Return a client of the scheduler. Raise ClusterError within ten seconds if there is none."""
    parts = urlsplit(address)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), PROBE).close()
    except OSError as error:
        raise errors.ClusterError(
            f"no Dask scheduler at {address} ({error.strerror or error}): start one with `dask scheduler`"
        ) from error
    from distributed import Client

    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # our own messages report what matters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions, which are checked separately
        try:
            # Dask's client waits for minutes for anything that listens but is no scheduler.
            kind = in_thread(asyncio.run, _server_type(address)).result(connect_limit)
            if kind == "Scheduler":
                return Client(address, timeout=connect_limit, set_as_default=False, name="nbops-sweep")
        except Exception as error:
            raise errors.ClusterError(
                _NO_SCHEDULER.format(address=address, kind="it does not answer as one")
            ) from error
    raise errors.ClusterError(_NO_SCHEDULER.format(address=address, kind=f"it is a {kind}"))


async def _server_type(address: str) -> str:
    """Ask a Dask server for its type."""
    from distributed.comm.core import connect as connect_to

    comm = await connect_to(address, timeout=CONNECT)
    try:
        await comm.write({"op": "identity", "reply": True})
        answer = await comm.read()
        return str(answer["type"])
    finally:
        comm.abort()
