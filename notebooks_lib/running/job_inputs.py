"""The dataset versions that a job's parameters name, as inputs of the job: Azure ML Studio shows where they went."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.datasets import version_lookup
from notebooks_lib.errors import UsageError
from notebooks_lib.tags import Tag


def dataset_inputs(
    client: RestClient, workspace: Workspace, parameters: Mapping[str, object]
) -> dict[str, dict[str, str]]:
    """Return an input for each parameter whose value, such as "sales@3", is a dataset version in the workspace.

    Data assets that nbops did not make are none, nor are archived ones: the notebook would not load them.

    Inputs are delivered as addresses: the notebook loads a dataset by its name, and nothing is mounted.
    """
    inputs = {}
    for parameter, value in parameters.items():
        name, version = _reference(value)
        asset = data_asset.find_asset(client, workspace, name, str(version)) if version is not None else None
        if asset is not None and Tag.FINGERPRINT in asset.tags and not asset.archived:
            uri = f"{workspace.path}/data/{quote(name, safe='')}/versions/{version}"
            inputs[parameter] = {"jobInputType": data_asset.FOLDER, "uri": uri, "mode": "Direct"}
    return inputs


def _reference(value: object) -> tuple[str, int | None]:
    """Return name and version that a parameter's value names; the version is None for all other values."""
    try:
        return version_lookup.parse_ref(value) if isinstance(value, str) else ("", None)
    except UsageError:
        return "", None
