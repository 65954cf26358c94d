"""A separate process that knows only the environment and the settings tracks to the workspace, and its work is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from notebooks_lib.models import champions, logged_models
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests.azure.fixtures import AzureProject

pytestmark = [
    pytest.mark.tracking,
    pytest.mark.proof,
]  # in one process: either_store of test_registry.py, test_champions.py

ELSEWHERE = """
import json
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from notebooks_lib.models import champions, logged_models, registry
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store

store = store.connect()
assert store.uri.startswith("azureml://"), store.uri
X, y = load_diabetes(return_X_y=True, as_frame=True)
run_id = store.client.create_run(store.experiment_id(store.settings.experiment)).info.run_id
store.client.log_param(run_id, "alpha", 2.0)
store.client.log_metric(run_id, "rmse", 55.5)
store.client.log_text(run_id, "all well", "report/note.txt")
logged_models.log_model(store, run_id, Ridge(2.0).fit(X, y), example=X)
store.client.set_terminated(run_id, "FINISHED")
store.client.set_tag(run_id, Tag.END, "FINISHED")
version = registry.register(store, store.settings.experiment, run_id)
champions.mark_champion(store, version, reason="the only one")
print(json.dumps(run_id))
"""


def test_what_one_process_logs_registers_and_marks_another_finds(azure_workspace: AzureProject) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in azure_workspace.environment}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env=environment | azure_workspace.environment,
        cwd=azure_workspace.settings.root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    run_id = json.loads(done.stdout.splitlines()[-1])  # MLflow prints the run's address before

    here = store.connect(azure_workspace.settings)
    (run,) = query.find_runs(here, azure_workspace.settings.experiment)
    assert (run.run_id, run.params, run.metrics) == (run_id, {"alpha": "2.0"}, {"rmse": 55.5})
    assert run.tags[Tag.MODEL_FORMAT] == "skops"
    champion = champions.champion(here, azure_workspace.settings.experiment)
    assert champion is not None
    assert champion.run_id == run_id
    predicted = logged_models.load(champion.uri).predict(logged_models.example(champion.source))
    assert np.isfinite(predicted).all()
