"""Snapshots: what git tracks, .amlignore obeyed, nbops itself with its entry points, and a limit."""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import notebooks_lib
from notebooks_lib import errors
from notebooks_lib.azure.assets import snapshot
from notebooks_lib.azure.assets.snapshot import UNCOMMITTED, take_snapshot, wheel_path

CONNECTION = "STORE = 'https://ci:" + "n0t-for-git-9f2@mlflow.acme.io'"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a tracked file, a changed one, a new one, and what must never be sent."""
    root = tmp_path / "project"
    for path in (
        "a.py",
        "sub/b.py",
        ".venv/lib/c.py",
        ".nbops/mlflow.db",
        "data/large.csv",
        "ignored.txt",
        "__pycache__/a.pyc",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / ".gitignore").write_text("ignored.txt\n")
    for command in (
        ["init", "-q"],
        ["add", "a.py", "sub", ".gitignore"],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "a.py").write_text("changed")
    return root


def add(root: Path, *paths: str) -> None:
    subprocess.run(["git", "add", *paths], cwd=root, check=True)


def test_it_holds_what_git_tracks_as_it_is_now_and_tells_what_else_there_is(root: Path) -> None:
    (root / "new.py").write_text("x = 1")
    taken = take_snapshot(root, always=[root / "new.py"])
    files = taken.files

    assert taken.untracked == ("data/large.csv",)
    assert sorted(files) == sorted([".gitignore", "a.py", "new.py", "sub/b.py", wheel_path()])
    assert files["a.py"] == b"changed"


def test_amlignore_is_obeyed_also_for_tracked_files_but_not_for_what_a_run_needs(root: Path) -> None:
    (root / ".amlignore").write_text("# large\ndata/\n__pycache__/\n*.py\n!a.py\n")
    add(root, ".")

    assert sorted(take_snapshot(root).files) == sorted([".amlignore", ".gitignore", "a.py", wheel_path()])
    assert "sub/b.py" in take_snapshot(root, always=[root / "sub" / "b.py"]).files


def test_without_git_it_holds_every_file_but_environments_and_runs(tmp_path: Path) -> None:
    for path in ("a.py", ".venv/lib/c.py", ".nbops/mlflow.db", "notes/b.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / ".amlignore").write_text("notes/\n")

    assert sorted(take_snapshot(tmp_path).files) == sorted([".amlignore", "a.py", wheel_path()])
    risky = {".env": "KEY=1", ".aws/credentials": "[default]", "data/sales.csv": "1", "conf.py": CONNECTION}
    for path, text in risky.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    taken = take_snapshot(tmp_path)
    assert sorted(taken.files) == sorted([".amlignore", "a.py", wheel_path()])
    assert taken.untracked == tuple(sorted(risky))


def git_that(folder: Path, does: str) -> str:
    """A search path with a git of ours alone."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{does}\n")
    (folder / "git").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_in_a_hook_the_index_of_the_commit_does_not_hide_what_amlignore_names(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".amlignore").write_text("sub/\n")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")  # as git sets it for `pre-commit`
    monkeypatch.setenv("GIT_DIR", ".git")
    assert sorted(take_snapshot(root).files) == sorted([".gitignore", "a.py", wheel_path()])
    assert sorted(take_snapshot(root / "sub").files) == sorted(["b.py", wheel_path()])


def test_without_gits_answer_nothing_is_sent(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dubious = 'echo "fatal: detected dubious ownership in repository" >&2; exit 128'
    with monkeypatch.context() as changed:
        changed.setenv("PATH", git_that(tmp_path / "refuses", dubious))
        with pytest.raises(errors.UsageError, match=r"which files of .* \(fatal: detected dubious ownership"):
            take_snapshot(root / "sub")
    with monkeypatch.context() as changed:
        changed.setenv("PATH", git_that(tmp_path / "slow", "exec sleep 5"))
        with pytest.raises(errors.UsageError, match=r"nothing is sent \(git takes longer than 0.2 s\)"):
            snapshot._git(root, "nothing is sent", "ls-files", seconds=0.2)
    (root / ".git" / "index").write_bytes(b"broken" * 10)
    with pytest.raises(errors.UsageError, match="index file"):
        take_snapshot(root)


def test_an_amlignore_that_git_cannot_read_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("a")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "a.py" in take_snapshot(tmp_path).files

    (tmp_path / ".amlignore").write_text("notes/\n")
    with pytest.raises(
        errors.UsageError, match="install or mend git, or remove the file .git cannot be started: No such"
    ):
        take_snapshot(tmp_path)


def test_a_link_that_leads_outside_is_left_out_and_told_of(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not of the project")
    (root / "outside").symlink_to(tmp_path / "secret.txt")
    (root / "inside").symlink_to(root / "a.py")
    (root / "folder").symlink_to(root / "sub")
    (root / "harmless.txt").symlink_to(root / "ignored.txt")
    add(root, "outside", "inside", "folder", "harmless.txt")
    taken = take_snapshot(root)

    assert taken.files["inside"] == b"changed"
    assert taken.left_out == (
        "folder is a link to a folder, or a repository of its own",
        "harmless.txt links to ignored.txt, which is not sent",
        "outside leads outside the project",
    )


def test_what_is_not_committed_is_sent_of_no_other_file(root: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    root.rename(tmp_path / "inner")
    outer.mkdir()
    root = (tmp_path / "inner").rename(outer / "inner")
    shutil.rmtree(root / ".git")
    for path in ("elsewhere.txt", "inner/customers.csv", "inner/gone.py", "inner/gr\u00fcn [1].py"):
        (outer / path).write_text("before\n")
    (root / ".amlignore").write_text("customers.csv\n")
    subprocess.run(["git", "init", "-q"], cwd=outer, check=True)
    add(outer, ".")
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all"], cwd=outer, check=True)
    (outer / "elsewhere.txt").write_text("secret outside\n")
    (root / "customers.csv").write_text("secret customers\n")
    (root / "gone.py").unlink()
    (root / "sub" / "b.py").write_bytes(b"changed \xe9\n")
    (root / "gr\u00fcn [1].py").write_text("after\n")
    for name in ("n.ipynb", "notes of customers.txt"):
        (root / name).write_text("new")
    diff = take_snapshot(root, always=[root / "n.ipynb"], uncommitted=True).files[UNCOMMITTED].decode()

    assert diff.startswith("# untracked: inner/n.ipynb\ndiff --git ")
    assert [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-before",
        "+after",
        "-sub/b.py",
        "+changed \ufffd",
    ]
    assert not re.search("customers|elsewhere|gone", diff)


def test_what_git_tracks_is_sent_from_any_folder_but_never_from_an_environment_or_runs(root: Path) -> None:
    kept = ("venv/a.py", "mlruns/a.txt", "node_modules/own/a.js", "sub/__pycache__/notes.txt")
    never = (".nbops/mlflow.db", ".venv/lib/c.py", "sub/.venv/d.py", "sub/.venv/e.py")
    odd = os.fsdecode(b"caf\xe9.csv")
    for path in (*kept, *never, odd, "venv/untracked.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path.encode("utf-8", "replace").decode())
    add(root, *kept, *never, odd)
    taken = take_snapshot(root)

    assert set(kept) < set(taken.files)
    assert not {*never, odd, "venv/untracked.py"} & set(taken.files)
    assert taken.left_out == (
        ".nbops is never sent, even if git tracks it",
        ".venv is never sent, even if git tracks it",
        f"{odd} has a name that is not UTF-8",
        "sub/.venv is never sent, even if git tracks it",
    )
    with pytest.raises(errors.UsageError, match=r"the job needs .nbops/executed.ipynb, but .nbops is never sent"):
        take_snapshot(root, always=[root / ".nbops" / "executed.ipynb"])


def test_the_same_content_has_the_same_name(root: Path) -> None:
    first = take_snapshot(root).sha256
    (root / "a.py").write_text("changed")

    assert take_snapshot(root).sha256 == first
    assert take_snapshot(root, uncommitted=True).sha256 != first
    (root / "a.py").write_text("changed again")
    assert take_snapshot(root).sha256 != first


def test_what_is_too_large_is_refused_with_the_five_largest_files(root: Path) -> None:
    for number in range(1, 7):
        (root / f"f{number}.bin").write_bytes(b"x" * number * 200_000)
    add(root, ".")

    with pytest.raises(errors.UsageError) as refused:
        take_snapshot(root, limit_mb=1)
    named = re.findall(r"(f\d)\.bin \([\d.]+ MB\)", str(refused.value))
    assert named == ["f6", "f5", "f4", "f3", "f2"]
    assert "4.0 MB, and a job is sent 1 MB at most" in str(refused.value)
    assert "set snapshot_mb under [azure]" in str(refused.value)


def test_a_notebook_outside_the_project_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="lies outside the project"):
        take_snapshot(root, always=[tmp_path / "n.ipynb"])


def test_the_wheel_brings_nbops_and_its_entry_points(tmp_path: Path) -> None:
    wheel = snapshot.nbops_wheel()
    assert snapshot.nbops_wheel() == wheel
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        archive.extractall(tmp_path)
    (distribution,) = importlib.metadata.distributions(path=[str(tmp_path)])

    assert {(entry.group, entry.name) for entry in distribution.entry_points} >= {
        ("jupyter_client.kernel_provisioners", "nbops-warm"),
        ("mlflow.run_context_provider", "nbops"),
    }
    code = "import notebooks_lib.azure.project_files.file_schema as m; m._validator('job'); print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "notebooks_lib" / "azure" / "project_files" / "file_schema.py")
    assert distribution.version == notebooks_lib.__version__
    score = Path(notebooks_lib.__file__).parents[1] / "production" / "scoring" / "score.py"
    assert (tmp_path / "notebooks_lib" / "serving" / "score.py").read_bytes() == score.read_bytes(), "a job may deploy"
