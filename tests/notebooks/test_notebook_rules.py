"""Each rule finds what it names, where it stands, and a notebook built as the house style says has no findings."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib.notebooks import document, notebook_rules, readability_rules
from tests import rules
from tests.notebooks.building import code, md, notebook

P = code("alpha: float = 1.0  # strength\nprint(alpha)", "parameters")


def codes(*cells, **extra) -> list[tuple[int, str]]:
    return [(found.cell, found.code) for found in notebook_rules.check(notebook(*cells, **extra))]


def body(source: str, *tags: str, **extra) -> list[tuple[int, str]]:
    """Findings of one code cell in an otherwise good notebook; it is cell 3."""
    return codes(md("# T\nwhy"), P, md("text"), code(source, *tags, **extra))


def test_a_good_notebook_has_no_findings():
    kept = code("x.shape", "keep_output", execution_count=7, outputs=[{"output_type": "stream"}])
    cells = [
        md("# Does it?\nBecause."),
        md("## Parameters"),
        P,
        md("## Setup"),
        code("import os"),
        md("a"),
        code("x = 1"),
    ]
    assert codes(*cells, kept, md("## Checks"), code("assert x")) == []


OUTPUT = {"outputs": [{"output_type": "stream"}]}


@pytest.mark.parametrize(
    ("source", "tags", "extra", "found"),
    [
        ("1", (), OUTPUT, "NB001"),
        ("1", (), {"execution_count": 3}, "NB002"),
        ("1", (), {"id": "cell-0"}, "NB003"),
        ("1", (), {"id": None}, "NB003"),
        ("!pip install x", (), {}, "NB010"),
        ("%pip install -q x", (), {}, "NB010"),
        ("%conda install x", (), {}, "NB010"),
        ("!{sys.executable} -m pip install x", (), {}, "NB010"),
        ("!python3 -m pip --quiet install x", (), {}, "NB010"),
        ("%%bash\ncd x\npip install x", (), {}, "NB010"),
        ("!apt-get install -y x", (), {}, "NB010"),
        ("!uv pip install x", (), {}, "NB010"),
        ("pip install x", (), {}, "NB010"),
        ("import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'x'])", (), {}, "NB010"),
        ("import os\nos.system('pip3 install x')", (), {}, "NB010"),
        ("import pip\npip.main(['install', 'x'])", (), {}, "NB010"),
        ("x = '/content/drive/MyDrive/a.csv'", (), {}, "NB011"),
        ("x = '/Workspace/Users/me/a.csv'", (), {}, "NB011"),
        ("x = '/databricks/driver/a.csv'", (), {}, "NB011"),
        ("x = open('/home/me/a.csv')", (), {}, "NB011"),
        ("x = r'C:\\Users\\me'", (), {}, "NB011"),
        ("x = 'D:/data'", (), {}, "NB011"),
        ("x = f'/Users/{me}/a'", (), {}, "NB011"),
        ("x = '~alice/a.csv'", (), {}, "NB011"),
        ("!cat /home/me/a.csv", (), {}, "NB011"),
        ("\n".join(f"print({i})" for i in range(16)), (), {}, "NB012"),
        ("def f():\n" + "  print()\n" * 5, (), {}, "NB013"),
        ("class A: pass", (), {}, "NB013"),
        ("x = (", (), {}, "NB014"),
        ("import mlflow\nmlflow.set_tracking_uri('x')", (), {}, "NB015"),
        ("import os\nos.environ['MLFLOW_TRACKING_URI'] = 'x'", (), {}, "NB015"),
        ("import warnings\nwarnings.filterwarnings('ignore')", (), {}, "NB016"),
        ("from warnings import simplefilter as s\ns('ignore')", (), {}, "NB016"),
        ("import sys\nsys.path.insert(0, '..')", (), {}, "NB017"),
        ("import sys\nsys.path += ['..']", (), {}, "NB017"),
        ("import sys\nsys.path[0:0] = ['..']", (), {}, "NB017"),
        ("alpha = 2", (), {}, "NB031"),
        ("alpha += 2", (), {}, "NB031"),
        ("x, (alpha, y) = 1, (2, 3)", (), {}, "NB031"),
        ("for alpha in []: pass", (), {}, "NB031"),
        ("for x, alpha in []: pass", (), {}, "NB031"),
        ("for x in []:\n  alpha = x", (), {}, "NB031"),
        ("with open(x) as alpha: pass", (), {}, "NB031"),
        ("import alpha", (), {}, "NB031"),
        ("def alpha(): pass", (), {}, "NB031"),
    ],
)
def test_a_fault_in_a_cell_is_found_there_and_the_cell_can_be_excused(source, tags, extra, found):
    assert body(source, *tags, **extra) == [(3, found)]
    assert body(source, f"nbops-ignore-{found}", **extra) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 'pip install x'",
        "# !pip install x",
        "!pip list",
        "!ls data",
        "x = '/predict'",
        "x = 'https://host/home/x'",
        "x = 'a:b'",
        "x = r'A:\\d+'",
        "x = 's3://home/x'",
        "x = 'text about /home/me'",
        "\n\n".join(f"print({i})" for i in range(15)),
        "def f():\n" + "  print()\n" * 4,
        "import sys\nprint(sys.path)",
        "if x: alpha = 1",
        "for x in alpha: pass",
        "alpha: float",
        "import x as y, alpha.b as z",
        "alpha.x = 1\nframe['alpha'] = 2",
        "[alpha for alpha in x]",
        "def f(alpha): alpha = 1",
        "_alpha = 1\n_alpha = 2",
        "x = 1\nx = 2",
        "await f()",
        "import mlflow\nmlflow.log_metric('x', 1)",
    ],
)
def test_what_only_looks_like_a_fault_is_left_alone(source):
    assert body(source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1", ["NB006"]),
        ("x: float = f()", ["NB007"]),
        ("x: float", ["NB007"]),
        ("x: Annotated[float, '>0'] = 0.0", ["NB008"]),
        ("x: int = 'a'", ["NB008"]),
        ("x: Literal['a'] = 'b'", ["NB008"]),
        ("token: SecretStr = 'not a name'", ["NB008"]),
        ("from notebooks_lib import SecretStr\ntoken: SecretStr = 'TOKEN'", []),
        ("x: float = float('inf')\ny: int | None = None\nz: Annotated[float, '>0'] = 1", []),
    ],
)
def test_the_parameters_cell_is_annotated_literals_within_their_own_schema(source, found):
    reads = code("print(x, token, y, z)")
    assert codes(md("# T"), code(source, "parameters"), reads) == [(1, one) for one in found]


def test_the_parameters_cell_is_there_once_and_first():
    assert codes(md("# T"), code("x = 1")) == [(1, "NB005")]
    assert codes(md("# T"), P, code("y: int = 1\ny", "parameters")) == [(2, "NB005")]
    assert codes(md("# T"), code("import os"), P) == [(2, "NB005")]
    assert codes(md("# T"), code(""), P) == []


def test_there_is_one_title():
    assert codes(md("## T"), P) == [(0, "NB009")]
    assert codes(md("# T\n```\n# no\n```\n\n# U"), P) == [(0, "NB009")]
    assert codes(md("# T"), P, md("# U")) == [(2, "NB009")]


def test_text_leads_up_to_code():
    assert codes(P, md("# T")) == [(0, "NB019")]
    assert codes(md("# T"), P, code("1"), code("2"), code("3")) == [(3, "NB019")]


def test_the_file_itself_is_in_order():
    assert codes(md("# T"), P, nbformat_minor=4) == [(0, "NB003")]
    assert codes(md("# T"), P, metadata={"kernelspec": {"name": "conda-env"}}) == [(0, "NB004")]
    assert codes(md("# T"), P, metadata={}) == [(0, "NB004")]


def test_another_language_is_not_read_as_python():
    other = {"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}}
    assert codes(md("# T"), code("x <- (1", "parameters"), metadata=other) == []


def test_an_empty_notebook_has_findings_for_what_it_lacks():
    assert codes() == [(0, "NB005"), (0, "NB009")]


def test_every_rule_has_a_reason_and_a_fix_and_a_code_of_its_own():
    assert [rule.code for rule in notebook_rules.RULES] == [
        f"NB{number:03d}" for number in range(1, len(notebook_rules.RULES) + 1)
    ]
    assert all(
        rule.what and rule.why.endswith((".", "?")) and rule.fix.endswith(".") for rule in notebook_rules.all_rules()
    )


@pytest.mark.parametrize("rule", notebook_rules.all_rules(), ids=lambda rule: rule.code)
def test_the_examples_of_a_rule_are_reported_and_not_reported(rule, tmp_path):
    bad, good = (rules.example(text, tmp_path / str(number)) for number, text in enumerate((rule.bad, rule.good)))
    (tmp_path / "1").mkdir(exist_ok=True)
    codes = [{one.code for one in notebook_rules.check_with_ruff([notebook])} for notebook in (bad, good)]
    assert any(code.startswith(rule.code) for code in codes[0])
    assert not any(code.startswith(rule.code) for code in codes[1])


WITHOUT_LINE = {f"NB{number:03d}" for number in (*range(1, 10), 12, 18, 19, 20, 21, 22, 23, 28)}
"""Their findings are about a cell, its parameters or the file, not about a line of code."""
ONCE = {f"NB{number:03d}" for number in (*range(3, 10), 19, 20, 22, 23)}
"""The file, the parameters cell or a row of cells breaks them, so a second cell like the first breaks nothing more."""


@pytest.mark.parametrize("rule", notebook_rules.RULES, ids=lambda rule: rule.code)
def test_a_finding_names_the_line_of_the_fault_and_each_cell_that_has_it(rule, tmp_path):
    example = rules.example(rule.bad, tmp_path)
    cells = example.raw["cells"]

    def found(cells):
        example.path.write_text(json.dumps({**example.raw, "cells": cells}))
        return [one for one in notebook_rules.check(document.read(example.path)) if one.code == rule.code]

    first = found(cells)[0]
    cell = cells[first.cell]
    before, after = cells[: first.cell], cells[first.cell + 1 :]
    assert (first.line == 0) == (rule.code in WITHOUT_LINE)
    if first.line:
        lines = dict(enumerate(cell["source"].split("\n"), 1))
        without = {**cell, "source": "\n".join({**lines, first.line: ""}.values())}
        assert found([*before, without, *after]) == [], f"without line {first.line} there is no fault"
    if rule.code not in ONCE:
        again = [*before, cell, {**cell, "id": "again"}, *after]
        assert first.cell + 1 in {place for one in found(again) for place in (one.cell, *one.cells)}


def test_the_page_of_rules_is_what_the_tables_say():
    assert rules.page() == rules.PAGE.read_text("utf-8"), "make api"


def test_the_page_on_notebooks_lists_every_rule():
    text = (rules.PAGE.parent / "notebooks.md").read_text("utf-8")
    assert [rule.code for rule in notebook_rules.all_rules() if rule.code not in text] == []


def test_a_notebook_of_thousands_of_cells_is_checked():
    cells = [cell for i in range(1_000) for cell in (md("text"), code(f"x{i} = {i}\nprint(x{i})"))]
    assert codes(md("# T"), P, *cells) == []


def test_a_finding_reads_as_file_cell_code_message():
    path = Path("work/n.ipynb")
    (found,) = notebook_rules.check(notebook(md("# T"), P, md("a"), code("x = ("), path=path))
    assert str(found).startswith(f"{path}:3 (cell-3): NB014 line 1: ")
    assert document.read(path)


@pytest.mark.parametrize(
    "source",
    [
        "x = '~/Downloads'",
        "x = '/tmp/model'",
        "x = '/opt/ml/model'",
        "x = 'https://example.org/content/a.csv'",
        "!ls ~/data",
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    f()",
        "from warnings import catch_warnings, filterwarnings\nwith catch_warnings(record=True) as w:\n    filterwarnings('ignore')",
        "import subprocess\nsubprocess.run(['git', 'log'])",
        "%%capture got\n%%sh\necho build --force",
        "mkdir -p out\ncd out",
        "np.*load*?",
        "fig, ax = subplots()\nax.plot(1)\nfig.show()",
    ],
)
def test_what_is_no_fault_is_not_reported(source: str):
    assert body(source) == []


def test_a_name_that_each_cell_assigns_first_is_not_reported():
    figure = "fig, ax = plt.subplots()\nax.plot(1)"
    assert codes(md("# T"), P, md("a"), code(figure), md("b"), code(figure)) == []
    frame = [code("df = load()"), md("b"), code("df = df.dropna()")]
    assert codes(md("# T"), P, md("a"), *frame) == [(5, "NB018")]
    late = [code("x = 1"), md("b"), code("x = 2"), md("c"), code("print(x)")]
    assert codes(md("# T"), P, md("a"), *late) == [(5, "NB018")]


def test_an_injected_cell_does_not_count_as_an_assignment():
    assert codes(md("# T"), P, code("alpha = 0.5", "injected-parameters"), md("a"), code("print(alpha)")) == []


@pytest.mark.parametrize(
    ("source", "newer"),
    [
        ("type Token = str", True),
        ("type Pairs[T] = list[tuple[T, T]]", True),
        ("def first[T](rows: list[T]) -> T:\n    return rows[0]", True),
        ("f'{len('a')}'", True),
        ("try:\n    f()\nexcept KeyError, TypeError:\n    pass", True),
        ("x = (", False),
        ("print 'done'", False),
    ],
)
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads all of them")
def test_syntax_of_a_newer_python_that_ran_the_notebook_is_left_alone(source: str, newer: bool):
    metadata = {"kernelspec": {"name": "python3"}, "language_info": {"name": "python", "version": "3.99.1"}}
    cells = (md("# T"), P, md("a"), code(source))
    assert codes(*cells, metadata=metadata) == ([] if newer else [(3, "NB014")])
    if sys.version_info < (3, 12):
        assert codes(*cells) == [(3, "NB014")], "this Python does not run it"


@pytest.mark.parametrize(
    "kernel", ["ir", "julia-1.11", "bash", "xcpp17", "gophernotes", "rust", "octave", ".net-csharp"]
)
def test_another_language_is_recognised_by_its_kernel(kernel: str):
    metadata = {"kernelspec": {"name": kernel, "display_name": "?"}}
    assert codes(md("# T"), code("x <- (1", "parameters"), metadata=metadata) == []


@pytest.mark.parametrize(
    "kernel", ["python3", "conda-env-x-py", "myenv", "pytorch", "ironpython", "gordon", "cuda", "java-env"]
)
def test_python_has_kernels_of_any_name(kernel: str):
    metadata = {"kernelspec": {"name": kernel, "display_name": "?"}}
    found = codes(md("# T"), code("x <- (1", "parameters"), metadata=metadata)
    assert "NB014" in {one for _, one in found}


def test_what_has_one_cause_is_one_line_that_names_the_cells():
    ran = {**OUTPUT, "execution_count": 1}
    cells = [md("# T"), P, md("a"), *(code(f"print({i})", **ran) for i in range(2)), md("b"), code("1", **ran)]
    found = notebook_rules.check(notebook(*cells))
    assert [one.text for one in found] == ["outputs; also in cells 4, 6"]
    assert found[0].cells == (3, 4, 6)
    cells[3] = code("print(0)", "nbops-ignore-NB001", **ran)
    assert [one.text for one in notebook_rules.check(notebook(*cells))] == ["outputs; also in cell 6"]
    missing = [code("print(frame)"), md("b"), code("print(frame)\nprint(other)")]
    (frame, other) = notebook_rules.check_with_ruff([notebook(md("# T"), P, md("a"), *missing)])
    assert frame.text == "line 1: Undefined name `frame`; also in cell 5"
    assert (other.cell, other.line, other.cells) == (5, 2, ())


@pytest.mark.parametrize(
    ("key", "place"),
    [
        *[(key, "cell") for key in ("ExecuteTime", "executionInfo", "collapsed", "papermill", "vscode")],
        *[(key, "file") for key in ("widgets", "papermill", "vscode")],
    ],
)
def test_metadata_that_tools_write_is_one_finding(key, place):
    spec = {"kernelspec": {"name": "python3"}}
    if place == "file":
        assert codes(md("# T"), P, metadata={**spec, key: {}}) == [(0, "NB021")]
    else:
        cell = {"metadata": {key: True}}
        assert codes(md("# T"), P, md("a", **cell), code("1", **cell)) == [(2, "NB021")]


def test_widgets_that_a_kept_output_shows_stay():
    view = {"outputs": [{"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}}]}
    metadata = {"kernelspec": {"name": "python3"}, "widgets": {}}
    assert codes(md("# T"), P, md("a"), code("1", "keep_output", **view), metadata=metadata) == []


@pytest.mark.parametrize(
    ("source", "reported"),
    [
        ("print(rate)", ["NB022"]),
        ("print(rate, seed)", []),
        ("print(f'{rate} {seed}')", []),
        ("frame.query('x > @seed and @rate')", []),
        ("rate; !echo {seed}", ["NB014"]),
        ("print(rate)\n!echo {seed}", []),
        ("print(globals())", []),
        ("print(rate)\nseed = 3", ["NB022", "NB031"]),
        ("exec(text)", []),
    ],
)
def test_a_parameter_that_nothing_reads_is_reported(source, reported):
    given = code("rate: float = 1.0\nseed: int = 7", "parameters")
    assert [code for _, code in codes(md("# T"), given, md("a"), code(source))] == reported


@pytest.mark.parametrize(
    ("parameter", "reported"),
    [
        ("dry_run: bool = True", False),
        ("dry_run: bool = False", True),
        ("live: bool = False", False),
        ("deploy_model: bool = True", True),
        ("overwrite: bool = True", True),
        ("verbose: bool = True", False),
        ("dry_run: str = 'no'", False),
    ],
)
def test_in_production_a_switch_changes_nothing_by_default(parameter, reported):
    cells = (md("# T"), code(f"{parameter}\nprint({parameter.partition(':')[0]})", "parameters"))
    assert codes(*cells, path=Path("production/n.ipynb")) == ([(1, "NB023")] if reported else [])
    assert codes(*cells, path=Path("experimentation/n.ipynb")) == []


def test_nothing_is_left_to_do_in_production():
    cells = (md("# T\nTODO: say why"), P, md("a"), code("x = 'TODO'  # FIXME: which\ny = 1  # todos"))
    assert codes(*cells, path=Path("production/n.ipynb")) == [(0, "NB027"), (3, "NB027")]
    assert codes(*cells, path=Path("production/project/experimentation/n.ipynb")) == []
    assert codes(*cells) == []


@pytest.mark.parametrize(
    ("source", "code_found"),
    [
        ("import os\nos.chdir('x')", "NB024"),
        ("%cd x", "NB024"),
        ("import mlflow\nfrom notebooks_lib import tracking\ntracking.run('x')\nmlflow.end_run()", "NB025"),
        ("from notebooks_lib import datasets\ndata = datasets.load('a@1')\nprint(data.holdout)", "NB026"),
        ("from notebooks_lib.datasets.loader import open_holdout\nopen_holdout('a@1', reader='me')", "NB026"),
    ],
)
def test_changing_state_that_others_own_is_reported(source, code_found):
    assert body(source) == [(3, code_found)]
    assert body(source, f"nbops-ignore-{code_found}") == []


@pytest.mark.parametrize(
    "source",
    [
        "import mlflow\nmlflow.start_run()\nmlflow.end_run()",
        "from notebooks_lib import Gate\nGate('m').holdout(1)",
        "x.holdout",
        "import os\nos.getcwd()",
    ],
)
def test_state_of_ones_own_may_change(source):
    assert body(source) == []


@pytest.mark.parametrize("name", readability_rules.TEMPLATE_NAMES)
def test_a_template_is_held_by_its_texts(name):
    template = document.read(Path(__file__).parents[2] / "experimentation" / name)
    left = [cell.index for cell in template.cells if cell.kind == "markdown"]
    copied = replace(template, path=Path("mine.ipynb"))
    assert [one.cell for one in readability_rules.template_texts(copied)] == left
    assert list(readability_rules.template_texts(template)) == []
