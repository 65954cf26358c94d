"""Each rule finds what it names, where it stands, and a notebook built as the house style says has no findings."""

from pathlib import Path

import pytest

from notebooks_lib.notebooks import document, notebook_rules
from tests.notebooks.building import code, md, notebook

P = code("alpha: float = 1.0  # strength", "parameters")


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
        ("alpha = 2", (), {}, "NB018"),
        ("alpha += 2", (), {}, "NB018"),
        ("x, (alpha, y) = 1, (2, 3)", (), {}, "NB018"),
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
        "for alpha in []: pass",
        "if x: alpha = 1",
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
        ("from notebooks_lib.notebooks import SecretStr\ntoken: SecretStr = 'TOKEN'", []),
        ("x: float = float('inf')\ny: int | None = None\nz: Annotated[float, '>0'] = 1", []),
    ],
)
def test_the_parameters_cell_is_annotated_literals_within_their_own_schema(source, found):
    assert codes(md("# T"), code(source, "parameters")) == [(1, one) for one in found]


def test_the_parameters_cell_is_there_once_and_first():
    assert codes(md("# T"), code("x = 1")) == [(1, "NB005")]
    assert codes(md("# T"), P, code("y: int = 1", "parameters")) == [(2, "NB005")]
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
    assert all(rule.what and rule.why.endswith(".") and rule.fix.endswith(".") for rule in notebook_rules.RULES)


def test_a_notebook_of_thousands_of_cells_is_checked():
    cells = [cell for i in range(1_000) for cell in (md("text"), code(f"x{i} = {i}\nprint(x{i})"))]
    assert codes(md("# T"), P, *cells) == []


def test_a_finding_reads_as_file_cell_code_message():
    path = Path("work/n.ipynb")
    (found,) = notebook_rules.check(notebook(md("# T"), P, md("a"), code("x = ("), path=path))
    assert str(found).startswith(f"{path}:3: NB014 line 1: ")
    assert document.read(path)


@pytest.mark.parametrize(
    "source",
    [
        "x = '~/Downloads'",
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
