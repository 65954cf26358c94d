"""Ways in which real notebooks use MLflow, and the runs that each must leave (docs/design D1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from notebooks_lib import errors
from notebooks_lib.running import plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]

ML = "import mlflow\n"


@dataclass(frozen=True)
class Style:
    cells: tuple[str, ...]
    metrics: frozenset[str] = frozenset()
    """On the owner's run."""
    children: tuple[frozenset[str], ...] = ()
    """Metrics of each other run that the notebook opened."""
    experiment: str = "sample"
    status: str = "FINISHED"
    params: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    child_experiment: str | None = None


def style(*cells: str, metrics: str = "", children: tuple[str, ...] = (), **more: object) -> Style:
    sets = tuple(frozenset(child.split()) for child in children)
    return Style(cells, frozenset(metrics.split()), sets, **more)  # type: ignore[arg-type]


STYLES = {
    "no mlflow at all": style("x = 1"),
    "log without start_run": style(ML + "mlflow.log_metric('a', 1)", metrics="a"),
    "start_run": style(ML + "mlflow.start_run()", "mlflow.log_metric('a', 1)", metrics="a"),
    "start_run and end_run": style(ML + "mlflow.start_run()\nmlflow.log_metric('a', 1)\nmlflow.end_run()", metrics="a"),
    "with": style(ML + "with mlflow.start_run() as run:\n    mlflow.log_metric('a', 1)", metrics="a"),
    "two with blocks": style(
        ML + "with mlflow.start_run():\n    mlflow.log_metric('a', 1)",
        "with mlflow.start_run():\n    mlflow.log_metric('b', 1)",
        metrics="a",
        children=("b",),
    ),
    "nested": style(
        ML + "with mlflow.start_run():\n    mlflow.log_metric('a', 1)\n"
        "    with mlflow.start_run(nested=True):\n        mlflow.log_metric('b', 1)",
        metrics="a",
        children=("b",),
    ),
    "nested left open": style(
        ML + "mlflow.start_run()\nmlflow.start_run(nested=True)\nmlflow.log_metric('b', 1)", children=("b",)
    ),
    "start twice": style(
        ML + "mlflow.start_run()\nmlflow.log_metric('a', 1)", "mlflow.start_run()", metrics="a", status="FAILED"
    ),
    "end early, then log": style(
        ML + "mlflow.start_run()\nmlflow.log_metric('a', 1)\nmlflow.end_run()",
        "mlflow.log_metric('b', 1)",
        metrics="a",
        children=("b",),
    ),
    "end as failed by hand": style(ML + "mlflow.start_run()\nmlflow.end_run('FAILED')"),
    "set_experiment same": style(ML + "mlflow.set_experiment('sample')\nmlflow.log_metric('a', 1)", metrics="a"),
    "set_experiment other": style(
        ML + "mlflow.set_experiment('other')\nmlflow.log_metric('a', 1)", metrics="a", experiment="other"
    ),
    "set_experiment by a parameter": style(
        ML + "where = 'there'\nmlflow.set_experiment(where)",
        "with mlflow.start_run():\n    mlflow.log_metric('a', 1)",
        metrics="a",
        experiment="there",
    ),
    "set_experiment after the start": style(
        ML + "mlflow.start_run()\nmlflow.set_experiment('later')\nmlflow.log_metric('a', 1)", metrics="a"
    ),
    "set_experiment after, then another run": style(
        ML + "with mlflow.start_run():\n    mlflow.log_metric('a', 1)",
        "mlflow.set_experiment('later')\nwith mlflow.start_run():\n    mlflow.log_metric('b', 1)",
        metrics="a",
        children=("b",),
        child_experiment="later",
    ),
    "set_experiment computed": style(
        ML
        + "import time\nmlflow.set_experiment(f'day-{time.time():.0f}')\nwith mlflow.start_run():\n    mlflow.log_metric('a', 1)",
        children=("a",),
        child_experiment="day-*",
    ),
    "start_run in a function, set_experiment after it in the text": style(
        ML + "def train():\n    with mlflow.start_run():\n        mlflow.log_metric('a', 1)",
        "mlflow.set_experiment('late')",
        "train()",
        children=("a",),
        child_experiment="late",
    ),
    "set_experiment in both branches": style(
        ML + "if True:\n    mlflow.set_experiment('one')\nelse:\n    mlflow.set_experiment('two')",
        "with mlflow.start_run():\n    mlflow.log_metric('a', 1)",
        experiment="two",
        children=("a",),
        child_experiment="one",
    ),
    "set_experiment in a module": style(
        "open('own_setup.py', 'w').write('import mlflow\\nmlflow.set_experiment(\"hidden\")')\nimport sys\nsys.path.insert(0, '.')",
        "import own_setup\n" + ML + "mlflow.log_metric('a', 1)",
        children=("a",),
        child_experiment="hidden",
    ),
    "a run made by a client and left open": style(
        ML + "run = mlflow.MlflowClient().create_run('0')\nmlflow.MlflowClient().log_metric(run.info.run_id, 'a', 1)",
        children=("a",),
    ),
    "start_run(experiment_id) of its own": style(
        ML + "e = mlflow.set_experiment('own').experiment_id\n"
        "with mlflow.start_run(experiment_id=e):\n    mlflow.log_metric('a', 1)",
        metrics="a",
        experiment="own",
    ),
    "run name given": style(
        ML + "with mlflow.start_run(run_name='mine'):\n    mlflow.log_metric('a', 1)", metrics="a", name="mine"
    ),
    "run renamed": style(ML + "mlflow.start_run()\nmlflow.set_tag('mlflow.runName', 'mine')", name="mine"),
    "parameter logged with other text": style(
        ML + "mlflow.log_param('alpha', '1e0')", params={"alpha": "1e0", "kind": "a"}
    ),
    "parameter logged with the same text": style(
        ML + "mlflow.log_params({'alpha': alpha, 'kind': kind})", params={"alpha": "1.0", "kind": "a"}
    ),
    "parameter changed by the notebook": style(
        ML + "mlflow.log_param('alpha', alpha)\ntry:\n    mlflow.log_param('alpha', 2)\nexcept Exception as error:\n"
        "    print('refused')",
        params={"alpha": "1.0", "kind": "a"},
    ),
    "thread": style(
        ML + "import threading\nmlflow.start_run()\nmlflow.log_metric('a', 1)\n"
        "def work():\n    mlflow.log_metric('b', 1)\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()",
        metrics="a",
        children=("b",),
    ),
    "subprocess": style(
        ML + "import subprocess, sys\nmlflow.start_run()\nmlflow.log_metric('a', 1)\n"
        "subprocess.run([sys.executable, '-c', \"import mlflow; mlflow.log_metric('b', 1)\"], check=True)",
        metrics="a",
        children=("b",),
    ),
    "autolog": style(
        ML + "from sklearn.linear_model import Ridge\nmlflow.sklearn.autolog(log_models=False, log_datasets=False)\n"
        "model = Ridge().fit([[0], [1], [2]], [0, 1, 2])",
        metrics="training_mean_absolute_error training_mean_squared_error training_r2_score "
        "training_root_mean_squared_error training_score",
    ),
    "autolog, two fits": style(
        ML + "from sklearn.linear_model import Ridge\nmlflow.sklearn.autolog(log_models=False, log_datasets=False)\n"
        "for alpha in (1, 2):\n    Ridge(alpha=alpha).fit([[0], [1], [2]], [0, 1, 2])",
        metrics="training_mean_absolute_error training_mean_squared_error training_r2_score "
        "training_root_mean_squared_error training_score",
        params={"alpha": "1", "kind": "a"},  # what autolog wrote first stands
        children=(
            "training_mean_absolute_error training_mean_squared_error training_r2_score "
            "training_root_mean_squared_error training_score",
        ),
    ),
    "log_metric to a run by id": style(
        ML + "with mlflow.start_run() as run:\n    pass",
        "mlflow.MlflowClient().log_metric(run.info.run_id, 'a', 1)",
        metrics="a",
    ),
    "its own tracking URI, which is ours": style(
        ML + "import os\nmlflow.set_tracking_uri(os.environ['MLFLOW_TRACKING_URI'])\nmlflow.log_metric('a', 1)",
        metrics="a",
    ),
    "tracking.run": style(
        "from notebooks_lib import tracking\nrun = tracking.run()\nrun.log({'a': 1})",
        "run = tracking.run()\nrun.log({'b': 1})",
        metrics="a b",
    ),
    "tracking.run beside plain mlflow": style(
        "from notebooks_lib import tracking\nrun = tracking.run('other')\n"
        + ML
        + "mlflow.log_metric('a', 1)\nrun.log({'b': 1})",
        metrics="a b",
        experiment="other",
    ),
    "raises after logging": style(
        ML + "mlflow.start_run()\nmlflow.log_metric('a', 1)", "1 / 0", metrics="a", status="FAILED"
    ),
    "raises inside with": style(
        ML + "with mlflow.start_run():\n    mlflow.log_metric('a', 1)\n    raise ValueError('no')",
        metrics="a",
        status="FAILED",
    ),
}


SLOW = ("subprocess", "autolog, two fits")


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=pytest.mark.proof) if label in SLOW else label for label in STYLES]
)
def test_leaves_the_runs_it_must(label: str, project: Settings) -> None:
    wanted = STYLES[label]
    result = building.run(project, *wanted.cells, parameters="alpha: float = 1.0\nkind: str = 'a'")

    assert result.status == wanted.status, result.failure
    connected = store.connect(project)
    runs = [
        run
        for experiment in query.experiments(connected)
        for run in query.find_runs(connected, experiment, ended_only=False)
    ]
    owner = next(run for run in runs if run.run_id == result.run_id)
    others = [run for run in runs if run is not owner]
    assert owner.status == owner.tags[Tag.END] == wanted.status
    assert owner.experiment == wanted.experiment
    assert set(owner.metrics) == wanted.metrics
    assert {key: owner.params.get(key) for key in ("alpha", "kind")} == (wanted.params or {"alpha": "1.0", "kind": "a"})
    assert wanted.name in (None, owner.name)
    assert sorted(map(frozenset, (run.metrics for run in others)), key=sorted) == sorted(wanted.children, key=sorted)
    for run in others:
        assert run.parent == owner.run_id
        assert run.status != "RUNNING"
        assert Tag.END in run.tags
        if wanted.child_experiment:
            assert run.experiment.startswith(wanted.child_experiment.rstrip("*"))
    assert not list(project.root.rglob("mlruns")), "artifacts went astray (docs/design trap 19)"


FOREIGN = {
    "a server": "mlflow.set_tracking_uri('http://user:secret@127.0.0.1:9')",
    "by keyword": "mlflow.set_tracking_uri(uri='http://127.0.0.1:9')",
    "a path": "import pathlib\nmlflow.set_tracking_uri(pathlib.Path('elsewhere'))",
    "from the tracking module": "from mlflow.tracking import set_tracking_uri\nset_tracking_uri('databricks')",
    "the variable": "import os\nos.environ['MLFLOW_TRACKING_URI'] = 'sqlite:///mine.db'",
    "an imported module": "open('elsewhere.py', 'w').write('import mlflow\\nmlflow.set_tracking_uri(\"file:runs\")')\n"
    "import sys\nsys.path.insert(0, '.')\nimport elsewhere",
    "a registry": "mlflow.set_registry_uri('databricks-uc')",
}


@pytest.mark.parametrize("label", FOREIGN)
def test_a_strangers_notebook_is_tracked_here_whatever_store_it_sets(
    label: str, project: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    result = building.run(project, ML + FOREIGN[label], "mlflow.set_experiment('theirs')\nmlflow.log_metric('a', 1)")
    assert (result.status, dict(result.metrics)) == ("FINISHED", {"a": 1.0}), result.failure
    info = query.get_run(store.connect(project), result.run_id or "")
    assert info.tags[Tag.IGNORED_STORE] in caplog.text
    assert "is not used" in building.outputs(result)
    assert "secret" not in building.outputs(result) + caplog.text


def test_a_store_that_is_not_set_is_no_reason(project: Settings, caplog: pytest.LogCaptureFixture) -> None:
    cell = "import os\nif os.environ.get('ON_CLUSTER'):\n    mlflow.set_tracking_uri('http://cluster:5000')"
    path = building.write(project.root / "experimentation" / "n.ipynb", ML + cell, "mlflow.log_metric('a', 1)")
    result = run_notebook(plan.make_plan(path, project), html=False)
    assert (result.status, dict(result.metrics)) == ("FINISHED", {"a": 1.0}), result.failure
    assert "tracking URI" not in caplog.text


@pytest.mark.parametrize("folder", ["experimentation", "production/deep"])
def test_a_notebook_of_the_project_may_not_set_another_store(folder: str, project: Settings) -> None:
    path = building.write(project.root / folder / "n.ipynb", ML + "mlflow.set_tracking_uri('http://127.0.0.1:9')")
    with pytest.raises(errors.NotebookError, match=r"cell 0: it sets the tracking URI .*--untracked"):
        plan.make_plan(path, project)


def test_a_store_computed_in_the_notebook_is_refused_as_well(project: Settings) -> None:
    cell = ML + "for uri in ['http://127.0.0.1:9']:\n    mlflow.set_tracking_uri(uri)"
    path = building.write(project.root / "experimentation" / "n.ipynb", cell)
    result = run_notebook(plan.make_plan(path, project), html=False)
    assert result.status == "FAILED"
    assert "--untracked" in str(result.failure)


def test_untracked_runs_it_as_it_is(project: Settings) -> None:
    uri = f"sqlite:///{project.root}/own.db"
    result = building.run(project, f"{ML}mlflow.set_tracking_uri('{uri}')\nprint('went through')", tracked=False)
    assert (result.status, result.run_id) == ("FINISHED", None)
    assert "went through" in building.outputs(result)


def test_an_experiment_that_contradicts_the_notebook_is_refused(project: Settings) -> None:
    with pytest.raises(errors.UsageError, match="'mine' and the notebook's own 'other'"):
        building.run(project, ML + "mlflow.set_experiment('other')", experiment="mine")
