"""The body of a sweep job is what the SDK makes of the same sweep in YAML."""

from __future__ import annotations

import io
from typing import Any

import pytest
import yaml

from notebooks_lib.azure.jobs import sweep_job
from notebooks_lib.azure.jobs.sweep_job import SweepLimits
from tests.azure.request_shapes import misfits

TRIAL = {
    "command": "nbops run n.ipynb",
    "environmentId": "nbops:HASH",
    "codeId": "code:1",
    "environmentVariables": {"A": "1"},
}
COMMAND = {
    **TRIAL,
    "jobType": "Command",
    "computeId": "cpu",
    "experimentName": "e",
    "displayName": "d",
    "tags": {"a": "b"},
    "inputs": {"x": {"uri": "sales:3", "jobInputType": "uri_folder"}},
    "identity": {"identityType": "Managed"},
    "queueSettings": {"jobTier": "Standard"},
    "limits": {"timeout": "PT1M30S", "jobLimitsType": "Command"},
    "distribution": {"processCountPerInstance": 1, "distributionType": "PyTorch"},
    "resources": {"instanceCount": 2, "instanceType": "Standard_D2", "properties": {}, "shmSize": "2g"},
}
YAML = """
type: sweep
compute: azureml:cpu
experiment_name: e
display_name: d
tags: {a: b}
search_space:
  alpha: {type: loguniform, min_value: -6.9, max_value: 2.3}
  depth: {type: choice, values: [2, 3, 4]}
  name: {type: choice, values: ["a b", "it's"]}
  n: {type: randint, upper: 5}
  s: {type: qlognormal, mu: 0, sigma: 1.5, q: 2}
objective: {goal: minimize, primary_metric: rmse}
queue_settings: {job_tier: standard}
identity: {type: managed}
inputs: {x: {type: uri_folder, path: "azureml:sales:3"}}
trial:
  command: nbops run n.ipynb
  environment: azureml:nbops:HASH
  code: azureml:code:1
  environment_variables: {A: "1"}
  resources: {instance_count: 2, instance_type: Standard_D2, shm_size: 2g}
  distribution: {type: pytorch, process_count_per_instance: 1}
"""
SPACE = {
    "alpha": ["loguniform", [-6.9, 2.3]],
    "depth": ["choice", [[2, 3, 4]]],
    "name": ["choice", [["a b", "it's"]]],
    "n": ["randint", [5]],
    "s": ["qlognormal", [0, 1.5, 2]],
}
OF_SDK_ALONE = ("isArchived", "outputs", "properties")
"""What the SDK sends although nobody says it."""
SWEEPS: list[tuple[dict[str, Any], tuple[str, int | None], tuple[str, float] | None, SweepLimits]] = [
    (
        {
            "sampling_algorithm": {"type": "random", "rule": "sobol", "seed": 3},
            "early_termination": {"type": "median_stopping", "evaluation_interval": 1, "delay_evaluation": 5},
            "limits": {"max_total_trials": 20, "max_concurrent_trials": 4, "timeout": 7200, "trial_timeout": 90},
        },
        ("sobol", 3),
        ("median", 0.0),
        SweepLimits(20, 4, 7200, "PT1M30S"),
    ),
    (
        {
            "sampling_algorithm": {"type": "grid"},
            "early_termination": {
                "type": "truncation_selection",
                "truncation_percentage": 20,
                "evaluation_interval": 1,
                "delay_evaluation": 5,
            },
            "limits": {"max_total_trials": 20, "timeout": 90061},
        },
        ("grid", None),
        ("truncation", 20.0),
        SweepLimits(20, timeout=90061),
    ),
    (
        {
            "sampling_algorithm": {"type": "random", "rule": "random"},
            "early_termination": {
                "type": "bandit",
                "slack_factor": 0.1,
                "evaluation_interval": 1,
                "delay_evaluation": 5,
            },
            "limits": {"max_total_trials": 3},
        },
        ("random", None),
        ("bandit", 0.1),
        SweepLimits(3),
    ),
    (
        {"sampling_algorithm": {"type": "bayesian"}, "limits": {"max_total_trials": 3}},
        ("bayesian", None),
        None,
        SweepLimits(3),
    ),
]


def body(sampling: tuple[str, int | None], policy: tuple[str, float] | None, limits: SweepLimits) -> dict[str, Any]:
    return sweep_job.body(
        COMMAND,
        search_space=SPACE,
        sampling_algorithm=sweep_job.sampling(*sampling),
        metric="rmse",
        goal="minimize",
        limits=limits,
        policy=sweep_job.early_termination(*policy) if policy else None,
    )


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
@pytest.mark.parametrize(("written", "sampling", "policy", "limits"), SWEEPS)
def test_it_equals_what_the_sdk_sends_for_the_same_sweep(
    written: dict[str, Any], sampling: tuple[str, int | None], policy: tuple[str, float] | None, limits: SweepLimits
) -> None:
    from azure.ai import ml

    source = io.StringIO(yaml.safe_dump(yaml.safe_load(YAML) | written))
    loaded: Any = ml.load_job(source, relative_origin="/tmp/x/job.yml")
    sent = loaded._to_rest_object().as_dict()["properties"]
    mine = body(sampling, policy, limits)

    assert mine == {key: value for key, value in sent.items() if key not in OF_SDK_ALONE}
    # Azure takes `resources` of a sweep, and the SDK sends it; its newest models do not know it.
    assert misfits({"properties": mine}, "JobBase") == ["JobBase.properties.resources: unknown"]


def test_a_sweep_needs_neither_machines_nor_policy() -> None:
    made = sweep_job.body(
        {**TRIAL, "jobType": "Command"},
        search_space={"n": ["randint", [5]]},
        sampling_algorithm=sweep_job.sampling("random", None),
        metric="auc",
        goal="maximize",
        limits=SweepLimits(3),
        policy=None,
    )
    assert made == {
        "jobType": "Sweep",
        "searchSpace": {"n": ["randint", [5]]},
        "samplingAlgorithm": {"samplingAlgorithmType": "Random", "rule": "random"},
        "objective": {"primaryMetric": "auc", "goal": "maximize"},
        "limits": {"jobLimitsType": "Sweep", "maxTotalTrials": 3},
        "trial": TRIAL,
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "PT1M"), (59.5, "PT1M"), (60.2, "PT1M1S"), (3600, "PT1H"), (90061, "P1DT1H1M1S"), (86400, "P1D")],
)
def test_a_time_is_never_shorter_than_the_service_obeys(seconds: float, text: str) -> None:
    assert sweep_job.duration(seconds) == text


def test_the_limit_of_a_job_file_is_that_of_a_trial() -> None:
    assert sweep_job.trial_timeout(COMMAND) == "PT1M30S"
    assert sweep_job.trial_timeout(TRIAL) is None
