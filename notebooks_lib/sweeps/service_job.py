"""The sweep job of a request: its body, and how a job that was submitted earlier differs from the request. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from notebooks_lib.azure.jobs import sweep_job
from notebooks_lib.azure.project_files.duration import parse_duration
from notebooks_lib.sweeps.samplers_and_pruners import parse_service_pruner
from notebooks_lib.sweeps.service_request import ServiceSweepRequest

START_TIME = 600.0
"""Seconds beyond its own limit that a trial gets: its container has to start, and its files have to be kept."""


def body(request: ServiceSweepRequest, command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of the sweep job whose trials are what the body of a command job describes."""
    goal: Literal["minimize", "maximize"] = "minimize" if request.goal.direction == "min" else "maximize"
    return sweep_job.body(
        command,
        search_space={name: parameter.wire for name, parameter in request.parameters.items()},
        sampling_algorithm=sweep_job.sampling(request.sampling, request.seed),
        metric=request.goal.metric,
        goal=goal,
        limits=sweep_job.SweepLimits(
            request.total,
            request.jobs,
            request.sweep_timeout,
            sweep_job.trial_timeout(command) or _trial_timeout(request),
        ),
        policy=_policy(request),
    )


def differing_options(request: ServiceSweepRequest, job: Mapping[str, Any]) -> list[str]:
    """Return the options of the request that say something else than the job of these properties does.

    An option that was not given says nothing.
    """
    limits, sampling = job.get("limits") or {}, job.get("samplingAlgorithm") or {}
    policy = job.get("earlyTermination") or {}
    command = str((job.get("trial") or {}).get("command") or "")
    wanted = sweep_job.sampling(request.sampling, request.seed)
    differs = {
        "--trials": request.total != limits.get("maxTotalTrials", request.total),
        "--jobs": request.jobs is not None and request.jobs != limits.get("maxConcurrentTrials"),
        "--sampler": request.sampler is not None
        and any(_differs(wanted.get(key), sampling.get(key)) for key in ("samplingAlgorithmType", "rule")),
        "--seed": request.seed is not None and request.seed != sampling.get("seed"),
        "--prune": any(_differs(value, policy.get(key)) for key, value in (_policy(request) or {}).items()),
        "--sweep-timeout": request.sweep_timeout is not None
        and parse_duration(sweep_job.duration(request.sweep_timeout)) != parse_duration(limits.get("timeout")),
        **{
            option: value is not None and f"{option} {value}" not in command
            for option, value in (
                ("--timeout", request.limits.timeout),
                ("--cell-timeout", request.limits.cell_timeout),
                ("--kernel", request.limits.kernel),
            )
        },
    }
    return [option for option, found in differs.items() if found]


def _differs(wanted: object, found: object) -> bool:
    """Return whether two values of a job differ; Azure may write a word with other capitals, or a number as a float."""
    return str(wanted).lower() != str(found).lower() if isinstance(wanted, str) else wanted != found


def _trial_timeout(request: ServiceSweepRequest) -> str | None:
    timeout = request.limits.timeout or math.inf
    return sweep_job.duration(timeout + START_TIME) if math.isfinite(timeout) else None


def _policy(request: ServiceSweepRequest) -> dict[str, Any] | None:
    return sweep_job.early_termination(*parse_service_pruner(request.prune)) if request.prune else None
