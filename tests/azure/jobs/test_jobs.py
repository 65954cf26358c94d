"""Jobs: submitted once whatever happens to the answer, listed, stopped."""

from __future__ import annotations

import uuid
from typing import Any, cast

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.tags import Tag
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject

pytestmark = pytest.mark.tracking


@pytest.fixture
def at(azure_workspace: AzureProject) -> tuple[RestClient, Workspace]:
    return rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)


def properties(ask: Ask, command: str = "true") -> dict[str, Any]:
    path = f"environments/e{uuid.uuid4().hex}/versions/1"
    ask("PUT", path, {"properties": {"image": "image"}})
    tags = {Tag.NOTEBOOK: "experimentation/n.ipynb"}
    return {"jobType": "Command", "command": command, "environmentId": f"{emulator.SCOPE}/{path}", "tags": tags}


def submissions(server: Emulated, began: int, name: str) -> list[int]:
    return [seen.status for seen in server.record.since(began) if seen.method == "PUT" and seen.path.endswith(name)]


@pytest.mark.parametrize("fault", ["lost_answer", "server_error", "too_many_requests"])
def test_a_job_runs_once_whatever_happens_to_the_answer(
    at: tuple[RestClient, Workspace], ask: Ask, azure_server: Emulated, fault: str
) -> None:
    name, began = uuid.uuid4().hex, azure_server.record.position()
    with azure_server.fault(fault, method="PUT", path="/jobs/"):
        job = jobs.submit(*at, name, properties(ask))

    assert (job.name, job.notebook) == (name, "experimentation/n.ipynb")
    answers = {"lost_answer": [0, 400], "server_error": [500, 201], "too_many_requests": [429, 201]}
    assert submissions(azure_server, began, name) == answers[fault]


def test_a_submission_that_never_arrives_is_an_error_and_so_is_a_refused_one(
    at: tuple[RestClient, Workspace], ask: Ask, azure_server: Emulated
) -> None:
    name = uuid.uuid4().hex
    with (
        azure_server.fault("forbidden", method="PUT", path="/jobs/"),
        pytest.raises(errors.AzureError, match="no permission"),
    ):
        jobs.submit(*at, name, properties(ask))
    with pytest.raises(errors.AzureError, match=r"UserError: The environment .* was not found"):
        jobs.submit(*at, name, properties(ask) | {"environmentId": f"{emulator.SCOPE}/environments/none/versions/1"})
    with pytest.raises(errors.AzureError, match="`nbops azure jobs list` shows those that there are"):
        jobs.find_job(*at, name)


@pytest.mark.parametrize(
    ("submission", "look", "says"),
    [
        (None, 404, "may have been submitted"),
        (500, 404, "may have been submitted"),
        (409, 404, "may have been submitted"),
        (409, 403, "may have been submitted"),
        (400, 503, "may have been submitted"),
        (400, 404, "refused"),
        (403, 403, "refused"),
    ],
)
def test_unless_it_was_clearly_refused_a_job_may_have_been_submitted(
    submission: int | None, look: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_job(client: RestClient, place: Workspace, name: str) -> jobs.Job:
        raise errors.AzureError("no look", status=look)

    monkeypatch.setattr(jobs, "find_job", find_job)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    failure = errors.AzureError("refused or lost", "do it again later", status=submission)
    with pytest.raises(errors.AzureError) as raised:
        jobs.look_for(cast(RestClient, None), cast(Workspace, None), "j1", failure)
    if says == "refused":
        assert raised.value is failure
    else:
        assert str(raised.value) == (
            "job j1 may have been submitted: refused or lost; look whether it runs before you submit again:"
            " nbops azure jobs follow j1; if there is none, do it again later"
        )


def test_jobs_of_ours_are_listed_over_all_pages(at: tuple[RestClient, Workspace], ask: Ask) -> None:
    ours = {jobs.submit(*at, uuid.uuid4().hex, properties(ask)).name for _ in range(4)}
    other = jobs.submit(*at, uuid.uuid4().hex, properties(ask) | {"tags": {}}).name
    listed = {job.name for job in jobs.list_jobs(*at)}

    assert ours <= listed
    assert other not in listed


def test_one_is_stopped_and_stopping_again_changes_nothing(at: tuple[RestClient, Workspace], ask: Ask) -> None:
    name, lines = uuid.uuid4().hex, list[str]()
    jobs.submit(*at, name, properties(ask, "exec sleep 60"))

    assert jobs.stop(*at, name, tell=lines.append).status == "Canceled"
    assert jobs.stop(*at, name, tell=lines.append).status == "Canceled"
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("name", "tags", "trial"),
    [
        ("s_3", {"mlflow.parentRunId": "s"}, "3"),  # as Azure's own sweep job names its trials
        ("s_3", {"mlflow.parentRunId": "s", Tag.TRIAL: "4"}, "4"),
        ("other", {"mlflow.parentRunId": "s"}, ""),
        ("s_3", {}, ""),
    ],
)
def test_a_trial_has_the_number_of_its_tag_or_of_its_name(name: str, tags: dict[str, str], trial: str) -> None:
    assert jobs.Job.of({"name": name, "properties": {"tags": tags}}).trial == trial
