"""The root of a project is the nearest marked folder upwards; finding it loads no settings."""

from __future__ import annotations

from pathlib import Path

from notebooks_lib import project_root


def test_the_root_is_the_nearest_folder_upwards_that_is_marked(tmp_path: Path) -> None:
    root = tmp_path / "a"
    (root / "production").mkdir(parents=True)
    (root / "production" / "settings.toml").touch()
    deep = root / "b" / "c"
    deep.mkdir(parents=True)
    assert project_root.find_root(deep / "n.ipynb") == root
    (deep / "pyproject.toml").write_text("[tool.nbops]\n")
    assert project_root.find_root(deep) == deep
    (deep / "pyproject.toml").write_text("[tool.other]\n")
    assert project_root.find_root(deep) == root
    assert project_root.find_root(tmp_path, fallback=deep) == deep
