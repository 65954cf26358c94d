"""`nbops azure status`: a table or one object, without the SDK."""

from __future__ import annotations

import subprocess
import sys

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from tests.azure import emulator
from tests.azure.fixtures import AzureProject, NbopsJson


def test_without_a_workspace_one_reads_how_to_get_one(
    empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["azure", "status"]) == 2
    assert "or make one: nbops azure up" in capsys.readouterr().err


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
def test_it_imports_no_sdk(azure_workspace: AzureProject) -> None:
    code = (
        "import sys\nfrom notebooks_lib.__main__ import run\nassert run(['azure', 'status']) == 0\n"
        "assert 'azure.ai.ml' not in sys.modules and 'mlflow' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=azure_workspace.settings.root, stdout=subprocess.DEVNULL
    )
