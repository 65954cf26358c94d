"""Adapts MLflow inside a kernel that has an owner, so that a notebook's own calls find the owner's run. Only there.

MLflow attaches to the run in MLFLOW_RUN_ID, but raises when the notebook has set another experiment or another store
by then, which nobody can always know before it runs: it may happen in a branch, a function or an imported module.
With this, such a `start_run` opens a run of its own where the notebook wants it; the owner adopts it if it can see it.
"""

from __future__ import annotations

import os
from typing import Any

from notebooks_lib.names import Env


def install(tags: dict[str, str]) -> None:
    """Attach where MLflow would, open a run where it would raise, and put `tags` on client-made runs too."""
    from mlflow.environment_variables import MLFLOW_EXPERIMENT_ID, MLFLOW_RUN_ID
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    # An instance's own `get` goes before its class's: MLflow asks these two objects.
    MLFLOW_RUN_ID.get = attachable  # type: ignore[method-assign]
    experiment = MLFLOW_EXPERIMENT_ID.get
    MLFLOW_EXPERIMENT_ID.get = lambda: experiment() if at_home() else None  # type: ignore[method-assign,no-untyped-call]
    create = TrackingServiceClient.create_run

    def create_run(client: Any, *arguments: Any, **named: Any) -> Any:
        # A run that a client makes is asked for no context; without the tags nobody would end it.
        run = create(client, *arguments, **named)
        if at_home():
            for key, value in tags.items():
                if key not in run.data.tags:
                    client.set_tag(run.info.run_id, key, value)
        return run

    TrackingServiceClient.create_run = create_run  # type: ignore[method-assign,assignment]


def attachable() -> str | None:
    """The owner's run as long as MLflow takes it: the notebook has set no other experiment and no other store."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id or not at_home():
        return None
    from mlflow.tracking import fluent

    active = fluent._active_experiment_id
    return run_id if active in (None, os.environ.get(Env.OWNER_EXPERIMENT)) else None


def at_home() -> bool:
    """Whether MLflow still speaks to the owner's store."""
    import mlflow

    return bool(mlflow.get_tracking_uri() == os.environ.get(Env.OWNER_STORE))
