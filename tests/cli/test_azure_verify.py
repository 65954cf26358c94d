"""`nbops azure verify` tries everything against the emulated workspace, says what is not as promised, and leaves nothing."""

from __future__ import annotations

import json

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.cli import workspace_proofs
from notebooks_lib.cli.throwaway_project import PREFIX
from notebooks_lib.models import registry
from notebooks_lib.tracking.store import connect
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject

pytestmark = [pytest.mark.tracking]


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_all_is_shown_and_nothing_is_left(
    azure_workspace: AzureProject, capsys: pytest.CaptureFixture[str], azure_server: Emulated
) -> None:
    settings = azure_workspace.settings
    job = settings.root / "production" / "azure" / "job.yml"
    job.parent.mkdir(parents=True)
    job.write_text("identity: {type: managed}\n")  # by which jobs read the dataset
    code = program.run(["azure", "verify", "--with-endpoint", "--json"])
    out, err = capsys.readouterr()
    assert out, err
    answer = json.loads(out)
    seen = "\n".join(str(outcome) for outcome in answer["outcomes"] if outcome["state"] != "shown")
    assert not seen, seen
    assert (code, answer["left"]) == (0, [])
    assert len(answer["outcomes"]) == sum(
        len(group)
        for groups in (workspace_proofs.FIRST, workspace_proofs.JOBS, workspace_proofs.ENDPOINT)
        for group in groups
    )
    place, client = workspace.find_workspace(settings), rest_client.resource_manager()
    names = [name for name in data_asset.list_names(client, place) if name.startswith(PREFIX)]
    assert not [version for name in names for version in data_asset.list_versions(client, place, name)]
    assert not [each for each in online_endpoint.list_endpoints(client, place) if each.name.startswith(PREFIX)]
    store = connect(settings)
    models = [name for name in registry.models(store) if name.startswith(PREFIX)]
    assert not [version for name in models for version in registry.versions(store, name)]
    assert not [job for job in jobs.list_jobs(client, place) if job.experiment.startswith(PREFIX) and not job.ended]
    assert not list((settings.root / ".nbops" / "azure" / "verify").glob("*"))


def test_another_place_is_refused_before_anything_is_made(
    empty_project: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SUBSCRIPTION", "s"), ("RESOURCE_GROUP", "g"), ("WORKSPACE", "w")):
        monkeypatch.setenv(f"NBOPS_AZURE_{name}", value)
    assert program.run(["azure", "verify", "--on", "azure:cpu"]) == 2
    assert "did you mean azureml:cpu?" in capsys.readouterr().err
