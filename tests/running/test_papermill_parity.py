"""papermill's own test notebooks, rebuilt: our outcome is papermill's, and the run says it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from notebooks_lib.running import plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]

NOTEBOOKS: dict[str, tuple[list[str], str | None, dict[str, object]]] = {
    "simple": (["print(msg)", "msg"], "msg = None", {"msg": "Hello"}),
    "broken": (["print('We are good')", "print('still good')\nraise Exception('Error')", "print('never')"], None, {}),
    "keyboard interrupt": (["print('before')", "raise KeyboardInterrupt()", "print('never')"], None, {}),
    "sysexit": (["print('before')", "import sys\nsys.exit()", "print('never')"], None, {}),
    "sysexit 0": (["print('before')", "import sys\nsys.exit(0)", "print('never')"], None, {}),
    "sysexit 1": (["print('before')", "import sys\nsys.exit(1)", "print('never')"], None, {}),
    "captured error": (["%%capture kept\n1 / 0"], None, {}),
    "no parameters": (["a = 5\nprint(a)"], None, {}),
    "complex parameters": (
        ["for value in (a, b, c, d, e, f):\n    print(type(value).__name__, value)"],
        "# Comment\na: float = 2.25  # type: float\nb = ['Hello', 'World']  # Nice list\nc = None\nd = {\n    'k=v': '#x',\n}\n"
        "e = -1\nf = 'a#b = c'  # a hash in a string",
        {"a": 0.5, "b": ["x"], "d": {"n": [1, {"m": None}]}, "e": 7, "f": 'it\'s "fine"\n# = ☃'},
    ),
}


def texts(path: Path) -> list[Any]:
    """What each of the author's cells put out, without papermill's and our own notes."""
    notebook = json.loads(path.read_text())
    return [
        [
            (out["output_type"], out.get("name"), out.get("text", out.get("ename", out.get("data"))))
            for out in cell["outputs"]
        ]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("label", NOTEBOOKS)
def test_same_outcome_as_papermill(label: str, project: Settings) -> None:
    cells, parameters, values = NOTEBOOKS[label]
    path = building.write(project.root / "n.ipynb", *cells, parameters=parameters)
    theirs = project.root / "theirs.ipynb"
    logging.getLogger("papermill").setLevel(logging.ERROR)
    error = None
    try:
        papermill.execute_notebook(path, theirs, dict(values), progress_bar=False)
    except PapermillExecutionError as raised:
        error = raised.ename

    result = run_notebook(plan.make_plan(path, project, values), html=False)

    assert texts(result.output) == texts(theirs)
    assert (result.failure.error if result.failure else None) == error
    info = query.get_run(store.connect(project), result.run_id or "")
    assert info.status == info.tags[Tag.END] == ("FAILED" if error else "FINISHED")


def test_an_error_that_a_cell_shows_fails_the_notebook_even_if_the_kernel_reports_success(
    project: Settings,
) -> None:
    """IPython answers "ok" to %run and %%capture of code that raises, and Jupyter goes on: papermill fails at the end."""
    (project.root / "broken.py").write_text("raise SystemExit(2)")
    result = building.run(project, "print('before')", "%run ../broken.py", "print('never')")
    assert result.status == "FAILED"
    assert result.failure is not None
    assert (result.failure.error, result.failure.message, result.failure.cell) == ("SystemExit", "2", 1)
    assert "never" not in building.outputs(result)
    result = building.run(project, "%%capture kept\nexit(0)", "print('never')")
    assert (result.status, result.failure, "never" in building.outputs(result)) == ("FINISHED", None, False)


def test_a_cell_that_may_raise_does_not_fail_the_notebook(project: Settings) -> None:
    """Jupyter's own tag `raises-exception`: nbclient goes on, papermill complains at the end; we keep to Jupyter."""
    path = building.write(project.root / "n.ipynb", "1 / 0", "print('after')")
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["metadata"]["tags"] = ["raises-exception"]
    path.write_text(json.dumps(notebook))
    result = run_notebook(plan.make_plan(path, project), html=False)
    assert (result.status, result.failure) == ("FINISHED", None)
    assert "after" in building.outputs(result)
