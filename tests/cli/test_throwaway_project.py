"""A throw-away project has the environment and computes of the real one, lies outside its repository, and goes away."""

from __future__ import annotations

import os

import pytest

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.cli import throwaway_project
from notebooks_lib.cli.throwaway_project import NOTEBOOK, PREFIX, SHORT_JOB, write_files
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.settings import Settings

PLACE = Workspace("sub", "group", "space")


def test_it_has_the_files_that_jobs_need_and_is_gone_afterwards(empty_project: Settings) -> None:
    azure = empty_project.root / "production" / "azure"
    (azure / "compute").mkdir(parents=True)
    (azure / "compute" / "cpu.yml").write_text("type: amlcompute\n")
    (azure / "job.yml").write_text("identity: {type: managed}\n")
    with throwaway_project.throwaway_project(empty_project, PLACE) as project:
        assert empty_project.root not in project.root.parents
        assert project.name.startswith(PREFIX)
        assert (project.root / "production" / "azure" / "compute" / "cpu.yml").read_text() == "type: amlcompute\n"
        assert (project.root / SHORT_JOB).read_text() == "identity: {type: managed}\nlimits:\n  timeout: 60\n"
        settings = project.settings
        assert (settings.tracking.uri, settings.azure.workspace, settings.experiment) == (
            "azureml",
            "space",
            project.name,
        )
        assert settings.stages.endpoint("prod", project.name) == project.endpoint
        assert parameter_schema.read_schema(document.read(project.root / NOTEBOOK)).defaults == {
            "dataset": f"{project.dataset}@1",
            "shrink": 1.0,
            "wait": 0.0,
        }
        with project.with_other_rows() as colleague:
            ours, theirs = ((each.root / "probe.csv").read_text() for each in (project, colleague))
            assert (ours != theirs, colleague.dataset) == (True, project.dataset)
    assert not project.root.exists()


def test_no_variable_puts_another_store_in_its_place(empty_project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `verify` would show something of SQLite, of another workspace, or of the job that it runs in."""
    job = "azureml://westeurope.api.azureml.ms/mlflow/v2.0/subscriptions/s/resourceGroups/g/providers/x/workspaces/of-a-job"
    foreign = {
        "NBOPS_TRACKING_URI": "sqlite:///other.db",
        "NBOPS_AZURE_WORKSPACE": "other",
        "MLFLOW_TRACKING_URI": job,
        "AZUREML_RUN_ID": "a-job",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    with throwaway_project.throwaway_project(empty_project, PLACE) as project:
        assert not foreign.keys() & os.environ.keys()
        assert workspace.find_workspace(project.settings) == PLACE
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert foreign.items() <= os.environ.items()


def test_limits_of_the_project_stay(empty_project: Settings) -> None:
    job = empty_project.root / "production" / "azure" / "job.yml"
    job.parent.mkdir(parents=True)
    job.write_text("limits: {timeout: 3600}\n")
    write_files(empty_project.root, "nbops-verify-1", PLACE)
    assert not (empty_project.root / SHORT_JOB).exists()


def test_a_command_that_takes_too_long_is_ended(empty_project: Settings) -> None:
    with throwaway_project.throwaway_project(empty_project, PLACE) as project:
        ended = project.nbops("data", "list", wait_seconds=0.01)
    assert (ended.code, ended.content, ended.error) == (1, None, "it took longer than 0 s")
