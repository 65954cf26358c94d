"""Trials as jobs on a bad day: each runs once, each ends, and nothing runs on. The jobs are commands, not notebooks.

`tests/sweeps/test_compute_targets.py` holds what every place promises.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.jobs import trial_jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.running import job_submission, job_template
from notebooks_lib.running.plan import NotebookPlanner, make_plan
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import parent_run, search_space, sweep
from notebooks_lib.sweeps.azure import job_executor
from notebooks_lib.sweeps.azure.job_executor import JobExecutor, JobPacing
from notebooks_lib.sweeps.azure.trial_job import NOT_RUNNING, TrialJob
from notebooks_lib.sweeps.azure.waiting_trials import WaitingTrials
from notebooks_lib.sweeps.executors import ComputeTarget, Session, TrialLimits
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trial_runner import TaskBuilder, TrialOutcome, TrialTask
from notebooks_lib.sweeps.trials import Proposal, SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun
from tests import building
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking

QUICK = JobPacing(request=0.02, look=0.05, retry=0.1, patience=3, obey=1, cancel=30, tell_after=0.3, remind=60)


@dataclasses.dataclass
class Trials:
    """A sweep's trials as jobs that run a command in place of the notebook."""

    settings: Settings
    command: str = "exec sleep 60"
    pacing: JobPacing = QUICK
    lines: list[str] = dataclasses.field(default_factory=list)
    made: list[JobExecutor] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        path = building.write(self.settings.root / "work" / "n.ipynb", "alpha", parameters="alpha: float = 1.0")
        schema = parameter_schema.read_schema(document.read(path))
        self.source = NotebookPlanner(path, self.settings)
        self.domain = search_space.read_search_space(schema, grid=["alpha=0..19"])
        self.store = store.connect(self.settings)
        started = parent_run.parent_start(self.source, self.domain, None, None)
        self.session = Session(self.source, started, self.store, self.lines.append, TrialLimits())
        self.client, self.workspace = rest_client.resource_manager(), workspace.find_workspace(self.settings)

    def connect(self, *_: object) -> JobExecutor:
        """Return an executor as `job_executor.connect` does, but for the command."""
        plan = make_plan(self.source.notebook.path, self.settings)
        template = job_template.make_template(plan, "azureml:serverless", os.environ)
        template = dataclasses.replace(template, properties={**template.properties, "command": self.command})
        submitter = job_submission.prepare_workspace(template, self.settings.root, os.environ)
        history = RunHistory(self.store.uri)
        executor = JobExecutor(template, submitter, history, self.session, capacity=2, pacing=self.pacing)
        self.made.append(executor)
        return executor

    def begin(self) -> tuple[JobExecutor, Callable[[int], Future[TrialOutcome]], str]:
        """Return an executor, a function that submits the trial of a number, and the sweep's run."""
        executor, parent = self.connect(), OwnedRun.open(self.store, self.session.start)
        builder = TaskBuilder(self.request(), parent)

        def submit(number: int) -> Future[TrialOutcome]:
            return executor.submit(builder.make(Proposal(number, {"alpha": float(number)})))

        return executor, submit, parent.run_id

    def request(self, **options: Any) -> SweepRequest:
        """Return the request of a whole sweep over these jobs."""
        place: ComputeTarget[TrialTask, TrialOutcome] = ComputeTarget("azureml:serverless", self.connect)
        return SweepRequest(self.source, self.domain, place=place, **options)

    def jobs(self, sweep_run: str, count: int = 1) -> list[Job]:
        """Wait until a sweep has so many jobs, and return them."""
        until = time.monotonic() + 30
        while len(found := list(trial_jobs.list_trials(self.client, self.workspace, sweep_run))) < count:
            assert time.monotonic() < until, "no job was submitted"
            time.sleep(0.05)
        return found

    def wait_for(self, sweep_run: str, status: str) -> Job:
        """Wait until the first job of a sweep is in a state."""
        until = time.monotonic() + 30
        while (job := self.jobs(sweep_run)[0]).status != status:
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Write what a notebook's runner would write in the job."""
        for key, value in tags.items():
            self.store.client.set_tag(run_id, key, value)

    def end_of(self, run_id: str | None) -> Mapping[str, str]:
        """Return the tags of an ended run."""
        run = query.get_run(self.store, run_id or "")
        assert Tag.END in run.tags
        return run.tags


@pytest.fixture
def trials(azure_workspace: AzureProject) -> Iterator[Trials]:
    made = Trials(azure_workspace.settings)
    yield made
    for executor in made.made:
        executor.cancel()
        executor.close()


@pytest.mark.parametrize(
    "fault",
    ["lost_answer", *(pytest.param(each, marks=pytest.mark.proof) for each in ("server_error", "too_many_requests"))],
)
def test_a_trial_is_one_job_whatever_happens_to_the_answer(trials: Trials, azure_server: Emulated, fault: str) -> None:
    trials.command = "exec sleep 1"
    _, submit, parent = trials.begin()
    with azure_server.fault(fault, method="PUT", path="/jobs/"):
        future = submit(3)
        job = trials.wait_for(parent, "Running")
        trials.tag(job.name, {Tag.SOURCE_FINGERPRINT: "f", Tag.SECONDS: "0.5", Tag.END: "FINISHED"})
        trial = future.result(30).trial

    assert (trial.number, trial.state, trial.run_id, trial.seconds) == (3, "finished", job.name, 0.5)
    assert (job.trial, job.sweep) == ("3", parent)
    assert len(trials.jobs(parent)) == 1


def test_a_job_that_fails_before_its_notebook_is_a_failed_trial_with_azures_reason(
    trials: Trials, azure_server: Emulated
) -> None:
    _, submit, _ = trials.begin()
    with azure_server.fault("image_build_fails", path="/jobs/", code="ImageBuildFailure", message="no package y"):
        trial = submit(0).result(30).trial

    assert trial.state == "failed"
    assert trial.reason.startswith("ImageBuildFailure: no package y; nbops azure jobs logs ")
    tags = trials.end_of(trial.run_id)
    assert (tags[Tag.END], tags[Tag.TRIAL_STATE], tags[Tag.FAILURE]) == ("FAILED", "failed", "ImageBuildFailure")


def test_trials_without_a_machine_are_told_of_and_cancelled_before_they_begin(
    trials: Trials, azure_server: Emulated
) -> None:
    executor, submit, parent = trials.begin()
    with azure_server.fault("never_starts", path="/jobs/", times=2):
        futures = [submit(number) for number in range(2)]
        trials.jobs(parent, 2)
        until = time.monotonic() + 30
        while not trials.lines:
            assert time.monotonic() < until
            time.sleep(0.05)
    executor.cancel()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(30)

    head, _, rest = trials.lines[0].partition(" since ")
    assert head.endswith(" of 2 trials do not run; trial 0 waits for a machine")
    assert rest.endswith("; Ctrl-C stops the sweep")
    for job in trials.jobs(parent):
        assert job.status == "Canceled"
        tags = trials.end_of(job.name)
        assert (tags[Tag.END], tags[Tag.FAILURE]) == ("KILLED", "stopped before it began")


@pytest.mark.proof
def test_a_sweep_without_a_machine_is_given_up_and_its_jobs_are_cancelled(
    trials: Trials, azure_server: Emulated
) -> None:
    trials.pacing = dataclasses.replace(QUICK, without_machine=1)
    line = r"no trial has run for 0.0167 min: look at quota and max_instances, then resume the sweep"
    run_ids: list[str] = []
    with (
        azure_server.fault("never_starts", path="/jobs/", times=2),
        pytest.raises(errors.ClusterError, match=line),
    ):
        sweep.run_sweep(trials.request(jobs=2), trials.store, on_open=lambda run_id, _: run_ids.append(run_id))
    assert {job.status for job in trials.jobs(run_ids[0])} == {"Canceled"}


@pytest.mark.proof
def test_a_running_trial_that_does_not_obey_is_ended_by_azure(trials: Trials) -> None:
    executor, submit, parent = trials.begin()
    future = submit(0)
    job = trials.wait_for(parent, "Running")
    trials.tag(job.name, {Tag.SOURCE_FINGERPRINT: "f"})
    began = time.monotonic()
    executor.cancel()
    trial = future.result(30).trial

    assert time.monotonic() - began >= QUICK.obey
    assert (trial.state, trial.reason) == ("killed", "Interrupted: the job was stopped")
    assert trials.end_of(job.name)[Tag.TRIAL_STATE] == "killed"


@pytest.mark.proof
def test_a_trial_whose_machine_is_taken_away_goes_on_under_its_run(trials: Trials, azure_server: Emulated) -> None:
    trials.command = "test -e ../again$AZUREML_RUN_ID && exit 0 || { touch ../again$AZUREML_RUN_ID; exec sleep 60; }"
    _, submit, parent = trials.begin()
    with azure_server.fault("evicted", path="/jobs/", retry_after=1):
        future = submit(0)
        job = trials.wait_for(parent, "Running")
        trials.tag(job.name, {Tag.SOURCE_FINGERPRINT: "f", Tag.END: "FINISHED"})
        trial = future.result(30).trial
    assert (trial.state, trial.run_id) == ("finished", job.name)


def test_a_refused_job_is_an_error_of_the_whole_sweep(trials: Trials, azure_server: Emulated) -> None:
    _, submit, parent = trials.begin()
    with azure_server.fault("forbidden", method="PUT", path="/jobs/"):
        line = r"Azure refuses the job of trial 0: no permission for job .*; ask for the role AzureML Data Scientist"
        with pytest.raises(errors.ClusterError, match=line):
            submit(0).result(30)
    assert list(trial_jobs.list_trials(trials.client, trials.workspace, parent)) == []


@pytest.mark.proof
def test_azure_may_fail_for_a_while_but_not_for_ever(trials: Trials, azure_server: Emulated) -> None:
    executor, submit, parent = trials.begin()
    submit(0)
    trials.wait_for(parent, "Running")
    with azure_server.fault("forbidden", method="GET", path="/jobs/.", times=3):
        time.sleep(1)
        executor.poll()
    with azure_server.fault("forbidden", method="GET", path="/jobs/.", times=0):
        line = r"Azure has not answered about the sweep's jobs for 3 s: no permission .*; its jobs may go on: resume"
        with pytest.raises(errors.ClusterError, match=line):
            for _ in range(100):
                executor.poll()
                time.sleep(0.1)


@pytest.mark.proof
def test_what_an_earlier_session_left_is_stopped(trials: Trials, azure_server: Emulated) -> None:
    first, submit, parent = trials.begin()
    with azure_server.fault("never_starts", path="/jobs/"):
        submit(0)
        trials.jobs(parent, 1)
    submit(1)
    trials.jobs(parent, 2)
    first.close()  # as if it was killed
    second = trials.connect()
    second.stop_earlier(parent)

    assert {job.status for job in trials.jobs(parent)} == {"Canceled"}
    assert trials.lines[-1] == "stopping 2 jobs that the last session has left"
    assert {trials.end_of(job.name)[Tag.END] for job in trials.jobs(parent)} == {"KILLED"}
    told = len(trials.lines)
    second.stop_earlier(parent)
    assert len(trials.lines) == told


def test_ctrl_c_ends_the_wait_for_earlier_jobs_and_a_line_says_how_to_stop_them(trials: Trials) -> None:
    first, submit, parent = trials.begin()
    submit(0)
    trials.wait_for(parent, "Running")
    first.close()  # as if it was killed
    assert trials.lines == [f"1 job goes on; to stop them: nbops azure jobs stop {parent}"]
    second = trials.connect()
    second.stop_earlier(parent, lambda: True)
    second.close()
    assert trials.lines[1:] == ["stopping 1 job that the last session has left", trials.lines[0]]


@pytest.mark.proof
def test_a_session_stops_once_another_one_has_resumed_its_sweep(trials: Trials) -> None:
    """The other one, perhaps on another machine, keeps the sweep's run: nothing asks its trials to stop."""
    run_ids: list[str] = []
    request = trials.request(jobs=2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sweep.run_sweep, request, trials.store, on_open=lambda run_id, _: run_ids.append(run_id))
        while not run_ids:
            time.sleep(0.05)
        trials.jobs(run_ids[0], 2)
        again = parent_run.parent_start(trials.source, trials.domain, None, None)
        OwnedRun.reopen(trials.store, run_ids[0], again)
        with pytest.raises(errors.SweepTakenOverError, match=f"another process has resumed sweep {run_ids[0]}"):
            first.result(60)
    run = query.get_run(trials.store, run_ids[0])
    assert (run.status, run.tags[Tag.SWEEP_SESSION]) == ("RUNNING", parent_run.session(again))
    assert not {Tag.STOP, Tag.END} & run.tags.keys()
    assert {job.status for job in trials.jobs(run_ids[0])} == {"Canceled"}
    for child in query.children(trials.store, run_ids[0]):
        assert child.tags[Tag.END] == "KILLED"


@pytest.mark.proof
def test_many_jobs_are_stopped_without_a_pause_in_a_time_that_grows_with_them(
    trials: Trials, azure_server: Emulated
) -> None:
    trials.pacing = dataclasses.replace(QUICK, request=2)
    executor, submit, parent = trials.begin()
    idle = executor.stop_seconds
    with azure_server.fault("never_starts", path="/jobs/", times=6):
        futures = [submit(number) for number in range(6)]
        trials.jobs(parent, 6)
    assert executor.stop_seconds == idle + 6 * QUICK.stop_each
    began = time.monotonic()
    executor.cancel()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(60)
    assert time.monotonic() - began < 6 * 2


@pytest.mark.proof
def test_a_job_that_fails_after_its_notebook_has_finished_is_a_failed_trial_in_its_run_too(trials: Trials) -> None:
    trials.command = "sleep 2; exit 1"
    _, submit, parent = trials.begin()
    future = submit(0)
    job = trials.wait_for(parent, "Running")
    trials.tag(job.name, {Tag.SOURCE_FINGERPRINT: "f", Tag.TRIAL_STATE: "finished", Tag.END: "FINISHED"})
    assert future.result(30).trial.state == "failed"
    tags = trials.end_of(job.name)
    assert (tags[Tag.END], tags[Tag.TRIAL_STATE]) == ("FAILED", "failed")


@pytest.mark.parametrize("state", ["NotResponding", "Paused", "Unknown", "Queued"])
def test_a_job_that_stands_still_is_told_of_and_not_waited_for(trials: Trials, state: str) -> None:
    stands = TrialJob("j", job=None)
    stands.note(Job("j", state, "", "", "", "", "", trial="7"))
    stands.waits_since = time.time() - 60
    lines: list[str] = []
    WaitingTrials(trials.client, trials.workspace, lines.append, tell_after=15, remind_every=60).tell([stands])
    assert lines[0].startswith(f"1 of 1 trials do not run; trial 7 {NOT_RUNNING[state]} since ")
    stands.stop_asked = time.monotonic()
    assert stands.must_be_cancelled(90)


def test_a_job_that_may_run_is_never_taken_for_refused() -> None:
    assert job_executor.is_refused(errors.AzureError("no", status=400))
    assert not job_executor.is_refused(errors.JobUncertainError("a", "perhaps", "", status=400))


def most_open(results: list[dict[int, str]]) -> int:
    return max(list(states.values()).count("running") for states in results)


@pytest.mark.proof
def test_twenty_trials_in_two_sweeps_at_once_keep_to_their_jobs_and_do_not_mix(trials: Trials) -> None:
    trials.command = "true"  # it ends without its run's end
    shown: list[list[dict[int, str]]] = [[], []]

    def run(index: int) -> SweepResult:
        def show(now: Mapping[int, Trial], _: int) -> None:
            shown[index].append({number: trial.state for number, trial in now.items()})

        return sweep.run_sweep(trials.request(jobs=2), trials.store, on_change=show)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    for result, states in zip(results, shown, strict=True):
        assert most_open(states) == 2
        assert [trial.number for trial in result.trials] == list(range(20))
        assert {trial.state for trial in result.trials} == {"failed"}
        assert result.trials[0].reason == "NotRecorded: the job ended without its run's end"
        found = trials.jobs(result.run_id, 20)
        assert sorted(job.name for job in found) == sorted(str(trial.run_id) for trial in result.trials)
        runs = query.children(trials.store, result.run_id)
        assert len(runs) == 20
        assert all(run.tags[Tag.END] == "FAILED" for run in runs)


@pytest.mark.proof
def test_a_sweep_that_is_stopped_from_elsewhere_starts_no_more_trials(trials: Trials) -> None:
    history, stopped = RunHistory(trials.store.uri), threading.Event()

    def stop(run_id: str, _: str) -> None:
        def later() -> None:
            trials.jobs(run_id, 2)
            trial_jobs.stop_sweep(trials.client, trials.workspace, history, run_id, look=0.1)
            stopped.set()

        threading.Thread(target=later, daemon=True).start()

    result = sweep.run_sweep(trials.request(jobs=2), trials.store, on_open=stop)
    assert stopped.wait(30)
    assert result.status == "KILLED"
    found = trials.jobs(result.run_id)
    assert {job.status for job in found} == {"Canceled"}
    assert len(found) < 10
    assert all(Tag.END in run.tags for run in query.children(trials.store, result.run_id))


def test_a_sweep_must_track_where_its_jobs_do(trials: Trials) -> None:
    session = dataclasses.replace(trials.session, store=store.Store("sqlite:///runs.db", trials.settings))
    line = r"--on azureml:serverless: jobs track to workspace .*, and this sweep to sqlite:.*: set uri = \"azureml\""
    with pytest.raises(errors.UsageError, match=line):
        job_executor.connect("azureml:serverless", None, session)
