"""The emulated workspace refuses what docs/azure.md says that Azure ML refuses, so that passing against it means something."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.store import Store
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking


@pytest.fixture
def store(azure_workspace: AzureProject) -> Store:
    return stores.connect(azure_workspace.settings)


@pytest.fixture
def run_id(store: Store) -> str:
    return str(store.client.create_run(store.experiment_id(store.settings.experiment)).info.run_id)


def model(client: Any) -> str:
    return str(client.create_registered_model(f"model-{uuid.uuid4().hex}").name)


def many(count: int, make: Callable[[str, str], Any]) -> list[Any]:
    return [make(f"key{index}", "value") for index in range(count)]


def test_it_is_reached_through_the_real_plugin_over_tls(store: Store, run_id: str) -> None:
    tracking = store.client._tracking_client.store

    assert type(tracking).__module__ == "azureml.mlflow._store.tracking.store"
    assert tracking.get_host_creds().host.startswith("https://westeurope.api.azureml.ms")
    assert store.client.get_run(run_id).info.artifact_uri.startswith("azureml://westeurope.api.azureml.ms/")


def test_it_knows_no_logged_models(store: Store) -> None:
    assert not store.has_logged_models


def test_plain_log_model_fails_as_it_does_on_azure(store: Store, run_id: str) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException
    from sklearn.linear_model import Ridge

    with (
        mlflow.start_run(run_id=run_id),
        pytest.raises(MlflowException, match="mlflow/logged-models failed with error code 404"),
    ):
        mlflow.sklearn.log_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), name="model", pip_requirements=["x"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client, run: client.search_registered_models(), "unsupported filter string"),
        (lambda client, run: client.search_model_versions("name LIKE 'a%'"), "unsupported filter string"),
        (lambda client, run: client.search_runs(["0"], order_by=["metrics.rmse ASC"]), "Order by is supported"),
        (lambda client, run: client.search_runs(["0"], "tags.a != 'b'"), "unsupported filter string"),
        (lambda client, run: client.set_registered_model_alias(model(client), "champion", "1"), "404"),
        (lambda client, run: client.list_artifacts(run, "model"), "404"),
        (lambda client, run: client.set_tag(run, "long", "x" * 1001), "Limit=1000, Size=1001"),
    ],
    ids=["prompts", "like", "order", "not-equal", "alias", "list", "tag"],
)
def test_what_azure_refuses_is_refused(
    store: Store, run_id: str, call: Callable[[Any, str], object], message: str
) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=message):
        call(store.client, run_id)


def test_a_run_holds_200_parameters_50_tags_and_250_values_of_a_metric_at_once(store: Store, run_id: str) -> None:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    for half in (many(100, Param), [Param(f"other{index}", "x") for index in range(100)]):
        store.client.log_batch(run_id, params=half)
    with pytest.raises(MlflowException, match="FieldName=Parameters, Limit=200, Size=201"):
        store.client.log_param(run_id, "one more", "x")
    with pytest.raises(MlflowException, match="FieldName=Tags, Limit=50"):
        store.client.log_batch(run_id, tags=many(51, RunTag))
    with pytest.raises(MlflowException, match="Limit=250, Size=251"):
        store.client.log_batch(run_id, metrics=[Metric("loss", 0.0, 0, step) for step in range(251)])


def test_artifacts_go_up_and_down_and_are_never_overwritten(store: Store, run_id: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    large = bytes(range(256)) * 150_000  # downloaded in ranges
    (tmp_path / "large").write_bytes(large)
    store.client.log_artifacts(run_id, str(tmp_path), "data")

    assert [each.path for each in store.client.list_artifacts(run_id)] == ["data"]
    here = Path(store.client.download_artifacts(run_id, "data", str(tmp_path)))
    assert (here / "large").read_bytes() == large
    assert (here / "empty").read_bytes() == b""
    with pytest.raises(Exception, match="Resource Conflict: ArtifactId ExperimentRun"):
        store.client.log_artifacts(run_id, str(tmp_path), "data")


def test_asynchronous_logging_works_through_the_plugins_own_call(store: Store, run_id: str) -> None:
    store.client.log_metric(run_id, "loss", 1.5, synchronous=False).wait()

    assert store.client.get_run(run_id).data.metrics == {"loss": 1.5}
