"""`nbops doctor`: a healthy project passes, and each fault comes with what mends it."""

from __future__ import annotations

import json
import os

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.azure.client import workspace
from notebooks_lib.cli import doctor
from notebooks_lib.settings import Settings, load
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking


def advice(here: Settings) -> str:
    check = doctor._tracking(here)
    assert not check.ok
    return check.advice


def test_a_damaged_database_is_to_be_replaced(empty_project: Settings) -> None:
    empty_project.layout.database.parent.mkdir(parents=True)
    empty_project.layout.database.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert advice(empty_project) == "move it away and put a backup in its place"


def test_a_state_folder_that_is_none_is_to_be_made_one(empty_project: Settings) -> None:
    empty_project.layout.state.write_text("")
    assert advice(empty_project).startswith(f"make {empty_project.layout.state} a writable folder")


def test_each_setting_of_a_stage_is_a_line_of_its_own(empty_project: Settings) -> None:
    in_force = doctor.in_force(empty_project)
    assert in_force["stages.prod.wait_minutes"] == "30.0"
    assert [key for key, value in in_force.items() if value.startswith("{'")] == []


def test_a_local_project_reads_nothing_of_azure(empty_project: Settings) -> None:
    assert doctor._workspace(empty_project) == (None, False)


def test_a_workspace_is_checked_although_runs_are_kept_here(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'
    empty_project.layout.settings_file.write_text(f"[project]\nname = 'a'\n{names}")
    here = load(empty_project.root, {})
    assert doctor._workspace(here) == (workspace.find_workspace(here), False)


def test_a_workspace_is_checked_before_mlflow_asks_it(
    azure_workspace: AzureProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_kernel", doctor._disk)  # a kernel has nothing to do with it
    monkeypatch.setenv("NBOPS_AZURE_WORKSPACE", "missing")
    checks = {check.what: check for check in doctor.examine(load(azure_workspace.settings.root, os.environ))}

    assert [what for what in checks if what.startswith("azure")] == [
        "azure sign-in",
        "azure workspace",
        "azure provider",
    ]
    assert (
        checks["azure workspace"].advice
        == "check the three names under [azure]: `az ml workspace list`; or make it: nbops azure up"
    )
    assert "tracking" not in checks


def test_a_tracking_uri_in_a_variable_names_the_workspace_too(
    azure_workspace: AzureProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.tracking_uri(azure_workspace.settings))

    assert doctor._workspace(azure_workspace.settings) == (workspace.find_workspace(azure_workspace.settings), True)


@pytest.mark.notebooks
def test_doctor_passes_and_gives_a_remedy_for_a_fault(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert str(project.layout.database) in told
    monkeypatch.setenv("NBOPS_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert program.run(["doctor", "--json"]) == 1
    findings = {found["what"]: found for found in json.loads(capsys.readouterr().out)["findings"]}
    assert not findings["tracking"]["ok"]
    assert "production/settings.toml" in findings["tracking"]["advice"]
