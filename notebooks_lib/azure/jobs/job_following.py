"""Follows a job until it ends: why it waits, each cell as it starts, how it ended. It changes and prints nothing.

It reads the run, where the notebook's runner records its progress, and not the logs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import compute, jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.jobs.run_history import RunHistory, TrackedRun
from notebooks_lib.run_result import Failure, RunStatus
from notebooks_lib.tags import Tag

SHORTEST, LONGEST = 1.0, 5.0
"""Seconds between two requests for the state: few at first, more for a job that takes long."""
REMIND_EVERY = 60.0
"""Seconds after which a job that still waits is reported again."""
WAIT_MINUTES = 120.0
"""Minutes for which a job may wait: for a first build of its image, and for one job before it on a cluster."""
CLOCKS_DIFFER = 1.0
"""Seconds by which a job that reached its limit may seem to have run for less."""
PATIENCE = 300.0
"""Seconds for which Azure may fail to answer before following gives up."""
WAITING = {
    "NotStarted": "has been submitted",
    "Starting": "is being started",
    "Provisioning": "waits for its machine to be made ready",
    "Preparing": "waits for its image: the first job of an environment has to build it, which takes minutes",
    "Queued": "waits for a machine",
}
"""Azure's states of a job that waits -> what it waits for."""
STANDING = {
    "Finalizing": "has ended, and what it wrote is being kept",
    "CancelRequested": "is being stopped",
    "NotResponding": "does not answer: its machine may be lost",
    "Paused": "is paused",
    "Unknown": "is in a state that Azure does not know",
}
"""All other states before the end, except Running -> what they mean."""


class Listener(Protocol):
    """Receives what happens to a job, for example to print it."""

    def waiting(self, text: str) -> None:
        """Receive a line that says what the job waits for, and since when."""

    def cell(self, index: int, total: int, line: str) -> None:
        """Receive that a cell has started.

        `index` counts from 0; `line` is its first line, empty if it is not known.
        """


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    status: RunStatus
    failure: Failure | None
    run: TrackedRun


def follow(
    client: RestClient,
    workspace: Workspace,
    history: RunHistory,
    name: str,
    listener: Listener,
    *,
    wait_minutes: float = WAIT_MINUTES,
    shortest: float = SHORTEST,
    patience: float = PATIENCE,
    end_of: Callable[[RunHistory, Job], JobEnd] | None = None,
) -> JobEnd:
    """Return when the job has ended. `end_of` says how a job has ended that runs no notebook.

    Raises JobWaitingError when it has not run for `wait_minutes`, and AzureError when Azure has failed to answer for
    `patience` seconds. Neither stops the job.
    """
    progress = ProgressReport(listener)
    began = answered = ran = time.monotonic()
    state = "Running"
    while True:
        try:
            job = jobs.find_job(client, workspace, name)
            state = job.status
            if job.status in WAITING:
                progress.report_waiting(job, partial(compute_errors, client, workspace, job))
            elif not job.ended:
                if job.status != "Running":
                    progress.report_state(job)
                progress.report_run(find_tracked(history, name), job.status)
            else:
                end = (end_of or read_end)(history, job)
                progress.report_run(end.run)
                return end
            answered = time.monotonic()  # last: the host of the region has to answer, too
        except errors.AzureError as error:
            lasting = error.status is not None and error.status < 500 and error.status not in (408, 429)
            if lasting or time.monotonic() - answered > patience:
                raise
        if state == "Running":
            ran = time.monotonic()
        elif time.monotonic() - ran > wait_minutes * 60:
            raise errors.JobWaitingError(name, state, wait_minutes)
        time.sleep(min(shortest * (1 + (time.monotonic() - began) / 30), max(LONGEST, shortest)))


class ProgressReport:
    """Reports what has changed since the last look at a job: the state, and the cells that have started."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._status = ""
        self._since: float | None = None
        """When the job entered its state; None for the first one that was seen."""
        self._reported = time.monotonic()
        self._cell = -1
        self._started = False

    def report_waiting(self, job: Job, reasons: Callable[[], str] = lambda: "") -> None:
        """Report that a job waits, at first and then from time to time."""
        again = ""
        if job.status != self._status:
            again = "; its machine was taken away, and Azure starts it again" if self._started else ""
            self._since = time.time() if self._status else None
            self._status, self._cell, self._started = job.status, -1, False
        elif not self._is_due():
            return
        where = f" of compute {job.compute}" if job.compute and job.status == "Queued" else ""
        self._report(job, f"{WAITING[job.status]}{where}", again, reasons())

    def report_state(self, job: Job) -> None:
        """Report a state in which the job neither waits nor runs."""
        if job.status != self._status:
            self._since = time.time() if self._status else None
        elif not self._is_due():
            return
        self._report(job, STANDING.get(job.status, "is in a state that this nbops does not know"))

    def _is_due(self) -> bool:
        return time.monotonic() - self._reported >= REMIND_EVERY

    def _report(self, job: Job, text: str, again: str = "", reasons: str = "") -> None:
        self._reported = time.monotonic()
        since = f"since {_clock(self._since)}" if self._since else f"now, submitted {_submitted(job)}"
        self._listener.waiting(
            f"{text} ({job.status} {since}{again}){reasons}; to stop it: nbops azure jobs stop {job.name}"
        )

    def report_run(self, run: TrackedRun | None, status: str = "Running") -> None:
        """Report what the run of a job says of its cells."""
        self._status = status
        self._started = self._started or status == "Running"
        if run is None or not (text := run.tags.get(Tag.PROGRESS)):
            return
        try:
            now: Mapping[str, Any] = json.loads(text)
            index, total = int(now["cell"]), int(now["of"])
        except (ValueError, LookupError, TypeError):
            return
        self.report_cells(index, total, str(now.get("line", "")))

    def report_cells(self, index: int, total: int, line: str) -> None:
        """Report each cell that has started since the last look."""
        if index < self._cell:
            self._cell = -1  # the job starts again on another machine
        for cell in range(self._cell + 1, index + 1):
            self._listener.cell(cell, total, line if cell == index else "")
        self._cell = max(self._cell, index)


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _submitted(job: Job) -> str:
    """Return when a job was submitted, by the clock of this machine's time zone."""
    try:
        return _clock(datetime.fromisoformat(job.created).timestamp())
    except ValueError:
        return "before"


def compute_errors(client: RestClient, workspace: Workspace, job: Job) -> str:
    """Return the errors that a cluster reports, such as a lack of quota; empty if there is none."""
    if job.status != "Queued" or not job.compute:
        return ""
    path, what = f"{workspace.path}/computes/{job.compute}", f"compute {job.compute}"
    try:
        found = client.request("GET", path, compute.API_VERSION, what=what)
    except errors.AzureError:
        return ""
    faults = ((found.get("properties") or {}).get("properties") or {}).get("errors") or ()
    texts = [str((each.get("error") or each).get("message") or "") for each in faults]
    return f": {'; '.join(filter(None, texts))}" if any(texts) else ""


def find_tracked(history: RunHistory, name: str) -> TrackedRun | None:
    """Return the job's run; None while there is none."""
    try:
        return history.tracked(name)
    except errors.AzureError as error:
        if error.status != 404:
            raise
        return None


def read_end(history: RunHistory, job: Job) -> JobEnd:
    """Return how a job ended that has ended. Raises AzureError if Azure does not answer."""
    run = history.tracked(job.name)
    status: RunStatus = jobs.ENDED[job.status]
    recorded = run.tags.get(Tag.END)
    if status == "FINISHED" and recorded is None:
        return JobEnd("FAILED", Failure("error", "NotRecorded", "the job ended without its run's end"), run)
    if recorded == "KILLED":
        status = "KILLED"
    elif status == "FINISHED" and recorded != "FINISHED":  # such as a script that goes on after `nbops run` failed
        status = "FAILED"
    return JobEnd(status, None if status == "FINISHED" else read_failure(history, job, run), run)


def end_of_batch(history: RunHistory, job: Job) -> JobEnd:
    """Return how a batch ended, which has no run of a notebook. Raises AzureError if Azure does not answer."""
    status: RunStatus = jobs.ENDED[job.status]
    run = TrackedRun(job.name, "", status, {}, {}, 0.0)
    return JobEnd(status, None if status == "FINISHED" else read_failure(history, job, run), run)


def read_failure(history: RunHistory, job: Job, run: TrackedRun) -> Failure:
    """Return why a job failed: the reason in the run, else Azure's, with the last line of the log.

    A job that reaches its limit of time is stopped in the same way as by a person; how long it has run tells which.
    """
    if run.tags.get(Tag.TRIAL_STATE) == "pruned":
        stopped_in, line = run.tags.get(Tag.STOP_CELL, ""), run.tags.get(Tag.STOP_LINE, "")
        index = int(stopped_in) if stopped_in.isdecimal() else None
        return Failure("pruned", "Pruned", "the sweep asked to stop: not worth finishing", index, line)
    recorded = Failure.of_tags(run.tags)
    if recorded and recorded.kind != "interrupt":
        return recorded
    details = history.details(job.name)
    if job.timeout and details.seconds > job.timeout - CLOCKS_DIFFER:
        cell, line = (recorded.cell, recorded.line) if recorded else (None, "")
        text = f"the job took longer than {job.timeout} s, which is limits.timeout in its job file"
        return Failure("timeout", "Timeout", text, cell, line)
    if recorded:
        return recorded
    if job.status == "Canceled":
        return Failure("interrupt", "Interrupted", f"the job was stopped{details.error and f': {details.error}'}")
    last = _last_line(history, details.logs)
    return Failure(
        "error" if Tag.OWNER_PID in run.tags else "start",  # in the midst of its notebook, or before it
        details.code or "JobFailed",
        f"{details.error or 'Azure gives no reason'}{f' (last line of the log: {last})' if last else ''};"
        f" nbops azure jobs logs {job.name}",
    )


def _last_line(history: RunHistory, logs: Mapping[str, str]) -> str:
    for name, address in logs.items():
        try:
            lines = history.blob(address, name).decode("utf-8", "replace").strip().splitlines()
        except errors.AzureError:
            continue
        if lines:
            return lines[-1].strip()[:300]
    return ""
