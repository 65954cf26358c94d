"""The sweep job of a request, and what a job that was submitted earlier does otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import service_job
from notebooks_lib.sweeps.executors import TrialLimits
from tests.sweeps.test_service_request import ALPHA, request

pytestmark = pytest.mark.tracking

GIVEN: dict[str, Any] = {
    "space": ALPHA,
    "jobs": 2,
    "sampler": "sobol",
    "seed": 3,
    "prune": "bandit:0.1",
    "sweep_timeout": 3600.0,
    "limits": TrialLimits(timeout=90.0),
}


@pytest.mark.parametrize(
    ("other", "options"),
    [
        ({}, []),
        ({"trials": 9}, ["--trials"]),
        ({"jobs": 3}, ["--jobs"]),
        ({"sampler": "random"}, ["--sampler"]),
        ({"seed": 4}, ["--seed"]),
        ({"prune": "bandit:0.2"}, ["--prune"]),
        ({"prune": "median"}, ["--prune"]),
        ({"sweep_timeout": 7200.0}, ["--sweep-timeout"]),
        ({"limits": TrialLimits(timeout=91.0, cell_timeout=5.0)}, ["--timeout", "--cell-timeout"]),
        ({"jobs": None, "sampler": None, "seed": None, "prune": None, "sweep_timeout": None}, []),
    ],
)
def test_options_that_differ_from_the_submitted_job_are_named(
    project: Settings, other: dict[str, Any], options: list[str]
) -> None:
    job = service_job.body(request(project, **GIVEN), {"command": "nbops run n.ipynb --timeout 90.0"})
    job["samplingAlgorithm"]["rule"] = "Sobol"  # Azure may write words with other capitals
    job["limits"]["timeout"] = "PT60M"  # and durations in other parts
    assert service_job.differing_options(request(project, **(GIVEN | other)), job) == options
