"""A store is told from all others: by its address, or by a name of its own where it is a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking.store import Store, connect
from notebooks_lib.tracking.store_identity import store_identity


@pytest.mark.tracking
def test_a_file_keeps_its_name_and_another_file_has_another(project: Settings, tmp_path: Path) -> None:
    here = store_identity(connect(project))
    assert ", a file of " in here
    assert store_identity(connect(project)) == here
    (tmp_path / "clone" / "production").mkdir(parents=True)
    (tmp_path / "clone" / "production" / "settings.toml").touch()
    assert store_identity(connect(load(tmp_path / "clone", {}))) != here


@pytest.mark.parametrize(
    ("uri", "identity"),
    [
        ("https://me:secret@mlflow.example", "https://***@mlflow.example"),
        (
            "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/S/resourceGroups/G/workspaces/W",
            "/subscriptions/s/resourcegroups/g/workspaces/w",
        ),
    ],
)
def test_a_server_or_workspace_is_told_by_its_address(uri: str, identity: str, tmp_path: Path) -> None:
    assert store_identity(Store(uri, Settings(root=tmp_path))) == identity
