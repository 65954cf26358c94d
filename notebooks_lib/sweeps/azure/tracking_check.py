"""Whether a sweep's own run is kept in the workspace that its jobs track to. It sends nothing."""

from __future__ import annotations

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.tracking.store import Store


def refuse_other_store(on: str, chosen: Workspace, store: Store) -> None:
    """Raise UsageError if the sweep's own run would be kept elsewhere than its trials', which are in `chosen`."""
    if store.uri.startswith("azureml:"):
        tracked = workspace.of_tracking_uri(store.uri)
        if tracked.path.lower() == chosen.path.lower():  # Azure does not tell such names apart either
            return
    raise errors.UsageError(
        f"--on {on}: jobs track to workspace {chosen}, and this sweep to {store.shown}: set"
        ' uri = "azureml" under [tracking], or NBOPS_TRACKING_URI=azureml'
    )
