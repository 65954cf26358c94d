"""The files of batch endpoints under production/azure/batch: endpoint.yml and deployment.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notebooks_lib.azure.project_files import file_kinds
from notebooks_lib.azure.project_files.compute_names import SERVERLESS
from notebooks_lib.azure.project_files.file_faults import KeyPath
from notebooks_lib.azure.project_files.file_kinds import Faults, FileKind, whole_number

FOLDER = "batch"
"""The folder of these files, beside those of online endpoints."""
COMPUTE = "azureml:cpu"
"""The cluster on which batches are scored, if no file says otherwise."""
_COMPUTE = re.compile(r"azureml:[A-Za-z][A-Za-z0-9-]{1,31}")
_BY_AZURE = "Azure sets it"
_AT_LEAST: Mapping[KeyPath, int] = {
    ("resources", "instance_count"): 1,
    ("settings", "instance_count"): 1,
    ("settings", "mini_batch_size"): 1,
    ("settings", "max_concurrency_per_instance"): 1,
    ("settings", "retry_settings", "max_retries"): 0,
    ("settings", "retry_settings", "timeout"): 1,
}
_DECIDED_SETTINGS = {
    "error_threshold": "`nbops batch run --error-threshold` counts rows; a file that fails ends the job",
    "output_action": "each file of rows gets a file of predictions, so that no row is lost, doubled or mixed",
    "output_file_name": "`nbops batch run -o` names the file",
}
"""Keys below `settings` that nbops decides."""


def compute_of(values: Mapping[str, Any]) -> str:
    """Return the name of the cluster in the values of a deployment."""
    return str(values["compute"]).removeprefix("azureml:")


def _deployment_rules(_: Path, values: dict[str, Any]) -> Faults:
    if not (isinstance(values.get("compute"), str) and _COMPUTE.fullmatch(values["compute"])):
        yield ("compute",), "is no compute of the workspace: write azureml:NAME, the name of a cluster"
    elif compute_of(values).lower() == SERVERLESS:
        yield (
            ("compute",),
            "a batch needs a cluster: write azureml:NAME, and describe it in compute/NAME.yml",
        )
    settings = values.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    for key, reason in _DECIDED_SETTINGS.items():
        if key in settings:
            yield ("settings", key), f"nbops decides it: {reason}; take it out"
    for path, least in _AT_LEAST.items():
        value: Any = values
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if (number := whole_number(value)) is not None and number < least:
            yield path, f"{number} is too few: write {least} or more"
    level = str(settings.get("logging_level") or "info").lower()
    if level not in ("debug", "info", "warning"):
        yield ("settings", "logging_level"), f"{level!r} is none of debug, info, warning"
    for name, fault in file_kinds.variable_faults(settings, _is_set_by_service):
        yield ("settings", *name), fault


def _is_set_by_service(name: str) -> bool:
    return name.startswith(("AZUREML_", "AML_", "NBOPS_", "MLFLOW_"))


def _no_rules(_: Path, values: dict[str, Any]) -> Faults:
    mode = re.sub(r"[_-]", "", str(values.get("auth_mode") or "aadtoken")).lower()
    if mode != "aadtoken":
        yield ("auth_mode",), "a batch endpoint takes tokens of Entra only: write aad_token, or take the line out"


BATCH_ENDPOINT = FileKind(
    "batch_endpoint",
    {
        "name": "it is the name of the stage's endpoint, and -batch",
        "defaults": "the version that was deployed last is the default",
        "location": "it is the workspace's",
        **dict.fromkeys(("id", "scoring_uri", "openapi_uri", "provisioning_state", "kind"), _BY_AZURE),
    },
    lambda path: {"name": "ENDPOINT"},
    {},
    _no_rules,
)
BATCH_DEPLOYMENT = FileKind(
    "batch_deployment",
    {
        "name": "it is the version",
        "endpoint_name": "it is the name of the stage's endpoint, and -batch",
        "type": "it is a model that scores",
        "model": "it is the version that is deployed",
        "code_configuration": "the code is that of a batch on this machine",
        "environment": "it is made of the model's own requirements",
        "environment_variables": "write them below settings: as Azure reads them there",
        **dict.fromkeys(("id", "provisioning_state", "creation_context"), _BY_AZURE),
    },
    lambda path: {
        "name": "version-N",
        "endpoint_name": "ENDPOINT",
        "type": "model",
        "model": "azureml:MODEL:VERSION",
        "environment": "azureml:nbops-scoring:HASH",
        "code_configuration": {"code": ".", "scoring_script": "score.py"},
    },
    {},
    _deployment_rules,
    lambda path: {"compute": COMPUTE},
)
