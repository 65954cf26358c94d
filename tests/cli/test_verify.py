"""`nbops verify`: bands are learned, a steady notebook is verified, and what is worse or broken fails."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.settings import Settings
from tests.notebooks.building import code, write

MODEL = """\
import mlflow, random, time
random.seed(seed)
mlflow.log_metric("rmse", 50 + random.random() + float(open("shift").read()))
print(time.time_ns())
"""


@pytest.mark.tracking
@pytest.mark.notebooks
def test_learn_verify_worse_broken_stale(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(project.root / "q.ipynb", code("seed: int = 0", "parameters"), code(MODEL, id="model"))
    bands, shift = project.root / "q.bands.toml", project.root / "shift"
    shift.write_text("0")
    assert run(["verify", "q.ipynb"]) == 2
    assert "nbops verify NOTEBOOK --learn" in capsys.readouterr().err

    assert run(["verify", "q.ipynb", "--learn", "--repeats", "3"]) == 0
    printed = capsys.readouterr().out
    assert "LEARNED from 3 runs: q.bands.toml" in printed
    assert "unsteady  cell 1 (model): other text in equal runs" in printed
    assert '"rmse" = { mean = 50.' in bands.read_text()

    assert run(["verify", "q.ipynb", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["metrics"][0]["outcome"]) == ("verified", "inside")
    assert answer["seeds"][0] > 2

    shift.write_text("100")
    assert run(["verify", "q.ipynb"]) == 1
    printed = capsys.readouterr().out
    assert "OUTSIDE 1 run(s) with seed " in printed
    assert "nbops verify q.ipynb --learn" in printed

    learned = bands.read_bytes()
    shift.write_text("nothing")
    for arguments in (["verify", "q.ipynb", "--allow-stale"], ["verify", "q.ipynb", "--learn"]):
        assert run(arguments) == 1
        printed = capsys.readouterr().out
        assert "FAILED in " in printed
        assert "reason    cell 1 (import mlflow, random, time): ValueError" in printed
    assert "q.bands.toml is unchanged" in printed
    assert bands.read_bytes() == learned

    write(path, code("seed: int = 0", "parameters"), code(MODEL + "1", id="model"))
    assert run(["verify", "q.ipynb"]) == 1
    assert "STALE the bands are of source " in capsys.readouterr().out
    assert run(["verify", "q.ipynb", "--allow-stale"]) == 0
    assert "STALE the bands are of source " in capsys.readouterr().out
    assert run(["compare", "sample", "--metric", "rmse:min"]) == 0
    assert "no successful run yet" in capsys.readouterr().out, "repeated runs are not ranked"


@pytest.mark.parametrize(
    ("printed", "host", "code", "last"),
    [
        (["VERIFIED 1 run(s)", "VERIFIED 1 run(s)"], "", 0, "2 of 2 verified"),
        (["STALE the bands are", "VERIFIED 1 run(s)"], "", 0, "warning 1 of 2 verified: make learn "),
        (["STALE the bands are"], "true", 0, "::warning:: 0 of 1 verified: make learn "),
        (["OUTSIDE 1 run(s)", "VERIFIED 1 run(s)"], "", 2, "warning 1 of 2 verified: make learn "),
        ([], "", 0, "no notebook has bands yet: "),
    ],
)
def test_make_verify_says_how_many_were_verified(
    printed: list[str], host: str, code: int, last: str, tmp_path: Path
) -> None:
    """The recipe is real. The command is one that prints the file and, as it does, fails with OUTSIDE."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "experimentation").mkdir()
    for name in ("requirements.lock", "pyproject.toml", ".venv/.ready"):
        (tmp_path / name).touch()
    command = tmp_path / ".venv/bin/nbops"
    command.write_text('#!/bin/sh\ncat "$3"\n! grep -q OUTSIDE "$3"\n')
    command.chmod(0o755)
    for number, text in enumerate(printed):
        (tmp_path / f"experimentation/{number}.ipynb").write_text(text + "\n")
        (tmp_path / f"experimentation/{number}.bands.toml").touch()
    makefile = Path(__file__).parents[2] / "Makefile"
    environment = {**os.environ, "GITHUB_ACTIONS": host}
    make = ["make", "--no-print-directory", "-f", str(makefile), "verify"]
    done = subprocess.run(make, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1].startswith(last)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "alpha=1"], "change the default in its parameters cell"),
        (["-f", "values.yaml"], "change the default in its parameters cell"),
        (["--learn", "--repeats", "2"], "too few to learn from: take 3 or more"),
        (["--timeout", "nan"], "write a number above 0"),
        (["--grid", "alpha=1"], "No such option"),
        ([], "unknown notebook 'q.ipynb'"),
    ],
)
def test_what_is_asked_wrongly(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "q.ipynb", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / ".nbops").exists()


def test_json_is_printed_in_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "q.ipynb", "--json", "-p", "a=1"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["error"] == "UsageError"
