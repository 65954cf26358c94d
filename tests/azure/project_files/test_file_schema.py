"""The schema that is checked without the SDK is the SDK's, and its faults name the key and what to write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notebooks_lib.azure.project_files import file_schema
from tests.azure import file_schemas

JOB: dict[str, Any] = {"command": "nbops run", "environment": "azureml:nbops:1"}
CLUSTER: dict[str, Any] = {"name": "cpu", "type": "amlcompute"}


def test_the_schema_is_that_of_the_pinned_sdk() -> None:
    derived = file_schemas.derive()
    kept = json.loads(file_schemas.FILE.read_text("utf-8"))
    assert derived == kept, "python -m tests.azure.file_schemas"


def _faults(kind: file_schema.Kind, values: dict[str, Any]) -> list[str]:
    return [f"{'.'.join(map(str, path))}: {text}" for path, text in file_schema.faults(kind, values, written=values)]


FAULTS: list[tuple[file_schema.Kind, dict[str, Any], str]] = [
    ("job", {"resources": {"instance_typ": "x"}}, "resources.instance_typ: unknown key, did you mean instance_type?"),
    ("job", {"limits": {"zzz": 1}}, "limits.zzz: unknown key, write one of: timeout"),
    ("job", {"instance_type": "x"}, "instance_type: does not belong here, indent it under resources"),
    ("job", {"status": "Running"}, "status: is set by Azure and cannot be set in a file: remove it"),
    (
        "job",
        {"resources": {"instance_count": "two"}},
        "resources.instance_count: 'two' is not a whole number: write instance_count: 2, for example",
    ),
    (
        "job",
        {"resources": {"instance_count": 1.5}},
        "resources.instance_count: 1.5 is not a whole number: write instance_count: 2, for example",
    ),
    (
        "job",
        {"resources": {"instance_type": 3}},
        'resources.instance_type: 3 is not a text: write instance_type: "3"',
    ),
    (
        "job",
        {"resources": None},
        "resources: has no value: write keys and values below resources:, each indented by two spaces, or take the"
        " line out",
    ),
    (
        "job",
        {"resources": {"locations": "a"}},
        "resources.locations: 'a' is not a list: write each item below locations:, in a line that begins with `- `",
    ),
    (
        "job",
        {"queue_settings": {"job_tier": "standart"}},
        "queue_settings.job_tier: 'standart' is none of spot, basic, standard, premium, null, did you mean standard?",
    ),
    ("job", {"distribution": {}}, "distribution.type: is missing: write type: pytorch or tensorflow or mpi or ray"),
    (
        "job",
        {"distribution": {"type": "mpi", "worker_count": 2}},
        "distribution.worker_count: unknown key, write one of: process_count_per_instance, type",
    ),
    (
        "compute",
        {"type": "computeinstance"},
        "type: 'computeinstance' is none of amlcompute, kubernetes, virtualmachine",
    ),
    (
        "compute",
        {"ssh_public_access_enabled": 7},
        "ssh_public_access_enabled: 7 is not true or false: write ssh_public_access_enabled: true, for example",
    ),
    (
        "job",
        {"queue_settings": {"job_tier": None}},
        "queue_settings.job_tier: has no value: write spot or basic or standard or premium or null, or take the line out",
    ),
    (
        "job",
        {"limits": {"timeout": "PT1H"}},
        "limits.timeout: 'PT1H' is not a whole number: write timeout: 3600, for example",
    ),
    ("job", {"resources": {"locations": [1]}}, 'resources.locations.0: 1 is not a text: write - "1"'),
    ("environment", {"id": "azureml:x:1"}, "id: is set by Azure and cannot be set in a file: remove it"),
    ("environment", {"build": {"path": ["a"]}}, 'build.path: a list is not a text: write path: "…"'),
]


@pytest.mark.parametrize(("kind", "values", "fault"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_names_the_key_and_what_to_write(kind: file_schema.Kind, values: dict[str, Any], fault: str) -> None:
    filled_in = {"job": JOB, "compute": CLUSTER, "environment": {"name": "nbops"}}[kind]
    assert list(dict.fromkeys(_faults(kind, {**filled_in, **values}))) == [fault]


@pytest.mark.parametrize("spelled", ["aml_token", "AMLToken", "AmlToken", "AML_TOKEN"])
def test_spellings_that_the_sdk_takes_are_taken(spelled: str) -> None:
    assert _faults("job", {**JOB, "identity": {"type": spelled}, "queue_settings": {"job_tier": "Spot"}}) == []


def test_numbers_and_truth_values_may_be_text_as_variables_fill_them_in() -> None:
    assert _faults("compute", {**CLUSTER, "max_instances": "4", "enable_node_public_ip": "False"}) == []
