"""Connect to the store of runs and models: SQLite here, a server or an Azure ML workspace. It logs nothing."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib import atomic_private_files, errors, safe_text
from notebooks_lib import settings as settings_module
from notebooks_lib.paths import Layout
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env
from notebooks_lib.tracking import azure_plugin, sqlite

if TYPE_CHECKING:
    from mlflow import MlflowClient

UI_ADDRESS = "http://127.0.0.1:5000"

RETRIES = "4"
"""How often MLflow retries a request to a server that is gone: half a minute in all; its default takes four minutes."""

GREETING_TIMEOUT = 10
"""Seconds in which a server must answer the first request."""

_users_uri: dict[str, str] = {}
"""Tracking URI that `connect` put into MLFLOW_TRACKING_URI -> what the user had put there."""


@dataclass(frozen=True)
class Limits:
    """A store's limits for one run.

    Longer values are cut, and further parameters left out; parameters.json has them all.
    """

    tag_characters: int
    param_characters: int
    params: int


MLFLOW = Limits(tag_characters=8000, param_characters=6000, params=100_000)
AZURE_ML = Limits(tag_characters=1000, param_characters=500, params=200)


@dataclass(frozen=True)
class Store:
    """A connected store of runs. `uri` is an absolute MLflow tracking URI, independent of the current folder."""

    uri: str
    settings: Settings

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client, for requests that this package has no function for."""
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def shown(self) -> str:
        """The URI without its password, for display."""
        return safe_text.masked(self.uri)

    @property
    def local(self) -> bool:
        """True if runs are kept in a file on this machine."""
        return sqlite.is_sqlite(self.uri)

    @property
    def limits(self) -> Limits:
        """The limits of this store for one run."""
        return AZURE_ML if self.uri.startswith("azureml:") else MLFLOW

    @property
    def overwrites(self) -> bool:
        """True if a file of a run can be written a second time: Azure ML refuses that."""
        return not self.uri.startswith("azureml:")

    @cached_property
    def has_logged_models(self) -> bool:
        """True if the store has MLflow 3's logged models. Probed, not assumed: Azure ML answers 404."""
        from mlflow.exceptions import MlflowException

        if self.local:
            return True
        try:
            self.client.search_logged_models(experiment_ids=["0"], max_results=1)
        except MlflowException as error:
            if error.error_code in ("ENDPOINT_NOT_FOUND", "RESOURCE_DOES_NOT_EXIST") or "404" in str(error):
                return False
            raise
        return True

    def experiment_id(self, name: str) -> str:
        """Return the id of an experiment, which is created if it does not exist.

        On SQLite its artifacts lie beside the database. Raises TrackingError when an experiment of that name was
        deleted, or cannot be created.
        """
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            location = (sqlite.artifact_root(self.uri) / _slug(name)).as_uri() if self.local else None
            try:
                return str(self.client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                experiment = self.client.get_experiment_by_name(name)  # another process made it meanwhile
                if experiment is None:
                    raise errors.TrackingError(f"experiment {name!r} cannot be created: {error}") from error
        if experiment.lifecycle_stage == "deleted":
            restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            raise errors.TrackingError(f"experiment {name!r} was deleted; take another name, or: {restore}")
        return str(experiment.experiment_id)

    def run_url(self, run_id: str, experiment_id: str) -> str:
        """Return the address of a run's page. For SQLite the page is there while `nbops ui` runs."""
        if self.uri.startswith("azureml:"):
            from notebooks_lib.azure.client import clouds

            scope = self.uri[self.uri.index("/subscriptions/") :].split("?")[0]
            return f"{clouds.current().studio}/runs/{run_id}?wsid={scope}"
        # Without the user and password of the URI, for which a browser asks.
        bare = safe_text.masked(self.uri).replace(f"://{safe_text.MASK}@", "://").rstrip("/")
        base = bare if self.uri.startswith("http") else UI_ADDRESS
        return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"


def connect(settings: Settings | None = None) -> Store:
    """Return the store of runs and models, ready for use, and make it MLflow's default in this process.

    `settings` are by default those of the project of the current folder. For a new project, the SQLite database is
    created. Raises TrackingError when the store does not answer, AzureError when a workspace does not, SettingsError
    when two variables name different stores.
    """
    settings = settings or settings_module.here()
    azure_plugin.defer()
    # Before MLflow is imported (Azure's SDK may do so): its telemetry client starts at import.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Neither may appear in cell outputs, or beside the one object that `--json` prints.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    uri = tracking_uri(settings)
    make_state(settings.layout)
    if sqlite.is_sqlite(uri):
        os.environ[sqlite.ARTIFACT_ROOT] = sqlite.artifact_root(uri).as_uri()
        sqlite.relax_flushing(uri)
        sqlite.prepare_schema(uri)
    if uri.startswith("azureml:"):
        azure_plugin.sign_in(uri)
    if uri.startswith("http"):
        _greet(uri)
    import mlflow

    if mlflow.get_tracking_uri() != uri:
        current = os.environ.get("MLFLOW_TRACKING_URI", "")  # perhaps set here, for an earlier store
        _users_uri.setdefault(uri, _users_uri.get(current, current))
        mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if _without_machine_faults not in (logger := logging.getLogger("mlflow.store.db.utils")).filters:
        logger.addFilter(_without_machine_faults)
    return Store(uri, settings)


def _without_machine_faults(record: logging.LogRecord) -> bool:
    """Drop MLflow's log of a full disk, forty lines of traceback: the error that it raises is enough."""
    error = record.exc_info[1] if record.exc_info else None
    return not (error is not None and errors.machine_fault(error))


def tracking_uri(settings: Settings) -> str:
    """Return the tracking URI in force: the run owner's, else that of a variable, of the settings file, or of SQLite.

    The variables are NBOPS_TRACKING_URI and MLFLOW_TRACKING_URI.
    """
    chosen = uri_of_variables(settings.root) or settings.tracking.uri
    if not chosen:
        return sqlite.sqlite_url(settings.layout.database)
    if chosen == "azureml":
        from notebooks_lib.azure.client import workspace

        return workspace.tracking_uri(settings)
    return absolute_uri(chosen, settings.root)


def uri_of_variables(root: Path) -> str:
    """Return the tracking URI as the run owner or a variable names it; empty if none does.

    Raises SettingsError when two variables name different stores.
    """
    theirs = os.environ.get("MLFLOW_TRACKING_URI", "")
    theirs = _users_uri.get(theirs, theirs)
    if theirs and Env.OWNER_RUN in os.environ:
        return theirs
    ours = os.environ.get("NBOPS_TRACKING_URI", "")
    if ours and theirs and absolute_uri(ours, root) != absolute_uri(theirs, root):
        raise errors.SettingsError(
            f"NBOPS_TRACKING_URI is {ours!r} and MLFLOW_TRACKING_URI is {theirs!r}: unset one of them"
        )
    return ours or theirs


def make_state(layout: Layout) -> None:
    """Make the project's folder for everything created at run time, and let git ignore it."""
    ignore = layout.state / ".gitignore"
    try:
        atomic_private_files.make_folder(layout.state)
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError:
        pass  # the first write to the folder reports what is wrong with it


def absolute_uri(uri: str, root: Path) -> str:
    """Return the URI with a relative path resolved from the project root, not from the current folder."""
    if match := re.match(r"sqlite:///(?!/)([^?]*)(.*)$", uri, re.DOTALL):
        return sqlite.sqlite_url(root / sqlite.database_file(match[1])) + match[2]
    if match := re.match(r"file:(?!/)(.*)$", uri, re.DOTALL):
        return f"file:{root / match[1]}"
    if "://" not in uri and not uri.startswith(("file:", "databricks", "azureml")):
        return (root / uri).resolve().as_uri()
    return uri


def _greet(uri: str) -> None:
    """Raise TrackingError at once when no server answers; MLflow itself would retry for minutes."""
    import requests

    try:
        requests.get(uri, timeout=GREETING_TIMEOUT, allow_redirects=False)  # any answer will do
    except requests.exceptions.RequestException as error:
        raise errors.TrackingError(
            f"{uri} does not answer ({type(error).__name__}): start that server, or change [tracking] uri"
        ) from error


@contextmanager
def translate_store_errors(store: Store) -> Iterator[None]:
    """Turn an error of MLflow or Azure within the block, from a store that refuses or is gone, into a TrackingError."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

    try:
        yield
    except UnsupportedModelRegistryStoreURIException as error:  # of runs as well as of models
        schemes = ", ".join(filter(None, error.supported_uri_schemes))
        raise errors.TrackingError(
            f"{store.uri}: no store has such an address; it begins with one of {schemes}: change [tracking] uri, or "
            "the variable MLFLOW_TRACKING_URI"
        ) from error
    except errors.AzureError as error:
        raise errors.TrackingError(f"{store.uri}: {error}") from error
    except MlflowException as error:
        why = errors.machine_fault(error) or f"{errors.reason(error)}; `nbops doctor` looks closer"
        raise errors.TrackingError(f"{store.uri}: {why}") from error


def _slug(name: str) -> str:
    """Return a readable folder name for an experiment, different for different experiments."""
    import hashlib

    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
