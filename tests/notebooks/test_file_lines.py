"""A line of a cell is found in the file as Jupyter and other tools write it; else it is said that it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.file_lines import FileLines
from tests.notebooks import building

TRAP = {
    "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"x": {"source": ["a"], "b": ['"source": [']}}}]
}
CELLS = (
    building.md(["# T\n", "text"]),
    building.code(["a = 1\n", "b = 2\n", "c = 3"], **TRAP),
    building.code([]),
    building.code("one = 1"),
    building.code(["d = 4"]),
)


def lines(path: Path, indent: int | str | None, *cells: dict[str, object], **form: bool) -> tuple[FileLines, list[str]]:
    metadata = {"nested": {"source": ["x"]}}
    text = json.dumps(building.raw(*cells, metadata=metadata), indent=indent, **form)  # type: ignore[arg-type]
    path.write_text(text)
    return FileLines(document.read(path), text), text.split("\n")


@pytest.mark.parametrize("indent", [1, 2, 4, "\t"])
@pytest.mark.parametrize("sort_keys", [False, True])
def test_each_line_is_found(indent: int | str, sort_keys: bool, tmp_path: Path) -> None:
    found, text = lines(tmp_path / "n.ipynb", indent, *CELLS, sort_keys=sort_keys)
    for cell, line, content in (
        (0, 1, "# T"),
        (1, 1, "a = 1"),
        (1, 3, "c = 3"),
        (1, 0, "a = 1"),
        (3, 1, "one"),
        (4, 1, "d ="),
    ):
        number = found.line(cell, line)
        assert number is not None
        assert content in text[number - 1]
    empty = found.line(2, 0)
    assert empty is not None
    assert '"source": []' in text[empty - 1]


def test_a_file_of_one_line_or_with_long_strings_has_no_lines(tmp_path: Path) -> None:
    found, _ = lines(tmp_path / "n.ipynb", None, *CELLS)
    assert found.line(1, 2) is None
    found, _ = lines(tmp_path / "n.ipynb", 1, building.code("a = 1\nb = 2"), building.code(["a\nb\n", "c"]))
    assert found.line(0, 2) is None
    assert found.line(1, 2) is None
    assert found.line(5, 0) is None


def test_a_file_that_is_written_in_two_ways_has_no_lines(tmp_path: Path) -> None:
    raw = building.raw(building.code(["a = 1"]), building.code(["b = 2"]))
    text = json.dumps(raw, indent=1)
    first = json.dumps(raw["cells"][0], indent=1).replace("\n", "\n  ")
    assert first in text
    text = text.replace(first, json.dumps(raw["cells"][0]))
    (tmp_path / "n.ipynb").write_text(text)
    found = FileLines(document.read(tmp_path / "n.ipynb"), text)
    assert (found.line(0, 1), found.line(1, 1)) == (None, None), "the first key would be taken for that of cell 0"
