"""What a sweep job of Azure ML is on the wire: its samplers, early termination, limits, and body. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

API_VERSION = "2024-01-01-preview"
MAX_TRIALS = 1000
"""More trials in all, or at once, are refused when the sweep starts (MachineLearningNotebooks#1617)."""
LARGEST_SEED = 2**31 - 1
LEAST_SECONDS = 60
"""The service treats a shorter limit of time as 60 days; the SDK's clients raise it to this as well."""
EVALUATE_EVERY, EVALUATE_FROM = 1, 5
"""Early termination compares trials at each value of the metric from the fifth on: what Azure recommends."""
VARIABLE_PREFIX = "AZUREML_SWEEP_"
"""In a trial, a variable with this prefix and the name of a parameter holds its value."""

_OF_TRIAL = ("codeId", "command", "distribution", "environmentId", "environmentVariables", "resources")
"""The keys of a command job that a sweep job has under `trial`."""
_OF_COMMAND_ALONE = ("jobType", "limits", "services")


@dataclass(frozen=True)
class SweepLimits:
    """The limits of a sweep job. Times are in seconds; None leaves a limit to the service."""

    total: int
    at_once: int | None = None
    """None for as many as the compute has room for."""
    timeout: float | None = None
    """Of the whole sweep; without it, 60 days."""
    trial_timeout: str | None = None
    """As an ISO 8601 duration: a job file may give one."""

    def wire(self) -> dict[str, Any]:
        """Return what is sent."""
        content = {
            "jobLimitsType": "Sweep",
            "maxTotalTrials": self.total,
            "maxConcurrentTrials": self.at_once,
            "timeout": None if self.timeout is None else duration(self.timeout),
            "trialTimeout": self.trial_timeout,
        }
        return {key: value for key, value in content.items() if value is not None}


def duration(seconds: float) -> str:
    """Return a time as an ISO 8601 duration of whole seconds, and of no fewer than the service obeys."""
    whole = max(math.ceil(seconds), LEAST_SECONDS)
    days, rest = divmod(whole, 24 * 3600)
    parts = {"H": rest // 3600, "M": rest // 60 % 60, "S": rest % 60}
    clock = "".join(f"{number}{unit}" for unit, number in parts.items() if number)
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


def sampling(sampler: str, seed: int | None) -> dict[str, Any]:
    """Return how values are drawn: `sampler` is grid, random, sobol or bayesian."""
    if sampler in ("random", "sobol"):
        chosen: dict[str, Any] = {"samplingAlgorithmType": "Random", "rule": sampler}
        return chosen if seed is None else {**chosen, "seed": seed}
    return {"samplingAlgorithmType": sampler.capitalize()}


def early_termination(policy: str, amount: float) -> dict[str, Any]:
    """Return a policy: median, truncation with a percentage, or bandit with a slack as a share of the best value."""
    schedule = {"evaluationInterval": EVALUATE_EVERY, "delayEvaluation": EVALUATE_FROM}
    match policy:
        case "truncation":
            return {"policyType": "TruncationSelection", **schedule, "truncationPercentage": int(amount)}
        case "bandit":
            return {"policyType": "Bandit", **schedule, "slackFactor": amount, "slackAmount": 0.0}
    return {"policyType": "MedianStopping", **schedule}


def trial_timeout(command: Mapping[str, Any]) -> str | None:
    """Return the limit of time that the body of a command job has, as an ISO 8601 duration."""
    limit = (command.get("limits") or {}).get("timeout")
    return None if limit is None else str(limit)


def body(
    command: Mapping[str, Any],
    *,
    search_space: Mapping[str, Any],
    sampling_algorithm: Mapping[str, Any],
    metric: str,
    goal: Literal["minimize", "maximize"],
    limits: SweepLimits,
    policy: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the properties of a sweep job whose trials are what the body of a command job describes."""
    trial = {key: command[key] for key in _OF_TRIAL if key in command}
    common = {key: value for key, value in command.items() if key not in (*_OF_TRIAL, *_OF_COMMAND_ALONE)}
    content = {
        **common,
        "jobType": "Sweep",
        "searchSpace": dict(search_space),
        "samplingAlgorithm": dict(sampling_algorithm),
        "objective": {"primaryMetric": metric, "goal": goal},
        "limits": limits.wire(),
        "trial": trial,
    }
    if policy is not None:
        content["earlyTermination"] = dict(policy)
    if "resources" in trial:  # the machines of a serverless sweep are read from here, as the SDK sends them
        content["resources"] = trial["resources"]
    return content
