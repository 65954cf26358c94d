"""Follows a pipeline until it ends: each step as it starts and ends, its cells, why it waits. It changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import job_following, jobs
from notebooks_lib.azure.jobs.job_following import ProgressReport
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.jobs.run_history import ChildRun, RunHistory
from notebooks_lib.run_result import RunStatus
from notebooks_lib.tags import Tag

NOT_STARTED = "NOT STARTED"


class StepListener(Protocol):
    """Receives what happens to the steps, for example to print it."""

    def step(self, name: str, text: str) -> None:
        """Receive that a step starts, waits or ends."""

    def cell(self, name: str, index: int, total: int, line: str) -> None:
        """Receive that a cell of a step's notebook has started; `index` counts from 0."""


@dataclass(frozen=True)
class StepEnd:
    """How one step of a pipeline ended."""

    name: str
    status: RunStatus | str
    """NOT_STARTED for a step that waited for one that failed; Azure's word for one that it says has not ended."""
    run_id: str = ""
    reused: str = ""
    """The run of an earlier pipeline whose results it took: nothing of the step had changed."""
    skipped: str = ""
    """Why it had nothing to do."""
    failure: str = ""
    seconds: float = 0.0

    def shown(self) -> str:
        """Return how it ended, in one line."""
        if self.failure:
            return f"{self.status}: {self.failure}"
        if self.reused:
            return f"{self.status}, taken from run {self.reused}: nothing of the step has changed"
        if self.skipped:
            return f"{self.status}, nothing done: {self.skipped}"
        return f"{self.status} in {self.seconds:.0f} s"


@dataclass(frozen=True)
class PipelineEnd:
    """How a pipeline ended; the steps stand in the order of its file."""

    name: str
    file: str
    status: RunStatus
    steps: tuple[StepEnd, ...]


def follow_pipeline(
    client: RestClient,
    workspace: Workspace,
    history: RunHistory,
    name: str,
    listener: StepListener,
    *,
    wait_minutes: float = job_following.WAIT_MINUTES,
    shortest: float = job_following.SHORTEST,
    patience: float = job_following.PATIENCE,
) -> PipelineEnd:
    """Return when the pipeline has ended.

    Raises JobWaitingError when no step has run for `wait_minutes`, and AzureError when Azure has failed to answer for
    `patience` seconds. Neither stops the pipeline.
    """
    steps = _Steps(history, name, listener)
    began = answered = ran = time.monotonic()
    while True:
        try:
            document = jobs.find_document(client, workspace, name)
            job, children = Job.of(document), history.children(name)
            for child in children:
                steps.look(child)
            if job.ended:
                return PipelineEnd(
                    name, job.pipeline, jobs.ENDED[job.status], steps.ends(document["properties"].get("jobs") or {})
                )
            answered = time.monotonic()
            if any(child.status == "Running" for child in children):
                ran = answered
        except errors.AzureError as error:
            lasting = error.status is not None and error.status < 500 and error.status not in (408, 429)
            if lasting or time.monotonic() - answered > patience:
                raise
        if time.monotonic() - ran > wait_minutes * 60:
            raise errors.JobWaitingError(name, steps.state(), wait_minutes)
        time.sleep(min(shortest * (1 + (time.monotonic() - began) / 30), max(job_following.LONGEST, shortest)))


class _Steps:
    """What is known of the steps that have started, and what of it was reported."""

    def __init__(self, history: RunHistory, pipeline: str, listener: StepListener) -> None:
        self._history, self._pipeline, self._listener = history, pipeline, listener
        self._reports: dict[str, ProgressReport] = {}
        self._status: dict[str, str] = {}
        self._ends: dict[str, StepEnd] = {}

    def look(self, child: ChildRun) -> None:
        """Report what has changed of a step."""
        name = child.name
        if name in self._ends:
            return
        if name not in self._reports:
            self._reports[name] = ProgressReport(_OfStep(name, self._listener))
        before, self._status[name] = self._status.get(name), child.status
        report = self._reports[name]
        if child.status in jobs.ENDED:
            self._ends[name] = end = self._end(child)
            self._listener.step(name, end.shown())
        elif child.status in job_following.WAITING:
            report.report_waiting(_as_job(child, self._pipeline))
        else:
            if child.status == "Running" != before:
                self._listener.step(name, f"started, run {child.run_id}")
            report.report_run(job_following.find_tracked(self._history, child.run_id), child.status)

    def state(self) -> str:
        """Return the state of a step that waits, else that of the pipeline as a whole."""
        return next((state for state in self._status.values() if state in job_following.WAITING), "Running")

    def ends(self, names: Iterable[str]) -> tuple[StepEnd, ...]:
        """Return how each step of these names ended, in their order."""
        return tuple(self._ends.get(name) or StepEnd(name, self._status.get(name, NOT_STARTED)) for name in names)

    def _end(self, child: ChildRun) -> StepEnd:
        status: RunStatus = jobs.ENDED[child.status]
        failure = skipped = ""
        if not child.reused:
            run = self._history.tracked(child.run_id)
            skipped = run.tags.get(Tag.SKIPPED, "")
            if status != "FINISHED":
                failure = str(job_following.read_failure(self._history, _as_job(child, child.run_id), run))
        return StepEnd(child.name, status, child.run_id, child.reused, skipped, failure, child.seconds)


class _OfStep:
    """Hands on what a job reports as what a step reports."""

    def __init__(self, name: str, listener: StepListener) -> None:
        self._name, self._listener = name, listener

    def waiting(self, text: str) -> None:
        self._listener.step(self._name, text)

    def cell(self, index: int, total: int, line: str) -> None:
        self._listener.cell(self._name, index, total, line)


def _as_job(child: ChildRun, name: str) -> Job:
    """Return a step as the job that it is, of which Azure tells nothing as of others."""
    return Job(name, child.status, "", child.name, "", "", child.created)
