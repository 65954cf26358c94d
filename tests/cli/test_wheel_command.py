"""The wheel of an installed package is made from where its installer noted that it came from."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import sys
from pathlib import Path

import pytest

from notebooks_lib.cli.wheel_command import wheel_command


def installed(folder: Path, origin: dict[str, object] | None) -> importlib.metadata.Distribution:
    """Return a package as an installer leaves it."""
    noted = folder / "site" / "nbops-1.dist-info"
    noted.mkdir(parents=True, exist_ok=True)
    if origin:
        (noted / "direct_url.json").write_text(json.dumps(origin))
    return importlib.metadata.Distribution.at(noted)


ORIGINS = pytest.mark.parametrize(
    ("origin", "source"),
    [
        ({"url": "file:///my%20clones/nbops", "dir_info": {"editable": True}}, "/my clones/nbops"),
        ({"url": "file:///clones/nbops", "dir_info": {}}, "/clones/nbops"),
        ({"url": "file:///w/nbops-1-py3-none-any.whl", "archive_info": {}}, "/w/nbops-1-py3-none-any.whl"),
        (
            {"url": "https://a.test/n.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
            "git+https://a.test/n.git@ab12",
        ),
        (
            {"url": "https://a.test/nbops-1.zip", "archive_info": {}, "subdirectory": "x"},
            "https://a.test/nbops-1.zip#subdirectory=x",
        ),
    ],
)
WHEEL = ["wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels"]
PIP = [sys.executable, "-m", "pip", *WHEEL]


@ORIGINS
def test_the_command_names_where_it_came_from(origin, source, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "pip")
    assert shlex.split(wheel_command(installed(tmp_path, origin))) == [*PIP, source]


@ORIGINS
def test_uv_is_used_where_there_is_no_pip(origin, source, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/bin/{name}")
    if "dir_info" in origin:
        expected = ["/bin/uv", "build", "--quiet", "--wheel", "--out-dir", "wheels", source]
        expected += ["&&", "rm", "-f", "wheels/.gitignore"]
    else:
        expected = ["/bin/uv", "tool", "run", "--python", sys.executable, "pip", *WHEEL, source]
    assert shlex.split(wheel_command(installed(tmp_path, origin))) == expected


@ORIGINS
def test_without_uv_pip_is_installed_first(origin, source, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    expected = [sys.executable, "-m", "ensurepip", "&&", *PIP, source]
    assert shlex.split(wheel_command(installed(tmp_path, origin))) == expected


def test_a_package_of_an_index_or_without_an_installer_needs_no_wheel(tmp_path):
    assert wheel_command(installed(tmp_path, None)) == wheel_command(None) == ""
