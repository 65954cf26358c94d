"""`nbops ci`: a laptop runs what the workflow runs for a pull request, step by step, and leaves nothing out silently."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.__main__ import run
from notebooks_lib.cli import ci_plan
from notebooks_lib.cli.ci_plan import STEPS, plan_steps
from notebooks_lib.project_root import find_root
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, write

ROOT = find_root(Path(__file__))
MAKEFILE = """check: ; @echo checks here
test notebooks: ; @false
review: ; @echo compares with $(BASE)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one notebook and no project, with a branch `change`."""
    root = make_repository(tmp_path / "repository")
    write(root / "q.ipynb", code("x = 1\nprint(x)"))
    commit(root)
    git(root, "switch", "--quiet", "-c", "change")
    monkeypatch.chdir(root)
    return root


def rows(text: str) -> dict[str, str]:
    """The table at the end: name of a step -> the rest of its line."""
    table = text[text.rindex("step ") :].splitlines()[1 : 1 + len(STEPS)]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in table}


def test_a_failed_step_does_not_stop_the_others(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "Makefile").write_text(MAKEFILE)
    (root / "folder").mkdir()
    assert run(["ci", "main"]) == 1
    text = capfd.readouterr().out
    assert text.index("check: make check\nchecks here\n") < text.index("compares with main\n")
    assert re.fullmatch(r"make check \d\.\d s passed", rows(text)["check"])
    assert re.fullmatch(r"make notebooks \d\.\d s FAILED \(exit code 2\)", rows(text)["notebooks"])
    assert re.fullmatch(r"make review BASE=main \d\.\d s passed", rows(text)["review"])
    assert text.endswith("nbops ci: 2 passed, 2 failed, 0 left out: test, notebooks\n")


def test_a_foreign_repository_is_checked_and_reviewed(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(root / "q.ipynb", code("x = 1\nprint(y)"))
    (root / "folder").mkdir()
    with pytest.MonkeyPatch.context() as place:
        place.chdir(root / "folder")
        assert run(["ci"]) == 1
    text = capfd.readouterr().out
    assert "F821" in text
    assert {name: row.split(" left")[0] for name, row in rows(text).items() if "left out" in row} == {
        "test": "left out: there is no Makefile with a target `test`, and no tests/",
        "notebooks": "left out: there is no Makefile with a target `notebooks`",
    }
    assert re.fullmatch(r"nbops check \. \d\.\d s FAILED \(exit code 1\)", rows(text)["check"])
    assert rows(text)["review"].startswith("nbops review ")
    assert {path.name for path in root.iterdir()} == {".git", "q.ipynb", "folder"}, "nothing is left in it"


def test_without_git_or_commits_the_review_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "q.ipynb", code("x = 1\nprint(x)"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    run(["ci"])
    assert "left out: " in rows(capfd.readouterr().out)["review"]
    make_repository(tmp_path)
    run(["ci"])
    assert "has no commit yet: nothing to compare with" in rows(capfd.readouterr().out)["review"]


STEP = """import pathlib, time
try:
    pathlib.Path("started").touch()
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path("ended").touch()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_the_step_end_and_runs_no_other(root: Path, number: int) -> None:
    (root / "step.py").write_text(STEP)
    (root / "Makefile").write_text(f"check: ; @{sys.executable} step.py\ntest: ; @touch another\n")
    with subprocess.Popen([sys.executable, "-m", "notebooks_lib", "ci"], cwd=root) as process:
        while not (root / "started").exists():
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == 130
    assert (root / "ended").exists()
    assert not (root / "another").exists()


def test_an_unknown_base_is_a_usage_error_before_anything_runs(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "Makefile").write_text(MAKEFILE)
    assert run(["ci", "nowhere"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_targets_without_make_are_a_usage_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "Makefile").write_text(MAKEFILE)
    monkeypatch.setattr(ci_plan.shutil, "which", lambda name: None)
    assert run(["ci"]) == 2
    assert "make is not installed" in capfd.readouterr().err


def test_targets_are_read_as_make_writes_them(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("check := x\n#test: a\n\ttest: b\nreview:: c\n\t@true\nnotebooks other : ## d\n")
    commands = {step.name: step.command[:2] for step in plan_steps(tmp_path, "")}
    assert commands == {
        "check": ("nbops", "check"),
        "test": (),
        "notebooks": ("make", "notebooks"),
        "review": ("make", "review"),
    }


def workflow_commands(path: str) -> list[str]:
    """The commands of the jobs of a pull request that are make targets, from the file of the workflow."""
    content: dict[str, Any] = yaml.safe_load((ROOT / path).read_text("utf-8"))
    jobs = content["jobs"].values() if "jobs" in content else content["stages"][0]["jobs"]
    lines = [step.get("run") or step.get("bash") or "" for job in jobs for step in job["steps"]]
    return [line for step in lines for line in step.splitlines() if line.startswith("make ")]


@pytest.mark.parametrize("path", [".github/workflows/pull-request.yml", ".ci/azure-pipelines-pull-request.yml"])
@pytest.mark.parametrize("project", ["", "notebooks_lib/cli/project"], ids=["this project", "that of nbops init"])
def test_the_workflows_run_the_same_commands(path: str, project: str) -> None:
    here = [" ".join(step.command) for step in plan_steps(ROOT / project, "origin/main")]
    there = [re.sub(r'BASE="origin/\S+"', "BASE=origin/main", command) for command in workflow_commands(path)]
    assert there == here == ["make check", "make test", "make notebooks", "make review BASE=origin/main"]
