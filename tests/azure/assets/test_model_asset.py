"""Versions of models in a workspace: the same files are found again, others get the next number, the example is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.azure.assets import model_asset
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from tests.azure.emulator import Emulated
from tests.azure.fixtures import WithWorkspace

pytestmark = pytest.mark.tracking
At = tuple[RestClient, Workspace]


@pytest.fixture
def at(with_workspace: WithWorkspace, empty_project: Any) -> At:
    return rest_client.resource_manager(), workspace.find_workspace(with_workspace(empty_project))


def test_the_same_files_are_one_version_and_others_take_the_next_number(
    at: At, tmp_path: Path, azure_server: Emulated
) -> None:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "data" / "model.bin").write_bytes(b"12")
    files = model_asset.folder_files(folder)
    assert sorted(files) == ["MLmodel", "data/model.bin"]
    first = model_asset.find_or_upload_model(*at, "houses", "3", files, "a" * 64)
    assert first.endswith("/models/houses/versions/3")
    began = azure_server.record.position()
    assert model_asset.find_or_upload_model(*at, "houses", "7", files, "a" * 64) == first
    assert {seen.method for seen in azure_server.record.since(began)} == {"GET"}
    other = model_asset.find_or_upload_model(*at, "houses", "3", {"MLmodel": b"x"}, "b" * 64)
    assert other.endswith("/models/houses/versions/4")
    assert model_asset.find_model(*at, "houses", "4") == other
    assert model_asset.find_model(*at, "houses", "5") == ""
    assert model_asset.find_model(*at, "flats", "1") == ""


def test_a_version_is_held_to_the_digest_that_it_was_made_with(at: At) -> None:
    name = model_asset.find_or_upload_model(*at, "houses", "1", {"MLmodel": b"x"}, "b" * 64)
    assert model_asset.has_digest(at[0], name, "b" * 64)
    assert not model_asset.has_digest(at[0], name, "c" * 64)
    assert not model_asset.has_digest(at[0], f"{at[1].path}/models/houses/versions/9", "b" * 64)


def test_an_example_is_kept_for_whoever_may_read_the_workspace(at: At) -> None:
    assert model_asset.read_example(*at, "d" * 64) is None
    for _ in range(2):
        model_asset.keep_example(*at, "d" * 64, {"inputs": [[1.5, "ü"]]})
    assert model_asset.read_example(*at, "d" * 64) == {"inputs": [[1.5, "ü"]]}
