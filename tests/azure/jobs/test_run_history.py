"""What a workspace knows of a run, read without MLflow: the same as MLflow reads."""

from __future__ import annotations

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.tracking import store
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking


def test_it_reads_what_mlflow_wrote(azure_workspace: AzureProject) -> None:
    connected = store.connect(azure_workspace.settings)
    run_id = connected.client.create_run(connected.experiment_id("history")).info.run_id
    connected.client.set_tag(run_id, "a", "1")
    connected.client.log_metric(run_id, "rmse", float("inf"))
    connected.client.log_text(run_id, "all well", "report/note.txt")
    connected.client.set_terminated(run_id, "FAILED")
    history = RunHistory(connected.uri)
    run = history.tracked(run_id)

    assert (run.status, run.tags["a"], run.metrics) == ("FAILED", "1", {"rmse": float("inf")})
    assert history.file(run, "report/note.txt") == b"all well"
    with pytest.raises(errors.AzureError, match=r"report/none.txt of run .* not found"):
        history.file(run, "report/none.txt")
    with pytest.raises(errors.AzureError, match="no run nobody"):
        history.details("nobody")
    with pytest.raises(errors.AzureError, match="Azure does not answer at 127.0.0.1: .*refused") as raised:
        history.blob("https://127.0.0.1:9/log?sig=SECRET", "a log")
    assert "SECRET" not in str(raised.value)
