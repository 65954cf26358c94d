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


@pytest.mark.parametrize(
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
def test_the_command_names_where_it_came_from(origin, source, tmp_path):
    expected = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", source]
    assert shlex.split(wheel_command(installed(tmp_path, origin))) == expected


def test_a_package_of_an_index_or_without_an_installer_needs_no_wheel(tmp_path):
    assert wheel_command(installed(tmp_path, None)) == wheel_command(None) == ""
