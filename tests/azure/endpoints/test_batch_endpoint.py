"""Batch endpoints: the bodies that the SDK would send for the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import batch_endpoint
from notebooks_lib.azure.endpoints.batch_endpoint import BatchEndpoint, BatchParts
from notebooks_lib.azure.project_files import batch_file_kinds, file_loading
from tests.azure.project_files.test_file_check import VALID
from tests.azure.request_shapes import misfits

PLACE = Workspace("s", "g", "w").path
PARTS = BatchParts(
    f"{PLACE}/models/houses/versions/3",
    f"{PLACE}/environments/e/versions/1",
    f"{PLACE}/codes/c/versions/1",
    "score.py",
    f"{PLACE}/computes/cpu",
    {},
    {},
)


@pytest.mark.parametrize("name", ["batch/deployment.yml", ""])
def test_the_body_of_a_deployment_is_what_the_sdk_would_send(name: str, tmp_path: Path) -> None:
    values = {"compute": "azureml:cpu", **(yaml.safe_load(VALID[name]) if name else {})}
    decided = {"output_action": "summary_only", "error_threshold": 0}
    settings = {"mini_batch_size": 1, "max_concurrency_per_instance": 1, "logging_level": "info", **decided}
    given = values.get("settings", {})
    retries = {**batch_endpoint.RETRIES, **given.get("retry_settings", {})}
    written = values | {"settings": settings | given | {"retry_settings": retries}}
    written["resources"] = {"instance_count": 1, **values.get("resources", {})}
    entity = file_loading.load(
        "batch_deployment",
        tmp_path / "x.yml",
        written,
        {"name": "version-3", "endpoint_name": "houses", "type": "model"},
    )
    from azure.ai.ml.entities import CodeConfiguration

    entity.model, entity.environment, entity.compute = PARTS.model, PARTS.environment, PARTS.compute
    entity.code_configuration = CodeConfiguration(code=PARTS.code, scoring_script="score.py")
    body = batch_endpoint.deployment_body("westeurope", values, PARTS)
    assert misfits(body, "BatchDeployment") == []
    expected = entity._to_rest_object("westeurope").as_dict()
    own = body["properties"]
    assert own.pop("loggingLevel").lower() == expected["properties"].pop("loggingLevel").lower()
    variables = expected["properties"].pop("environmentVariables", None) or {}
    assert own.pop("environmentVariables") == {name: str(value) for name, value in variables.items()}
    assert body == expected


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"maxRetries": 3, "timeout": "PT1H"}),
        ({"retry_settings": {"timeout": 60}}, {"maxRetries": 3, "timeout": "PT1M"}),
        ({"retry_settings": {"max_retries": 0}}, {"maxRetries": 0, "timeout": "PT1H"}),
    ],
)
def test_a_mini_batch_has_an_hour_unless_the_file_says_otherwise(given: dict[str, Any], sent: dict[str, Any]) -> None:
    body = batch_endpoint.deployment_body("westeurope", {"compute": "azureml:cpu", "settings": given}, PARTS)
    assert body["properties"]["retrySettings"] == sent


def test_the_body_of_an_endpoint_is_what_the_sdk_would_send(tmp_path: Path) -> None:
    values = yaml.safe_load(VALID["batch/endpoint.yml"])
    entity = file_loading.load("batch_endpoint", tmp_path / "x.yml", values, {"name": "houses-batch"})
    body = batch_endpoint.endpoint_body("westeurope", values, {}, "version-3")
    entity.defaults = {"deployment_name": "version-3"}
    assert body == entity._to_rest_batch_endpoint("westeurope").as_dict()
    assert misfits(body, "BatchEndpoint") == []


def test_an_endpoint_without_a_default_has_none() -> None:
    found = BatchEndpoint.of({"name": "b", "properties": {"scoringUri": "https://x/jobs", "defaults": None}})
    assert (found.default, found.tags) == ("", {})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("compute: cpu\n", "compute: is no compute of the workspace: write azureml:NAME"),
        ("compute: azureml:serverless\n", "compute: a batch needs a cluster"),
        ("settings:\n  error_threshold: 3\n", "error_threshold: nbops decides it: `nbops batch run"),
        ("settings:\n  output_action: append_row\n", "output_action: nbops decides it: each file of rows"),
        ("settings:\n  mini_batch_size: 0\n", "mini_batch_size: 0 is too few: write 1 or more"),
        ("settings:\n  logging_level: loud\n", "logging_level: 'loud' is none of debug, info, warning"),
        ("settings:\n  environment_variables:\n    NBOPS_X: '1'\n", "NBOPS_X: nbops and the service set this variable"),
        ("settings:\n  mini_batch_sise: 2\n", "mini_batch_sise: unknown key, did you mean mini_batch_size?"),
        ("model: azureml:m:1\n", "model: nbops decides it: it is the version that is deployed"),
    ],
)
def test_what_a_deployment_cannot_be_is_a_fault_of_its_file(text: str, fault: str, tmp_path: Path) -> None:
    from notebooks_lib.azure.project_files import file_check

    path = tmp_path / "batch" / "deployment.yml"
    path.parent.mkdir()
    path.write_text(text)
    checked = file_check.check_file(path, batch_file_kinds.BATCH_DEPLOYMENT, {}, by_sdk=False)
    assert [fault in each.shown(tmp_path) for each in checked.faults] == [True], checked.faults
