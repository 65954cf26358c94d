"""Real runs in a real store, made without a kernel; and a dataset where the better model is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.datasets import run_datasets
from notebooks_lib.serving import local_endpoint_folder, server_process
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag

EXPERIMENT = "houses"
_started = itertools.count(1)


def write_houses(path: Path, *, rows: int = 300, seed: int = 0) -> Path:
    """price = 3 * rooms + age of the roof squared + a little noise: a line misses the square, a tree does not."""
    import numpy as np

    random = np.random.default_rng(seed)
    rooms, roof = random.normal(size=(2, rows)).clip(-1.5, 1.5)  # no row outweighs the others
    price = 3 * rooms + roof**2 + 0.1 * random.normal(size=rows)
    lines = [f"h{i},{rooms[i]:.6f},{roof[i]:.6f},{price[i]:.6f}" for i in range(rows)]
    path.write_text("\n".join(["house,rooms,roof,price", *lines]) + "\n")
    return path


class Trials:
    """Makes runs as their owner would leave them."""

    def __init__(self, settings: Settings) -> None:
        from notebooks_lib.tracking.store import connect

        self.settings = settings
        self.store = connect(settings)

    def run(
        self,
        metrics: Mapping[str, float],
        *,
        model: Any = None,
        example: Any = None,
        dataset: Any = None,
        experiment: str = EXPERIMENT,
        end: str | None = "FINISHED",
        **tags: str,
    ) -> str:
        """One run; its id. Each is a second younger than the one before."""
        from notebooks_lib.models import logged_models

        client = self.store.client
        given = {"mlflow.source.git.commit": "c0ffee00", Tag.GIT_DIRTY: "false", Tag.NOTEBOOK: "n.ipynb", **tags}
        if dataset is not None:
            given[Tag.DATASET_PREFIX + dataset.name] = run_datasets.tag_value(dataset)
        started = 1_700_000_000_000 + 1000 * next(_started)
        run = client.create_run(self.store.experiment_id(experiment), start_time=started, tags=given)
        run_id = str(run.info.run_id)
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        if model is not None:
            logged_models.log_model(self.store, run_id, model, example=example)
        client.set_terminated(run_id, status=end or "FINISHED")
        if end:
            client.set_tag(run_id, Tag.END, end)
        return run_id

    def fitted(self, model: Any, data: Any, *, rmse: float | None = None, metric: str = "rmse", **more: Any) -> str:
        """The run of a model fitted on the training rows, with its honest validation rmse unless another is given.

        It logs that as `metric`.
        """
        from sklearn.metrics import root_mean_squared_error

        model.fit(data.train.X, data.train.y)
        honest = float(root_mean_squared_error(data.validation.y, model.predict(data.validation.X)))
        metrics = {metric: honest if rmse is None else rmse}
        return self.run(metrics, model=model, example=data.train.X, dataset=data, **more)


@pytest.fixture
def trials(project: Settings) -> Trials:
    return Trials(project)


@pytest.fixture
def houses(project: Settings, tmp_path: Path) -> Any:
    """Dataset houses@1 of the project."""
    from notebooks_lib import datasets

    return datasets.add(write_houses(tmp_path / "houses.csv"), "houses", project, target="price", key="house")


def worse() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1000.0)


def middling() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1.0)


def better() -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    return make_pipeline(PolynomialFeatures(2), Ridge(alpha=0.1))


@pytest.fixture
def gate(project: Settings) -> Callable[..., Any]:
    """The gate of the project's houses; options as of Gate."""
    from notebooks_lib.release.gate import Gate

    return lambda **options: Gate(
        "houses", **{"experiment": EXPERIMENT, "metric": "rmse", "settings": project, **options}
    )


@pytest.fixture
def endpoints(project: Settings) -> Iterator[Settings]:
    """The project, whose endpoints are stopped afterwards, whatever has become of them."""
    yield project
    for name in local_endpoint_folder.known_endpoints(project):
        server = server_process.running_server(local_endpoint_folder.EndpointFolder(project, name))
        if server is not None:
            server_process.stop_server(server)
