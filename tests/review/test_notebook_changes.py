"""Whatever stands in git under the name of a notebook: one change each, and the others are still there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.diff_targets import parse_targets
from notebooks_lib.review.notebook_changes import NotebookChange, changed_notebooks, changes_between
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, raw, write

CELLS = [md("# T"), code("alpha: float = 1.0", "parameters"), code("fit(alpha)"), code("plot(alpha)")]
CHANGED = [*CELLS[:2], code("fit(alpha, 2)"), CELLS[3]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "repository")
    write(folder / "good.ipynb", *CELLS)
    commit(folder)
    return folder


def changes(root: Path, base: str = "HEAD", head: str | None = None) -> dict[str, NotebookChange]:
    return {change.path: change for change in changed_notebooks(GitRepository.find(root), base, head)}


def test_modified_renamed_new_deleted_untracked_and_unchanged_notebooks(root):
    for name in ("renamed", "deleted", "outputs"):
        write(root / f"{name}.ipynb", md(f"# {name}"), *CELLS)
    first = commit(root)
    write(root / "good.ipynb", *CHANGED)
    (root / "renamed.ipynb").rename(root / "new name.ipynb")
    (root / "deleted.ipynb").unlink()
    write(root / "outputs.ipynb", md("# outputs"), *({**cell, "execution_count": 7} for cell in CELLS))
    write(root / "added.ipynb", md("# something else"))
    expected = {
        "good.ipynb": ("modified", "", "1 cell edited"),
        "new name.ipynb": ("renamed", "renamed.ipynb", "no source change"),
        "deleted.ipynb": ("deleted", "", "5 cells removed"),
        "outputs.ipynb": ("modified", "", "no source change"),
        "added.ipynb": ("added", "", "1 cell added"),
    }
    git(root, "add", "--all")
    for head in (None, commit(root)):
        got = changes(root, first, head)
        assert {path: (one.state, one.old_path, one.diff and one.diff.summary) for path, one in got.items()} == expected
    write(root / "untracked.ipynb", md("# T"))
    assert changes(root)["untracked.ipynb"].state == "untracked"


def test_a_deleted_notebook_can_be_named(root):
    first = git(root, "rev-parse", "HEAD")
    (root / "good.ipynb").unlink()
    for words in (["good.ipynb"], [first, "good.ipynb"], ["HEAD:good.ipynb"]):
        (change,) = changes_between(*parse_targets(words, root), root)
        assert (change.path, change.state, change.diff and change.diff.summary) == (
            "good.ipynb",
            "deleted",
            "4 cells removed",
        )
    with pytest.raises(errors.NotebookError, match=r"unknown notebook 'never.ipynb'"):
        list(changes_between(*parse_targets(["never.ipynb"], root), root))


SMALL = "import pandas as pd"
LINES = "\n".join(f"step_{line} = fit(table, {line})" for line in range(6))


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        (["print(1)"], ["print(2)"], "added"),
        ([SMALL, "k: int = 1", "print(pd.sum())"], [SMALL, 'w: str = "b"', "model = fit(pd, w)"], "added"),
        ([LINES], [LINES.replace("fit(table, 3)", "fit(other, 3)")], "renamed"),
        ([SMALL, LINES], [LINES], "renamed"),
        ([""], [""], "renamed"),
    ],
)
def test_a_notebook_is_renamed_if_most_of_its_words_are_there(root, old, new, state):
    """One cell that both have, such as that of the imports, is not enough, and an edited cell is not too much."""
    (root / "old.ipynb").write_text(json.dumps(raw(*map(code, old)), indent=1))
    commit(root)
    (root / "old.ipynb").unlink()
    (root / "new.ipynb").write_text(json.dumps(raw(*map(code, new)), indent=1))
    git(root, "add", "--all")
    assert git(root, "status", "--short") == "R  old.ipynb -> new.ipynb", "as git takes it"
    got = {path: (one.state, one.old_path) for path, one in changes(root).items()}
    if state == "renamed":
        assert got == {"new.ipynb": ("renamed", "old.ipynb")}
        return
    assert got == {"old.ipynb": ("deleted", ""), "new.ipynb": ("added", "")}
    for words, expected in ((["new.ipynb"], "added"), (["HEAD", "old.ipynb"], "deleted")):
        (change,) = changes_between(*parse_targets(words, root), root)
        assert (change.path, change.state) == (words[-1], expected)


CONFLICT = json.dumps(raw(*CELLS), indent=1).replace(' "nbformat": 4', '<<<<<<< HEAD\n "nbformat": 4', 1)
BAD = {
    "not JSON": (b"{", "not a notebook: not JSON"),
    "empty": (b"", "not a notebook: not JSON"),
    "no cells": (b"{}", "has no list of `cells`"),
    "a list": (b"[]", "its JSON is a list"),
    "format 5": (json.dumps({**raw(), "nbformat": 5}).encode(), "notebook format 5 is not known"),
    "damaged cell": (json.dumps(raw({"source": "x"})).encode(), "cell 0 is damaged"),
    "not UTF-8": (b"\xff", "not UTF-8 text at byte 0"),
    "conflict": (CONFLICT.encode(), "it holds conflict markers of a merge"),
    "too deep": (b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize(("base", "head"), [("HEAD^", "HEAD"), ("HEAD^", None)])
def test_what_is_no_notebook_is_one_line_and_the_rest_is_there(root, base, head):
    for name in BAD:
        write(root / f"{name}.ipynb", *CELLS)
    commit(root)
    write(root / "good.ipynb", *CHANGED)
    for name, (content, _) in BAD.items():
        (root / f"{name}.ipynb").write_bytes(content)
    commit(root)
    got = changes(root, base, head)
    assert got["good.ipynb"].diff is not None
    for name, (_, words) in BAD.items():
        assert words in got[f"{name}.ipynb"].problem
        assert "\n" not in got[f"{name}.ipynb"].problem


@pytest.mark.parametrize("head", ["HEAD", None])
def test_a_notebook_that_was_none_at_the_base_is_a_new_one(root, head):
    """It was mended: nothing is wrong with it, and its findings are to be seen."""
    for name, (content, _) in BAD.items():
        (root / f"{name}.ipynb").write_bytes(content)
    commit(root)
    for name in BAD:
        write(root / f"{name}.ipynb", *CELLS)
    commit(root)
    got = changes(root, "HEAD^", head)
    for name, (_, words) in BAD.items():
        change = got[f"{name}.ipynb"]
        assert (change.state, change.problem, change.diff.summary) == ("added", "", f"{len(CELLS)} cells added")
        assert change.note.startswith("at the base it is no notebook: ")
        assert words.removeprefix("not a notebook: ") in change.note
        (root / f"{name}.ipynb").unlink()
    commit(root)
    gone = changes(root, "HEAD~2", head)["empty.ipynb"]
    assert (gone.state, gone.problem, gone.note[:29]) == ("deleted", "", "at the base it is no notebook")


OLD = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": []}]}


def test_odd_notebooks_are_compared_all_the_same(root):
    """An old format, another language, CRLF, the same id twice, a lone surrogate, a byte order mark."""
    old = {**OLD, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"], "language": "python"}]}]}
    (root / "old.ipynb").write_text(json.dumps(old))
    write(root / "r.ipynb", code("x <- 1"), metadata={"kernelspec": {"name": "ir", "language": "R"}})
    write(root / "twice.ipynb", code("a = 1", id="x"), code("b = 2", id="x"))
    write(root / "crlf.ipynb", code("a = 1\nb = 2"))
    write(root / "surrogate.ipynb", code("a = '\ud800'"))
    commit(root)
    write(root / "old.ipynb", code("x = 1"), code("y = 2"))
    write(root / "r.ipynb", code("x <- 2"), metadata={"kernelspec": {"name": "ir", "language": "R"}})
    write(root / "twice.ipynb", code("b = 2", id="x"), code("a = 1", id="x"))
    text = json.dumps(raw(code("a = 1\r\nb = 2")), indent=1).replace("\n", "\r\n")
    (root / "crlf.ipynb").write_bytes(b"\xef\xbb\xbf" + text.encode())
    write(root / "surrogate.ipynb", code("a = '\ud801'"))
    got = {path: change.diff.summary if change.diff else change.problem for path, change in changes(root).items()}
    assert got == {
        "old.ipynb": "1 cell added",
        "r.ipynb": "1 cell edited",
        "twice.ipynb": "1 cell moved",
        "crlf.ipynb": "no source change",
        "surrogate.ipynb": "1 cell edited",
    }


def test_links_are_named_and_not_followed(root):
    write(root / "replaced.ipynb", code("x = 1"))
    commit(root)
    (root / "link.ipynb").symlink_to("good.ipynb")
    (root / "hanging.ipynb").symlink_to("nowhere.ipynb")
    (root / "replaced.ipynb").unlink()
    (root / "replaced.ipynb").symlink_to("good.ipynb")
    git(root, "add", "--all")
    got = changes(root)
    assert {path: change.note for path, change in got.items()} == {
        "link.ipynb": "a link; what it leads to is compared where it lies",
        "hanging.ipynb": "a link that leads nowhere",
        "replaced.ipynb": "now a link; what it leads to is compared where it lies",
    }
    assert all((change.problem, change.diff) == ("", None) for change in got.values())
    commit(root)
    (root / "link.ipynb").unlink()
    (root / "replaced.ipynb").unlink()
    write(root / "replaced.ipynb", code("x = 1"))
    got = changes(root)
    assert got["link.ipynb"].note == "a link"
    replaced = got["replaced.ipynb"]
    assert (replaced.state, replaced.note, replaced.diff.summary) == ("added", "", "1 cell added"), "to be read in full"


def test_an_unfinished_merge(root):
    git(root, "checkout", "--quiet", "-b", "other")
    write(root / "good.ipynb", *CELLS[:3], code("plot(other)"))
    commit(root)
    git(root, "checkout", "--quiet", "main")
    write(root / "good.ipynb", *CELLS[:3], code("plot(main)"))
    commit(root)
    with pytest.raises(Exception, match="merge"):
        git(root, "merge", "other")
    (change,) = changes(root).values()
    assert "it holds conflict markers of a merge" in change.problem


def test_a_folder_in_place_of_a_notebook(root):
    (root / "good.ipynb").unlink()
    (root / "good.ipynb").mkdir()
    (root / "good.ipynb" / "file").write_text("x")
    assert changes(root)["good.ipynb"].state == "deleted"


def between(root: Path, *texts: str) -> list[NotebookChange]:
    return list(changes_between(*parse_targets(texts, root), root))  # type: ignore[arg-type]


def test_one_notebook_beside_its_older_version_under_its_older_name(root):
    (root / "good.ipynb").write_text(json.dumps(raw(*CELLS), indent=1))
    commit(root)
    git(root, "mv", "good.ipynb", "better.ipynb")
    (root / "better.ipynb").write_text(json.dumps(raw(*CHANGED), indent=1))  # line by line, as Jupyter does
    (change,) = between(root, "better.ipynb")
    assert (change.state, change.old_path, change.diff.summary) == ("renamed", "good.ipynb", "1 cell edited")
    (change,) = between(root, "HEAD", "good.ipynb")
    assert (change.path, change.old_path) == ("better.ipynb", "good.ipynb"), "also by its old name"
    commit(root)
    (change,) = between(root, "better.ipynb")
    assert change.diff.summary == "no source change"
    write(root / "new.ipynb", *CELLS)
    (change,) = between(root, "new.ipynb")
    assert (change.state, len(change.diff.changes)) == ("untracked", 4)


def test_two_notebooks_wherever_they_are(root, tmp_path):
    write(tmp_path / "elsewhere.ipynb", *CHANGED)
    for texts in (("good.ipynb", "../elsewhere.ipynb"), ("HEAD:good.ipynb", "../elsewhere.ipynb")):
        (change,) = between(root, *texts)
        assert (change.path, change.old_path) == ("../elsewhere.ipynb", texts[0])
        assert change.diff.summary == "1 cell edited"
    (change,) = between(root, os.devnull, "good.ipynb")
    assert len(change.diff.changes) == 4, "as git's tools call it for a new file"


@pytest.mark.parametrize("texts", [("bad.ipynb", "good.ipynb"), ("HEAD:bad.ipynb", "good.ipynb"), ("bad.ipynb",)])
def test_a_notebook_that_was_named_must_be_one(root, texts):
    (root / "bad.ipynb").write_text("{")
    commit(root)
    (root / "bad.ipynb").write_text("[")
    with pytest.raises(errors.NotebookError, match="bad.ipynb: not a notebook"):
        between(root, *texts)


def test_fifty_megabytes_of_outputs_and_two_thousand_cells(root):
    outputs = [{"output_type": "stream", "name": "stdout", "text": "x" * 25_000_000}]
    cells = [code(f"x{number} = {number}") for number in range(2000)]
    write(root / "big.ipynb", *cells, code("y", outputs=outputs))
    commit(root)
    write(root / "big.ipynb", *reversed(cells[:1000]), *cells[1000:], code("z", outputs=outputs))
    began = time.process_time()
    assert changes(root)["big.ipynb"].diff is not None
    assert time.process_time() - began < 10
