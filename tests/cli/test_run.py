"""`nbops run`: wrong parameters start nothing, and the outcome is one JSON object or text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from tests import building


def test_all_wrong_parameters_are_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = building.write(
        tmp_path / "n.ipynb", "1", parameters="alpha: float = 1.0\nkind: \"Literal['a', 'b']\" = \"a\""
    )
    assert program.run(["run", str(path), "-p", "alpa=1", "-p", "kind=c", "-p", "alpha=x"]) == 2
    told = capsys.readouterr().err
    assert "3 parameter problem(s)" in told
    assert "did you mean 'alpha'?" in told
    assert not (tmp_path / ".nbops").exists()


def test_help_notebook_shows_the_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = building.write(tmp_path / "n.ipynb", "1", parameters="alpha: float = 1.0  # strength", title="Why so?")
    assert program.run(["run", str(path), "--help-notebook"]) == 0
    told = capsys.readouterr().out
    for word in ("Why so?", "alpha", "float", "1.0", "strength"):
        assert word in told


@pytest.mark.tracking
@pytest.mark.notebooks
def test_run_prints_one_json_object_or_text(project: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    cells = "import os, mlflow\nos.system('echo loose talk')\nmlflow.log_metric('rmse', 2)"
    path = building.write(project.root / "n.ipynb", cells)
    assert program.run(["run", str(path), "--json"]) == 0
    out = capfd.readouterr().out
    told = json.loads(out)
    assert set(told) >= {"run_id", "status", "output", "metrics", "failure"}
    assert (told["status"], told["metrics"], told["failure"]) == ("FINISHED", {"rmse": 2.0}, None)
    assert program.run(["run", str(path), "--json", "-p", "a=1"]) == 2
    refused = json.loads(capfd.readouterr().out)
    assert (refused["run_id"], refused["error"]["error"]) == (None, "ParameterError")
    nan = building.write(project.root / "nan.ipynb", "import mlflow\nmlflow.log_metric('a', float('nan'))")
    assert program.run(["run", str(nan), "--json", "--no-html"]) == 0
    assert json.loads(capfd.readouterr().out, parse_constant=str)["metrics"] == {"a": None}
    assert program.run(["run", str(nan), "-o", str(nan)]) == 2
    assert program.run(["run", str(nan), "--timeout", "nan"]) == 2
    broken = building.write(project.root / "broken.ipynb", "1 / 0")
    assert program.run(["run", str(broken), "--no-html"]) == 1
    words = capfd.readouterr().out
    assert "FAILED" in words
    assert "cell 0 (1 / 0): ZeroDivisionError: division by zero" in words


@pytest.mark.parametrize("on", [[], ["--on", "local"]])
def test_the_options_of_a_job_need_a_place_that_is_not_here(on: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["run", "any.ipynb", *on, "--job", "job.yml"]) == 2
    assert "--job says what a job needs: name its place with --on azureml:NAME" in capsys.readouterr().err
