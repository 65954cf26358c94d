"""ruff checks names over all cells of all notebooks at once; what it cannot know is left out, and it never fails unseen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.notebooks import notebook_rules, ruff_linter
from tests.notebooks.building import code, md, notebook

PYTHON = code("rate: float = 1.0", "parameters")


def found(*cells: object, host: tuple[str, ...] = ()) -> list[tuple[int, int, str]]:
    (findings,) = ruff_linter.lint([notebook(*cells)], lambda _: host)  # type: ignore[arg-type]
    return [(finding.cell, finding.line, code) for code, finding in findings]


@pytest.mark.parametrize(
    ("source", "line", "expected"),
    [
        ("x = 1\nprint(frame)", 2, "F821"),
        ("%time x = frame", 1, "F821"),
        ("import os", 1, "F401"),
        ("%matplotlib inline\nimport os", 2, "F401"),
        ("from math import *", 1, "F403"),
        ("'%s' % (1, 2)", 1, "F507"),
        ("assert (rate, 'text')", 1, "F631"),
        ("break", 1, "F701"),
        ("rate == 2\nrate", 1, "B015"),
        ("rate\nprint(rate)", 1, "B018"),
        ("x = 1\nimport os\nos", 2, "E402"),
        ("def f(a, a): pass", 1, ruff_linter.SYNTAX),
        ("def f():\n    print(x)\n    x = 1", 2, "F821"),
        ("def f():\n    f = 1\n\ndef f(): pass", 4, "F811"),
    ],
)
def test_a_fault_is_found_in_its_cell_and_line(source: str, line: int, expected: str) -> None:
    assert found(md("# T"), PYTHON, md("text"), code(source)) == [(3, line, expected)]


@pytest.mark.parametrize(
    "source",
    [
        "display(rate, In, Out, _, _3, get_ipython())",
        "rate",
        "pwd",
        "%matplotlib inline\nimport os\nos.name",
        "%env KEY=1\nimport os\nos.name",
        "import os\n!ls {os.name}",
        "import os\n%timeit os.name",
        "%%capture shown\nprint(1)\nshown",
        "%time rate\nprint(rate)",
        "import os  # noqa: F401",
        "await rate\nasync with rate: pass",
        "def f():\n    return later\n\nlater = 1",
        "'\ud83d'",
        "if 'frame' in globals():\n    print(frame)",
    ],
)
def test_what_is_right_in_a_notebook_is_not_reported(source: str) -> None:
    assert found(PYTHON, code(source)) == []


def test_a_name_is_used_before_the_cell_that_defines_it() -> None:
    assert found(PYTHON, code("print(frame)"), code("frame = 1")) == [(1, 1, "F821")]
    assert found(PYTHON, code("frame = 1"), code("print(frame)")) == []
    assert found(PYTHON, code("del rate"), code("print(rate)")) == [(2, 1, "F821")]


@pytest.mark.parametrize("source", ["%run other.ipynb", "from math import *  # noqa: F403", "x = ("])
def test_undefined_names_are_not_reported_where_they_may_be_defined_unseen(source: str) -> None:
    assert found(PYTHON, code(source), code("print(frame)")) == []


def test_names_of_the_host_are_defined() -> None:
    assert found(PYTHON, code("spark.sql('select 1')"), host=("spark",)) == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"application/vnd.databricks.v1+notebook": {}},
        {"kernel_info": {"name": "synapse_pyspark"}},
        {"kernelspec": {"name": "pysparkkernel", "display_name": "PySpark", "language": "python"}},
    ],
)
def test_names_of_a_spark_host_are_known_by_its_metadata(metadata: dict[str, object]) -> None:
    (answers,) = ruff_linter.lint([notebook(code("spark.sql('select 1')\nframe"), metadata=metadata)])
    assert [finding.message for _, finding in answers] == ["Undefined name `frame`"]


def test_many_notebooks_are_one_call_and_other_languages_are_left_out() -> None:
    r = {"kernelspec": {"name": "ir", "display_name": "R"}}
    notebooks = [
        notebook(code("frame")),
        notebook(code("frame <- 1"), metadata=r),
        notebook(),
        notebook(code("# one\nframe")),
    ]
    answers = ruff_linter.lint(notebooks)
    assert [[code for code, _ in findings] for findings in answers] == [["F821"], [], [], ["F821"]]
    assert ruff_linter.lint([]) == []


@pytest.mark.parametrize(
    "comment",
    [
        "# ruff: noqa",
        "# ruff: noqa: F821",
        "# flake8: noqa",
        "#ruff:noqa",
        "# flake8 : NOQA",
        "x = 1  # noqa: F401 # ruff: noqa",
        "# ruff: disable[F821]",
        "# ruff: file-ignore[F821]",
        "# ruff: isort: skip_file",
    ],
)
def test_no_comment_silences_more_than_its_own_line(comment: str) -> None:
    """A pull request would hide its findings with one comment, and the old ones would count as mended."""
    cells = (code(comment), code("print(frame)\nprint(frame)  # noqa: F821\nprint(other)"))
    assert found(*cells) == [(1, 1, "F821"), (1, 3, "F821")]


def test_a_name_after_an_empty_comment_stays_as_it_is() -> None:
    assert found(code("#\nruff: int = 1\nprint(ruff)")) == []


def test_rules_of_ruff_are_reported_in_order_with_our_own_and_can_be_excused() -> None:
    cells = [md("# T"), PYTHON, md("a"), code("x = ("), md("a"), code("def f(a, a): pass\nimport sys")]
    codes = [(one.cell, one.code) for one in notebook_rules.check_with_ruff([notebook(*cells)])]
    assert codes == [(3, "NB014"), (5, "E402"), (5, "F401"), (5, "NB014")]
    cells[5] = code("def f(a, a): pass\nimport sys", "nbops-ignore-F401", "nbops-ignore-E402")
    codes = [(one.cell, one.code) for one in notebook_rules.check_with_ruff([notebook(*cells)])]
    assert codes == [(3, "NB014"), (5, "NB014")]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("print('[]')", "was not read"),
        ("import sys; sys.exit('Required version')", "Required version"),
        ("print('no JSON')", "not JSON"),
        ("print('{}')", "no list"),
        ("print('[{}]')", "cannot be read"),
    ],
)
def test_a_ruff_that_does_not_answer_is_an_error(script: str, problem: str, tmp_path: Path) -> None:
    program = tmp_path / "ruff"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(errors.UsageError, match=f"cannot be relied on .*{problem}.* or newer is needed") as raised:
        ruff_linter.lint([notebook(code("1"))], executable=str(program))
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


def test_a_ruff_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="No such file"):
        ruff_linter.lint([notebook(code("1"))], executable=str(tmp_path / "ruff"))


def test_variables_and_settings_of_ruff_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ruff.toml").write_text('lint.ignore = ["F821"]\nexclude = ["*"]\n')
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*\n")
    monkeypatch.setenv("RUFF_OUTPUT_FILE", str(tmp_path / "out.json"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert found(code("frame")) == [(0, 1, "F821")]
