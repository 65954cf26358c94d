"""Tells for what the trials of Azure ML's sweep job wait, and ends the following of a sweep in which none begins."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import job_following, jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.tracking.query import RunInfo


@dataclasses.dataclass(frozen=True)
class WaitPacing:
    """How long a sweep may wait, in seconds."""

    longest: float = job_following.WAIT_MINUTES * 60
    """For which no trial may run, while the sweep has not ended."""
    tell_after: float = 15.0
    """Seconds that a trial waits before it is reported: every job waits for some."""
    remind: float = 120.0
    """Between two lines about trials that wait."""


USUAL = WaitPacing()


class WaitingServiceTrials:
    """A line for the user while trials wait, and an error when all have waited for too long."""

    def __init__(
        self,
        client: RestClient,
        workspace: Workspace,
        tell: Callable[[str], None],
        pacing: WaitPacing = USUAL,
    ) -> None:
        self._client, self._workspace, self._tell, self._pacing = client, workspace, tell, pacing
        self._ran = time.monotonic()
        self._told: float | None = None

    def note(self, sweep: Job, waiting: Sequence[RunInfo], *, running: int) -> None:
        """Record that so many trials run and these wait. Raises JobWaitingError when none has run for too long."""
        now = time.monotonic()
        if running:
            self._ran = now
        elif now - self._ran > self._pacing.longest:
            raise errors.JobWaitingError(sweep.name, sweep.status, self._pacing.longest / 60, sweep=True)
        late = time.time() - self._pacing.tell_after
        late_runs = [run for run in waiting if run.started_ms / 1000 <= late]
        if not late_runs:
            self._told = None
        elif self._told is None or now - self._told >= self._pacing.remind:
            self._told = now
            self._tell(self._line(sweep, late_runs, len(waiting) + running))

    def _line(self, sweep: Job, waiting: Sequence[RunInfo], count: int) -> str:
        longest = min(waiting, key=lambda run: run.started_ms)
        since = time.strftime("%H:%M:%S", time.localtime(longest.started_ms / 1000))
        return (
            f"{len(waiting)} of {count} trials have not begun; {longest.run_id}{self._why(longest.run_id)}, submitted"
            f" {since}; to stop the sweep: nbops azure jobs stop {sweep.name}"
        )

    def _why(self, name: str) -> str:
        """Return for what a trial's job waits; empty if Azure does not say."""
        try:
            job = jobs.find_job(self._client, self._workspace, name)
        except errors.AzureError:
            return ""
        what = job_following.WAITING.get(job.status, "has a machine, and its notebook has not begun")
        where = f" of compute {job.compute}" if job.compute and job.status == "Queued" else ""
        return f" {what}{where}{job_following.compute_errors(self._client, self._workspace, job)}"
