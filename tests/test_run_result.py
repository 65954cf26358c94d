"""Values that packages share: metrics that can be compared, failures without passwords, and where files are."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from notebooks_lib.run_result import Failure, RunResult, finite, restore_infinity
from notebooks_lib.tags import Tag


@pytest.mark.parametrize(
    ("stored", "logged"), [(1.5, 1.5), (sys.float_info.max, math.inf), (-sys.float_info.max, -math.inf), (0.0, 0.0)]
)
def test_the_largest_float_is_read_as_the_infinity_that_was_logged(stored: float, logged: float) -> None:
    assert restore_infinity(stored) == logged


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, sys.float_info.max])
def test_a_metric_without_an_order_cannot_be_compared(value: float | None) -> None:
    assert not finite(value)
    assert finite(-1e300)


def test_a_failure_hides_the_password_of_an_address() -> None:
    failure = Failure("error", "OSError", "no answer from postgresql://ann:secret@db/x", cell=2, line="connect()")
    assert "secret" not in f"{failure} {vars(failure)}"
    assert str(failure).startswith("cell 2 (connect()): OSError: no answer from postgresql://")
    assert str(Failure("timeout", "60 s", "")) == "60 s"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure("timeout", "CellTimeout", "too long", 2, "fit()"), 1),
        (Failure("signal", "SIGKILL", "killed", 0, "fit()", 9), 1),
        (Failure("interrupt", "Interrupted", ""), 130),
    ],
)
def test_a_failure_survives_its_way_through_the_tags_of_a_run(failure: Failure, code: int) -> None:
    assert Failure.of_tags({key: value for key, value in failure.as_tags().items() if value}) == failure
    assert RunResult("r1", "KILLED", Path("n.ipynb"), failure=failure).exit_code == code


def test_a_failure_without_a_kind_of_an_earlier_nbops_is_an_error_or_a_signal() -> None:
    assert Failure.of_tags({}) is None
    for number, kind in (("", "error"), ("9", "signal")):
        failure = Failure.of_tags({Tag.FAILURE: "x", Tag.SIGNAL: number})
        assert failure is not None
        assert failure.kind == kind
    unknown = Failure.of_tags({Tag.FAILURE: "x", Tag.FAILURE_KIND: "of a later nbops"})
    assert unknown == Failure("error", "x", "")


def test_the_json_of_a_result_has_no_value_that_json_does_not_know() -> None:
    result = RunResult("r1", "FINISHED", Path("n.ipynb"), {"a": math.nan, "b": 2.0}, seconds=1.23456)
    content = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert content["metrics"] == {"a": None, "b": 2.0}
    assert (content["seconds"], content["failure"]) == (1.235, None)
