"""The command line: every command has help and a place in the README, and every outcome has its exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from notebooks_lib import __main__ as program
from notebooks_lib import errors
from notebooks_lib.cli import main, output
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store
from tests import building

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help_and_is_in_the_readme(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"nbops {name}" in text
    assert len(text.splitlines()) > 5
    assert f"nbops {name}" in (ROOT / "README.md").read_text()


def test_help_and_usage_errors_import_nothing_heavy(tmp_path: Path) -> None:
    path = building.write(tmp_path / "n.ipynb", "1", parameters="alpha: float = 1.0")
    for arguments in (
        ["--help"],
        ["rum"],
        ["run", str(path), "-p", "alpa=1"],
        ["run", "nothing.ipynb"],
        ["promote", "-x"],
        ["profile", "any", "--cpu", "0"],
    ):
        code = (
            f"import sys\nfrom notebooks_lib.__main__ import run\nrun({arguments!r})\n"
            "heavy = {'mlflow', 'papermill', 'pandas', 'sklearn', 'numpy', 'azure', 'fastapi', 'pydantic'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["promot"]) == 2
    assert "unknown command 'promot', did you mean 'promote'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.UsageError("said wrongly"), 2),
        (errors.TrackingError("is away"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
    ],
)
def test_known_errors_are_one_line_without_traceback(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(program.command, "main", fail)
    assert program.run(["doctor"]) == code
    if isinstance(raised, errors.NbopsError):
        assert capsys.readouterr().err == f"nbops: {raised}\n"


def test_unexpected_errors_show_their_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(program.command, "main", fail)
    assert program.run(["doctor"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith("ZeroDivisionError\n")


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


@pytest.mark.tracking
@pytest.mark.notebooks
def test_doctor_passes_and_gives_a_remedy_for_a_fault(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert str(project.layout.database) in told
    monkeypatch.setenv("NBOPS_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert program.run(["doctor", "--json"]) == 1
    findings = {found["what"]: found for found in json.loads(capsys.readouterr().out)["findings"]}
    assert not findings["tracking"]["ok"]
    assert "production/settings.toml" in findings["tracking"]["advice"]


def test_table_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "value"), [("a", 1.5), ("long name", 22.25)])
    assert click.unstyle(capsys.readouterr().out) == "name       value\na            1.5\nlong name  22.25\n"


@pytest.mark.tracking
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["metric=rmsee"], "did you mean 'rmse'?"),
        (["experiment=diabetez"], "unknown experiment 'diabetez', did you mean 'diabetes'?"),
        (["min_gain=-1"], "min_gain"),
        (["dry_run=false"], "--live"),
    ],
)
def test_a_usage_error_of_promote_starts_nothing(
    given: list[str], message: str, project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "production" / "promote.ipynb", project.root / "production")
    store.connect(project).experiment_id("diabetes")
    assert program.run(["promote", *(word for pair in given for word in ("-p", pair))]) == 2
    assert message in capsys.readouterr().err
    assert not project.layout.executed.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_or_closed_standard_output_is_one_line() -> None:
    command = f"{sys.executable} -m notebooks_lib check --rules"
    for redirect, code, words in ((">/dev/full", 1, "disk is full"), (">&-", 2, "is closed")):
        done = subprocess.run(f"{command} {redirect}", shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert words in done.stderr
