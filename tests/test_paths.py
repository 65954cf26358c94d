"""All that is made at run time lies in one folder."""

from __future__ import annotations

from pathlib import Path

from notebooks_lib.paths import Layout


def test_all_that_is_made_at_run_time_lies_in_one_folder_and_none_is_made(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    outside = {"state", "settings_file", "lock"}
    paths = {name: getattr(layout, name) for name, part in vars(Layout).items() if isinstance(part, property)}
    assert all(layout.state in path.parents for name, path in paths.items() if name not in outside)
    assert len(set(paths.values())) == len(paths)
    assert list(tmp_path.iterdir()) == []
