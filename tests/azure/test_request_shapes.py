"""What nbops sends by hand has the shape that the SDK's own generated models ask for; a wrong one is found."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import pytest

from notebooks_lib.azure.assets import code_asset, data_asset, environment
from notebooks_lib.azure.assets.data_asset import DataAsset
from notebooks_lib.azure.assets.environment import Environment
from notebooks_lib.azure.assets.snapshot import Snapshot
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.running import plan
from notebooks_lib.running.job_inputs import dataset_inputs
from notebooks_lib.running.job_template import make_template
from notebooks_lib.settings import Settings
from tests.azure.fixtures import Ask
from tests.azure.request_shapes import misfits

pytestmark = [
    pytest.mark.proof,
    pytest.mark.tracking,
    pytest.mark.filterwarnings("ignore"),
]  # the SDK warns about itself

JOB = (
    "resources: {instance_count: 2, instance_type: Standard_DS3_v2, shm_size: 2g}\nlimits: {timeout: 3600}\n"
    "queue_settings: {job_tier: spot}\nidentity: {type: user_identity}\ntags: {team: sales}\n"
    "services: {lab: {type: jupyter_lab}}\nenvironment_variables: {A: b}\ndistribution: "
)


def job(settings: Settings, distribution: str) -> dict[str, Any]:
    file = settings.root / "production" / "azure" / "job.yml"
    if distribution:
        file.parent.mkdir(exist_ok=True)
        file.write_text(JOB + distribution)
    planned = plan.make_plan(settings.root / "experimentation" / "n.ipynb", settings, {"alpha": 2.0})
    made = dict(make_template(planned, "azureml:cpu", {}).describe(planned).properties)
    return made | {"environmentId": "e", "codeId": "c", "computeId": "x"}


@pytest.mark.parametrize("distribution", ["", "{type: mpi}", "{type: pytorch}", "{type: tensorflow}", "{type: ray}"])
def test_a_jobs_body_fits(azure_git_project: Settings, distribution: str) -> None:
    assert misfits({"properties": job(azure_git_project, distribution)}, "JobBase") == []


def test_an_environments_and_a_snapshots_body_fit(azure_git_project: Settings, ask: Ask) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_git_project)
    made = Environment({"image": uuid.uuid4().hex, "osType": "linux", "tags": {"a": "b"}}, {})
    built = Environment({"build": {"dockerfilePath": "Dockerfile"}}, {"Dockerfile": uuid.uuid4().bytes})
    ids = [environment.find_or_create_environment(client, place, each) for each in (made, built)]
    ids.append(code_asset.find_or_upload_snapshot(client, place, Snapshot({"a": uuid.uuid4().bytes})))
    for path, model in zip(ids, ("EnvironmentVersion", "EnvironmentVersion", "CodeVersion"), strict=True):
        sent = ask("GET", f"https://management.azure.com{path}?api-version=1").json()["properties"]
        del sent["provisioningState"]  # Azure's own
        assert misfits({"properties": sent}, model) == []


def test_a_data_assets_body_fits_and_that_of_a_job_with_it(azure_git_project: Settings, ask: Ask) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_git_project)
    name, uri = f"sales-{uuid.uuid4().hex[:8]}", "azureml://datastores/workspaceblobstore/paths/a/"
    assert data_asset.create_asset(client, place, DataAsset(name, "1", uri, {"nbops.rows": "60"}, "sales"))
    sent = ask("GET", f"data/{name}/versions/1").json()["properties"]
    del sent["provisioningState"]  # Azure's own
    assert misfits({"properties": sent}, "DataVersionBase") == []

    inputs = dataset_inputs(client, place, {"data": f"{name}@1"})
    assert misfits({"properties": job(azure_git_project, "") | {"inputs": inputs}}, "JobBase") == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"codeID": "c"}, "JobBase.properties.codeID: unknown"),
        ({"status": "Running"}, "JobBase.properties.status: read-only"),
        ({"tags": {"a": 1}}, "JobBase.properties.tags.a: 1 is no str"),
        ({"command": None}, "JobBase.properties.command: None is no str"),
        ({"limits": {"jobLimitsType": "Command", "timeOut": "PT1H"}}, "JobBase.properties.limits.timeOut: unknown"),
        ({"jobType": "Dance"}, "JobBase.properties.jobType: Dance is none of"),
        ({"environmentId": ...}, "JobBase.properties.environmentId: missing"),
        ({"resources": {"instanceCount": "two"}}, "JobBase.properties.resources.instanceCount: 'two' is no int"),
    ],
)
def test_a_wrong_body_is_found(azure_git_project: Settings, change: dict[str, Any], found: str) -> None:
    body = copy.deepcopy(job(azure_git_project, "")) | change
    body = {key: value for key, value in body.items() if value is not ...}
    assert any(text.startswith(found) for text in misfits({"properties": body}, "JobBase")), misfits(
        {"properties": body}, "JobBase"
    )
