"""The command line: every command has help and a place in the README, and every outcome has its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib import errors
from notebooks_lib.cli import main
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
        ["profile", "--help"],
        ["azure", "check", "--help"],
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


@pytest.mark.parametrize("command", ["check", "clean", "init", "review", "run", "diff", "verify"])
def test_a_name_that_no_file_can_have_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run([command, "a" * 300]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 300 + 200


def test_a_closed_standard_input_is_an_empty_one() -> None:
    command = f"{sys.executable} -m notebooks_lib clean - <&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("nbops clean: left unchanged: not a notebook: not JSON")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_or_closed_standard_output_is_one_line() -> None:
    command = f"{sys.executable} -m notebooks_lib check --rules"
    for redirect, code, words in ((">/dev/full", 1, "disk is full"), (">&-", 2, "is closed")):
        done = subprocess.run(f"{command} {redirect}", shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert words in done.stderr
