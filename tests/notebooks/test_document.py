"""What `read` promises: any notebook of format 4 as values, and for anything else a line that says what it is."""

import json
from pathlib import Path

import pytest

from notebooks_lib.errors import NotebookError
from notebooks_lib.notebooks import document
from tests.notebooks.building import code, md, notebook, raw, write


def test_sources_are_read_as_text_or_lines_with_any_line_end():
    read = notebook(code(["a = 1\n", "b = 2"]), code("a = 1\r\nb = 2"), code("a = 1\rb = 2"))
    assert {cell.source for cell in read.cells} == {"a = 1\nb = 2"}
    assert all(cell.code.tree is not None for cell in read.cells)


def test_tags_ids_kernel_and_language_are_read():
    read = notebook(md("# T"), code("x = 1", "parameters", "other"))
    assert read.cells[1].tags == ("parameters", "other")
    assert read.cells[1].id == "cell-1"
    assert (read.kernel, read.language, read.is_python) == ("python3", "python", True)


def test_a_notebook_without_metadata_is_taken_for_python():
    read = notebook(code("1"), metadata={})
    assert (read.kernel, read.language) == ("python3", "python")


def test_a_notebook_in_another_language_is_read_but_not_parsed():
    read = notebook(code("x <- 1"), metadata={"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}})
    assert (read.kernel, read.is_python) == ("ir", False)
    assert read.code_cells
    assert read.python_cells == ()


def test_the_parameters_cell_is_the_first_tagged_code_cell():
    tagged = {"metadata": {"tags": ["parameters"]}}
    read = notebook(md("text", **tagged), code("a = 1"), code("b = 1", "parameters"), code("c = 1", "parameters"))
    assert read.parameters_cell is not None
    assert read.parameters_cell.source == "b = 1"
    assert notebook(code("a = 1")).parameters_cell is None


@pytest.mark.parametrize(
    ("cells", "title", "purpose"),
    [
        ([md("# Does it work?\n\nBecause.\nTruly.\n\n## Data\nno")], "Does it work?", "Because.\nTruly."),
        ([md("intro\n\n# T #\n"), md("why"), code("x"), md("not this")], "T", "why"),
        ([md("Title\n=====\nwhy"), md("## next")], "Title", "why"),
        ([md("```\n# no title\n```\n# Yes\n```\n# kept\n```")], "Yes", "```\n# kept\n```"),
        ([md("## only a section\ntext"), code("# a comment")], "", ""),
        ([md("#hashtag"), md("# Ünï 🚀")], "Ünï 🚀", ""),
        ([], "", ""),
    ],
)
def test_title_and_purpose(cells, title, purpose):
    read = notebook(*cells)
    assert (read.title, read.purpose) == (title, purpose)


def test_code_sha256_sees_code_alone():
    base = notebook(md("# T"), code("x = 1"), code("y = 2")).code_sha256
    same = notebook(code("x = 1\n", "tag", outputs=[{"output_type": "stream"}], id="other"), code(""), code("y = 2"))
    assert same.code_sha256 == base
    assert notebook(code("x = 1"), code("y = 3")).code_sha256 != base
    assert notebook(code("x = 1\ny = 2")).code_sha256 != base, "where a cell ends is code, too"


def test_a_byte_order_mark_and_null_bytes_do_no_harm(tmp_path):
    path = tmp_path / "bom.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(raw(code("x = 'a\0b\ud800'"))).encode())
    read = document.read(path)
    assert read.cells[0].code.error
    assert read.code_sha256


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "not JSON (line 1"),
        ("[" * 100_000, "not JSON"),
        ("[]", "its JSON is a list"),
        ('{"nbformat": 4}', "no list of `cells`"),
        ('{"nbformat": 3, "worksheets": [1]}', "format 3 is too old, 4 is needed, and it cannot be converted"),
        ('{"nbformat": 5, "cells": []}', "format 5 is not known"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 5}]}', "cell 0 is damaged"),
        ('{"nbformat": 4, "cells": [null]}', "cell 0 is damaged"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_a_notebook_is_named_for_what_it_is(tmp_path, content, said):
    path = tmp_path / "bad.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(NotebookError) as caught:
        document.read(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_notebook_of_an_old_format_is_the_same_at_each_reading_and_has_no_ids(tmp_path):
    cells = [{"cell_type": "code", "input": ["x = 1"]}, {"cell_type": "markdown", "source": "text"}]
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}))
    assert [cell.id for cell in document.read(path).cells] == [None, None]
    assert document.read(path).raw == document.read(path).raw


def test_lines_of_text_in_an_old_format_are_joined(tmp_path):
    """Format 3 is written with lists of lines; a heading of one line, or of several, becomes Markdown."""
    lines = [{"cell_type": kind, "source": ["a\n", "b"]} for kind in ("heading", "markdown", "raw")]
    lines += [{"cell_type": "heading", "level": 2, "source": ["T"]}, {"cell_type": "code", "input": ["x\n", "y"]}]
    for version in (2, 3):
        path = tmp_path / "old.ipynb"
        path.write_text(json.dumps({"worksheets": [{"cells": lines}], "nbformat": version}))
        assert [cell.source for cell in document.read(path).cells] == ["# a b", "a\nb", "a\nb", "## T", "x\ny"]


def test_a_missing_notebook_names_the_nearest_one(tmp_path):
    write(tmp_path / "ridge.ipynb")
    with pytest.raises(NotebookError, match=r"did you mean 'ridge\.ipynb'"):
        document.read(tmp_path / "rigde.ipynb")
    with pytest.raises(NotebookError, match="there is no folder"):
        document.read(tmp_path / "no" / "x.ipynb")
    with pytest.raises(NotebookError, match="is a folder"):
        document.read(tmp_path)


def test_thousands_of_cells_and_giant_text_are_read(tmp_path: Path):
    read = notebook(*(code(f"x{i} = {i}") for i in range(3_000)), md("# T\n" + "a" * 5_000_000))
    assert len(read.cells) == 3_001
    assert read.title == "T"
