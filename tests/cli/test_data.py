"""`nbops data` in words: what a data scientist sees and which exit code CI gets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.settings import Settings
from tests.git_commands import make_repository


@pytest.fixture
def file(empty_project: Settings) -> Path:
    path = empty_project.root / "sales.csv"
    path.write_text("id,size,price\n" + "".join(f"{i},{i / 4},{i * 2}\n" for i in range(60)))
    return path


def test_add_says_what_it_made_and_that_the_same_again_is_nothing_new(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nbops(["data", "add", str(file), "--name", "sales", "--target", "price", "--key", "id"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("sales@1 added\n")
    for line in ("price   integer  target", "id      integer  key", "size    number   feature", "parts by     id"):
        assert line in first
    assert nbops(["data", "add", str(file), "--name", "sales"]) == 0
    assert capsys.readouterr().out.startswith("sales@1 has this content already; nothing added\n")


def test_list_marks_where_each_dataset_comes_from(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nbops(["data", "add", str(file), "--name", "sales"]) == 0
    capsys.readouterr()
    assert nbops(["data", "list"]) == 0
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "data/sales" in lines["sales@1"]
    assert "scikit-learn" in lines["iris@1"]
    assert nbops(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["versions"] == [1]


def test_a_description_cannot_steer_the_terminal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nbops(["data", "add", str(file), "--name", "sales", "--description", "of 2024 \x07"]) == 0
    capsys.readouterr()
    assert nbops(["data", "show", "sales"]) == 0
    assert "of 2024 \\x07\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["show", "iriss"], 2, "did you mean 'iris'?"),
        (["show", "iris@9"], 2, "known: 1"),
        (["add", "none.csv", "--name", "x"], 2, "no such file"),
        (["add", "sales.csv"], 2, "Missing option '--name'"),
        (["add", "sales.csv", "--name", "x", "--target", "prize"], 2, "did you mean 'price'?"),
        (["add", "empty.csv", "--name", "x"], 1, "the file is empty"),
    ],
)
def test_wrong_input_is_reported_without_a_traceback(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, reason: str
) -> None:
    (file.parent / "empty.csv").touch()
    assert nbops(["data", *arguments]) == code
    told = capsys.readouterr()
    assert reason in told.err
    assert told.out == ""


def test_show_repeats_the_notes_of_add(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("id,size\n" + "".join(f"{i},'{i},5'\n".replace("'", '"') for i in range(60)))
    assert nbops(["data", "add", str(file), "--name", "sales", "--key", "id"]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert notes
    assert nbops(["data", "show", "sales"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")] == notes


def test_add_warns_of_a_file_that_git_add_would_take(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_repository(file.parent)
    (file.parent / ".gitignore").write_text("data/\n")
    assert nbops(["data", "add", str(file), "--name", "sales", "--key", "id"]) == 0
    assert "note: git does not ignore sales.csv itself: " in capsys.readouterr().out
    (file.parent / ".gitignore").write_text("*.csv\n")
    assert nbops(["data", "add", str(file), "--name", "sales"]) == 0
    assert "git does not ignore" not in capsys.readouterr().out


def test_add_shows_the_shares_of_the_targets_classes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("id,size,gone\n" + "".join(f"{i},{i / 4},{'yes' if i % 4 == 0 else 'no'}\n" for i in range(400)))
    assert nbops(["data", "add", str(file), "--name", "gone", "--target", "gone", "--key", "id"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  classes"))
    assert re.fullmatch(r"  classes +no 7\d\.\d%, yes 2\d\.\d% of train and validation", line)
