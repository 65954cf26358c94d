"""Fixtures for requests to the emulated workspace without a command: a client, and the workspace's path."""

from __future__ import annotations

import pytest

from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from tests.azure.fixtures import AzureProject


@pytest.fixture
def place(azure_workspace: AzureProject) -> Workspace:
    """The emulated workspace."""
    return workspace.find_workspace(azure_workspace.settings)


@pytest.fixture
def client(place: Workspace) -> RestClient:
    """A client of Azure Resource Manager that reaches it."""
    return rest_client.resource_manager()
