"""The modules that a project's kernels have imported are kept in a file, which may be broken or unwritable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib.kernels import import_history


def test_modules_are_kept_in_the_order_of_their_import(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "cache.json")
    import_history.add_to_history(path, ["b", "a"])
    import_history.add_to_history(path, ["a", "c"])
    assert import_history.read_history(path) == ["b", "a", "c"]
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["cache.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"modules": 1}', json.dumps({"never": []}), "\udcff"])
def test_a_history_that_cannot_be_read_starts_again(content: str, tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert import_history.read_history(str(path)) == []
    import_history.add_to_history(str(path), ["a"])
    assert import_history.read_history(str(path)) == ["a"]


def test_a_history_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    import_history.add_to_history(str(tmp_path / "file" / "cache.json"), ["a"])
    assert import_history.read_history(str(tmp_path / "file" / "cache.json")) == []
