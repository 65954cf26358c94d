"""Sweep jobs that really run their trials: random and grid sampling, limits, early termination, cancelling.

A trial is a job of its own, named after the sweep with its number, whose run is a child of the sweep's. As in the
service, `${{search_space.x}}` in the command becomes the variable AZUREML_SWEEP_x. Whether the service copies a
sweep's tags to its trials is not known: this one does, as the harder case.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import re
import statistics
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.azure.emulator.faults import Fault

if TYPE_CHECKING:
    from tests.azure.emulator.jobs import Jobs

LOOK = 0.1
LONGEST = 600.0
MOST = 1000  # MachineLearningNotebooks#1617: "Must be between 1 and 1000"
OF_BAYESIAN = ("choice", "uniform", "quniform")  # how-to-tune-hyperparameters.md, as all that is refused here
EXPRESSION = re.compile(r"\$\{\{\s*search_space\.(\w+)\s*\}\}")


def refusal(sweep: dict[str, Any]) -> str:
    """Return why the service fails this sweep when it starts it; empty if it does not."""
    space = {name: drawn[0] for name, drawn in sweep["searchSpace"].items()}
    sampler, limits = sweep["samplingAlgorithm"]["samplingAlgorithmType"].lower(), sweep.get("limits") or {}
    total = limits.get("maxTotalTrials", MOST)
    if sampler == "grid" and (other := {*space.values()} - {"choice"}):
        return f"Grid sampling supports choice only, found {', '.join(sorted(other))}."
    if sampler == "bayesian" and (other := {*space.values()} - {*OF_BAYESIAN}):
        return f"Bayesian sampling supports choice, uniform and quniform only, found {', '.join(sorted(other))}."
    if sampler == "bayesian" and sweep.get("earlyTermination"):
        return "Bayesian sampling does not support an early termination policy."
    if not 1 <= total <= MOST:
        return f"{{'max_total_jobs': ['Must be between 1 and {MOST}.']}}"
    if not 1 <= limits.get("maxConcurrentTrials", total) <= total:
        return "max_concurrent_trials must not be larger than max_total_trials."
    if any(not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in space):
        return "Names of hyperparameters are composed of letters, numbers, and underscore."
    return ""


def proposals(sweep: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the values of each trial: every combination of a grid, else as many as are wanted, drawn by the rules."""
    space, sampling = sweep["searchSpace"], sweep["samplingAlgorithm"]
    if sampling["samplingAlgorithmType"].lower() == "grid":
        combined = itertools.product(*(drawn[1][0] for drawn in space.values()))
        yield from (dict(zip(space, values, strict=True)) for values in combined)
        return
    source = random.Random(sampling.get("seed"))
    while True:
        yield {name: draw(source, *drawn) for name, drawn in space.items()}


def draw(source: random.Random, kind: str, given: list[Any]) -> Any:
    """Return a value by the rule of Azure's page on tuning hyperparameters."""
    if kind == "choice":
        return source.choice(given[0])
    if kind == "randint":
        return source.randrange(given[0])
    value = (source.uniform if kind.endswith("uniform") else source.normalvariate)(given[0], given[1])
    value = math.exp(value) if "log" in kind else value
    return round(value / given[2]) * given[2] if kind.startswith("q") else value


class SweepJob:
    """One sweep: its document, its trials, and what it compares."""

    def __init__(self, jobs: Jobs, path: str, properties: dict[str, Any], fault: Fault | None) -> None:
        self.jobs, self.path, self.properties, self.fault = jobs, path, properties, fault
        self.name = path.rsplit("/", 1)[-1]
        self.error: dict[str, str] | None = None
        self.cancelled = threading.Event()
        self.trials: list[Any] = []
        self.pruned: set[str] = set()
        self.evaluated: dict[str, int] = {}

    @property
    def status(self) -> str:
        return str(self.properties["status"])

    def run(self) -> None:
        """Bring the sweep from its submission to its end."""
        if message := refusal(self.properties):
            self.error = {"code": "UserError", "message": message}
            self._end("Failed")
            return
        self.properties["status"] = "Running"
        limits = self.properties.get("limits") or {}
        total, seconds = limits.get("maxTotalTrials", MOST), self.jobs.seconds(limits.get("timeout")) or LONGEST
        deadline = time.monotonic() + seconds
        waiting = itertools.islice(proposals(self.properties), total)
        more = True
        while more or self._running():
            if time.monotonic() > deadline or self.cancelled.is_set():
                self.properties["status"], more = "CancelRequested", False
                self.cancelled.set()
                for trial in self.trials:
                    trial.cancelled.set()
            while more and len(self._running()) < limits.get("maxConcurrentTrials", total):
                values = next(waiting, None)
                more = values is not None
                if values is not None:
                    self._start(values)
            self._terminate()
            time.sleep(LOOK)
        self._end("Canceled" if self.cancelled.is_set() else "Completed")

    def _running(self) -> list[Any]:
        return [trial for trial in self.trials if trial.status not in ("Completed", "Failed", "Canceled")]

    def _start(self, values: dict[str, Any]) -> None:
        trial, name = self.properties["trial"], f"{self.name}_{len(self.trials)}"
        variables = {f"AZUREML_SWEEP_{key}": str(value) for key, value in values.items()}
        limits = {"timeout": (self.properties.get("limits") or {}).get("trialTimeout")}
        common = {key: self.properties.get(key) for key in ("experimentName", "inputs", "computeId", "identity")}
        properties = common | trial | {"jobType": "Command", "limits": limits, "displayName": name}
        properties["command"] = EXPRESSION.sub(r"$AZUREML_SWEEP_\1", trial["command"])
        properties["environmentVariables"] = (trial.get("environmentVariables") or {}) | variables
        properties["tags"] = (self.properties.get("tags") or {}) | {"mlflow.parentRunId": self.name}
        path = f"{self.path.rpartition('/')[0]}/{name}"
        started = asyncio.run_coroutine_threadsafe(self.jobs.start(path, properties, self.fault), self.jobs.loop)
        self.trials.append(started.result(60))

    def _terminate(self) -> None:
        """Cancel the trials that the policy finds hopeless, by what each has logged so far."""
        policy = self.properties.get("earlyTermination")
        if not policy or self.cancelled.is_set():
            return
        objective = self.properties["objective"]
        sign = 1 if objective["goal"].lower() == "maximize" else -1
        logged = {trial.name: self._logged(trial.name, objective["primaryMetric"], sign) for trial in self.trials}
        for trial in self._running():
            values = logged[trial.name]
            interval = len(values)
            due = interval >= max(policy["delayEvaluation"], 1) and interval % max(policy["evaluationInterval"], 1) == 0
            if due and self.evaluated.get(trial.name) != interval:
                self.evaluated[trial.name] = interval
                others = [each[:interval] for each in logged.values() if len(each) >= interval]
                if _hopeless(policy, values, others):
                    self.pruned.add(trial.name)
                    trial.cancelled.set()

    def _logged(self, trial: str, metric: str, sign: int) -> list[float]:
        return [sign * value for value in self.jobs.tracking.metric_values(trial, metric)]

    def _end(self, status: str) -> None:
        self.jobs.tracking.end_run(self.name, {"Completed": "FINISHED", "Canceled": "KILLED"}.get(status, "FAILED"))
        self.properties["status"] = status

    def details(self) -> dict[str, Any]:
        """What the run history tells of the sweep."""
        answer = {"runId": self.name, "status": self.status, "logFiles": {}}
        return answer | ({"error": {"error": self.error}} if self.error else {})


def _hopeless(policy: dict[str, Any], mine: list[float], others: list[list[float]]) -> bool:
    """Return whether a policy ends a trial; larger values are better, and `others` holds the trial itself, too."""
    best = [max(each) for each in others]
    match policy["policyType"]:
        case "MedianStopping":
            return max(mine) < statistics.median(statistics.fmean(each) for each in others)
        case "TruncationSelection":
            return max(mine) < sorted(best)[len(best) * int(policy["truncationPercentage"]) // 100]
        case "Bandit":
            slack = 1 + float(policy["slackFactor"])
            return max(mine) < (max(best) / slack if max(best) > 0 else max(best) * slack)
    return False
