"""The plugin by which MLflow makes every run that a notebook opens a child of its owner's run. It opens no store."""

from __future__ import annotations

import os

from mlflow.tracking.context.abstract_context import RunContextProvider
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

from notebooks_lib import process_identity
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import mlflow_run_redirect, sqlite


class OwnedRunContext(RunContextProvider):
    """Tags for all further runs that a kernel with an owner opens.

    They come from a second start_run, a thread or a subprocess (docs/design D1).
    """

    def __init__(self) -> None:
        # MLflow creates its providers at import: the only moment before the notebook's first call.
        if os.environ.get(Env.OWNER_RUN):
            mlflow_run_redirect.install(self.tags())
            store = os.environ.get(Env.OWNER_STORE, "")
            if sqlite.is_sqlite(store):
                sqlite.relax_flushing(store)

    def in_context(self) -> bool:
        """Return True if this kernel was started for a run of an owner."""
        return bool(os.environ.get(Env.OWNER_RUN))

    def tags(self) -> dict[str, str]:
        """Return the tags for a new run: the owner's run as parent, the notebook as source, this process as owner."""
        owner = os.environ[Env.OWNER_RUN]
        tags = {
            MLFLOW_PARENT_RUN_ID: owner,
            Tag.PARENT_OWNER: owner,
            Tag.OWNER_HOST: process_identity.machine(),
            Tag.OWNER_PID: str(os.getpid()),
            Tag.OWNER_STARTED: process_identity.birth(),
        }
        notebook = os.environ.get("IPYNB_FILE")
        if notebook:
            tags |= {MLFLOW_SOURCE_NAME: notebook, MLFLOW_SOURCE_TYPE: "NOTEBOOK"}
        return tags
