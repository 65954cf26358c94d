"""A diff holds everything and nothing else: the head comes out of it again, and what is not source is not in it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rebuilding import content, rebuilt_head
from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import MOST_LINES, DiffLine, NotebookDiff, compare_notebooks
from tests.notebooks.building import code, md, raw


def parsed(notebook: dict[str, Any]) -> Notebook:
    return document.parse(Path("n.ipynb"), json.dumps(notebook).encode())


def diff(base: list[dict[str, Any]], head: list[dict[str, Any]]) -> NotebookDiff:
    return compare_notebooks(parsed(raw(*base)), parsed(raw(*head)))


def lines(change: Any) -> list[str]:
    return [line.mark + line.text for hunk in change.hunks() for line in hunk.lines]


MODEL = "model = make_pipeline(StandardScaler(), Ridge(alpha=alpha))\nmodel.fit(X, y)\nmodel"


def test_each_kind_of_change_and_several_at_once():
    base = [md("# T", id="t"), code("x = 1", id="x"), code(MODEL, "a", "b", id="m"), code("old words here", id="o")]
    head = [
        md("# T", id="t"),
        code("brand new text", id="n"),
        md(MODEL.replace("Ridge", "Lasso"), metadata={"tags": ["b", "c"]}, id="m"),
        code("x = 1", id="x"),
    ]
    found = diff(base, head)
    assert [(change.cell.id, change.kinds) for change in found.cells] == [
        ("t", ()),
        ("n", ("added",)),
        ("m", ("edited", "kind changed", "retagged")),
        ("x", ("moved",)),
        ("o", ("removed",)),
    ] or [(change.cell.id, change.kinds) for change in found.cells] == [
        ("t", ()),
        ("n", ("added",)),
        ("m", ("edited", "kind changed", "retagged", "moved")),
        ("x", ()),
        ("o", ("removed",)),
    ]
    edited = next(change for change in found.cells if change.cell.id == "m")
    assert (edited.new_tags, edited.lost_tags) == (("c",), ("a",))
    assert found.summary == "1 cell edited, 1 kind changed, 1 retagged, 1 moved, 1 added, 1 removed"


def test_only_the_lines_that_changed_are_shown_with_one_line_around():
    text = [f"line {number}" for number in range(20)]
    new = ["first", *text[:10], "tenth", *text[11:], "last"]
    (change,) = diff([code("\n".join(text))], [code("\n".join(new))]).changes
    assert [hunk.lines[0] for hunk in change.hunks()] == [("+", "first"), (" ", "line 9"), (" ", "line 19")]
    assert lines(change) == [
        *("+first", " line 0"),
        *(" line 9", "-line 10", "+tenth", " line 11"),
        *(" line 19", "+last"),
    ]
    assert len(change.hunks(context=0)[1].lines) == 2


STEPS = [code(f"step_{number} = compute_{number}(data)\nshow(step_{number})") for number in range(7)]


@pytest.mark.parametrize(
    ("base", "head", "kinds"),
    [
        pytest.param(
            STEPS,
            [*(STEPS[place] for place in (0, 2, 1, 3, 5, 4, 6))],
            [(), (), ("moved",), (), (), ("moved",), ()],
            id="two exchanges look alike (microsoft/vscode#122150)",
        ),
        pytest.param(
            [md("Some words"), code("model = fit(x)\nprint(model)")],
            [code("model = fit(x, y)\nprint(model)")],
            [("removed",), ("edited",)],
            id="text removed above a changed cell (microsoft/vscode#240708)",
        ),
        pytest.param(
            STEPS,
            [code("import os"), *STEPS],
            [("added",), *[()] * 7],
            id="a cell at the top (microsoft/vscode#240755)",
        ),
        pytest.param(
            [STEPS[0], *[code("same")] * 3, STEPS[1]],
            [STEPS[0], code("same"), STEPS[1]],
            [(), (), ("removed",), ("removed",), ()],
            id="two of three equal cells (observablehq/feedback#413)",
        ),
    ],
)
def test_what_other_tools_were_reported_for(base, head, kinds):
    without_ids = [[{**cell, "id": None} for cell in cells] for cells in (base, head)]
    assert [change.kinds for change in diff(*without_ids).cells] == kinds


def test_a_removed_cell_stands_where_it_was():
    found = diff([code("aaa"), code("bbb"), code("ccc")], [code("aaa"), code("ccc")])
    assert [change.kinds for change in found.cells] == [(), ("removed",), ()]
    assert lines(found.changes[0]) == ["-bbb"]


def test_a_huge_cell_is_old_and_new_instead_of_slow():
    texts = [f"line {number}" for number in range(MOST_LINES)]
    base, head = ("\n".join(["a", first, *texts, last, "z"]) for first, last in (("b", "c"), ("d", "e")))
    (change,) = diff([code(base, id="x")], [code(head, id="x")]).changes
    (hunk,) = change.hunks()
    assert len(hunk.lines) == 2 * (MOST_LINES + 2) + 2
    assert (hunk.lines[0], hunk.lines[-1]) == (DiffLine(" ", "a"), DiffLine(" ", "z"))


CELLS = [
    md("# Title", id="t"),
    code("alpha: float = 1.0", "parameters", id="p", outputs=[], execution_count=1),
    code(MODEL, id="m", outputs=[{"output_type": "stream", "name": "stdout", "text": "old"}], execution_count=2),
]


@pytest.mark.parametrize(
    "unlike", ["outputs", "order of tags", "ids", "metadata", "line ends", "list of lines", "no ids", "format"]
)
def test_what_is_not_source_is_no_change(unlike):
    base = raw(*CELLS)
    head = copy.deepcopy(base)
    for number, cell in enumerate(head["cells"]):
        match unlike:
            case "outputs" if cell["cell_type"] == "code":
                cell |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": "new"}], "execution_count": 9}
            case "order of tags":
                cell["metadata"] |= {"tags": ["parameters", "a"] if number == 1 else ["b"]}
                base["cells"][number]["metadata"] |= {"tags": ["a", "parameters"] if number == 1 else ["b", "b"]}
            case "ids":
                cell["id"] = f"new-{number}"
            case "no ids":
                del cell["id"]
            case "metadata":
                cell["metadata"] |= {"ExecuteTime": {"start_time": "now"}, "collapsed": True, "papermill": {}}
            case "line ends":
                cell["source"] = cell["source"].replace("\n", "\r\n")
            case "list of lines":
                cell["source"] = cell["source"].splitlines(keepends=True)
    head["metadata"] = {} if unlike == "metadata" else head["metadata"]
    head["nbformat_minor"] = 4 if unlike == "format" else 5
    found = compare_notebooks(parsed(base), parsed(head))
    assert (found.changes, found.summary) == ((), "no source change")


def test_language_and_images_in_markdown_are_noted():
    base, head = (
        raw(md("![](attachment:a.png)", attachments={"a.png": {"image/png": "old"}})),
        raw(md("![](attachment:a.png)")),
    )
    head["metadata"] = {"kernelspec": {"name": "ir", "language": "R"}}
    found = compare_notebooks(parsed(base), parsed(head))
    assert (found.summary, found.notes) == (
        "no source change",
        ("language python, now r", "other attachments in 1 cell"),
    )
    assert compare_notebooks(parsed(base), parsed(base)).notes == ()


WORDS = st.sampled_from(["x", "y = f(x)", "", "import a", "plot(x, y)", "# note", "\ud800", "\u2028", "数据"])
SOURCES = st.lists(WORDS, max_size=6).map("\n".join)
TAGS = st.lists(st.sampled_from(["parameters", "a", "b"]), max_size=2)
IDS = st.sampled_from(["i", "j", "k", "l", "m", None])
KINDS = st.sampled_from(["code", "markdown", "raw"])


@st.composite
def generated_cell(draw: st.DrawFn) -> dict[str, Any]:
    cell = {"cell_type": draw(KINDS), "source": draw(SOURCES), "metadata": {"tags": draw(TAGS)}, "id": draw(IDS)}
    return {key: value for key, value in cell.items() if value is not None}


@st.composite
def edited(draw: st.DrawFn, base: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A notebook made from another one: cells kept, changed, moved, dropped and added."""
    head = [dict(cell) for cell in base if draw(st.integers(0, 4))]
    for cell in head:
        if not draw(st.integers(0, 2)):
            cell["source"] = draw(SOURCES) if draw(st.booleans()) else cell["source"] + "\nmore"
    for _ in range(draw(st.integers(0, 2))):
        head.insert(draw(st.integers(0, len(head))), draw(generated_cell()))
    if head and draw(st.booleans()):
        head.insert(draw(st.integers(0, len(head) - 1)), head.pop(draw(st.integers(0, len(head) - 1))))
    return head


@given(st.data())
def test_the_head_comes_out_of_base_and_diff_and_every_cell_is_there_once(data):
    base_cells = data.draw(st.lists(generated_cell(), max_size=8))
    head_cells = data.draw(st.one_of(edited(base_cells), st.lists(generated_cell(), max_size=8)))
    base, head = parsed({**raw(), "cells": base_cells}), parsed({**raw(), "cells": head_cells})
    found = compare_notebooks(base, head)
    assert sorted(change.base.index for change in found.cells if change.base) == list(range(len(base.cells)))
    assert [change.head.index for change in found.cells if change.head] == list(range(len(head.cells)))
    changes = json.loads(json.dumps(found.as_json()))["cells"]
    assert rebuilt_head(base.cells, changes) == [content(cell) for cell in head.cells]
    assert compare_notebooks(head, head).changes == ()
