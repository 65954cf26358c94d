"""MLflow's plugin for Azure ML waits until a workspace is used, and then does all that it does by itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking

WORKSPACE_LATER = """
import sys
from notebooks_lib.tracking import azure_plugin
azure_plugin.defer()
import mlflow
from mlflow.tracking.request_header.registry import resolve_request_headers
assert not [name for name in sys.modules if name.split(".")[0] in ("azure", "azureml") and name != azure_plugin._LOADERS]
assert "azureml" not in resolve_request_headers()["User-Agent"]

from notebooks_lib.tracking import store
connected = store.connect()
run_id = connected.client.create_run(connected.experiment_id("later")).info.run_id
connected.client.log_text(run_id, "all well", "note.txt")
assert connected.client.search_model_versions("name='none'") == []
assert "azureml-mlflow/" in resolve_request_headers()["User-Agent"]
assert type(connected.client._tracking_client.store).__module__ == "azureml.mlflow._store.tracking.store"
"""


@pytest.mark.proof
def test_a_process_that_imported_mlflow_first_can_still_use_a_workspace(azure_workspace: AzureProject) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow", "-c", WORKSPACE_LATER],
        cwd=azure_workspace.settings.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
