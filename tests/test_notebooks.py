"""The notebooks of this project, found by glob: clean in git, and alike under papermill and nbval, wherever they start.

What a run must have left is read from MLflow. Figures are held per metric; a notebook that is not in FIGURES is held
to everything else all the same.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.metrics import builtin
from notebooks_lib.models import logged_models
from notebooks_lib.notebooks import document, mlflow_calls, notebook_rules, parameter_schema, parameter_values
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import owned_run, query, store
from tests.conftest import copy_store, made_once

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "experimentation").glob("*.ipynb"))
NOTEBOOKS = EXPERIMENTS + sorted((ROOT / "production").glob("*.ipynb"))
NIGHTLY = [path for path in NOTEBOOKS if path.stem in ("template_regression", "diabetes_boosting")]
"""nbval checks them in the proofs only. Each day tests/cli/test_new.py executes the cells in which the first differs
from the template, and the second differs from diabetes_ridge in its model alone.
"""
DAILY = [path for path in NOTEBOOKS if path not in NIGHTLY]

FIGURES = {
    "diabetes_ridge": {"rmse": 59.2, "mae": 46.2, "r2": 0.49, "baseline_rmse": 83.5},
    "diabetes_boosting": {"rmse": 60.0, "mae": 46.4, "r2": 0.48, "baseline_rmse": 83.5},
    "breast_cancer_logistic": {"accuracy": 0.944, "f1": 0.956, "roc_auc": 0.979, "brier": 0.046},
    "template": {"accuracy": 0.960, "log_loss": 0.138, "brier": 0.062},
    "template_regression": {"rmse": 59.4, "mae": 46.3, "r2": 0.49, "baseline_rmse": 83.5},
}
TOLERANCE = {"rmse": 0.5, "mae": 0.5, "r2": 0.02}
TOLERANCE |= {"accuracy": 0.02, "f1": 0.02, "roc_auc": 0.01, "log_loss": 0.02, "brier": 0.01}
"""What another machine's arithmetic or a patch release of scikit-learn may change; a real change is larger."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_experiment = pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)


# In git ---------------------------------------------------------------------------------------------------------------


def test_there_are_notebooks_to_test() -> None:
    assert len(EXPERIMENTS) >= 5


@each
def test_rules_have_no_findings(path: Path) -> None:
    assert [str(finding) for finding in notebook_rules.check_with_ruff([document.read(path)])] == []


@each
def test_about_half_is_prose_and_its_figures_stand_in_cells(path: Path) -> None:
    notebook = document.read(path)
    prose = [cell for cell in notebook.cells if cell.kind == "markdown"]
    assert len(prose) >= 0.4 * len(notebook.cells), "at least four cells of ten are text: say what to look for"
    plain = [re.sub(r"`[^`]*`", "", cell.source) for cell in prose]
    typed = [found for text in plain for found in re.findall(r"\d+(?:[.,]\d+)?", text)]
    assert not typed, f"figures typed in text go stale: show {typed} in a cell, or put names in backticks"


@each
def test_the_title_is_short_and_what_and_why_stand_below_it(path: Path) -> None:
    notebook = document.read(path)
    assert 10 <= len(notebook.title) <= 80
    assert len(notebook.purpose) >= 100


@each_experiment
def test_an_experiment_asks_a_question(path: Path) -> None:
    assert document.read(path).title.endswith("?")


@each
def test_a_kept_output_is_compared_by_nbval(path: Path) -> None:
    for cell in document.read(path).raw["cells"]:
        tags = set(cell["metadata"].get("tags", ()))
        assert ("keep_output" in tags) == ("nbval-check-output" in tags)
        if "keep_output" in tags:  # nbval passes over what has no output or no count
            assert cell["outputs"]
            assert cell["execution_count"]


def test_the_commands_of_make_run_fit_the_notebooks() -> None:
    lines = re.findall(r"^\tnbops run (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert lines
    for line in lines:
        name, *options = shlex.split(line)
        schema = parameter_schema.read_schema(document.read(ROOT / name))
        pairs = [value for option, value in itertools.pairwise(options) if option == "-p"]
        assert len(parameter_values.from_command_line(pairs, [], schema, notebook=name)) == len(pairs)


# Run ------------------------------------------------------------------------------------------------------------------


def project_at(root: Path, migrated: Path) -> Settings:
    """A root with this project's settings and lock, an empty store, and no notebook in it."""
    (root / "production").mkdir(parents=True)
    shutil.copy(ROOT / "production" / "settings.toml", root / "production")
    shutil.copy(ROOT / "requirements.lock", root)
    if (ROOT / "data").is_dir():  # datasets that this project's notebooks read
        shutil.copytree(ROOT / "data", root / "data")
    copy_store(migrated, root)
    return load(root, {})


def papermill(path: Path, here: Settings, **given: object) -> Any:
    """Run a notebook by papermill itself, in the current folder; NBOPS_ROOT says which project it belongs to."""
    from papermill import execute_notebook

    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it when a store is opened here
        environment.setenv("NBOPS_ROOT", str(here.root))
        return execute_notebook(str(path), f"{path.stem}-out.ipynb", parameters=given, progress_bar=False)


def opened(here: Settings) -> store.Store:
    """The project's own store. MLflow keeps the one that was opened last in the environment, where it would win."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return store.connect(here)


def runs_in(here: Settings) -> list[query.RunInfo]:
    found = opened(here)
    return [run for name in query.experiments(found) for run in query.find_runs(found, name, ended_only=False)]


def dump(here: Settings) -> list[str]:
    """All that stands in the store."""
    with closing(sqlite3.connect(here.layout.database)) as connection:
        return list(connection.iterdump())


def opens_a_run(notebook: Notebook) -> bool:
    return any(call.function == "run" for call in mlflow_calls.find_calls(notebook, {}))


def check_run(run: query.RunInfo, notebook: Notebook, here: Settings) -> None:
    """All that a run of an experiment must carry, whoever ran it."""
    schema = parameter_schema.read_schema(notebook)
    defaults = schema.defaults
    assert run.experiment == defaults["experiment"]
    logged = {name: str(value) for name, value in defaults.items() if name != "experiment"}
    assert {name: run.params.get(name) for name in logged} == logged
    assert [value.partition("#")[0] for value in run.datasets.values()] == [defaults["dataset"]]

    plain = {name for name in run.metrics if not name.startswith("baseline_")}
    assert plain
    assert {f"baseline_{name}" for name in plain} == set(run.metrics) - plain
    for name in plain:
        assert builtin.METRICS[name].gain(run.metrics[name], run.metrics[f"baseline_{name}"]) > 0, name
    for name, figure in FIGURES.get(notebook.path.stem, {}).items():
        assert run.metrics[name] == pytest.approx(figure, abs=TOLERANCE[name.removeprefix("baseline_")]), name

    client = opened(here).client
    figures = [file.path for file in client.list_artifacts(run.run_id) if file.path.endswith(".png")]
    assert len(figures) == 1
    source = logged_models.model_of_run(opened(here), run.run_id).source
    example = logged_models.example(source)
    assert len(logged_models.load(source).predict(example)) == len(example)


@pytest.mark.proof
@pytest.mark.notebooks
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_papermill_from_another_folder_leaves_exactly_one_whole_run(path: Path, tmp_path: Path, migrated: Path) -> None:
    here = project_at(tmp_path / "project", migrated)
    before = dump(here)
    papermill(path, here)
    notebook = document.read(path)
    if not opens_a_run(notebook):
        assert dump(here) == before
        return
    (run,) = runs_in(here)
    assert run.ended
    check_run(run, notebook, here)
    assert {file.name for file in tmp_path.iterdir()} <= {"project", "ipython", f"{path.stem}-out.ipynb"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Settings:
    """A project with two runs of one experiment that ended well, made once for all workers. Copy it, don't change it."""

    def train(folder: Path) -> None:
        here = project_at(folder / "project", migrated)
        with pytest.MonkeyPatch.context() as place:
            place.chdir(folder)
            papermill(ROOT / "experimentation" / "diabetes_ridge.ipynb", here)
        add_worse_run(here)

    return load(made_once(tmp_path_factory, "trained", train) / "project", {})


def add_worse_run(here: Settings) -> None:
    """A second run beside the one that is there, on the same data and with a larger error, without a kernel."""
    (good,) = runs_in(here)
    start = owned_run.RunStart(
        experiment=good.experiment,
        name="worse",
        notebook="experimentation/worse.ipynb",
        description="",
        parameters={"alpha": 1000.0},
        code_sha256="",
        source_fingerprint="",
        git=None,
        tags={key: value for key, value in good.tags.items() if key.startswith(Tag.DATASET_PREFIX)},
    )
    run = owned_run.OwnedRun.open(opened(here), start)
    run.store.client.log_metric(run.run_id, "rmse", good.metrics["rmse"] + 1)
    run.end("FINISHED")


def copied(here: Settings, root: Path) -> Settings:
    shutil.copytree(here.root, root)
    return load(root, {})


@pytest.mark.notebooks
def test_comparing_runs_ranks_them_and_changes_nothing(trained: Settings, tmp_path: Path) -> None:
    here = copied(trained, tmp_path / "project")
    before = dump(here)
    done = papermill(ROOT / "experimentation" / "compare_runs.ipynb", here)
    assert dump(here) == before
    (shown,) = [cell for cell in done.cells if cell.id == "ranking"]
    places = [line.split() for line in shown.outputs[0].data["text/plain"].splitlines() if line[:1].isdigit()]
    assert [(place[0], place[2]) for place in places] == [("1", "alpha=10.0"), ("2", "alpha=1000.0")]


@pytest.mark.notebooks
@pytest.mark.parametrize("path", NOTEBOOKS[len(EXPERIMENTS) :], ids=lambda path: path.stem)
def test_a_production_notebook_changes_nothing_by_default(path: Path, trained: Settings, tmp_path: Path) -> None:
    here = copied(trained, tmp_path / "project")
    before = {run.run_id: run for run in runs_in(here)}
    papermill(path, here)
    after = {run.run_id: run for run in runs_in(here)}
    counted = {
        run_id for run_id in after if Tag.HOLDOUT_ROWS in after[run_id].tags
    }  # looking at the holdout costs a use
    (made,) = set(after) - set(before) - counted  # the record of its decision
    assert after[made].ended
    assert {run_id: after[run_id] for run_id in before} == before
    assert opened(here).client.search_registered_models() == []
    assert not here.layout.endpoints.exists()


@pytest.mark.notebooks
@pytest.mark.parametrize("paths", [DAILY, pytest.param(NIGHTLY, marks=pytest.mark.proof)], ids=["daily", "nightly"])
def test_nbval_passes_over_all_of_them_and_its_runs_are_the_same(
    paths: list[Path], trained: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = copied(trained, tmp_path / "project")
    before = {run.run_id for run in runs_in(here)}
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("NBOPS_ROOT", str(here.root))  # nbval ends kernels by SIGKILL: their runs stay RUNNING
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    cells = sum(len(document.read(path).code_cells) for path in paths)
    assert f"{cells} passed" in done.stdout

    made = [run for run in runs_in(here) if run.run_id not in before]
    assert made
    for path in (path for path in EXPERIMENTS if path in paths):
        notebook = document.read(path)
        mine = [run for run in made if _is_of(run, notebook)]
        assert len(mine) == int(opens_a_run(notebook)), path.stem
        for run in mine:
            check_run(run, notebook, here)


def _is_of(run: query.RunInfo, notebook: Notebook) -> bool:
    """Whether a run without its notebook's name is this notebook's: by experiment and parameters."""
    defaults = {name: str(value) for name, value in parameter_schema.read_schema(notebook).defaults.items()}
    return run.experiment == defaults.get("experiment") and set(run.params) == set(defaults) - {"experiment"}


@pytest.mark.proof
@pytest.mark.notebooks
def test_a_model_that_is_too_good_to_be_true_is_not_recorded(tmp_path: Path, migrated: Path) -> None:
    from papermill import PapermillExecutionError
    from sklearn.datasets import load_diabetes

    from notebooks_lib import datasets

    here = project_at(tmp_path / "project", migrated)
    table = load_diabetes(as_frame=True).frame
    table["answer"] = table["target"] / 2
    table.to_csv(tmp_path / "leaky.csv", index=False)
    datasets.add(tmp_path / "leaky.csv", "leaky", here, target="target")
    with pytest.raises(PapermillExecutionError, match="gives the answer away"):
        papermill(ROOT / "experimentation" / "diabetes_ridge.ipynb", here, dataset="leaky@1", alpha=0.0)
    (run,) = runs_in(here)
    assert run.status == run.tags[Tag.END] == "FAILED"
    assert run.tags[Tag.FAILURE] == "AssertionError"
    assert not run.metrics
    assert Tag.MODEL not in run.tags
