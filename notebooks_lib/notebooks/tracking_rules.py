"""Rules about runs and datasets: who owns the run, where it goes, which rows are read."""

from __future__ import annotations

import ast

from notebooks_lib.notebooks import mlflow_calls
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule

_OUR_RUNS = {"notebooks_lib.run", "notebooks_lib.tracking.run"}


def tracking_uris(notebook: Notebook) -> Findings:
    """Yield each line that sets MLflow's tracking URI, by a call or by an environment variable."""
    if not any("tracking_uri" in cell.source.lower() for cell in notebook.python_cells):
        return  # the search for calls costs more than all other rules together
    for call in mlflow_calls.tracking_uri_calls(notebook, {}):
        yield Finding(call.cell, call.function + (f" {call.value!r}" if call.value else ""), call.line)


def ended_runs(notebook: Notebook) -> Findings:
    """Yield calls of `mlflow.end_run` in a notebook whose run was opened by `tracking.run`."""
    if any(path in _OUR_RUNS for _, _, path in notebook.calls):
        for cell, call, path in notebook.calls:
            if path == "mlflow.end_run":
                yield Finding(cell.index, "mlflow.end_run beside tracking.run", call.lineno)


def holdout_reads(notebook: Notebook) -> Findings:
    """Yield reads of a holdout, except by `Gate`, which counts each use."""
    if not any(path.partition(".")[0] == "notebooks_lib" for path in notebook.imported.values()):
        return
    called = {id(call.func) for _, call, _ in notebook.calls}
    for cell, call, path in notebook.calls:
        if path.rpartition(".")[2] == "open_holdout":
            yield Finding(cell.index, "open_holdout", call.lineno)
    for cell in notebook.python_cells:
        for node in cell.nodes:
            if isinstance(node, ast.Attribute) and node.attr == "holdout" and id(node) not in called:
                yield Finding(cell.index, f"{ast.unparse(node)[:60]}", node.lineno)


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB015",
        "a tracking URI that is set in a cell",
        "Where runs go is a setting; a cell that sets it splits the history.",
        "Take the line out; set tracking.uri in production/settings.toml.",
        tracking_uris,
        bad="""\
import mlflow
mlflow.set_tracking_uri("http://localhost:5000")
""",
        good="""\
import mlflow
mlflow.log_metric("rmse", 3.0)
""",
        convention=True,
    ),
    NotebookRule(
        "NB025",
        "`mlflow.end_run` beside `tracking.run`",
        "The owner of the run ends it. What is logged afterwards opens a second run, and the first looks complete.",
        "Take the line out.",
        ended_runs,
        bad="""\
import mlflow
from notebooks_lib import tracking
run = tracking.run("sales")
mlflow.end_run()
""",
        good="""\
from notebooks_lib import tracking
run = tracking.run("sales")
run.log({"rmse": 3.0})
""",
    ),
    NotebookRule(
        "NB026",
        "the holdout, read outside promotion",
        "A model that was chosen by the rows that judge it looks better than it is.",
        "Choose by `data.validation`; `nbops promote` reads the holdout and counts how often.",
        holdout_reads,
        bad="""\
from notebooks_lib import datasets
data = datasets.load("wine@1")
data.holdout.frame
""",
        good="""\
from notebooks_lib import datasets
data = datasets.load("wine@1")
data.validation.frame
""",
    ),
)
