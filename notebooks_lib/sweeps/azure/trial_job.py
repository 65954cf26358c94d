"""One trial as a job: what is known of the job, and the trial's outcome once it has ended."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from notebooks_lib.azure.jobs import job_following
from notebooks_lib.azure.jobs.job_following import JobEnd
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.running.job_result import run_result
from notebooks_lib.running.job_template import JobDescription
from notebooks_lib.running.runner import trial_state
from notebooks_lib.sweeps import trial_runner
from notebooks_lib.sweeps.trial_runner import TrialOutcome, TrialTask
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphan_runs
from notebooks_lib.tracking.store import Store

NEVER_BEGAN = "stopped before it began"
NOT_RUNNING = {
    **job_following.WAITING,
    **{state: job_following.STANDING[state] for state in ("NotResponding", "Paused", "Unknown")},
}
"""Azure's states of a job that does not run, before its end -> what they mean."""


@dataclass(eq=False)
class TrialJob:
    """A job that has not ended, as far as this process knows."""

    name: str
    description: JobDescription | None = None
    """None for a job that an earlier session has submitted."""
    task: TrialTask | None = None
    future: Future[TrialOutcome] = field(default_factory=Future)
    job: Job | None = None
    """As Azure answered last; None until it has been submitted."""
    tried: bool = False
    """Whether it was sent, so that it may run although nothing answered."""
    seen: float = 0.0
    """When it was looked at last, in seconds of `time.monotonic`."""
    waits_since: float | None = None
    """Since when it waits, in seconds since 1970; None while it does not."""
    stop_asked: float | None = None
    """When it was asked to stop, in seconds of `time.monotonic`."""
    cancelled: bool = False
    """Whether Azure was asked to end it."""

    @property
    def waits(self) -> bool:
        """True if it does not run: it has no machine yet, or none that answers any more."""
        return self.job is not None and self.job.status in NOT_RUNNING

    def must_be_cancelled(self, obey_seconds: float) -> bool:
        """Return True if Azure must end it: it was asked to stop and does not run, or did not obey in time."""
        if self.stop_asked is None or self.cancelled:
            return False
        return self.waits or time.monotonic() - self.stop_asked > obey_seconds

    def note(self, job: Job) -> None:
        """Record what Azure says of it."""
        self.job, self.seen = job, time.monotonic()
        self.waits_since = (self.waits_since or time.time()) if self.waits else None

    def drop(self) -> None:
        """End the trial of a job that never began."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()


def settle(trial_job: TrialJob, end: JobEnd, store: Store) -> None:
    """Give the outcome of an ended job to its future, and record the end in a run that does not say the same.

    Its notebook could not record it, or the job failed after its notebook's end.
    """
    began = Tag.SOURCE_FINGERPRINT in end.run.tags
    stopped = trial_job.stop_asked is not None and not began
    recorded = end.run.tags.get(Tag.END), end.run.tags.get(Tag.TRIAL_STATE)
    if recorded != (end.status, trial_state(end.status, end.failure)):
        with contextlib.suppress(Exception):  # the next session reads the same from the job's own status
            _record_end(store, end, NEVER_BEGAN if stopped else "")
    if stopped:
        trial_job.drop()
    elif trial_job.task is not None:
        trial = trial_runner.ended_trial(trial_job.task, run_result(end, None))
        trial_job.future.set_result(TrialOutcome(trial))


def _record_end(store: Store, end: JobEnd, reason: str) -> None:
    """Write what a trial's runner would have written, in the same order: the tag of the end last."""
    run_id = end.run.run_id
    orphan_runs.end_children(store, run_id, end.status)
    tags = end.failure.as_tags() if end.failure else {}
    tags |= {Tag.TRIAL_STATE: trial_state(end.status, end.failure)} | ({Tag.FAILURE: reason} if reason else {})
    for key, value in tags.items():
        if value:
            store.client.set_tag(run_id, key, value[: store.limits.tag_characters])
    store.client.set_tag(run_id, Tag.END, end.status)
