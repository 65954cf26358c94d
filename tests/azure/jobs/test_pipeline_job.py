"""The bodies of a pipeline: components named by their content, ids in place of names, as the SDK's models want them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib import errors
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import pipeline_job
from notebooks_lib.azure.jobs.pipeline_job import PipelineParts, PipelineRequest
from tests.azure import request_shapes
from tests.azure.project_files.test_pipeline_file_kind import VALID

WORKSPACE = Workspace("s", "g", "w")
PARTS = PipelineParts(
    environment=f"{WORKSPACE.path}/environments/nbops/versions/1",
    code=f"{WORKSPACE.path}/codes/c/versions/1",
    computes={"cpu": f"{WORKSPACE.path}/computes/cpu", "gpu": f"{WORKSPACE.path}/computes/gpu", "serverless": ""},
)


def test_the_name_follows_from_content_and_predecessor() -> None:
    names = {pipeline_job.job_name(content, before) for content in "ab" for before in ("", "x")}
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)


def request(values: dict[str, Any]) -> PipelineRequest:
    always_run = frozenset({"prepare"})
    return pipeline_job.pipeline_request(WORKSPACE, Path("p.yml"), values, PARTS, always_run=always_run, environ={})


@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
@pytest.mark.proof
def test_the_bodies_are_those_of_the_sdk_with_ids_in_place_of_names() -> None:
    made = request({"experiment_name": "e", **yaml.safe_load(VALID)})
    prepare, train = (made.properties["jobs"][name] for name in ("prepare", "train"))

    assert not request_shapes.misfits({"properties": made.properties}, "JobBase")
    for component in made.components.values():
        assert not request_shapes.misfits({"properties": component}, "ComponentVersion")
    assert {step["componentId"] for step in (prepare, train)} == made.components.keys()
    first, second = (made.components[step["componentId"]]["componentSpec"] for step in (prepare, train))
    assert (first["is_deterministic"], second["is_deterministic"]) == (False, True)
    assert first["environment"] == f"azureml:{WORKSPACE.path}/environments/sklearn/versions/3"
    assert second["environment"] == f"azureml:{PARTS.environment}"
    assert second["code"] == f"azureml:{PARTS.code}"
    assert (prepare.get("computeId"), train["computeId"]) == (None, PARTS.computes["gpu"])
    assert made.properties["settings"]["default_compute"] == PARTS.computes["cpu"]
    assert made.properties["settings"]["force_rerun"] is True
    assert train["inputs"]["table"]["value"] == "${{parent.jobs.prepare.outputs.table}}"
    again = request({"experiment_name": "e", **yaml.safe_load(VALID)})
    assert (again.components, again.properties) == (made.components, made.properties)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.proof
def test_what_the_sdk_refuses_is_one_line() -> None:
    values = yaml.safe_load(VALID)
    values["jobs"]["train"]["inputs"]["table"] = {"type": "uri_flie", "path": "x"}
    with pytest.raises(errors.UsageError, match="p.yml: Azure's SDK refuses it: "):
        request(values)
