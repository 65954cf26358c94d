"""`nbops init` makes a project whose checks pass, touches nothing that is there, and completes what was cut short."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import notebooks_lib
from notebooks_lib.__main__ import run
from notebooks_lib.cli import project_files
from notebooks_lib.cli.wheel_command import wheel_command
from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.parameter_schema import read_schema
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, write

ROOT = Path(__file__).parents[2]
MADE = {
    *("Makefile", "README.md", "pyproject.toml", ".gitignore", ".gitattributes", ".pre-commit-config.yaml"),
    *(".github/workflows/pull-request.yml", ".github/workflows/pull-request-comment.yml"),
    *(".ci/azure-pipelines-pull-request.yml", ".ci/azure-steps-comment.yml", ".ci/azure-steps-setup.yml"),
    *(".vscode/extensions.json", ".vscode/settings.json"),
    *("experimentation/first_question.ipynb", "production/promote.ipynb", "production/settings.toml"),
    "tests/test_notebooks.py",
}


def files(folder: Path) -> dict[str, bytes]:
    """Return path -> content of all files in a folder, without git's own."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_fresh_project_passes_its_check_and_names_no_machine(tmp_path, capsys, monkeypatch):
    assert run(["init", "My Churn!"]) == 0
    printed = capsys.readouterr().out.splitlines()
    project = tmp_path / "My Churn!"
    made = files(project)
    assert set(made) == MADE == {line.split(maxsplit=1)[1] for line in printed if line.startswith("made")}
    build = wheel_command(importlib.metadata.distribution("nbops"))
    commands = ["cd 'My Churn!'", "git init", *([build] if build else []), "make setup run test check"]
    assert printed[-1] == f"next     {' && '.join(commands)}"
    text = b"\n".join(made.values()).decode()
    assert str(tmp_path) not in text
    assert "{{" not in text.replace("${{", "")
    addresses = set(re.findall(r"https?://[^\s/\"`')]+", text)) - {"http://127.0.0.1:5000"}
    assert {address for address in addresses if "pypi" in address or "index" in address} == set()
    pyproject = tomllib.loads(made["pyproject.toml"].decode())
    assert pyproject["project"]["name"] == "my-churn"
    assert f"nbops=={notebooks_lib.__version__}" in pyproject["project"]["dependencies"]
    assert json.loads(made[".vscode/settings.json"])["python.testing.pytestArgs"] == ["tests"]
    monkeypatch.chdir(project)
    assert run(["check"]) == 0
    defaults = {one.name: one.default for one in read_schema(document.read("production/promote.ipynb")).parameters}
    assert (defaults["experiment"], defaults["metric"]) == ("first_question", "brier")
    Path("wheels").mkdir()
    Path("wheels/nbops-1-py3-none-any.whl").touch()
    assert run(["init", "."]) == 0
    printed = capsys.readouterr().out
    assert "nothing to do: all files are there" in printed
    assert printed.endswith("\nnext     git init && make setup run test check\n"), "what is done is not asked for again"
    shutil.rmtree("wheels")
    assert files(project) == made


def test_a_workflow_calls_targets_that_the_project_has(tmp_path):
    assert run(["init", "project"]) == 0
    targets = set(re.findall(r"^([a-z]+):", Path("project/Makefile").read_text(), re.MULTILINE))
    for path in (".github/workflows/pull-request.yml", ".ci/azure-pipelines-pull-request.yml"):
        text = Path("project", path).read_text()
        called = set(re.findall(r"^ +(?:- )?(?:(?:run|bash): )?make ([a-z]+)", text, re.MULTILINE))
        assert called == {"check", "test", "notebooks", "review"}
        assert called <= targets
    for name in ("Makefile", "README.md"):
        commands = re.findall(r"nbops ([a-z]+) ", Path("project", name).read_text())
        assert commands
        assert all((ROOT / "notebooks_lib" / "cli" / f"{command}.py").exists() for command in commands)


def test_what_a_repository_has_stays_and_is_listed(tmp_path, capsys):
    root = make_repository(tmp_path / "theirs")
    own = {"README.md": "mine", ".gitignore": "*.log\n.nbops/\n", "Makefile": "run:\n\techo\n"}
    own |= {"pyproject.toml": '[project]\nname = "theirs"\n', "production/settings.toml": '[project]\nname = "x"\n'}
    for path, text in own.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    write(root / "lessons" / "one.ipynb", md("# One"), code("1"))
    commit(root)
    before = files(root)
    assert run(["init", "theirs"]) == 0
    printed = capsys.readouterr().out
    after = files(root)
    assert {path: after[path] for path in before} == before
    assert set(after) - set(before) == (MADE | {"requirements.in"}) - set(own)
    assert git(root, "diff", "--name-only") == ""
    filtered = git(root, "check-attr", "filter", "lessons/one.ipynb", "experimentation/a.ipynb", "production/b/c.ipynb")
    assert [line.rpartition(" ")[2] for line in filtered.splitlines()] == ["unspecified", "nbops", "nbops"]
    for line in (
        "kept     README.md, which was there\n",
        "kept     .gitignore, which was there: add .venv/, __pycache__/, .pytest_cache/, .ipynb_checkpoints/, /data/\n",
        "kept     Makefile, which was there: it has no target help, setup, notebooks, test, check, review, lock, clean\n",
        "kept     pyproject.toml, which was there\n",
        "1 notebook is elsewhere: make run, test and check leave them alone",
        "next     cd theirs && ",
    ):
        assert line in printed


def test_below_the_root_of_a_repository_there_are_no_workflows(tmp_path, capsys):
    root = make_repository(tmp_path / "theirs")
    assert run(["init", "theirs/churn"]) == 0
    assert f"left out .github, .ci and .pre-commit-config.yaml: they belong to the repository's root, {root}" in (
        capsys.readouterr().out
    )
    assert set(files(root / "churn")) == {
        path for path in MADE if not path.startswith((".github", ".ci", ".pre-commit"))
    }


def test_what_is_in_the_way_is_one_line_and_nothing_is_written(tmp_path, capsys):
    Path("file").write_text("mine")
    Path("one").mkdir()
    Path("one/experimentation").write_text("mine")
    Path("two").mkdir()
    Path("two/production").symlink_to(tmp_path)
    before = files(tmp_path)
    for folder, said in (
        ("file", "file is a file; name a folder"),
        ("file/below", "file is a file where a folder is needed"),
        ("one", "experimentation is a file where a folder is needed"),
        ("two", "out of the project"),
        ("/proc/nbops", "cannot be written"),
    ):
        assert run(["init", folder]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert files(tmp_path) == before


def test_an_empty_path_is_not_the_current_folder(tmp_path, capsys):
    notebook = write(tmp_path / "n.ipynb", code("x", execution_count=7))
    before = files(tmp_path)
    for arguments in (["init"], ["clean"], ["check", "--fix"]):
        assert run([*arguments, ""]) == 2
        assert "found an empty path; `.` is the current folder" in capsys.readouterr().err
    assert files(tmp_path) == before, notebook


def test_a_folder_that_looks_like_an_option_and_a_damaged_file(tmp_path, capsys):
    Path("-x").mkdir()
    Path("-x/pyproject.toml").write_text("[project\nname = nbops")
    assert run(["init", "--", "-x"]) == 0
    printed = capsys.readouterr().out
    assert "\nnext     cd ./-x && " in printed
    assert "kept     pyproject.toml, which was there: it is no TOML: Expected ']'" in printed


def test_after_a_kill_in_the_middle_a_second_call_completes_it(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "README.md").write_text("mine")
    killed = (
        "import os, signal\nfrom notebooks_lib.__main__ import run\nlink, done = os.link, []\n"
        "def counted(*paths):\n    if len(done) == 3:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(link(*paths))\nos.link = counted\nrun(['init', 'project'])"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    (scratch,) = root.glob(".nbops-init-*")
    assert len(files(root)) - len(files(scratch)) == 1 + 3
    assert run(["init", "project"]) == 0
    assert set(files(root)) == MADE, "and nothing of the first call is left"
    assert (root / "README.md").read_text() == "mine"
    fresh = project_files.contents(root)
    assert {path: text for path, text in files(root).items() if path != "README.md"} == {
        path: fresh[path].encode() for path in MADE - {"README.md"}
    }


def test_a_full_disk_leaves_what_was_there(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "README.md").write_text("mine")
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))\n"
        "from notebooks_lib.__main__ import main; main(['init', 'project'])"
    )
    command = [sys.executable, "-B", "-c", limited]  # bytecode that is cut would stay in this tree
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("cannot be written: File too large; what was there is as it was")
    assert files(root) == {"README.md": b"mine"}
    assert list(root.iterdir()) == [root / "README.md"]


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", ["empty", "repository"])
def test_a_project_made_by_an_installed_nbops_runs_tests_and_checks(place, tmp_path):
    uv = shutil.which("uv", path=os.fspath(Path(sys.executable).parent)) or "uv"
    ours = {"VIRTUAL_ENV", "UV_FIND_LINKS", "PYTHONDONTWRITEBYTECODE", "JUPYTER_PATH", "IPYTHONDIR"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    path = os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if Path(part) != Path(sys.executable).parent)
    environment = {**kept, "PATH": path}

    def do(*command: object, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    do(uv, "venv", "--quiet", "--seed", "--python", sys.executable, "fresh")
    install = (uv, "pip", "install", "--quiet", "--python", "fresh/bin/python")
    project = tmp_path / "project"
    if place == "empty":  # nbops from a clone: the last line that is printed works as it stands
        do(*install, ROOT)
        last = do("fresh/bin/nbops", "init", "project").splitlines()[-1]
        do("bash", "-c", last.removeprefix("next "))
        commit(project)
        assert git(project, "ls-files", "wheels").endswith("-none-any.whl"), "CI has the wheel too"
    else:
        (tmp_path / "links").mkdir()
        environment["UV_FIND_LINKS"] = str(tmp_path / "links")
        do(uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", "links", ROOT)
        do(*install, f"nbops=={notebooks_lib.__version__}")
        make_repository(project)
        output = {"output_type": "stream", "name": "stdout", "text": "1"}
        write(project / "lessons" / "one.ipynb", code("print(1)", outputs=[output], execution_count=1))
        (project / "README.md").write_text("mine")
        (project / "pyproject.toml").write_text("[tool.theirs]\n")
        commit(project)
        do("fresh/bin/nbops", "init", "project")
        commit(project)
        for target in ("setup", "run", "test", "check"):
            do("make", target, cwd=project)
    assert git(project, "status", "--porcelain").strip() == ("" if place == "empty" else "?? requirements.lock")
    lock = (project / "requirements.lock").read_text()
    assert str(tmp_path) not in lock
    assert not re.search(r"https?://|--find-links|--index", lock)
    assert json.loads(
        do(project / ".venv/bin/nbops", "review", "--json", "HEAD~1" if place == "repository" else "HEAD", cwd=project)
    )
