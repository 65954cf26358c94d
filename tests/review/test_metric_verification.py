"""The verdict on each metric, and on the whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from notebooks_lib.review.metric_bands import MetricBand, MetricBands
from notebooks_lib.review.metric_verification import MetricVerdict, Verification, judge_metrics
from notebooks_lib.run_result import Failure, RunResult

BANDS = MetricBands("s", {"rmse": MetricBand(50.0, 1.0, 10), "n": MetricBand(3.0, 0.0, 10)})


def outcomes(*runs: dict[str, float]) -> dict[str, str]:
    return {verdict.name: verdict.outcome for verdict in judge_metrics(BANDS, runs)}


@pytest.mark.parametrize(
    ("metrics", "outcome"),
    [
        ({"rmse": 50.0, "n": 3.0}, {"n": "inside", "rmse": "inside"}),
        ({"rmse": 54.0, "n": 3.0}, {"n": "inside", "rmse": "inside"}),
        ({"rmse": 57.0, "n": 3.0}, {"n": "inside", "rmse": "outside"}),
        ({"rmse": 43.0, "n": 3.0}, {"n": "inside", "rmse": "outside"}),
        ({"rmse": 50.0, "n": 3.1}, {"n": "outside", "rmse": "inside"}),
        ({"rmse": math.nan, "n": 3.0}, {"n": "inside", "rmse": "not finite"}),
        ({"rmse": 1.7976931348623157e308, "n": 3.0}, {"n": "inside", "rmse": "not finite"}),
        ({"n": 3.0}, {"n": "inside", "rmse": "missing"}),
        ({"rmse": 50.0, "n": 3.0, "mae": 1.0}, {"mae": "new", "n": "inside", "rmse": "inside"}),
        ({}, {"n": "missing", "rmse": "missing"}),
    ],
)
def test_outcomes_of_one_run(metrics: dict[str, float], outcome: dict[str, str]) -> None:
    assert outcomes(metrics) == outcome


def test_of_several_runs_the_mean_counts_against_a_narrower_interval() -> None:
    far, near = {"rmse": 54.0, "n": 3.0}, {"rmse": 50.0, "n": 3.0}
    assert outcomes(far)["rmse"] == "inside"
    assert outcomes(far, far, far, far)["rmse"] == "outside"
    assert outcomes(far, near, near, near)["rmse"] == "inside"
    assert outcomes(near, {"n": 3.0})["rmse"] == "missing"
    assert outcomes(near, {**near, "rmse": math.inf})["rmse"] == "not finite"


FINISHED = RunResult("r", "FINISHED", Path("n.ipynb"))
FAILED = RunResult("r", "FAILED", Path("n.ipynb"), failure=Failure("error", "E", "why", 3, "x"))
INSIDE, OUTSIDE = MetricVerdict("a", "inside", 1.0), MetricVerdict("b", "missing", None, 1.0, math.inf)


@pytest.mark.parametrize(
    ("runs", "verdicts", "source", "status"),
    [
        ((FINISHED,), (INSIDE,), "s", "verified"),
        ((FINISHED,), (INSIDE, OUTSIDE), "s", "outside"),
        ((FINISHED, FAILED), (), "s", "failed"),
        ((), (), "other", "stale"),
    ],
)
def test_status_of_the_whole(runs, verdicts, source, status) -> None:
    verification = Verification(Path("n.bands.toml"), BANDS, source, runs, verdicts=verdicts)
    assert verification.status == status
    assert (verification.failed is FAILED) == (status == "failed")
    content = json.loads(json.dumps(verification.as_json(), allow_nan=False))
    assert content["status"] == status
    assert [metric["outcome"] for metric in content["metrics"]] == [verdict.outcome for verdict in verdicts]
