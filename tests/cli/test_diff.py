"""`nbops diff` says what changed in the source of notebooks; a difference is no error, a notebook that is none is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, write

BASE = [md("# T", id="title"), code("a = 1\nb = 2\nc = 3\nd = 4", "old", id="model"), code("plot(a)", id="plot")]
HEAD = [BASE[0], BASE[2], code("a = 1\nb = 2\nc = 5\nd = 4", "new", id="model"), md("the end", id="end")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_repository(tmp_path / "repository")
    monkeypatch.chdir(folder)
    write(Path("q.ipynb"), *BASE)
    commit(folder)
    write(Path("q.ipynb"), *HEAD)
    return folder


def test_a_cell_is_named_and_its_changed_lines_have_one_line_around(repository, capsys):
    assert run(["diff"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "q.ipynb: 1 cell edited, 1 retagged, 1 moved, 1 added",
        "cell 2 (model) edited, retagged +new -old, moved from 1",
        " b = 2",
        "-c = 3",
        "+c = 5",
        " d = 4",
        "cell 3 (end) added (markdown)",
        "+the end",
    ]


def test_a_link_is_one_line_and_no_fault(repository, capsys):
    commit(repository)
    Path("link.ipynb").symlink_to("q.ipynb")
    git(repository, "add", "--all")
    assert run(["diff"]) == 0
    assert capsys.readouterr().out == "link.ipynb: a link; what it leads to is compared where it lies\n"


def test_nothing_that_changed_and_what_has_no_source_change(repository, capsys):
    commit(repository)
    assert run(["diff", "--exit-code"]) == 0
    assert capsys.readouterr().out == ""
    write(Path("q.ipynb"), *(cell | ({"execution_count": 3} if cell["cell_type"] == "code" else {}) for cell in HEAD))
    assert run(["diff", "--exit-code"]) == 0
    assert capsys.readouterr().out == "q.ipynb: no source change\n"


def test_another_language_is_a_change(repository, capsys):
    commit(repository)
    write(Path("q.ipynb"), *HEAD, metadata={"kernelspec": {"name": "ir", "language": "R"}})
    assert run(["diff", "--exit-code"]) == 1
    assert capsys.readouterr().out == "q.ipynb: language python, now r\n"


def test_two_files_need_neither_git_nor_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path / "a.ipynb", *BASE)
    write(tmp_path / "b.ipynb", *BASE[:2])
    assert run(["diff", "a.ipynb", "b.ipynb"]) == 0
    assert capsys.readouterr().out.startswith("b.ipynb (before: a.ipynb): 1 cell removed\ncell 2 (plot) of the base")
    assert run(["diff"]) == 2
    assert (
        capsys.readouterr().err
        == "nbops: git is not installed: install it, or compare two files: nbops diff A.ipynb B.ipynb\n"
    )


def test_exit_codes(repository, capsys):
    assert run(["diff", "--exit-code"]) == 1
    Path("bad.ipynb").write_text("{")
    assert run(["diff"]) == 1, "one of those that changed cannot be read"
    printed = capsys.readouterr().out
    assert "bad.ipynb: not a notebook: not JSON" in printed
    assert "q.ipynb: 1 cell edited" in printed
    assert run(["diff", "bad.ipynb", "q.ipynb"]) == 2, "asked for wrongly"
    assert run(["diff", "a", "b", "c"]) == 2
    assert run(["diff", "nothing"]) == 2
    assert "unknown revision 'nothing'" in capsys.readouterr().err


def test_json_has_every_change(repository, capsys):
    write(Path("new.ipynb"), md("# \ud800"))
    assert run(["diff", "--json"]) == 0
    changed, new = json.loads(capsys.readouterr().out)["notebooks"]
    assert (changed["path"], changed["state"], changed["problem"]) == ("q.ipynb", "modified", None)
    assert [cell["changes"] for cell in changed["cells"]] == [["edited", "retagged", "moved"], ["added"]]
    assert changed["cells"][0]["hunks"] == [
        {"base_line": 2, "head_line": 2, "lines": [" b = 2", "-c = 3", "+c = 5", " d = 4"]}
    ]
    assert (new["state"], new["cells"][0]["hunks"][0]["lines"]) == ("untracked", ["+# \ud800"])


def test_json_of_nothing_and_of_a_mistake(repository, capsys):
    commit(repository)
    assert run(["diff", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"notebooks": []}
    Path("bad.ipynb").write_text("{")
    assert run(["diff", "--json", "bad.ipynb"]) == 2
    assert capsys.readouterr().out == ""


def test_text_that_would_move_the_cursor_is_escaped(repository, capsys):
    write(Path("q.ipynb"), md("\x1b[2J"), code("x = '\u202e'", id="\x1b[31m"))
    assert run(["diff"]) == 0
    printed = capsys.readouterr().out
    assert "\\x1b[2J" in printed
    assert "\x1b" not in printed
    assert "\u202e" not in printed


def test_git_shows_notebooks_as_text_also_broken_ones(repository):
    Path(".gitattributes").write_text("*.ipynb diff=nbops\n")
    git(repository, "config", "diff.nbops.textconv", f"'{sys.executable}' -m notebooks_lib diff --textconv")
    shown = git(repository, "diff", "--", "q.ipynb").splitlines()
    assert {"-c = 3", "+c = 5", '-# %% tags=["old"]', '+# %% tags=["new"]'} <= set(shown)
    assert not any('"cell_type"' in line for line in shown)
    Path("q.ipynb").write_text("<<<<<<< HEAD\n")
    assert "+<<<<<<< HEAD" in git(repository, "diff", "--", "q.ipynb")


def test_no_settings_no_pydantic_and_no_diff_of_lines_that_is_not_needed(repository):
    code_ = (
        "import sys\nfrom notebooks_lib.__main__ import run\nassert run(['diff']) == 0\n"
        "heavy = {'mlflow', 'pydantic', 'nbformat', 'rich', 'numpy', 'notebooks_lib.settings'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code_], check=True, capture_output=True, cwd=repository)
