"""The emulator's sweep jobs: trials really run, with the service's variables, limits, policies and refusals."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.azure import emulator
from tests.azure.fixtures import Ask
from tests.azure.test_emulator_jobs import details, ended, logs, name

pytestmark = [pytest.mark.tracking, pytest.mark.proof]  # they are about the emulator

LOG = """
import os, sys, time, requests
place = os.environ["MLFLOW_TRACKING_URI"].replace("azureml:", "https:") + "/api/2.0/mlflow/runs/log-metric"
token = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
value = float(os.environ["AZUREML_SWEEP_x"])
for step in range(6 if value == 1 else 200):
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": value, "step": step, "timestamp": step}
    requests.post(place, json=body, headers=token).raise_for_status()
    time.sleep(0.1)
"""
GRID = {"samplingAlgorithmType": "Grid"}
RANDOM = {"samplingAlgorithmType": "Random", "rule": "random", "seed": 4}


def submit_sweep(ask: Ask, command: str, space: dict[str, Any], sampling: dict[str, Any] = GRID, **more: Any) -> str:
    job, environment = uuid.uuid4().hex, f"environments/{name()}/versions/1"
    ask("PUT", environment, {"properties": {"image": "image"}})
    properties = {
        "jobType": "Sweep",
        "trial": {"command": command, "environmentId": f"{emulator.SCOPE}/{environment}"},
        "searchSpace": space,
        "samplingAlgorithm": sampling,
        "objective": {"goal": "minimize", "primaryMetric": "loss"},
        "experimentName": "sweeps",
        "tags": {"of": "sweep"},
    }
    assert ask("PUT", f"jobs/{job}", {"properties": properties | more}).status_code == 201
    return job


def limits(total: int, at_once: int | None = None, **more: str) -> dict[str, Any]:
    return {
        "jobLimitsType": "Sweep",
        "maxTotalTrials": total,
        **({"maxConcurrentTrials": at_once} if at_once else {}),
    } | more


def states(ask: Ask, job: str, count: int) -> list[str]:
    return [ask("GET", f"jobs/{job}_{number}").json()["properties"]["status"] for number in range(count)]


def test_a_grid_runs_each_combination_with_its_values_in_variables(ask: Ask, anybody: Ask) -> None:
    hostile = ["a b", "it's", "$HOME", "-1", "größe", '"']
    space = {"p": ["choice", [hostile]], "n": ["choice", [[1, 0.001]]]}
    job = submit_sweep(ask, 'printf "%s|%s" "${{search_space.p}}" "${{search_space.n}}"', space, limits=limits(100))

    assert ended(ask, job) == "Completed"
    found = [logs(ask, anybody, f"{job}_{number}")[0] for number in range(12)]
    assert found == [f"{text}|{number}" for text in hostile for number in ("1", "0.001")]
    assert ask("GET", f"jobs/{job}_12").status_code == 404


def test_random_sampling_keeps_to_its_limits_and_seed(ask: Ask, anybody: Ask) -> None:
    space = {"x": ["loguniform", [-2, 2]], "n": ["randint", [5]], "q": ["qnormal", [0, 4, 2]]}
    command = 'date +%s.%N; sleep 0.4; date +%s.%N; echo "$AZUREML_SWEEP_x $AZUREML_SWEEP_n $AZUREML_SWEEP_q"'
    jobs = [submit_sweep(ask, command, space, RANDOM, limits=limits(5, 2)) for _ in range(2)]
    assert [ended(ask, job) for job in jobs] == ["Completed"] * 2

    shown = [[logs(ask, anybody, f"{job}_{number}")[0].split() for number in range(5)] for job in jobs]
    assert [trial[2:] for trial in shown[0]] == [trial[2:] for trial in shown[1]]
    spans = [(float(trial[0]), float(trial[1])) for trial in shown[0]]
    assert max(sum(one <= begin < other for one, other in spans) for begin, _ in spans) <= 2


@pytest.mark.parametrize(
    ("space", "sampling", "more", "message"),
    [
        ({"x": ["uniform", [0, 1]]}, GRID, {}, "Grid sampling supports choice only"),
        ({"x": ["normal", [0, 1]]}, {"samplingAlgorithmType": "Bayesian"}, {}, "Bayesian sampling supports choice"),
        (
            {"x": ["uniform", [0, 1]]},
            {"samplingAlgorithmType": "Bayesian"},
            {"earlyTermination": {"policyType": "MedianStopping"}},
            "does not support an early termination policy",
        ),
        ({"x": ["uniform", [0, 1]]}, RANDOM, {"limits": limits(2, 3)}, "must not be larger than max_total_trials"),
        ({"x": ["uniform", [0, 1]]}, RANDOM, {"limits": limits(1001)}, "Must be between 1 and 1000"),
        ({"größe": ["uniform", [0, 1]]}, RANDOM, {}, "composed of letters, numbers, and underscore"),
    ],
)
def test_a_combination_that_the_service_does_not_know_fails_when_it_starts(
    ask: Ask, space: dict[str, Any], sampling: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    job = submit_sweep(ask, "true", space, sampling, **more)
    assert ended(ask, job) == "Failed"
    assert message in details(ask, job)["error"]["error"]["message"]


@pytest.mark.parametrize(
    "policy",
    [
        {"policyType": "MedianStopping"},
        pytest.param({"policyType": "TruncationSelection", "truncationPercentage": 50}, marks=pytest.mark.proof),
        pytest.param({"policyType": "Bandit", "slackFactor": 0.5, "slackAmount": 0}, marks=pytest.mark.proof),
    ],
    ids=lambda policy: str(policy["policyType"]),
)
def test_a_policy_cancels_the_trials_that_fall_behind(ask: Ask, policy: dict[str, Any]) -> None:
    policy = policy | {"evaluationInterval": 1, "delayEvaluation": 3}
    job = submit_sweep(
        ask, f"python -c '{LOG}'", {"x": ["choice", [[1, 9, 1]]]}, limits=limits(3), earlyTermination=policy
    )
    assert ended(ask, job) == "Completed"
    assert states(ask, job, 3)[1] == "Canceled"
    assert "Completed" in states(ask, job, 3)


def test_a_sweep_that_is_cancelled_cancels_its_trials(ask: Ask) -> None:
    job = submit_sweep(ask, "sleep 60", {"x": ["uniform", [0, 1]]}, RANDOM, limits=limits(4, 2))
    while ask("GET", f"jobs/{job}_1").status_code == 404:
        time.sleep(0.05)
    ask("POST", f"jobs/{job}/cancel")
    assert ended(ask, job) == "Canceled"
    assert states(ask, job, 2) == ["Canceled"] * 2
    assert ask("GET", f"jobs/{job}_2").status_code == 404


def test_a_sweep_and_its_trials_are_limited_in_time(ask: Ask) -> None:
    space = {"x": ["choice", [[1, 2]]]}
    short = submit_sweep(ask, "sleep 60", space, limits=limits(2, trialTimeout="PT0.5S"))
    whole = submit_sweep(ask, "sleep 60", space, limits=limits(2, 1, timeout="PT0.5S"))
    assert (ended(ask, short), states(ask, short, 2)) == ("Completed", ["Canceled"] * 2)
    assert (ended(ask, whole), states(ask, whole, 1)) == ("Canceled", ["Canceled"])
