"""A base with another lock runs in its own environment, made once; one that cannot be made leaves nothing."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.errors import NbopsError
from notebooks_lib.paths import Layout
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.base_environment import FOLDER, check_shared_store, find_python, has_lock_installed
from tests.notebooks.building import code, write


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Layout]:
    monkeypatch.setenv("UV_OFFLINE", "1")
    base, head = tmp_path / "base", tmp_path / "head"
    base.mkdir()
    head.mkdir()
    (head / "requirements.lock").write_text("# head\n")
    return base, Layout(head)


def test_no_lock_or_the_same_one_needs_no_environment(folders: tuple[Path, Layout]) -> None:
    base, head = folders
    assert find_python(base, head) == sys.executable
    shutil.copy(head.lock, base)
    assert find_python(base, head) == sys.executable
    assert not head.state.exists()


def test_an_environment_is_made_once(folders: tuple[Path, Layout]) -> None:
    base, head = folders
    (base / "requirements.lock").write_text("# base\n")
    lines: list[str] = []
    python = find_python(base, head, lines.append)
    assert lines == ["the base has another requirements.lock: its environment is made once, which can take minutes"]
    code = "import sys; print(sys.prefix != sys.base_prefix, sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"True {sys.version_info[:2]}"
    assert find_python(base, head, lines.append) == python
    assert len(lines) == 1
    (head.state / FOLDER).joinpath(Path(python).parents[1].name, ".ready").unlink()
    Path(python).parents[1].joinpath("half").touch()
    assert find_python(base, head, lines.append) == python, "one that a kill left half made is made anew"
    assert not Path(python).parents[1].joinpath("half").exists()


def test_a_lock_that_does_not_install_is_one_line_and_leaves_nothing(folders: tuple[Path, Layout]) -> None:
    base, head = folders
    (base / "requirements.lock").write_text("no-such-package-of-anybody==1.0\n")
    lines: list[str] = []
    for _ in range(3):  # once for each notebook
        with pytest.raises(
            NbopsError, match=r"^the environment of the base's lock cannot be made: .*no-such-package"
        ) as caught:
            find_python(base, head, lines.append)
        assert "\n" not in str(caught.value)
    assert len(lines) == 1, "it is tried once"
    assert [path.suffix for path in (head.state / FOLDER).iterdir()] == [".lock"]


def test_a_new_run_has_the_packages_of_its_lock_unless_lines_of_it_cannot_be_read(
    folders: tuple[Path, Layout],
) -> None:
    base, head = folders
    write(base / "q.ipynb", code("pass"))
    source = NotebookSource.read(base, "q.ipynb")
    for lock, has in (("numpy==1.0.0", True), ("numpy>=1", False), (head.lock.read_text(), True)):
        (base / "requirements.lock").write_text(lock)
        assert has_lock_installed(source, head) == has, lock
    for lock in (base / "requirements.lock", head.lock):
        lock.write_text("numpy==1.0.0")
    assert not has_lock_installed(source, head), "this environment has another version"
    write(base / "q.ipynb", code("1"), metadata={"kernelspec": {"name": "none", "language": "julia"}})
    assert not has_lock_installed(NotebookSource.read(base, "q.ipynb"), head), "no kernel runs it"


def test_two_versions_of_mlflow_never_share_a_database(folders: tuple[Path, Layout]) -> None:
    base, _ = folders
    check_shared_store(base, "sqlite:///mlflow.db")  # it has no lock
    (base / "requirements.lock").write_text(f"mlflow=={importlib.metadata.version('mlflow')}\n")
    check_shared_store(base, "sqlite:///mlflow.db")
    (base / "requirements.lock").write_text("mlflow==2.9.2 \\\n    --hash=sha256:00\n")
    check_shared_store(base, "http://tracking.example")
    with pytest.raises(NbopsError, match="the base pins mlflow 2.9.2, .* set .tracking. uri to a tracking server"):
        check_shared_store(base, "sqlite:///mlflow.db")


def test_uv_beside_this_python_needs_no_activated_environment(
    folders: tuple[Path, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, head = folders
    (base / "requirements.lock").write_text("# base\n")
    monkeypatch.setenv("PATH", str(base))
    assert Path(find_python(base, head)).is_file()


def test_without_uv(folders: tuple[Path, Layout], monkeypatch: pytest.MonkeyPatch) -> None:
    base, head = folders
    (base / "requirements.lock").write_text("# base\n")
    monkeypatch.setenv("PATH", str(base))
    monkeypatch.setattr(sys, "executable", str(base / "python"))
    with pytest.raises(NbopsError, match="made by uv, which is not installed"):
        find_python(base, head)
