"""Findings for GitHub and for SARIF name the line in the file, so that a mark stands on the diff."""

from __future__ import annotations

import json
from pathlib import Path

from notebooks_lib.__main__ import run
from tests.git_commands import make_repository
from tests.notebooks import building
from tests.notebooks.building import code, md


def write(path: Path, indent: int | None) -> list[str]:
    cells = (
        md("# T"),
        code(["alpha: float = 1.0\n", "print(alpha)"], "parameters"),
        code(["x = 1\n", "print(frame)\n", "y = x"]),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(building.raw(*cells), indent=indent)
    path.write_text(text)
    return text.split("\n")


def test_github_gets_the_line_in_the_file(tmp_path, capsys):
    text = write(Path("a, b/n.ipynb"), 1)
    assert run(["check", "--format", "github", "a, b"]) == 1
    number = next(number for number, line in enumerate(text, 1) if "print(frame)" in line)
    message = "cell 2 (cell-2): line 2: Undefined name `frame`"
    assert capsys.readouterr().out == f"::error file=a%2C b/n.ipynb,line={number},title=F821::{message}\n"


def test_a_file_in_one_line_gets_line_1_and_the_cell_in_the_text(tmp_path, capsys):
    write(Path("n.ipynb"), None)
    Path("m.ipynb").write_text("{\n")
    assert run(["check", "--format", "github", "n.ipynb", "m.ipynb"]) == 1
    broken, found = capsys.readouterr().out.splitlines()
    assert broken.startswith("::error file=m.ipynb,line=1,title=NB000::cell 0: ")
    assert "%0A" not in broken
    assert found == "::error file=n.ipynb,line=1,title=F821::cell 2 (cell-2): line 2: Undefined name `frame`"


def test_sarif_has_rules_results_and_lines(tmp_path, capsys):
    text = write(Path("a b/n.ipynb"), 1)
    Path("a b/m.ipynb").write_text("{")
    assert run(["check", "--format", "sarif", "a b"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["version"] == "2.1.0"
    (only,) = report["runs"]
    broken, found = only["results"]
    rules = only["tool"]["driver"]["rules"]
    assert (
        [rules[one["ruleIndex"]]["id"] for one in (broken, found)]
        == [broken["ruleId"], found["ruleId"]]
        == ["NB000", "F821"]
    )
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b/n.ipynb"
    assert "print(frame)" in text[place["region"]["startLine"] - 1]
    assert found["message"]["text"] == "cell 2 (cell-2): line 2: Undefined name `frame`"


def test_paths_count_from_the_root_of_the_repository(tmp_path, monkeypatch, capsys):
    folder = make_repository(tmp_path / "repository") / "deep"
    write(folder / "n.ipynb", 1)
    monkeypatch.chdir(folder)
    assert run(["check", "--format", "github", "n.ipynb"]) == 1
    assert capsys.readouterr().out.startswith("::error file=deep/n.ipynb,line=")
    assert run(["check", "--format", "sarif", "."]) == 1
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "deep/n.ipynb"


def test_without_findings_sarif_is_a_file_and_github_says_nothing(tmp_path, capsys):
    building.write(Path("n.ipynb"), md("# T"), code("alpha: float = 1.0\nprint(alpha)", "parameters"))
    assert run(["check", "--format", "github", "n.ipynb"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["check", "--format", "sarif", "n.ipynb"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"] == []
