"""The Azure clouds and their hosts: public, US government, China, or one that ARM_CLOUD_METADATA_URL describes."""

from __future__ import annotations

import functools
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from notebooks_lib import errors

CLOUD = "AZUREML_CURRENT_CLOUD"
METADATA_URL = "ARM_CLOUD_METADATA_URL"
_PATIENCE = 10
"""Seconds in which the description of a cloud must arrive."""


@dataclass(frozen=True)
class Cloud:
    """The hosts of one Azure cloud. All but the storage suffix are URLs without a slash at the end."""

    name: str
    resource_manager: str
    """Where Azure Resource Manager answers, and the audience of its tokens."""
    login: str
    """Where tokens are issued."""
    studio: str
    """Azure ML Studio, and the audience of tokens for online endpoints."""
    storage_suffix: str
    """What follows `ACCOUNT.blob.` in the address of a storage account."""
    discovery: str
    """Where an Azure ML registry is looked up by its name."""

    @property
    def scope(self) -> str:
        """The scope of tokens for Azure Resource Manager and for the APIs of a workspace."""
        return f"{self.resource_manager}/.default"


CLOUDS = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "AzureCloud",
            "https://management.azure.com",
            "https://login.microsoftonline.com",
            "https://ml.azure.com",
            "core.windows.net",
            "https://eastus.api.azureml.ms",
        ),
        Cloud(
            "AzureUSGovernment",
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://ml.azure.us",
            "core.usgovcloudapi.net",
            "https://usgovarizona.api.ml.azure.us",
        ),
        Cloud(
            "AzureChinaCloud",
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "https://ml.azure.cn",
            "core.chinacloudapi.cn",
            "https://chinaeast2.api.ml.azure.cn",
        ),
    )
}


def current() -> Cloud:
    """Return the cloud in force: the one of AZUREML_CURRENT_CLOUD, of ARM_CLOUD_METADATA_URL, or the public one.

    Raises SettingsError for an unknown name, AzureError when the description of a cloud cannot be read.
    """
    name, url = os.environ.get(CLOUD, ""), os.environ.get(METADATA_URL, "")
    if name in CLOUDS:
        return CLOUDS[name]
    if url:
        return _described(url, name)
    if name:
        raise errors.SettingsError(
            f"{CLOUD}: {errors.unknown('cloud', name, CLOUDS)}; another one needs {METADATA_URL}"
        )
    return CLOUDS["AzureCloud"]


def set_azure_cloud(environ: MutableMapping[str, str]) -> None:
    """Set the variable in `environ` that names the Azure cloud.

    Without it, MLflow's plugin asks the network for up to 30 s.
    """
    if METADATA_URL not in environ:
        environ.setdefault(CLOUD, "AzureCloud")


@functools.cache
def _described(url: str, name: str) -> Cloud:
    """Read the description of a cloud at `url`: one cloud, or a list of them, in the form of Azure Resource Manager."""
    import requests

    try:
        answer = requests.get(url, timeout=_PATIENCE)
        answer.raise_for_status()
        content = answer.json()
        clouds = [_cloud(description) for description in (content if isinstance(content, list) else [content])]
    except (requests.exceptions.RequestException, ValueError, LookupError, TypeError) as error:
        raise errors.AzureError(
            f"{METADATA_URL}: {url} does not describe an Azure cloud ({type(error).__name__})",
            "correct it, or unset it for the public cloud",
        ) from error
    chosen = [cloud for cloud in clouds if cloud.name == name or (not name and cloud.resource_manager in url)]
    if not chosen and len(clouds) == 1 and not name:
        chosen = clouds
    if not chosen:
        names = ", ".join(cloud.name for cloud in clouds)
        raise errors.SettingsError(f"{METADATA_URL} describes {names or 'no cloud'}: name one of them in {CLOUD}")
    return chosen[0]


def _cloud(description: dict[str, Any]) -> Cloud:
    portal, name = str(description["portal"]).rstrip("/"), str(description["name"])
    studio = "ml.azure." + ".".join(portal.split(".")[2:])  # as the SDK derives it: no description names it
    return Cloud(
        name,
        str(description["resourceManager"]).rstrip("/"),
        str(description["authentication"]["loginEndpoint"]).rstrip("/"),
        f"https://{studio}",
        str(description["suffixes"]["storage"]),
        f"https://{name.lower()}west.api.{studio}",  # as the SDK derives it, too
    )
