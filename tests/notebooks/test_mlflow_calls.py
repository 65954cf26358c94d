"""What a notebook will say to MLflow is found before it runs, and what cannot be known is called unknown."""

import pytest

from notebooks_lib.notebooks import mlflow_calls
from tests.notebooks.building import code, notebook
from tests.notebooks.building import parameters as built

PARAMETERS = "experiment: str = 'first'\nn: int = 1\nderived = experiment + '-x'"


def values(*cells: str, environ: dict[str, str] | None = None, **given: object) -> list[str | None]:
    """The names of experiments; "?" where one is not known."""
    wanted = ("set_experiment", "run", "MLFLOW_EXPERIMENT_NAME")
    calls = [
        call for call in mlflow_calls.find_calls(built(PARAMETERS, *cells), given, environ) if call.function in wanted
    ]
    return [call.value if call.known else "?" for call in calls]


@pytest.mark.parametrize(
    "cell",
    [
        "import mlflow\nmlflow.set_experiment('a')",
        "import mlflow as mf\nmf.set_experiment(experiment_name='a')",
        "from mlflow import set_experiment\nset_experiment('a')",
        "from mlflow import set_experiment as choose\nchoose('a')",
        "import mlflow.tracking.fluent\nmlflow.tracking.fluent.set_experiment('a')",
        "from notebooks_lib import tracking\nrun = tracking.run(experiment='a')",
        "from notebooks_lib import tracking as t\nwith t.run('a') as run: pass",
        "from notebooks_lib.tracking import run\nrun('a')",
        "import notebooks_lib.tracking\nnotebooks_lib.tracking.run('a')",
        "import mlflow\nif True:\n  with open('x'):\n    mlflow.set_experiment('a')",
        "import mlflow\ndef go():\n  mlflow.set_experiment('a')",
        "%matplotlib inline\nimport mlflow\n%time mlflow.set_experiment('a')",
        "import os\nos.environ['MLFLOW_EXPERIMENT_NAME'] = 'a'",
        "import os\nos.environ.update(MLFLOW_EXPERIMENT_NAME='a')",
        "import os\nos.environ.update({'MLFLOW_EXPERIMENT_NAME': 'a'})",
        "%env MLFLOW_EXPERIMENT_NAME=a",
        "import mlflow\nawait f(mlflow.set_experiment('a'))",
    ],
)
def test_every_spelling_is_found(cell):
    assert values(cell) == ["a"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("experiment", "given"),
        ("f'{experiment}-{n}'", "given-1"),
        ("'x-' + experiment", "x-given"),
        ("NAME", "given!"),
        ("LATER", "given!?"),
        # The parameters cell runs before the given values are injected.
        ("derived", "first-x"),
        ("None", None),
        ("twice", "?"),
        ("looped", "?"),
        ("branched", "?"),
        ("raised", "?"),
        ("shared", "?"),
        ("unknown", "?"),
        ("f()", "?"),
        ("n", "?"),
        ("*names", "?"),
        ("**options", "?"),
    ],
)
def test_the_name_is_evaluated_with_the_given_values(expression, value):
    setup = """
NAME = f"{experiment}!"
LATER = NAME + "?"
twice = "a"
twice = "b"
for looped in ["a"]: pass
if n: branched = "a"
raised = "a"
raised += "b"
shared = "a"
def change():
    global shared
    shared = "b"
"""
    assert values(setup, f"import mlflow\nmlflow.set_experiment({expression})", experiment="given") == [value]


def test_a_parameter_that_is_assigned_again_is_unknown():
    assert values("experiment = f()", "import mlflow\nmlflow.set_experiment(experiment)") == ["?"]
    assert values("experiment = 'b'", "import mlflow\nmlflow.set_experiment(experiment)", experiment="c") == ["?"]


def test_names_of_a_function_are_its_own():
    cell = "import mlflow\nname = 'a'\ndef go(experiment, m=mlflow):\n  mlflow.set_experiment(experiment)\n"
    cell += "  name = f()\n  mlflow.set_experiment(name)\n[mlflow.set_experiment(name) for name in x]\n"
    cell += "mlflow.set_experiment(name)"
    assert values(cell) == ["?", "?", "?", "a"]


def test_the_environment_is_the_one_that_is_given():
    cell = "import mlflow, os\nmlflow.set_experiment(os.environ.get('E', 'd'))\nmlflow.set_experiment(os.environ['E'])"
    assert values(cell, environ={"E": "e"}) == ["e", "e"]
    assert values(cell, environ={}) == ["d", "?"]
    assert values(cell) == ["?", "?"]


def test_calls_come_in_code_order_with_cell_and_line():
    read = notebook(
        code("import mlflow"),
        code("\nwith mlflow.start_run():\n    mlflow.set_experiment('b')\nmlflow.set_experiment(experiment_id='7')"),
        code("mlflow.set_tracking_uri(uri)\nmlflow.set_experiment('c', None)"),
    )
    calls = [
        (call.cell, call.line, call.function, call.value, call.by_id) for call in mlflow_calls.find_calls(read, {})
    ]
    assert calls == [
        (1, 2, "start_run", None, False),
        (1, 3, "set_experiment", "b", False),
        (1, 4, "set_experiment", "7", True),
        (2, 1, "set_tracking_uri", None, False),
        (2, 2, "set_experiment", "c", False),
    ]


def test_a_run_without_an_experiment_names_none():
    assert values("from notebooks_lib import tracking\ntracking.run()\ntracking.run(name='x')") == []


@pytest.mark.parametrize(
    ("cell", "value", "known"),
    [
        ("import mlflow\nmlflow.set_tracking_uri('sqlite:///x.db')", "sqlite:///x.db", True),
        ("import mlflow\nmlflow.set_tracking_uri(uri=f'http://{host}')", None, False),
        ("import mlflow\nmlflow.set_tracking_uri(ws.get_mlflow_tracking_uri())", None, False),
        ("import os\nos.environ['MLFLOW_TRACKING_URI'] = 'http://x'", "http://x", True),
        ("from os import environ\nenviron['MLFLOW_TRACKING_URI'] = x", None, False),
        ("%env MLFLOW_TRACKING_URI http://x", "http://x", True),
        ("%env MLFLOW_TRACKING_URI={x}", None, False),
        ("import mlflow, os\nmlflow.set_tracking_uri(os.environ['MLFLOW_TRACKING_URI'])", "ours", True),
    ],
)
def test_tracking_uris_are_found(cell, value, known):
    read = notebook(code(cell))
    (call,) = mlflow_calls.tracking_uri_calls(read, {}, {"MLFLOW_TRACKING_URI": "ours"})
    assert (call.value, call.known) == (value, known)


def test_what_the_notebook_sets_is_not_taken_from_the_environment():
    cell = "import mlflow, os\nos.environ['MLFLOW_TRACKING_URI'] = f()\n"
    cell += "mlflow.set_tracking_uri(os.environ['MLFLOW_TRACKING_URI'])"
    calls = mlflow_calls.tracking_uri_calls(notebook(code(cell)), {}, {"MLFLOW_TRACKING_URI": "ours"})
    assert [call.known for call in calls] == [False, False]


@pytest.mark.parametrize(
    "cell",
    [
        "client.set_experiment('a')",
        "# mlflow.set_experiment('a')",
        "x = \"mlflow.set_experiment('a')\"",
        "import other\nother.set_experiment('a')",
        "import mlflow\nmlflow.set_experiment_tags({})",
        "import os\nos.environ.setdefault('MLFLOW_TRACKING_URI', 'x')",
        "import os\nprint(os.environ['MLFLOW_TRACKING_URI'])",
    ],
)
def test_code_that_only_looks_like_mlflow_is_not_reported(cell):
    assert mlflow_calls.find_calls(built(PARAMETERS, cell), {}, {}) == []


def test_other_languages_and_broken_cells_give_nothing():
    other = notebook(code("mlflow_set_experiment('a')"), metadata={"language_info": {"name": "R"}})
    assert mlflow_calls.find_calls(other, {}) == []
    assert values("import mlflow\nmlflow.set_experiment('a')", "x = (") == ["a"]
