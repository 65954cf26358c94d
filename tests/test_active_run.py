"""The run of a notebook from inside: what its cells log arrives at the run, whoever opened it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure

from notebooks_lib import datasets, tracking
from notebooks_lib.active_run import Run
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking.store import Store, connect

pytestmark = pytest.mark.tracking


@pytest.fixture
def store(project: Settings) -> Store:
    return connect(project)


@pytest.fixture
def owned(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The run of a notebook that an owner started, as the notebook opens it."""
    info = store.client.create_run(store.experiment_id("any"), run_name="owned").info
    monkeypatch.setenv(Env.OWNER_RUN, info.run_id)
    yield tracking.run()
    mlflow.end_run()


def test_the_run_of_the_owner_is_attached_and_is_the_active_one(owned: Run) -> None:
    active = mlflow.active_run()
    assert active is not None
    assert active.info.run_id == owned.id
    assert "owned by its runner" in repr(owned)
    assert tracking.run().id == owned.id


def test_metrics_and_params_arrive_at_the_run(store: Store, owned: Run) -> None:
    owned.log({"rmse": 2})
    for step in (0, 1, 2):
        owned.log({"loss": 1 / (step + 1)}, step=step)
    owned.log_params({"depth": 3, "kind": None})
    data = store.client.get_run(owned.id).data
    assert data.metrics == {"rmse": 2.0, "loss": pytest.approx(1 / 3)}
    assert [point.value for point in store.client.get_metric_history(owned.id, "loss")] == [1.0, 0.5, 1 / 3]
    assert data.params == {"depth": "3", "kind": "None"}


def test_figures_and_texts_are_kept_as_files(store: Store, owned: Run) -> None:
    owned.log_figure(Figure(figsize=(1, 1)), "residuals")
    owned.log_figure(Figure(figsize=(1, 1)), "plots/residuals.svg")
    owned.log_text("a, b", "notes/any.csv")
    kept = {file.path for folder in ("", "plots", "notes") for file in store.client.list_artifacts(owned.id, folder)}
    assert {"residuals.png", "plots/residuals.svg", "notes/any.csv"} <= kept


def test_a_dataset_is_recorded_with_its_fingerprint(
    store: Store, owned: Run, project: Settings, tmp_path: Path
) -> None:
    table = tmp_path / "sales.csv"
    pd.DataFrame({"key": range(40), "price": range(40), "units": range(40)}).to_csv(table, index=False)
    dataset = datasets.add(table, "sales", project, target="units", key="key")
    owned.log_dataset(dataset)
    run = store.client.get_run(owned.id)
    assert run.data.tags[f"{Tag.DATASET_PREFIX}sales"] == f"sales@1#{dataset.fingerprint}"
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["sales"]
