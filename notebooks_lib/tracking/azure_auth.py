"""Makes MLflow's Azure plugin sign in with the same credential as the rest of nbops. It opens no connection."""

from __future__ import annotations

import os
from types import SimpleNamespace
from urllib.parse import urlsplit

from notebooks_lib.azure import workspace


def attach(uri: str) -> None:
    """Give the plugin our credential for a workspace's tracking URI ("azureml://..."), once per process.

    Left alone it falls back to a browser and a device code, for which a headless process would wait for minutes. Inside
    an Azure ML job, which brings a token of its own, nothing is done.
    """
    if "MLFLOW_TRACKING_TOKEN" in os.environ:
        return
    workspace.prepare(os.environ)
    from azureml.mlflow import get_mlflow_tracking_uri_v2
    from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader

    if _AzureMLServiceContextLoader.has_service_context(uri):
        return
    parts = urlsplit(uri)
    scope = parts.path[parts.path.index("/subscriptions/") :].split("/")
    get_mlflow_tracking_uri_v2(
        SimpleNamespace(ml_flow_tracking_uri=uri),
        {
            "subscription_id": scope[2],
            "resource_group_name": scope[4],
            "workspace_name": scope[8],
            "auth": workspace.credential(),
            "host_url": f"https://{parts.netloc}",
        },
    )
