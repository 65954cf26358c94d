"""`nbops check` prints `file:cell: CODE message`, and exits with 1 when there are findings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.notebooks import check_options, notebook_rules, ruff_linter
from tests.notebooks.building import code, md, write

GOOD = (md("# T"), code("alpha: float = 1.0\nprint(alpha)", "parameters"))


def test_findings_are_printed_and_exit_with_1(empty_project, capsys):
    write(Path("experimentation/deep/a.ipynb"), *GOOD, code("x = ("))
    write(Path("production/b.ipynb"), *GOOD)
    write(Path("production/.ipynb_checkpoints/b.ipynb"), code("x = ("))
    write(Path("elsewhere/c.ipynb"), code("x = ("))
    assert run(["check"]) == 1
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    assert line.startswith("experimentation/deep/a.ipynb:2 (cell-2): NB014 ")
    assert "2 notebooks, 1 finding" in printed.err
    assert "NB014: " in printed.err, "the fix stands below"


def test_no_findings_exit_with_0(empty_project, capsys):
    write(Path("production/b.ipynb"), *GOOD)
    assert run(["check"]) == 0
    assert capsys.readouterr().out == ""


def test_paths_are_files_or_folders_and_json_is_for_ci(empty_project, capsys):
    write(Path("a/a.ipynb"), *GOOD, code("x = ("))
    Path("a/broken.ipynb").write_text("{")
    assert run(["check", "--json", "a", "a/a.ipynb"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(entry["path"], entry["cell"], entry["code"]) for entry in found] == [
        ("a/a.ipynb", 2, "NB014"),
        ("a/broken.ipynb", 0, "NB000"),
    ]


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_what_is_no_notebook_is_named_once(tmp_path, capsys, form):
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "link.ipynb").symlink_to("gone.ipynb")
    assert run(["check", "--format", form, "broken.ipynb", "link.ipynb"]) == 1
    printed = capsys.readouterr().out
    assert str(tmp_path) not in printed
    assert "a link to gone.ipynb: no file is there" in printed
    assert (printed.count("broken.ipynb"), printed.count("link.ipynb")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a/b.ipynb"], "did you mean 'a.ipynb'"),
        (["--fix"], "found no experimentation or production folder; name the notebooks"),
        (["--select", "NB9"], "select: found 'NB9', expected ALL, FAULTS, or the beginning of a code"),
    ],
)
def test_usage_errors_exit_with_2(tmp_path, capsys, arguments, said):
    write(Path("a/a.ipynb"), *GOOD)
    assert run(["check", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_outside_a_project_all_notebooks_below_are_checked_for_faults_only(tmp_path, capsys):
    assert run(["check"]) == 2
    assert "found no notebooks; go where they are, or name them" in capsys.readouterr().err
    write(Path("lessons/a.ipynb"), code("import os\nprint(frame)"))
    write(Path("experimentation/b.ipynb"), code("def f():\n" + "    print()\n" * 9))
    write(Path(".venv/lib/c.ipynb"), code("x = ("))
    assert run(["check"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "lessons/a.ipynb:0 (cell-0): F821 line 2: Undefined name `frame`\n"
    assert "2 notebooks, 1 finding\n" in printed.err
    assert "8 more findings are not shown, of conventions that hold in a project of nbops: --select ALL" in printed.err


def test_rules_are_selected_as_in_ruff_on_the_command_line_or_in_the_settings(empty_project, capsys, monkeypatch):
    write(Path("production/b.ipynb"), code("import os\nprint(frame)"))

    def codes(*arguments: str) -> list[str]:
        check_options.of_folder.cache_clear()
        run(["check", "--json", *arguments])
        return [entry["code"] for entry in json.loads(capsys.readouterr().out)]

    everything = codes()
    assert {"F821", "F401", "NB005", "NB009", "NB019"} == set(everything)
    assert codes("--select", "ALL") == everything
    assert codes("--select", "FAULTS") == ["F821"]
    assert codes("--select", "F4,NB005", "--select", "F82") == ["F401", "F821", "NB005"]
    monkeypatch.setenv("NBOPS_CHECK_SELECT", "FAULTS,F401")
    assert codes() == ["F401", "F821"]
    with Path("production/settings.toml").open("a") as file:
        file.write('[check]\nselect = ["NB9"]\n')
    monkeypatch.delenv("NBOPS_CHECK_SELECT")
    check_options.of_folder.cache_clear()
    assert run(["check"]) == 2
    assert "found 'NB9'" in capsys.readouterr().err
    check_options.of_folder.cache_clear()


def test_the_rules_are_listed_with_reason_and_fix(capsys):
    assert run(["check", "--rules"]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for rule in notebook_rules.all_rules() for text in (rule.code, rule.why, rule.fix))
    assert run(["check", "--rules", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(notebook_rules.all_rules())


def test_names_are_checked_with_ruff_and_the_settings_name_what_the_host_brings(empty_project, capsys):
    write(Path("production/b.ipynb"), *GOOD, code("spark.sql('select 1')\nframe"))
    assert run(["check"]) == 1
    assert [line.split(": ")[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["production/b.ipynb:2 (cell-2)", "F821 line 1"],
        ["production/b.ipynb:2 (cell-2)", "F821 line 2"],
    ]
    with Path("production/settings.toml").open("a") as file:
        file.write('[check]\nbuiltins = ["spark"]\n')
    check_options.of_folder.cache_clear()
    assert run(["check"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "production/b.ipynb:2 (cell-2): F821 line 2: Undefined name `frame`\n"
    assert "F821: Define it in an earlier cell" in printed.err


def test_the_settings_are_those_of_the_notebooks_project(empty_project, monkeypatch, tmp_path):
    write(Path("production/b.ipynb"), *GOOD, code("spark.sql('select 1')"))
    with Path("production/settings.toml").open("a") as file:
        file.write('[check]\nbuiltins = ["spark"]\n')
    path = str(Path("production/b.ipynb").absolute())
    monkeypatch.chdir(tmp_path)
    assert run(["check", path]) == 0


def test_without_ruff_nothing_passes(empty_project, capsys, monkeypatch):
    write(Path("production/b.ipynb"), *GOOD)
    monkeypatch.setattr(ruff_linter, "find_ruff", lambda: "no-such-ruff")
    assert run(["check"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nbops: ruff cannot be relied on")


def test_neither_kernels_nor_mlflow_nor_pydantic_are_imported(empty_project):
    write(Path("production/b.ipynb"), *GOOD)
    code = (
        "import sys\nfrom notebooks_lib.__main__ import run\nassert run(['check']) == 0\n"
        "heavy = {'mlflow', 'jupyter_client', 'nbformat', 'pandas', 'pydantic'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
