"""The figures of a repository's history are those of its changes, and a diff that is not whole is noticed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from benchmarks.notebook_history import examine, history, is_whole
from benchmarks.review import ROWS, edited_pairs
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, raw

CELLS = [md("# T"), code("a = 1\nb = 2\nc = 3"), code("fit(a, b, c, d, e)"), code("plot(a)")]


def write(path: Path, *cells: dict[str, object]) -> None:
    path.write_text(json.dumps(raw(*cells), indent=1))


def test_figures_of_a_history(tmp_path):
    root = make_repository(tmp_path / "repository")
    write(root / "a.ipynb", *CELLS)
    commit(root, "first")
    write(root / "a.ipynb", *({**cell, "execution_count": 7} for cell in CELLS))
    commit(root, "outputs only")
    git(root, "mv", "a.ipynb", "b.ipynb")
    moved = [CELLS[0], CELLS[2], code("a = 1\nb = 2\nc = 4"), CELLS[3]]
    write(root / "b.ipynb", *({**cell, "id": f"new-{number}"} for number, cell in enumerate(moved)))
    commit(root, "renamed, edited, moved, with new ids")
    (root / "b.ipynb").write_text("{")
    commit(root, "broken")

    outputs, edited, broken = history(root)
    assert (outputs.path, edited.path) == ("a.ipynb", "b.ipynb")
    assert examine(broken) is None
    facts = [examine(change) for change in (outputs, edited)]
    assert [one.source_lines for one in facts if one] == [0, 2]
    assert facts[0].git_lines > 0
    assert [(one.moved, one.whole, one.ids) for one in facts if one] == [(0, True, "both"), (1, True, "both")]
    assert (facts[1].cells_with_ids, facts[1].kept_ids) == (3, 0)
    figures = {name: figure(facts) for name, figure in ROWS.items()}
    assert figures["no source change"] == "50.0 %"
    assert figures["head made again from base and diff"] == "2"
    assert figures["notebooks where nearly all unchanged cells got new ids"] == "50.0 %"
    (pair,) = edited_pairs(edited, facts[1].diff)
    assert "'a = 1\\nb = 2\\nc = 4'" in pair


def test_a_diff_that_lacks_something_is_not_whole(tmp_path):
    root = make_repository(tmp_path / "repository")
    write(root / "a.ipynb", *CELLS)
    commit(root)
    write(root / "a.ipynb", *CELLS[1:], md("new"))
    commit(root)
    (change,) = history(root)
    diff = examine(change).diff
    assert is_whole(diff)
    for missing in range(len(diff.cells)):
        cells = diff.cells[:missing] + diff.cells[missing + 1 :]
        assert not is_whole(dataclasses.replace(diff, cells=cells)), diff.cells[missing].kinds
