"""Adapt MLflow in a kernel whose run has an owner, so that the notebook's own MLflow calls use the owner's run.

MLflow attaches to the run in MLFLOW_RUN_ID, but raises when the notebook has set another experiment. That cannot always
be known beforehand: it may happen in a branch, a function or an imported module. Here such a `start_run` opens a run of
its own in that experiment, and the owner adopts it. Another store is never used.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from notebooks_lib import errors, safe_text
from notebooks_lib.tags import Env, Tag

_ignored: set[str] = set()


def install(tags: dict[str, str]) -> None:
    """Patch MLflow in this kernel, so that the notebook attaches to the owner's run and always uses the owner's store.

    Where attaching would raise, a child run is opened instead. All new runs get `tags`.
    """
    from mlflow import environment_variables as variables
    from mlflow.tracking._model_registry import utils as registry
    from mlflow.tracking._tracking_service import utils
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    # An attribute of the instance comes before its class's method: MLflow calls `get` on these objects.
    variables.MLFLOW_RUN_ID.get = attachable_run  # type: ignore[method-assign]
    uri = variables.MLFLOW_TRACKING_URI.get
    variables.MLFLOW_TRACKING_URI.get = lambda: owners_store(uri())  # type: ignore[method-assign,no-untyped-call]
    # Replace the code of the functions, not the names: other modules have imported the functions already.
    utils.set_tracking_uri.__code__ = _set_store.__code__
    registry.set_registry_uri.__code__ = _set_store.__code__
    create = TrackingServiceClient.create_run

    def create_run(client: Any, *arguments: Any, **named: Any) -> Any:
        # MLflow asks no context provider for a run made by a client; without the tags it would never be ended.
        run = create(client, *arguments, **named)
        if client.tracking_uri == os.environ.get(Env.OWNER_STORE):
            for key, value in tags.items():
                if key not in run.data.tags:
                    client.set_tag(run.info.run_id, key, value)
        return run

    TrackingServiceClient.create_run = create_run  # type: ignore[method-assign,assignment]


def attachable_run() -> str | None:
    """Return the id of the owner's run; None after the notebook has set another experiment than the owner's."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return None
    from mlflow.tracking import fluent

    active = fluent._active_experiment_id
    return run_id if active in (None, os.environ.get(Env.OWNER_EXPERIMENT)) else None


def owners_store(uri: object) -> str:
    """Return the URI of the owner's store, whatever store `uri` names.

    When `uri` is another store, a notebook of this project raises NotebookError. For any other notebook, the run gets
    a tag that says so.
    """
    ours = os.environ.get(Env.OWNER_STORE, "")
    named = safe_text.printable(safe_text.masked(str(uri or "")))
    if not uri or str(uri) == ours or named in _ignored:
        return ours
    if os.environ.get(Env.OTHER_STORE) == "refuse":
        raise errors.NotebookError(other_store(named, ours))
    _ignored.add(named)
    sys.stderr.write(f"nbops: the run stays in {ours}: the tracking URI {named} is not used\n")
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=ours).set_tag(os.environ[Env.OWNER_RUN], Tag.IGNORED_STORE, ", ".join(sorted(_ignored)))
    return ours


def other_store(named: str, ours: str) -> str:
    """Return the error message for a notebook that sets the tracking URI `named` while its run is tracked to `ours`."""
    return (
        f"it sets the tracking URI to {named}, but the run is tracked to {ours}: take the line out, or run the "
        "notebook as it is with --untracked"
    )


def _set_store(uri: str) -> None:
    from notebooks_lib.tracking import mlflow_run_redirect

    mlflow_run_redirect.owners_store(uri)
