"""A run carries its commit, or it is said why not; and what nbops keeps is no change of anybody's project."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from notebooks_lib.paths import Layout
from notebooks_lib.settings import load
from notebooks_lib.tracking import provenance, store
from tests.git_commands import commit, git, make_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "study"
    root.mkdir()
    (root / "n.ipynb").write_text("{}")
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one")
    return root


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout


def test_what_nbops_keeps_makes_no_repository_dirty(repository: Path) -> None:
    layout = load(repository, {}).layout
    store.make_state(layout)
    layout.database.touch()
    assert _git(repository, "status", "--short") == ""
    (layout.state / ".gitignore").unlink()  # of a version that did not write one
    found = provenance.git_state(repository)
    assert found is not None
    assert (found.dirty, found.diff) == (False, "")


@pytest.mark.parametrize("folder", ["", "a/b"])
def test_bytecode_makes_no_repository_dirty(folder: str, repository: Path) -> None:
    """A run that imports a helper writes it, so that the next one would be from no commit."""
    compiled = repository / folder / "__pycache__" / "helpers.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.touch()
    assert "__pycache__" in _git(repository, "status", "--short", "--untracked-files=all")
    state = provenance.git_state(repository)
    assert state is not None
    assert (state.dirty, state.diff) == (False, "")


@pytest.mark.parametrize("hidden", ["all", "none"])
def test_a_change_in_a_submodule_does_whatever_gitmodules_says(hidden: str, repository: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library")
    (library / "helper.py").write_text("x = 1\n")
    commit(library)
    git(repository, "submodule", "--quiet", "add", str(library), "lib")
    git(repository, "config", "--file", ".gitmodules", "submodule.lib.ignore", hidden)
    commit(repository)
    state = provenance.git_state(repository)
    assert state is not None
    assert not state.dirty
    (repository / "lib" / "helper.py").write_text("x = 2\n")
    state = provenance.git_state(repository)
    assert state is not None
    assert state.dirty
    assert "lib" in state.diff


@pytest.mark.parametrize("name", ["new.py", "n.ipynb", "nbops.txt", "a/.nbops.py"])
def test_any_other_change_does(name: str, repository: Path) -> None:
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("x = 1")
    below = repository / "below"  # a project within a repository: what lies beside it counts, too
    below.mkdir()
    for root in (repository, below):
        found = provenance.git_state(root)
        assert found is not None
        assert found.dirty


def test_a_commit_that_git_does_not_tell_is_told_with_the_way_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert provenance.git_state(repository) is None
    assert "dubious ownership" in caplog.text
    assert f"git config --global --add safe.directory {repository}" in caplog.text


def test_nor_is_git_missing_in_silence(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git_state(repository) is None
    assert "git is not installed" in caplog.text


def test_where_there_is_no_commit_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert provenance.git_state(tmp_path) is None
    _git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) is None
    assert caplog.text == ""


def test_packages_in_another_version_than_the_lock_are_named(tmp_path: Path) -> None:
    layout, installed = Layout(tmp_path), importlib.metadata.version("numpy")
    assert provenance.lock_installed(layout) == ""
    layout.lock.write_text(f"numpy=={installed}\nnot-installed==1\n")
    assert provenance.lock_installed(layout) == "true"
    layout.lock.write_text("numpy==1.0.0 \\\n    --hash=sha256:00\n")
    assert provenance.lock_installed(layout) == f"numpy {installed}, locked 1.0.0"
    layout.lock.write_text("numpy==1.0.0  # via pandas\nnot-installed>=1\n")
    assert provenance.lock_installed(layout) == f"numpy {installed}, locked 1.0.0"
    layout.lock.write_text(f"numpy=={installed}\nnot-installed>=1\n")
    assert provenance.lock_installed(layout) == "not known: 1 of its lines pins no version"
