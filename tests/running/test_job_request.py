"""A job's `nbops run` adopts the job's run: it gets all that a run opened here gets, and what only the submitter knows."""

from __future__ import annotations

import dataclasses
import math
import subprocess
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.assets.snapshot import UNCOMMITTED
from notebooks_lib.cli import run
from notebooks_lib.run_result import Failure
from notebooks_lib.running import plan
from notebooks_lib.running.job_request import JobRequest, adopting
from notebooks_lib.running.plan import Plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import provenance, query, store
from notebooks_lib.tracking.owned_run import OwnedRun
from notebooks_lib.tracking.provenance import Git
from tests import building
from tests.azure.fixtures import AzureProject

CELLS = ("import mlflow\nmlflow.log_metric('rmse', alpha)",)


def planned(settings: Settings, **values: object) -> Plan:
    path = building.write(settings.root / "experimentation" / "n.ipynb", *CELLS, parameters="alpha: float = 1.0  # a")
    return plan.make_plan(path, settings, values)


def in_job(run_id: str, request: JobRequest | None = None) -> dict[str, str]:
    return {"AZUREML_RUN_ID": run_id, "MLFLOW_RUN_ID": run_id, **({Env.JOB: request.as_text()} if request else {})}


def test_a_request_survives_its_way_through_a_variable(project: Settings) -> None:
    subprocess.run(["git", "init", "-q", str(project.root)], check=True)
    made = planned(project, alpha=2.5)
    assert made.start is not None
    made = dataclasses.replace(made, start=dataclasses.replace(made.start, git=Git("c" * 40, "main", True, "diff")))
    request = JobRequest.of(made)

    assert JobRequest.received({Env.JOB: request.as_text()}) == request
    assert (request.values, request.commit, request.dirty) == ({"alpha": 2.5}, "c" * 40, True)
    assert JobRequest.received({}) is None
    with pytest.raises(errors.UsageError, match="a parameter cannot be sent to a job"):
        JobRequest({"x": object()}, "me").as_text()


def test_values_keep_their_types_and_the_run_its_fingerprint(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"names": {1: "b"}, "pairs": [(5, 6)], "kinds": {"x"}, "limit": math.inf, "raw": b"1", "nothing": None}
    lines = "\n".join(f"{name}: object = 0  # any" for name in values)
    path = building.write(project.root / "experimentation" / "n.ipynb", "names", parameters=lines)
    local = plan.make_plan(path, project, values)
    for name, value in in_job("r1", JobRequest.of(local)).items():
        monkeypatch.setenv(name, value)
    in_the_job = run._make_plan(path, (), (), experiment=None, name=None, tracked=True)

    assert in_the_job.overrides == values
    assert in_the_job.start is not None
    assert local.start is not None
    assert in_the_job.start.source_fingerprint == local.start.source_fingerprint


def test_outside_a_job_nothing_is_adopted(project: Settings) -> None:
    made = planned(project)

    assert adopting(made, {}) is made
    assert adopting(made, {"AZUREML_RUN_ID": "a", "MLFLOW_RUN_ID": "another"}) is made


def test_a_run_from_a_cell_of_a_job_neither_adopts_nor_takes_the_jobs_parameters(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(project)
    inherited = {**in_job("r1", JobRequest({"alpha": 9.5}, "somebody")), Env.OWNER_RUN: "r1"}
    assert adopting(made, inherited) is made
    assert JobRequest.received(inherited) is None

    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    of_cell = run._make_plan(made.notebook.path, (), (), experiment=None, name=None, tracked=True)
    assert of_cell.overrides == {}
    assert of_cell.start is not None
    assert of_cell.start.run_id is None
    monkeypatch.delenv(Env.OWNER_RUN)
    of_job = run._make_plan(made.notebook.path, (), (), experiment=None, name=None, tracked=True)
    assert of_job.overrides == {"alpha": 9.5}


def test_in_a_job_the_plan_takes_what_the_submitter_knew(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / UNCOMMITTED).parent.mkdir()
    (project.root / UNCOMMITTED).write_text("the diff")
    by_hand = adopting(planned(project), in_job("r1")).start  # a job that somebody wrote by hand
    assert by_hand is not None
    assert (by_hand.run_id, by_hand.git) == ("r1", None)

    request = JobRequest({}, "somebody", "c" * 40, "main", True, {Tag.TRIAL: "3"})
    monkeypatch.setenv(Env.JOB, request.as_text())
    start = adopting(planned(project), in_job("r1", request)).start
    assert start is not None
    assert (start.run_id, start.git) == ("r1", Git("c" * 40, "main", True, "the diff"))
    assert start.tags == {Tag.TRIAL: "3"}
    assert provenance.source_tags("n.ipynb", start.git, "")["mlflow.user"] == "somebody"


def test_a_repository_in_a_job_is_asked_itself(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Env.JOB, JobRequest({}, "somebody", "c" * 40, "main").as_text())
    subprocess.run(["git", "init", "-q", str(project.root)], check=True)
    assert provenance.git_state(project.root) is None  # it has no commit yet


@pytest.mark.proof  # azure/test_jobs_loop.py has the half that is quick
@pytest.mark.notebooks
def test_an_adopted_run_gets_the_tags_of_an_opened_one_and_is_ended(project: Settings) -> None:
    connected = store.connect(project)
    opened = run_notebook(planned(project), store=connected, html=False)
    job = connected.client.create_run(connected.experiment_id("of the job"), tags={"azureml.x": "1"}).info.run_id
    adopted = run_notebook(adopting(planned(project), in_job(job)), store=connected, html=False)
    again = run_notebook(adopting(planned(project), in_job(job)), store=connected, html=False)

    assert (adopted.run_id, adopted.status, adopted.metrics) == (job, "FINISHED", {"rmse": 1.0})
    first, second = (query.get_run(connected, str(result.run_id)) for result in (opened, adopted))
    assert set(second.tags) - set(first.tags) == {"azureml.x", Tag.SECONDS}
    assert {key for key in first.tags if key.startswith("nbops.")} <= set(second.tags)
    assert second.params == first.params
    child = query.get_run(connected, str(again.run_id))
    assert child.run_id != job
    assert child.tags["mlflow.parentRunId"] == job
    assert child.tags[Tag.END] == "FINISHED"


STOPPED = Failure("interrupt", "Interrupted", "the runner was asked to stop", 2, "fit()")


@pytest.fixture(params=["project", "azure_workspace"])
def settings(request: pytest.FixtureRequest) -> Settings:
    given = request.getfixturevalue(request.param)
    return given if isinstance(given, Settings) else given.settings


@pytest.mark.tracking
def test_a_job_that_begins_anew_takes_its_run_over_again(settings: Settings, tmp_path: Path) -> None:
    connected = store.connect(settings)
    job = connected.client.create_run(connected.experiment_id(settings.experiment)).info.run_id
    start = adopting(planned(settings), in_job(job)).start
    assert start is not None
    executed = tmp_path / "n.ipynb"
    executed.write_text("the first attempt")
    first = OwnedRun.adopt(connected, job, start)
    connected.client.set_tag(job, Tag.PROGRESS, '{"cell": 7, "of": 9}')
    first.end("KILLED", failure=STOPPED, artifacts=[(executed, "notebook")])
    aside = query.get_run(connected, job).tags[Tag.SET_ASIDE]

    executed.write_text("the second attempt")
    second = OwnedRun.adopt(connected, job, start)
    run = connected.client.get_run(job)
    assert (second.run_id, run.info.status, run.data.tags[Tag.PROGRESS]) == (job, "RUNNING", "")
    assert not {Tag.END, Tag.FAILURE, Tag.FAILED_CELL, Tag.SET_ASIDE} & set(run.data.tags)
    second.end("FINISHED", artifacts=[(executed, "notebook")])
    assert query.get_run(connected, job).tags[Tag.END] == "FINISHED"
    for folder, text in ((f"{aside}/", "the first attempt"), ("", "the second attempt")):
        file = connected.client.download_artifacts(job, f"{folder}notebook/n.ipynb", str(tmp_path))
        assert Path(file).read_text() == text


@pytest.mark.tracking
def test_a_second_attempt_keeps_nothing_of_the_end_of_one_that_was_killed_while_it_wrote_that(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = store.connect(project)
    job = connected.client.create_run(connected.experiment_id("of the job")).info.run_id
    start = adopting(planned(project), in_job(job)).start
    assert start is not None

    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    with pytest.raises(SystemExit), monkeypatch.context() as patch:
        patch.setattr(connected.client, "set_terminated", killed)  # all tags are written, but not the last one
        OwnedRun.adopt(connected, job, start).end("KILLED", failure=STOPPED)
    assert Tag.FAILURE in query.get_run(connected, job).tags

    OwnedRun.adopt(connected, job, start).end("FINISHED")
    tags = query.get_run(connected, job).tags
    assert tags[Tag.END] == "FINISHED"
    assert not {Tag.FAILURE, Tag.FAILURE_MESSAGE, Tag.FAILED_CELL, Tag.FAILED_LINE, Tag.SET_ASIDE} & set(tags)


@pytest.mark.tracking
def test_a_second_attempt_ends_the_children_of_the_first_and_says_whose_metrics_stay(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    connected = store.connect(settings)
    client = connected.client
    job = client.create_run(connected.experiment_id(settings.experiment)).info.run_id
    start = adopting(planned(settings), in_job(job)).start
    assert start is not None
    experiment = OwnedRun.adopt(connected, job, start).experiment_id
    assert Tag.ATTEMPT not in query.get_run(connected, job).tags
    child = client.create_run(experiment, tags={Tag.PARENT_OWNER: job, "mlflow.parentRunId": job}).info.run_id
    client.log_metric(job, "val_loss", 0.5, step=9)

    second = OwnedRun.adopt(connected, job, start)
    assert "attempt 2 of this job: metrics of the earlier one stay in the run" in caplog.text
    own = client.create_run(experiment, tags={Tag.PARENT_OWNER: job, "mlflow.parentRunId": job}).info.run_id
    second.end("FINISHED")
    ends = {run: (client.get_run(run).info.status, client.get_run(run).data.tags[Tag.END]) for run in (child, own)}
    assert ends == {child: ("KILLED", "KILLED"), own: ("FINISHED", "FINISHED")}
    assert OwnedRun.adopt(connected, job, start).run_id != job
    assert query.get_run(connected, job).tags[Tag.ATTEMPT] == "2"


@pytest.mark.tracking
def test_a_second_attempt_that_logs_a_file_again_fails_with_the_reason(azure_workspace: AzureProject) -> None:
    settings = azure_workspace.settings
    connected = store.connect(settings)
    job = connected.client.create_run(connected.experiment_id(settings.experiment)).info.run_id
    start = adopting(planned(settings), in_job(job)).start
    assert start is not None
    first = OwnedRun.adopt(connected, job, start)
    connected.client.log_text(job, "of the first attempt", "report/note.txt")
    second = OwnedRun.adopt(connected, job, start)
    with pytest.raises(Exception, match="Resource Conflict") as refused:
        connected.client.log_text(job, "of the second attempt", "report/note.txt")

    failure = Failure("error", type(refused.value).__name__, str(refused.value), 1, "log()")
    explained = second.explained(failure)
    assert explained.message.startswith(
        "attempt 2 of the job logs a file again, and Azure overwrites none: submit it again ("
    )
    assert (explained.error, explained.cell, explained.line) == (failure.error, 1, "log()")
    assert first.explained(failure) == failure
    other = Failure("error", "FileExistsError", "cache.db already exists")
    assert second.explained(other) == other


@pytest.mark.tracking
@pytest.mark.parametrize(
    ("failure", "notebook"),
    [(Failure("timeout", "Timeout", "too long"), "experimentation/n.ipynb"), (STOPPED, "experimentation/other.ipynb")],
)
def test_a_run_that_ended_by_itself_or_for_another_notebook_gets_a_child(
    failure: Failure, notebook: str, project: Settings
) -> None:
    connected = store.connect(project)
    job = connected.client.create_run(connected.experiment_id("of the job")).info.run_id
    start = adopting(planned(project), in_job(job)).start
    assert start is not None
    OwnedRun.adopt(connected, job, dataclasses.replace(start, notebook=notebook)).end("KILLED", failure=failure)

    assert OwnedRun.adopt(connected, job, start).run_id != job
    assert query.get_run(connected, job).tags[Tag.END] == "KILLED"


@pytest.mark.tracking
def test_only_a_trial_of_the_service_gets_another_name(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = store.connect(project)
    job = connected.client.create_run(connected.experiment_id("sweep"), run_name="n alpha=0.1").info.run_id
    start = adopting(planned(project), in_job(job)).start
    assert start is not None
    start = dataclasses.replace(start, name="n alpha=0.123456789,dataset=d@1", tags={Tag.TRIAL: "0"})
    OwnedRun.adopt(connected, job, start)
    assert connected.client.get_run(job).info.run_name == "n alpha=0.1"
    monkeypatch.setenv(Env.SWEEP, "{}")
    OwnedRun.adopt(connected, job, start)
    assert connected.client.get_run(job).info.run_name == start.name
