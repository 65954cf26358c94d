"""After a save git knows a notebook again that its filter makes equal; nothing is ever staged."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from notebooks_lib import jupyter_git_index
from notebooks_lib.cli import git_setup


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git("init", "-q")
    git("config", "filter.short.clean", "head -n 1")
    Path(".gitattributes").write_text("*.ipynb filter=short\n")
    Path("a.ipynb").write_text("one\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "First")
    return tmp_path


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


def test_a_file_that_the_filter_makes_equal_is_clean_after_a_save(repository: Path) -> None:
    Path("a.ipynb").write_text("one\ntwo\n")
    assert git("status", "--porcelain") == " M a.ipynb\n"
    assert jupyter_git_index.after_save({"type": "file"}, str(repository / "a.ipynb")) is None
    assert git("status", "--porcelain") == " M a.ipynb\n"
    thread = jupyter_git_index.after_save({"type": "notebook"}, str(repository / "a.ipynb"), contents_manager=None)
    assert thread is not None
    thread.join(30)
    assert git("status", "--porcelain") == ""


def test_nothing_is_staged(repository: Path) -> None:
    Path("a.ipynb").write_text("another\n")
    Path("b.ipynb").write_text("new\n")
    for name in ("a.ipynb", "b.ipynb", "missing.ipynb"):
        jupyter_git_index.refresh_index(repository / name)
    assert git("status", "--porcelain") == " M a.ipynb\n?? b.ipynb\n"


def test_outside_a_repository_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    jupyter_git_index.refresh_index(tmp_path / "a.ipynb")
    monkeypatch.setenv("PATH", "")
    jupyter_git_index.refresh_index(tmp_path / "a.ipynb")


def test_a_jupyter_server_finds_the_extension_and_calls_it_after_a_save(repository: Path, tmp_path: Path) -> None:
    from jupyter_server.extension.config import ExtensionConfigManager
    from jupyter_server.extension.manager import ExtensionPackage
    from jupyter_server.services.contents.filemanager import FileContentsManager

    assert list(git_setup.set_up_jupyter(tmp_path / "etc"))
    (name,) = ExtensionConfigManager(read_config_path=[str(tmp_path / "etc")]).get_jpserver_extensions()
    (point,) = ExtensionPackage(name=name, enabled=True).extension_points.values()
    server = SimpleNamespace(contents_manager=FileContentsManager(root_dir=str(repository)))
    point.module._load_jupyter_server_extension(server)
    git("config", "filter.short.clean", "echo one")
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    before = set(threading.enumerate())
    server.contents_manager.save({"type": "notebook", "content": notebook, "format": "json"}, "a.ipynb")
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert len(Path("a.ipynb").read_text()) > len("one\n"), "it was saved"
    assert git("status", "--porcelain", "a.ipynb") == ""
