"""Every line of the workflows and pipelines for Azure, run in order against the emulated workspace, and machines that die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.azure.client import rest_client
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure_devops_server import PullRequest
from tests.azure_devops_server import serve as serve_azure_devops
from tests.ci.github_workflow import READER, Run
from tests.ci.runs_on_azure import Project, make_project, requested

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(3000)]

NOTEBOOK = "experimentation/diabetes_ridge.ipynb"
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def azure(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulated]:
    """A workspace of its own: the workflows name their experiment."""
    with emulator.running(tmp_path / "azure", migrated / ".nbops" / "mlflow.db") as running:
        for name in ("https_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def project(azure: Emulated, tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", azure)


def results(run: Run) -> dict[str, str]:
    return {name: job.result for name, job in run.jobs.items()}


def logs(run: Run) -> str:
    return "\n".join(f"== {name}: {job.result}\n{job.log}" for name, job in run.jobs.items())


def champions(project: Project) -> dict[str, tuple[str, dict[str, int]]]:
    """Stage -> the champion's version, and the traffic of the stage's endpoint by version, as users see them."""
    found = {}
    for stage in ("dev", "test", "prod"):
        endpoint = "diabetes" if stage == "prod" else f"diabetes-{stage}"
        status = project.nbops("endpoint", "status", endpoint)
        traffic = {slot["version"]: slot["traffic"] for slot in status["slots"].values() if slot["traffic"]}
        moves = project.nbops("history", "diabetes", "--stage", stage)["entries"]
        mark = next((move["to"] for move in moves if move["what"] == "mark"), "")
        found[stage] = (mark, traffic)
    return found


def test_a_push_trains_and_promotes_through_approvals_and_the_next_keeps_the_champion(project: Project) -> None:
    run = project.workflow("azure-train", "push", changed=(NOTEBOOK,))
    run.start()
    assert results(run) == {"train": "success", "promote": "success"}, logs(run) + logs(run.called["promote"])
    promoted = run.called["promote"]
    assert {name: (job.title, job.environment, job.scripts) for name, job in promoted.jobs.items()} == {
        "dev": ("", "azure-promote-dev", ["make variables", "make promote STAGE=dev"]),
        **{
            stage: (
                f"{stage} diabetes@1",
                f"azure-promote-{stage}",
                ['.ci/require-reviewers "$ENVIRONMENT"', f"make promote STAGE={stage}"],
            )
            for stage in ("test", "prod")
        },
    }
    assert "waiting: diabetes version 1 needs an approval to enter test" in promoted.jobs["dev"].summary
    assert promoted.jobs["dev"].outputs == {"waiting": "test", "approved": "diabetes@1"}
    assert champions(project) == {stage: ("1", {"1": 100}) for stage in ("dev", "test", "prod")}
    (project.repository / "README.md").write_text("a later commit\n")
    project.commit("second")
    again = project.workflow("azure-promote", "workflow_dispatch")
    again.start()
    assert results(again) == {"dev": "success", "test": "skipped", "prod": "skipped"}, logs(again)
    assert "version 1 stays" in again.jobs["dev"].log


def test_a_machine_that_dies_in_a_promotion_is_taken_over_by_the_next(project: Project, azure: Emulated) -> None:
    """In each stage at another step; the failed jobs are run again, and at last the whole workflow."""
    train(project)
    run = project.workflow("azure-promote", "workflow_dispatch")
    run.start({"dev": requested(azure, "PUT", "/onlineEndpoints/diabetes-dev/deployments/")})
    assert results(run) == {"dev": "failure", "test": "skipped", "prod": "skipped"}, logs(run)
    run.start({"test": requested(azure, "POST", "diabetes-test.*/score|/score")})
    assert results(run) == {"dev": "success", "test": "failure", "prod": "skipped"}, logs(run)
    run.start({"prod": requested(azure, "PUT", "/onlineEndpoints/diabetes$")})
    assert results(run) == {"dev": "success", "test": "success", "prod": "failure"}, logs(run)
    again = project.workflow("azure-promote", "workflow_dispatch")
    again.start()
    assert "failure" not in results(again).values(), logs(again)
    assert champions(project) == {stage: ("1", {"1": 100}) for stage in ("dev", "test", "prod")}
    run.start()  # who runs the failed job again after all approves nothing more
    assert results(run)["prod"] == "success", logs(run)
    assert champions(project) == {stage: ("1", {"1": 100}) for stage in ("dev", "test", "prod")}


def train(project: Project) -> None:
    """A run from a commit that is not the newest any more, as from a training of last week."""
    assert project.nbops("run", NOTEBOOK)["status"] == "FINISHED"
    (project.repository / "README.md").write_text("a later commit\n")
    project.commit("second")


def test_who_has_only_old_secrets_reads_what_each_becomes(project: Project) -> None:
    project.variables.clear()
    run = project.workflow(
        "azure-train", "workflow_dispatch", secrets=dict.fromkeys(("AZURE_CREDENTIALS", "LOCATION"), "a-value")
    )
    run.start()
    assert results(run) == {"train": "failure", "promote": "skipped"}
    lines = [line for line in run.jobs["train"].log.splitlines() if " becomes " in line]
    assert [line.split()[0] for line in lines] == ["AZURE_CREDENTIALS", "LOCATION"], logs(run)


@pytest.fixture
def infrastructure(azure: Emulated, tmp_path: Path) -> Project:
    """A project with an empty resource group, named by a variable."""
    project = make_project(tmp_path / "project", azure, infrastructure=True)
    group = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/of-ci"
    azure.put(group, {"location": "westeurope", "properties": {"provisioningState": "Succeeded"}})
    project.variables[""] = {**project.variables[""], "AZURE_RESOURCE_GROUP": "of-ci"}
    project.variables[""]["AZURE_CLIENT_ID"] = READER
    parameters = project.repository / "production" / "infra" / "parameters.dev.json"
    people = parameters.read_text().replace(
        '"peopleId": { "value": "" }', f'"peopleId": {{ "value": "{emulator.TENANT}" }}'
    )
    parameters.write_text(people)
    project.commit("people")
    return project


def made() -> list[str]:
    path = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/of-ci/resources"
    return [each["type"] for each in rest_client.resource_manager().pages(path, "2021-04-01", what="of-ci")]


def test_infrastructure_is_forecast_on_a_pull_request_and_deployed_by_hand(infrastructure: Project) -> None:
    changed = ("production/infra/main.bicep",)
    run = infrastructure.workflow("azure-infra", "pull_request", changed=changed)
    run.start()
    assert results(run) == {"what-if": "success", "deploy": "skipped"}, logs(run)
    assert "to create" in run.jobs["what-if"].artifacts["review"].read_text()
    assert made() == []
    run = infrastructure.workflow("azure-infra", "workflow_dispatch", inputs={"stage": "dev"})
    run.start()
    assert results(run) == {"what-if": "skipped", "deploy": "success"}, logs(run)
    assert run.jobs["deploy"].environment == "azure-dev"
    assert "Microsoft.MachineLearningServices/workspaces" in made()


def test_azure_devops_trains_promotes_and_takes_over(project: Project, azure: Emulated) -> None:
    trained = project.pipeline("azure-pipelines-train").start()["__default"]
    assert (trained.result, trained.connections) == ("succeeded", ["nbops-azure-train"]), trained.log
    run = project.pipeline("azure-pipelines-promote")
    run.start({"test": requested(azure, "PUT", "/onlineEndpoints/diabetes-test$")})
    told = "\n".join(stage.log for stage in run.stages.values())
    assert [stage.result for stage in run.stages.values()] == ["succeeded", "failed", "skipped"], told
    run.start()
    told = "\n".join(stage.log for stage in run.stages.values())
    assert [stage.result for stage in run.stages.values()] == ["succeeded"] * 3, told
    assert [stage.environment for stage in run.stages.values()] == [
        f"azure-promote-{stage}" for stage in ("dev", "test", "prod")
    ]
    assert champions(project) == {stage: ("1", {"1": 100}) for stage in ("dev", "test", "prod")}


def test_azure_devops_forecasts_comments_and_deploys(infrastructure: Project) -> None:
    settings = infrastructure.repository / "production" / "settings.toml"
    named = {"subscription": emulator.SUBSCRIPTION, "resource_group": "of-ci", "workspace": "of-ci-dev"}
    settings.write_text(
        '[project]\nname = "sample"\n\n[azure]\n'
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in named.items())
    )
    infrastructure.commit("named")
    with serve_azure_devops() as server:
        server.pull = PullRequest(SHA, emulator.JOB_TOKEN)
        system = {
            "System.CollectionUri": f"http://127.0.0.1:{server.server_port}/organization/",
            "System.TeamProjectId": "project-id",
            "System.PullRequest.PullRequestId": "3",
            "System.PullRequest.SourceCommitId": SHA,
            "Build.Repository.Provider": "TfsGit",
            "Build.Repository.ID": "repository-id",
            "Build.BuildId": "7",
        }
        run = infrastructure.pipeline("azure-pipelines-infra", reason="PullRequest", variables=system)
        stages = run.start()
        assert {name: stage.result for name, stage in stages.items()} == {
            "what_if": "succeeded",
            "comment": "succeeded",
            "deploy": "skipped",
        }, "\n".join(stage.log for stage in stages.values())
        (thread,) = server.pull.threads
        assert thread["comments"][0]["content"].startswith("<!-- nbops azure-infra -->")
    deployed = infrastructure.pipeline("azure-pipelines-infra", parameters={"stage": "dev"}).start()
    assert deployed["deploy"].result == "succeeded", deployed["deploy"].log
    assert deployed["deploy"].connections == ["nbops-azure-dev"]
    assert "Microsoft.MachineLearningServices/workspaces" in made()
