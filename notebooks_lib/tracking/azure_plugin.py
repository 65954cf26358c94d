"""MLflow's plugin for Azure ML: it signs in with our credential, and is imported only when a workspace is used."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

_LOADERS = "azureml.mlflow.entry_point_loaders"


def sign_in(uri: str) -> None:
    """Make the plugin use `azure.credential` for a workspace's tracking URI, once per process.

    By default the plugin falls back to a browser and a device code, for which a headless process would wait for
    minutes. An Azure ML job has a token of its own.
    """
    from notebooks_lib.azure.client import clouds, workspace

    clouds.set_azure_cloud(os.environ)
    if "MLFLOW_TRACKING_TOKEN" in os.environ:
        return
    from azureml.mlflow import get_mlflow_tracking_uri_v2
    from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader

    from notebooks_lib.azure.client.credential import credential

    if _AzureMLServiceContextLoader.has_service_context(uri):
        return
    named = workspace.of_tracking_uri(uri)
    get_mlflow_tracking_uri_v2(
        SimpleNamespace(ml_flow_tracking_uri=uri),
        {
            "subscription_id": named.subscription,
            "resource_group_name": named.resource_group,
            "workspace_name": named.name,
            "auth": credential(),
            "host_url": f"https://{urlsplit(uri).netloc}",
        },
    )


def defer() -> None:
    """Let MLflow register the plugin without importing it. Call it before MLflow is imported.

    MLflow loads the entry points of all plugins when it is imported. This one brings 240 modules of the Azure SDK,
    a fifth of MLflow's own time, which nobody needs who tracks elsewhere.
    """
    if "mlflow" not in sys.modules:
        sys.modules.setdefault(_LOADERS, _DeferredLoaders(_LOADERS))


class _DeferredLoaders(ModuleType):
    """Stands for the plugin's module of entry points: each function imports the real one when it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "azureml_request_header_provider":
            return _DeferredHeaders

        def load(*arguments: Any, **named: Any) -> Any:
            return getattr(_real_loaders(), name)(*arguments, **named)

        return load


class _DeferredHeaders:
    """Stands for the plugin's headers, which MLflow creates at import and asks for with each request to a server."""

    def in_context(self) -> bool:
        """Return whether the plugin has headers for a request."""
        return "azureml.mlflow" in sys.modules and bool(self._real().in_context())

    def request_headers(self) -> dict[str, str]:
        """Return the plugin's headers."""
        return dict(self._real().request_headers())

    def _real(self) -> Any:
        return _real_loaders().azureml_request_header_provider()


def _real_loaders() -> ModuleType:
    if isinstance(sys.modules.get(_LOADERS), _DeferredLoaders):
        del sys.modules[_LOADERS]
    return importlib.import_module(_LOADERS)
