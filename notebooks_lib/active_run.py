"""The run of a notebook, as its cells log to it. `tracking.owned_run` and `interactive_run` open and end it."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import interactive_run
from notebooks_lib.tracking.store import Store, connect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.datasets import Dataset
    from notebooks_lib.models.logged_models import ModelInfo


class Run:
    """An open run. Plain `mlflow` calls go to the same run: this is MLflow's active run."""

    def __init__(self, store: Store, run_id: str, experiment_id: str, name: str, *, owned: bool) -> None:
        self._store = store
        self._experiment_id = experiment_id
        self._owned = owned
        self.id = run_id
        self.name = name

    @property
    def url(self) -> str:
        """The address of the run's page in MLflow's UI."""
        return self._store.run_url(self.id, self._experiment_id)

    def log(self, metrics: Mapping[str, float], *, step: int | None = None) -> None:
        """Log numbers by name. With `step`, an integer such as the epoch, the values of a name make a curve.

        Anything that `float` takes is a number. Raises MlflowException when a name or value is not accepted.
        """
        import mlflow

        mlflow.log_metrics({name: float(value) for name, value in metrics.items()}, step=step, run_id=self.id)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log more parameters, as text; those of the notebook's parameters cell are logged by its runner.

        Raises MlflowException when a name already has another value in this run.
        """
        from mlflow.entities import Param

        self._store.client.log_batch(self.id, params=[Param(key, str(value)) for key, value in params.items()])

    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a matplotlib figure as an image among the run's artifacts.

        `name` is a path inside the run; its suffix chooses the format (.png without one).
        """
        self._store.client.log_figure(self.id, figure, name if "." in name else f"{name}.png")

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as a file among the run's artifacts; `name` is a path inside the run."""
        self._store.client.log_text(self.id, text, name)

    def log_dataset(self, dataset: Dataset) -> None:
        """Record that this run used a dataset: name, version and fingerprint. `datasets.load` does the same."""
        from notebooks_lib.datasets import run_datasets

        self._store.client.set_tag(self.id, Tag.DATASET_PREFIX + dataset.name, run_datasets.tag_value(dataset))
        run_datasets.log_input(self._store, self.id, dataset)

    def log_model(self, model: object, *, example: Any, name: str = "model", flavor: str | None = None) -> ModelInfo:
        """Save a fitted model with its signature, an example and pinned requirements, and check that it can be served.

        `example` is a table of a few input rows as the model's `predict` takes them, a DataFrame of rows x features or
        an array of that shape. Requests to the endpoint have its columns. `name` is the folder inside the run. `flavor`
        names an MLflow flavour ("sklearn", "lightgbm", …) where the type of the model does not tell.
        Raises ModelError when no flavour takes the model, or the saved model does not answer as `model` does.
        """
        from notebooks_lib.models import logged_models

        return logged_models.log_model(self._store, self.id, model, example=example, name=name, flavor=flavor)

    def __repr__(self) -> str:
        how = "owned by its runner" if self._owned else "opened by this notebook"
        return f"Run {self.name} ({self.id}), {how}\n{self.url}"

    def _repr_html_(self) -> str:
        url = html.escape(self.url, quote=True)
        return f'Run <b>{html.escape(self.name)}</b> (<code>{self.id}</code>): <a href="{url}">{url}</a>'


def run(experiment: str | None = None, *, name: str | None = None) -> Run:
    """Return the run of this notebook.

    Under an owner (`nbops run`, an Azure ML job) it is the owner's run. In JupyterLab, VS Code or a script, a run
    called `name` is opened in `experiment` (default: the project's). Calling again opens another run, which supersedes
    the earlier one.
    """
    import mlflow

    store = connect()
    owner = os.environ.get(Env.OWNER_RUN) or os.environ.get("MLFLOW_RUN_ID")
    active = mlflow.active_run()
    if owner is None:
        info = interactive_run.open_run(store, experiment or store.settings.experiment, name)
    elif active is not None:
        info = active.info
    elif "MLFLOW_RUN_ID" in os.environ:
        info = mlflow.start_run().info
    else:
        info = mlflow.start_run(run_id=owner).info
    return Run(store, info.run_id, info.experiment_id, info.run_name or "", owned=owner is not None)
