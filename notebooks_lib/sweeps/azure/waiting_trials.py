"""Tells what trials wait for that do not run, and what keeps the cluster from giving them a machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import job_following
from notebooks_lib.sweeps.azure.trial_job import NOT_RUNNING, TrialJob


class WaitingTrials:
    """A line for the user once a trial has waited for `tell_after` seconds, and again every `remind_every` seconds."""

    def __init__(
        self,
        client: RestClient,
        workspace: Workspace,
        tell: Callable[[str], None],
        *,
        tell_after: float,
        remind_every: float,
    ) -> None:
        self._client, self._workspace, self._tell = client, workspace, tell
        self._after, self._remind = tell_after, remind_every
        self._told: float | None = None

    def tell(self, open_jobs: Sequence[TrialJob]) -> None:
        """Report the trials that have waited for long, unless that was reported just now."""
        now = time.time()
        waiting = [each for each in open_jobs if each.waits_since and now - each.waits_since >= self._after]
        if not waiting:
            self._told = None
            return
        if self._told is not None and now - self._told < self._remind:
            return
        self._told = now
        longest = min(waiting, key=lambda each: each.waits_since or now)
        assert longest.job is not None
        assert longest.waits_since is not None
        job = longest.job
        where = f" of compute {job.compute}" if job.compute and job.status == "Queued" else ""
        since = time.strftime("%H:%M:%S", time.localtime(longest.waits_since))
        reasons = job_following.compute_errors(self._client, self._workspace, job)
        self._tell(
            f"{len(waiting)} of {len(open_jobs)} trials do not run; trial {job.trial}"
            f" {NOT_RUNNING[job.status]}{where} since {since}{reasons}; Ctrl-C stops the sweep"
        )
