"""Run trials as jobs of an Azure ML workspace: submit them, look at them in turn, and stop them.

One thread sends all requests, at a steady pace. The sweep never waits for Azure.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.azure.jobs import compute, job_following, jobs, trial_jobs
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.running import job_submission, job_template
from notebooks_lib.running.job_submission import JobSubmitter
from notebooks_lib.running.job_template import JobTemplate
from notebooks_lib.running.plan import Plan
from notebooks_lib.sweeps import stop_requests
from notebooks_lib.sweeps.azure import tracking_check, trial_job
from notebooks_lib.sweeps.azure.trial_job import TrialJob
from notebooks_lib.sweeps.azure.waiting_trials import WaitingTrials
from notebooks_lib.sweeps.executors import Session
from notebooks_lib.sweeps.trial_runner import TrialOutcome, TrialTask
from notebooks_lib.tracking.store import translate_store_errors

UNBOUNDED_JOBS = 4
"""Jobs at once where no cluster says how many there can be: serverless ones, and those on Kubernetes."""


@dataclass(frozen=True)
class JobPacing:
    """How often Azure is asked, and how long things may take; all in seconds."""

    request: float = 0.5
    """Between two looks at any of the jobs."""
    look: float = 2.0
    """Between two looks at the same job, at least."""
    retry: float = 5.0
    """After a request that failed."""
    patience: float = 300.0
    """For which Azure may fail to answer before the sweep is given up."""
    obey: float = 90.0
    """In which a running trial that was asked to stop must have ended, before Azure is asked to end its job."""
    cancel: float = 150.0
    """In which Azure must have ended a job."""
    stop_each: float = 4.0
    """Added to that for each open job, as one thread stops them in turn."""
    without_machine: float = 7200.0
    """For which no trial may run before the sweep is given up."""
    tell_after: float = 15.0
    """Seconds that a trial waits before it is reported: every job waits for some."""
    remind: float = 120.0
    """Between two lines about trials that wait."""


class JobExecutor:
    """Executes each trial as a job, whose name is the id of the trial's run."""

    def __init__(
        self,
        template: JobTemplate,
        submitter: JobSubmitter,
        history: RunHistory,
        session: Session,
        *,
        capacity: int,
        pacing: JobPacing = JobPacing(),
    ) -> None:
        self._template, self._submitter, self._history = template, submitter, history
        self._client, self._workspace = submitter.client, submitter.workspace
        self._session, self._store, self._pacing = session, session.store, pacing
        self._capacity = capacity
        self._experiments: dict[str, str] = {}
        self._sweep = ""
        self._lock = threading.RLock()
        self._unsent: deque[TrialJob] = deque()
        self._open: list[TrialJob] = []
        self._failing_since: float | None = None
        self._last_ran = time.monotonic()
        self._lost: errors.ClusterError | None = None
        self._waiting = WaitingTrials(
            self._client, self._workspace, session.tell, tell_after=pacing.tell_after, remind_every=pacing.remind
        )
        self._wake, self._closed = threading.Event(), threading.Event()
        threading.Thread(target=self._work, name="nbops-jobs", daemon=True).start()

    @property
    def stop_seconds(self) -> float:
        """In which the jobs must have ended if they are asked to stop now."""
        return self._pacing.obey + self._pacing.cancel + self._pacing.stop_each * (len(self._open) + len(self._unsent))

    def capacity(self) -> int:
        """Return how many jobs the compute can run at once, at least 1."""
        return self._capacity

    def submit(self, task: TrialTask) -> Future[TrialOutcome]:
        """Queue the task to be submitted as a job."""
        self._sweep = task.sweep
        tags = trial_jobs.tags(task.sweep, task.number)
        try:
            description = self._template.describe(task.plan, tags, experiment=self._experiment(task))
        except errors.NbopsError as error:
            failed: Future[TrialOutcome] = Future()
            failed.set_exception(error)
            return failed
        made = TrialJob(description.name, description, task)
        with self._lock:
            self._unsent.append(made)
        self._wake.set()
        return made.future

    def poll(self) -> None:
        """Raise ClusterError when Azure has not answered for too long."""
        if self._lost is not None:
            raise self._lost

    def cancel(self) -> None:
        """Cancel the jobs that wait. A running one is asked by its run's tag; Azure ends it if it does not obey."""
        with self._lock:
            for unsent in self._unsent:
                if unsent.tried:
                    self._open.append(unsent)
                else:
                    unsent.drop()
            self._unsent.clear()
            for open_job in self._open:
                open_job.stop_asked, open_job.seen = time.monotonic(), 0.0
        self._wake.set()

    def stop_earlier(self, sweep: str, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Stop the jobs that an earlier session of the sweep has left, and wait for their end.

        Once `interrupted` returns True, it does not wait any more. Raise ClusterError if one does not end.
        """
        self._sweep = sweep
        left = [job for job in trial_jobs.list_trials(self._client, self._workspace, sweep) if not job.ended]
        if not left:
            return
        count = "1 job" if len(left) == 1 else f"{len(left)} jobs"
        self._session.tell(f"stopping {count} that the last session has left")
        found = [TrialJob(job.name, job=job, tried=True, stop_asked=time.monotonic()) for job in left]
        for job in left:
            with contextlib.suppress(Exception):  # Azure ends what does not obey
                stop_requests.request_stop(self._store, job.name, "stopped")
        with self._lock:
            self._open += found
        self._wake.set()
        stop_seconds = self.stop_seconds
        deadline = time.monotonic() + stop_seconds
        while any(each in self._open for each in found) and not interrupted():
            self.poll()
            if time.monotonic() > deadline:
                raise errors.ClusterError(
                    f"{count} of the last session did not end within {stop_seconds:g} s; stop them with"
                    f" `nbops azure jobs stop {sweep}`, then resume again"
                )
            time.sleep(0.1)

    def close(self) -> None:
        """Send nothing more. Jobs that still run are not waited for: a line says how to stop them."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._wake.set()
        with self._lock:
            sent = [*self._open, *(unsent for unsent in self._unsent if unsent.tried)]
        left = sum(not each.future.done() for each in sent)
        if left and self._lost is None:
            count = "1 job goes on" if left == 1 else f"{left} jobs go on"
            self._session.tell(f"{count}; to stop them: nbops azure jobs stop {self._sweep}")

    def _experiment(self, task: TrialTask) -> str:
        """Return the name of a trial's experiment, which its plan may know by id alone."""
        known = task.start.experiment_id
        if known is None:
            return task.start.experiment
        if known not in self._experiments:
            with translate_store_errors(self._store):
                self._experiments[known] = str(self._store.client.get_experiment(known).name)
        return self._experiments[known]

    def _work(self) -> None:
        while not self._closed.is_set():
            pause = self._pacing.request
            try:
                if self._step():
                    self._failing_since = None
                    if any(each.stop_asked is not None for each in list(self._open)):
                        pause = 0.0  # jobs that must end are looked at one after the other, without a pause
            except errors.AzureError as error:
                self._note_failure(error)
                pause = self._pacing.retry
            except Exception as error:  # noqa: BLE001  # a fault of ours must not leave the sweep waiting
                self._lost = errors.ClusterError(f"the sweep cannot follow its jobs: {errors.reason(error)}")
                pause = self._pacing.retry
            self._wake.wait(pause)
            self._wake.clear()

    def _note_failure(self, error: errors.AzureError) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > self._pacing.patience:
            self._lost = errors.ClusterError(
                f"Azure has not answered about the sweep's jobs for {self._pacing.patience:g} s: {error.cause}; its"
                f" jobs may go on: resume the sweep, or stop them with `nbops azure jobs stop {self._sweep}`"
            )

    def _step(self) -> bool:
        """Submit the next job, or look at the one that was looked at longest ago. Return whether Azure was asked."""
        with self._lock:
            unsent = self._unsent[0] if self._unsent else None
            open_jobs = list(self._open)
        due = min(open_jobs, key=lambda each: each.seen, default=None)
        if due is not None and time.monotonic() - due.seen > 2 * self._pacing.look + len(open_jobs):
            unsent = None  # submissions must not keep the others waiting
        self._waiting.tell([each for each in open_jobs if each.stop_asked is None])
        self._note_machines(open_jobs)
        if unsent is not None:
            self._send(unsent)
        elif due is not None and time.monotonic() - due.seen >= self._pacing.look:
            self._look(due)
        else:
            return False
        return True

    def _note_machines(self, open_jobs: Sequence[TrialJob]) -> None:
        """Give the sweep up if no trial has run for too long."""
        if not open_jobs or not all(each.waits for each in open_jobs):
            self._last_ran = time.monotonic()
        elif time.monotonic() - self._last_ran > self._pacing.without_machine:
            self._lost = errors.ClusterError(
                f"no trial has run for {self._pacing.without_machine / 60:.3g} min: look at quota and"
                " max_instances, then resume the sweep"
            )

    def _send(self, unsent: TrialJob) -> None:
        assert unsent.description is not None
        unsent.tried = True
        try:
            submitted = self._submitter.submit(unsent.description)
        except errors.AzureError as error:
            if not is_refused(error):
                raise  # it is sent again under its name, and so runs once
            number = unsent.task.number if unsent.task else ""
            unsent.future.set_exception(
                errors.ClusterError(f"Azure refuses the job of trial {number}: {error.cause}; {error.step}")
            )
            submitted = None
        with self._lock:
            if unsent in self._unsent:
                self._unsent.remove(unsent)
                self._open += [unsent] if submitted is not None else []
            if submitted is None:
                self._open = [each for each in self._open if each is not unsent]
            else:
                unsent.note(submitted)
        self._wake.set()

    def _look(self, open_job: TrialJob) -> None:
        try:
            job = jobs.find_job(self._client, self._workspace, open_job.name)
        except errors.AzureError as error:
            if error.status != 404:
                open_job.seen = time.monotonic()
                raise
            self._forget(open_job)
            if open_job.stop_asked is not None:
                open_job.drop()
            else:
                open_job.future.set_exception(errors.AzureError(f"job {open_job.name} was deleted"))
            return
        open_job.note(job)
        if job.ended:
            end = job_following.read_end(self._history, job)
            trial_job.settle(open_job, end, self._store)
            self._forget(open_job)
        elif open_job.must_be_cancelled(self._pacing.obey):
            jobs.cancel(self._client, self._workspace, open_job.name)
            open_job.cancelled = True

    def _forget(self, open_job: TrialJob) -> None:
        with self._lock:
            self._open = [each for each in self._open if each is not open_job]


def is_refused(error: errors.AzureError) -> bool:
    """Return whether a submission was clearly refused, so that others would be as well."""
    if isinstance(error, errors.JobUncertainError):  # the job may run, whatever the status
        return False
    return error.status is not None and 400 <= error.status < 500 and error.status not in (408, 409, 429)


def connect(on: str, job_file: Path | None, session: Session, pacing: JobPacing = JobPacing()) -> JobExecutor:
    """Return an executor for the compute that `on` names; what all trials share is sent first, once.

    Raise UsageError for what cannot be run as a job, before anything is sent.
    """
    source, settings, limits = session.source, session.source.settings, session.limits
    options = job_template.run_options(
        timeout=limits.timeout, cell_timeout=limits.cell_timeout, kernel=limits.kernel, cold=limits.cold, html=False
    )
    plan = Plan(source.notebook, settings, {}, source.schema.secrets, session.start)
    template = job_template.make_template(plan, on, os.environ, job_file=job_file, options=options)
    tracking_check.refuse_other_store(on, template.workspace, session.store)
    source.freeze()
    for line in template.snapshot.notices():
        session.tell(line)
    submitter = job_submission.prepare_workspace(template, settings.root, os.environ, session.tell)
    machines = compute.most_machines(submitter.client, submitter.workspace, template.compute)
    capacity = UNBOUNDED_JOBS if machines is None else max(1, machines // template.instances)
    history = RunHistory(session.store.uri)
    return JobExecutor(template, submitter, history, session, capacity=capacity, pacing=pacing)
