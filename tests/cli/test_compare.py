"""`nbops compare`: successful runs only, each dataset apart, as text or one JSON object."""

from __future__ import annotations

import json

import pytest

from notebooks_lib import __main__ as program
from tests.cli.conftest import LogRun

pytestmark = pytest.mark.tracking
A, B = f"t@1#{'a' * 64}", f"t@2#{'b' * 64}"


def test_runs_on_different_data_have_tables_of_their_own(log_run: LogRun, capsys: pytest.CaptureFixture[str]) -> None:
    worse, better = log_run({"rmse": 2.0}, dataset=A), log_run({"rmse": 1.0}, dataset=A)
    other = log_run({"rmse": 0.5}, dataset=B)
    log_run({"rmse": 0.0}, dataset=A, end=None)
    assert program.run(["compare", "sales", "--metric", "rmse", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [[row["run_id"] for row in table["runs"]] for table in tables] == [[other], [better, worse]]
    assert program.run(["compare", "sales", "--metric", "rmse"]) == 0
    out = capsys.readouterr().out
    assert "2 different datasets" in out
    assert "next  nbops promote" in out


def test_the_name_of_a_dataset_cannot_steer_the_terminal(log_run: LogRun, capsys: pytest.CaptureFixture[str]) -> None:
    log_run({"rmse": 1.0}, dataset=A.replace("@", "\x07@"))
    assert program.run(["compare", "sales", "--metric", "rmse"]) == 0
    assert "data: t\\x07@1" in capsys.readouterr().out


def test_a_metric_of_ones_own_is_ranked_in_the_direction_that_is_named(
    log_run: LogRun, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = log_run({"profit": 1.0}), log_run({"profit": 2.0})
    for direction, best in (("min", small), ("max", large)):
        assert program.run(["compare", "sales", "--metric", f"profit:{direction}", "--json"]) == 0
        [table] = json.loads(capsys.readouterr().out)["tables"]
        assert table["runs"][0]["run_id"] == best
    assert program.run(["compare", "sales", "--metric", "profit"]) == 2
    assert "profit:min" in capsys.readouterr().err


def test_unknown_names_are_usage_errors_that_name_the_nearest(
    log_run: LogRun, capsys: pytest.CaptureFixture[str]
) -> None:
    log_run({"rmse": 1.0})
    assert program.run(["compare", "sale", "--metric", "rmse"]) == 2
    assert "unknown experiment 'sale', did you mean 'sales'?" in capsys.readouterr().err
    assert program.run(["compare", "sales", "--metric", "mae"]) == 2
    assert "they have: rmse" in capsys.readouterr().err
