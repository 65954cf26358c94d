"""`nbops azure status`: a table or one object, without the SDK."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from tests.azure import emulator
from tests.azure.fixtures import MANAGEMENT, VERSION, Ask, AzureProject, NbopsJson


def test_without_a_workspace_one_reads_how_to_get_one(
    empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["azure", "status"]) == 2
    assert "or run nbops azure up" in capsys.readouterr().err


@pytest.mark.tracking
def test_a_table_for_people_and_an_object_for_programs(
    azure_workspace: AzureProject, nbops_json: NbopsJson, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["azure", "status"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split() == ["kind", "name", "state", "costs", "while", "idle"]
    assert "cost money while nobody uses them" in shown.err

    code, content, _ = nbops_json("azure", "status")
    assert (code, content["workspace"]["name"]) == (0, emulator.WORKSPACE)
    (own,) = [each for each in content["items"] if each["kind"] == "workspace"]
    assert own == {
        "kind": "workspace",
        "name": emulator.WORKSPACE,
        "state": "Succeeded, in westeurope",
        "idle_cost": "",
        "by_nbops": False,
    }


@pytest.mark.tracking
def test_a_stage_shows_its_own_workspace(azure_workspace: AzureProject, ask: Ask, nbops_json: NbopsJson) -> None:
    other = f"w-{uuid.uuid4().hex[:8]}"
    address = f"{MANAGEMENT}{emulator.SCOPE.rpartition('/')[0]}/{other}?{VERSION}"
    assert ask("PUT", address, {"location": "northeurope", "properties": {}}).ok
    file = azure_workspace.settings.layout.settings_file
    file.write_text(f'{file.read_text()}\n[stages.prod]\nendpoint = "azureml:"\nworkspace = "{other}"\n')
    code, content, _ = nbops_json("azure", "status", "--stage", "prod")
    assert (code, content["workspace"]["name"], content["items"][0]["name"]) == (0, other, other)
    assert nbops_json("azure", "status")[1]["workspace"]["name"] == emulator.WORKSPACE


def test_a_stage_on_this_machine_has_no_workspace_to_show(
    empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["azure", "status", "--stage", "test"]) == 2
    assert "the endpoints of stage test are on this machine: nbops endpoint list, or" in capsys.readouterr().err


@pytest.mark.proof
@pytest.mark.tracking
def test_it_imports_no_sdk(azure_workspace: AzureProject) -> None:
    code = (
        "import sys\nfrom notebooks_lib.__main__ import run\nassert run(['azure', 'status']) == 0\n"
        "assert 'azure.ai.ml' not in sys.modules and 'mlflow' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=azure_workspace.settings.root, stdout=subprocess.DEVNULL
    )
