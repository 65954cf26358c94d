"""The files of online endpoints under production/azure: endpoint.yml and deployment.yml, for all stages and for one.

A key in production/azure/STAGE/ holds instead of that of the general file, and both instead of the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notebooks_lib.azure.project_files import file_kinds, yaml_file
from notebooks_lib.azure.project_files.file_faults import KeyPath
from notebooks_lib.azure.project_files.file_kinds import Faults, FileKind, whole_number
from notebooks_lib.stages import STAGES

SMALL_INSTANCE = "Standard_DS2_v2"
"""What a managed deployment runs on unless a file says otherwise: two cores."""
CONCURRENT = 8
"""Requests that an instance takes at once unless a file says otherwise. Azure's own default is 1, and a release alone
sends four at once."""
LONGEST_REQUEST_MS = 180_000
_COMPUTE = re.compile(r"azureml:[A-Za-z][A-Za-z0-9-]{1,31}")
_BY_AZURE = "Azure sets it"
_AT_LEAST: Mapping[KeyPath, int] = {
    ("instance_count",): 1,
    ("request_settings", "request_timeout_ms"): 1,
    ("request_settings", "max_concurrent_requests_per_instance"): 1,
    ("request_settings", "max_queue_wait_ms"): 0,
    ("scale_settings", "min_instances"): 1,
    ("scale_settings", "max_instances"): 1,
    **{
        (probe, key): least
        for probe in ("liveness_probe", "readiness_probe")
        for key, least in (
            ("initial_delay", 0),
            ("period", 1),
            ("timeout", 1),
            ("success_threshold", 1),
            ("failure_threshold", 1),
        )
    },
}


def compute_of(values: Mapping[str, Any]) -> str:
    """Return the name of the Kubernetes compute in the values of an endpoint; empty for a managed one."""
    return str(values.get("compute") or "").removeprefix("azureml:")


_OF_ONE_TYPE = (
    *("public_network_access", "egress_public_network_access", "private_network_connection"),
    *("instance_type", "scale_settings", "resources"),
)
"""Keys that mean nothing, or something else, where a stage is Kubernetes and the general file is not."""


def _general(path: Path, kind: FileKind) -> dict[str, Any]:
    """Return the values of the general file that a stage's file is laid over; none for the general file itself."""
    if path.parent.name not in STAGES:
        return {}
    above = path.parent.parent / path.name
    left_out = (*kind.decided, *(_OF_ONE_TYPE if _type_beside(path) != _type_beside(above) else ()))
    return {key: value for key, value in _written(above).items() if key not in left_out}


def _written(path: Path) -> dict[str, Any]:
    content, _ = yaml_file.read(path)
    return content.values if content is not None else {}


def _type_beside(path: Path) -> str:
    """Return whether the endpoint that is described beside a file is managed or kubernetes."""
    endpoint = path.with_name("endpoint.yml")
    values = _written(endpoint)
    if path.parent.name in STAGES:
        values = _written(endpoint.parent.parent / endpoint.name) | values
    return "kubernetes" if compute_of(values) else "managed"


def _endpoint_defaults(path: Path) -> dict[str, Any]:
    return {"auth_mode": "key", **_general(path, ENDPOINT)}


def _deployment_defaults(path: Path) -> dict[str, Any]:
    kind = _type_beside(path)
    machine = {"instance_type": SMALL_INSTANCE} if kind == "managed" else {}
    own = {"type": kind, **machine, "instance_count": 1, "app_insights_enabled": True}
    own["request_settings"] = {"max_concurrent_requests_per_instance": CONCURRENT}
    return own | _general(path, DEPLOYMENT)


def _endpoint_rules(_: Path, values: dict[str, Any]) -> Faults:
    compute = values.get("compute")
    if "compute" in values and not (isinstance(compute, str) and _COMPUTE.fullmatch(compute)):
        yield ("compute",), "is no compute of the workspace: write azureml:NAME, the name of a Kubernetes compute"
    if compute is not None and "public_network_access" in values:
        yield ("public_network_access",), "holds for managed endpoints only, and compute makes this one Kubernetes"
    if compute is not None and re.sub("_", "", str(values.get("auth_mode"))).lower() == "aadtoken":
        yield ("auth_mode",), "a Kubernetes endpoint takes no aad_token: write key or aml_token"
    identity = values.get("identity")
    if isinstance(identity, dict):
        if "type" not in identity:
            yield ("identity", "type"), "is missing: write type: system_assigned or user_assigned"
        users = identity.get("user_assigned_identities") or []
        if re.sub("_", "", str(identity.get("type"))).lower() == "userassigned" and len(users) != 1:
            yield ("identity", "user_assigned_identities"), f"names {len(users)} identities: write one, by resource_id"
        elif users and "resource_id" not in users[0]:
            yield ("identity", "user_assigned_identities"), "is missing resource_id: write the id of the identity"


def _deployment_rules(_: Path, values: dict[str, Any]) -> Faults:
    for path, least in _AT_LEAST.items():
        value: Any = values
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if (number := whole_number(value)) is not None and number < least:
            yield path, f"{number} is too few: write {least} or more"
    asked = whole_number((values.get("request_settings") or {}).get("request_timeout_ms"))
    if asked is not None and asked > LONGEST_REQUEST_MS:
        yield ("request_settings", "request_timeout_ms"), f"{asked} is too long: write {LONGEST_REQUEST_MS} or less"
    scale = values.get("scale_settings") or {}
    fewest, most = whole_number(scale.get("min_instances")), whole_number(scale.get("max_instances"))
    if fewest is not None and most is not None and fewest > most:
        yield ("scale_settings", "min_instances"), f"{fewest} is more than max_instances ({most}): make one fit"
    if values.get("type") == "managed" and "target" in str(scale.get("type")).lower():
        yield (
            ("scale_settings", "type"),
            "a managed deployment is scaled by rules of Azure Monitor: write default, or take it out",
        )
    yield from _collector_rules(values.get("data_collector") or {})
    yield from file_kinds.variable_faults(values, _is_set_by_service)


def _collector_rules(collector: Mapping[str, Any]) -> Faults:
    rate = collector.get("sampling_rate")
    if isinstance(rate, int | float) and not 0 <= rate <= 1:
        yield ("data_collector", "sampling_rate"), f"{rate:g} is no share: write a number from 0 to 1"
    collections = collector.get("collections")
    if collector and not collections:
        yield (
            ("data_collector", "collections"),
            'is missing: write model_inputs: {enabled: "true"} below collections:, and model_outputs likewise',
        )
    for name, collection in (collections or {}).items():
        if isinstance(collection, dict) and "data" in collection:
            path = ("data_collector", "collections", name, "data")
            yield path, "nbops decides it: each slot's data has an asset of its own; take it out"


def _is_set_by_service(name: str) -> bool:
    return name.startswith(("AZUREML_", "AML_", "NBOPS_", "MLFLOW_"))


ENDPOINT = FileKind(
    "endpoint",
    {
        "name": "`endpoint` under [stages.STAGE] in the settings names it",
        "traffic": "a promotion or `nbops endpoint traffic` moves it",
        "mirror_traffic": "a canary or `nbops endpoint mirror` sets it",
        "location": "it is the workspace's",
        **dict.fromkeys(("id", "scoring_uri", "openapi_uri", "provisioning_state", "kind"), _BY_AZURE),
    },
    lambda path: {"name": "ENDPOINT"},
    {},
    _endpoint_rules,
    _endpoint_defaults,
)
DEPLOYMENT = FileKind(
    "deployment",
    {
        "name": "it is the slot, blue or green",
        "endpoint_name": "`endpoint` under [stages.STAGE] in the settings names it",
        "type": "it follows from compute in endpoint.yml",
        "model": "it is the version that is released",
        "model_mount_path": "the scoring code finds the model",
        "code_configuration": "the code is that of the endpoint on this machine",
        "environment": "it is made of the model's own requirements",
        **dict.fromkeys(("id", "provisioning_state", "creation_context"), _BY_AZURE),
    },
    lambda path: {
        "name": "SLOT",
        "endpoint_name": "ENDPOINT",
        "model": "azureml:MODEL:VERSION",
        "environment": "azureml:nbops-scoring:HASH",
        "code_configuration": {"code": ".", "scoring_script": "score.py"},
    },
    {},
    _deployment_rules,
    _deployment_defaults,
)
