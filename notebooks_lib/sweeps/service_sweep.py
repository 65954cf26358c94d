"""Run a sweep whose trials Azure ML proposes: submit its sweep job, or come back to one, follow it, and end its run.

Following may stop at any time: the sweep goes on, and the next follower writes what is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import job_following, jobs, sweep_job
from notebooks_lib.azure.jobs.job_following import CLOCKS_DIFFER
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.azure.project_files.duration import parse_duration
from notebooks_lib.run_result import Failure, RunStatus
from notebooks_lib.running import job_submission, job_template
from notebooks_lib.running.plan import Plan
from notebooks_lib.sweeps import parent_run, service_job, service_waiting
from notebooks_lib.sweeps.azure import tracking_check
from notebooks_lib.sweeps.executors import TrialLimits
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.search_space import ParameterSpace
from notebooks_lib.sweeps.service_request import ServiceSweepRequest
from notebooks_lib.sweeps.service_trials import ServiceTrials
from notebooks_lib.sweeps.service_waiting import WaitingServiceTrials, WaitPacing
from notebooks_lib.sweeps.trials import SweepResult, Trial
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart, description_tags
from notebooks_lib.tracking.store import Store

SERVICE = "azureml"
SETTLE = 20.0
"""Seconds that trials have to record their end once the sweep is over."""


@dataclasses.dataclass(frozen=True)
class _Watcher:
    """Receives what happens to the sweep."""

    on_open: Callable[[str, str], None]
    on_change: Callable[[Mapping[int, Trial], int], None]
    tell: Callable[[str], None]


def run_service_sweep(
    request: ServiceSweepRequest,
    store: Store,
    environ: Mapping[str, str],
    *,
    on_open: Callable[[str, str], None] = lambda run_id, url: None,
    on_change: Callable[[Mapping[int, Trial], int], None] = lambda trials, total: None,
    tell: Callable[[str], None] = lambda line: None,
    patience: float = job_following.PATIENCE,
    waits: WaitPacing = service_waiting.USUAL,
) -> SweepResult:
    """Submit the sweep, or come back to it, follow it to its end, and return its result.

    `on_open` gets the id and address of the sweep's run once it is submitted, `on_change` all trials so far and their
    total number, and `tell` lines for the user. Azure may fail to answer for `patience` seconds. A KeyboardInterrupt
    leaves the sweep as it is: it goes on. Raises UsageError before anything is sent, SweepNotStartedError when the
    sweep fails before its first trial, JobWaitingError when no trial has run for too long, and AzureError.
    """
    tracking_check.refuse_other_store(request.on, workspace.find_workspace(store.settings), store)
    watcher = _Watcher(on_open, on_change, tell)
    start = parent_run.parent_start(request.source, request.domain, request.goal, request.name, service=SERVICE)
    if request.resume is None:
        run_id = _submit(request, start, store, environ, watcher)
    else:
        run_id = parent_run.find_sweep(store, start, request.resume).run_id
        on_open(run_id, _url(store, run_id))
    return _Follower(request, store, OwnedRun(store, run_id, "", start), watcher, waits).follow(patience)


def _submit(
    request: ServiceSweepRequest, start: RunStart, store: Store, environ: Mapping[str, str], watcher: _Watcher
) -> str:
    """Submit the sweep job and return its name, which is the id of its run."""
    plan = _trial_plan(request, start)
    template = job_template.make_template(
        plan, request.on, environ, job_file=request.job_file, options=_run_options(request.limits)
    )
    if template.properties.get("services"):
        raise errors.UsageError(
            "services in job.yml: a sweep of the service has none; take them out, or leave --service out"
        )
    job = template.describe(plan, description_tags(store, start))
    for line in template.snapshot.notices():
        watcher.tell(line)
    submitter = job_submission.prepare_workspace(template, store.settings.root, environ, watcher.tell)
    command = submitter.complete(job)
    command["environmentVariables"] = {**command["environmentVariables"], Env.SWEEP: request.swept.as_text(job.name)}
    body = service_job.body(request, command)
    try:
        jobs.submit(submitter.client, submitter.workspace, job.name, body, api_version=sweep_job.API_VERSION)
    except errors.JobUncertainError:
        watcher.on_open(job.name, "")  # it may run: nobody should start a second one
        raise
    except KeyboardInterrupt:
        if job_submission.is_submitted(submitter.workspace, job.name):
            watcher.on_open(job.name, "")
        raise
    watcher.on_open(job.name, _url(store, job.name))
    return job.name


def _trial_plan(request: ServiceSweepRequest, start: RunStart) -> Plan:
    """Return the plan that all trials share: the fixed values, and what the sweep's run starts with."""
    fixed = request.domain.fixed
    plan = request.source.plan({**fixed, **_some_values(request.domain.swept)})  # any: they are checked alike
    overrides = {name: value for name, value in plan.overrides.items() if name in fixed}
    return dataclasses.replace(plan, overrides=overrides, start=dataclasses.replace(start, tags={}))


def _some_values(swept: ParameterGrid | ParameterSpace) -> dict[str, object]:
    if isinstance(swept, ParameterGrid):
        return swept.at(0)
    starts = {name: getattr(dimension.distribution, "low", 0) for name, dimension in swept.dimensions.items()}
    return {
        name: dimension.at(0.5 if dimension.size is None else starts[name])
        for name, dimension in swept.dimensions.items()
    }


def _run_options(limits: TrialLimits) -> list[str]:
    """Return the options of the `nbops run` of each trial."""
    given = {"--timeout": limits.timeout, "--cell-timeout": limits.cell_timeout, "--kernel": limits.kernel}
    options = [word for key, value in given.items() if value is not None for word in (key, f"{value}")]
    return [*options, *(["--cold"] if limits.cold else []), "--no-html"]


def _url(store: Store, run_id: str) -> str:
    return store.run_url(run_id, "")  # at Azure, a run's address does not hold its experiment


class _Follower:
    """Follows one sweep job, from any state in which it is found."""

    def __init__(
        self, request: ServiceSweepRequest, store: Store, owned: OwnedRun, watcher: _Watcher, waits: WaitPacing
    ) -> None:
        self._request = request
        self._goal = request.goal
        self._store = store
        self._owned = owned
        self._watcher = watcher
        self._total = request.total
        self._client: RestClient = rest_client.resource_manager()
        self._workspace: Workspace = workspace.of_tracking_uri(store.uri)
        self._service_trials = ServiceTrials(
            store, owned.run_id, request.goal, request.source.schema, list(request.parameters)
        )
        self._waiting = WaitingServiceTrials(self._client, self._workspace, watcher.tell, waits)
        self._trials: dict[int, Trial] = {}
        self._status = ""
        self._timeout: int | None = None

    def follow(self, patience: float) -> SweepResult:
        """Return the result when the sweep has ended and all is written."""
        began = answered = time.monotonic()
        while True:
            try:
                if (job := self._look()).ended:
                    break
                answered = time.monotonic()
            except errors.JobWaitingError:
                raise
            except (errors.AzureError, errors.TrackingError) as error:
                status = getattr(error, "status", None)
                lasting = status is not None and status < 500 and status not in (408, 429)
                if lasting or time.monotonic() - answered > patience:
                    raise
            time.sleep(min(job_following.SHORTEST * (1 + (time.monotonic() - began) / 30), job_following.LONGEST))
        return self._end(job)

    def _look(self) -> Job:
        document = jobs.find_document(self._client, self._workspace, self._owned.run_id)
        job, own = Job.of(document), document.get("properties") or {}
        if job.kind != "Sweep":
            raise errors.UsageError(f"job {job.name} is no sweep: nbops azure jobs follow {job.name}")
        limits = own.get("limits") or {}
        self._total = int(limits.get("maxTotalTrials") or self._total)
        self._timeout = parse_duration(limits.get("timeout"))
        resumed = self._request.resume is not None and not self._status
        if resumed and (differing := service_job.differing_options(self._request, own)):
            self._watcher.tell(
                f"the sweep keeps what it was submitted with: it does not follow your {', '.join(differing)}"
            )
        if job.status != self._status:
            self._status = job.status
            if meaning := {**job_following.WAITING, **job_following.STANDING}.get(job.status):
                self._watcher.tell(f"the sweep {meaning} ({job.status}); to stop it: nbops azure jobs stop {job.name}")
        pruning = bool(own.get("earlyTermination")) and job.status in ("Running", "Completed")
        refresh = partial(
            self._service_trials.refresh, pruning=pruning, trial_timeout=parse_duration(limits.get("trialTimeout"))
        )
        self._trials = refresh()
        if job.ended:
            deadline = time.monotonic() + SETTLE
            while self._count_running() and time.monotonic() < deadline:
                time.sleep(1)
                self._trials = refresh()
            self._service_trials.end_open()
            self._trials = refresh(over=True)
        self._watcher.on_change(self._trials, self._total)
        if not job.ended:
            waiting = self._service_trials.waiting
            self._waiting.note(job, waiting, running=self._count_running() - len(waiting))
        return job

    def _count_running(self) -> int:
        return sum(trial.state == "running" for trial in self._trials.values())

    def _end(self, job: Job) -> SweepResult:
        run = query.get_run(self._store, job.name)
        status: RunStatus = jobs.ENDED[job.status]
        failure = self._failure(job) if status == "FAILED" and not self._trials else None
        if status == "FINISHED":
            status = parent_run.sweep_status(self._trials, stopped=None)
        took = max(0.0, ((run.ended_ms or time.time() * 1000) - run.started_ms) / 1000)
        timed_out = status == "KILLED" and self._timeout is not None and took > self._timeout - CLOCKS_DIFFER
        if timed_out:
            self._watcher.tell(f"the sweep reached its limit of {self._timeout} s, and the service ended it")
        result = SweepResult(
            run_id=job.name,
            url=_url(self._store, job.name),
            status=status,
            goal=self._goal,
            trials=list(self._trials.values()),
            total=self._total,
            seconds=parent_run.seconds_before(run) or took,
            timed_out=timed_out,
        )
        if Tag.END not in run.tags:
            self._write(result, failure, run.tags)
        if failure is not None:
            raise errors.SweepNotStartedError(
                f"sweep {job.name} failed before its first trial: {failure.error}: {failure.message}",
                "correct that, and start the sweep again",
            )
        return result

    def _failure(self, job: Job) -> Failure:
        details = RunHistory(self._store.uri).details(job.name)
        return Failure("start", details.code or "SweepFailed", details.error or "Azure gives no reason")

    def _write(self, result: SweepResult, failure: Failure | None, tags: Mapping[str, str]) -> None:
        """Write the report, and end the run. Azure overwrites no file: what another follower has written stays."""
        try:
            for key, value in description_tags(self._store, self._owned.start).items():
                if key not in tags:
                    self._store.client.set_tag(result.run_id, key, value)
            parent_run.report_and_end_sweep(self._owned, result, failure, self._watcher.tell)
        except Exception as error:  # noqa: BLE001  # whatever a store raises; the trials hold all that counts
            self._watcher.tell(f"not all was written to run {result.run_id}: {errors.reason(error)}")
            with contextlib.suppress(Exception):
                self._store.client.set_tag(result.run_id, Tag.END, result.status)
