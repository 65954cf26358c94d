"""Snapshots in the workspace: unchanged content is not sent twice, a cut upload goes on."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.assets.code_asset import find_or_upload_snapshot
from notebooks_lib.azure.assets.snapshot import Snapshot
from notebooks_lib.azure.client import rest_client, workspace
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject

pytestmark = pytest.mark.tracking


def test_unchanged_content_is_sent_once(azure_workspace: AzureProject, azure_server: Emulated, ask: Ask) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    snapshot, lines = Snapshot({"a.py": uuid.uuid4().bytes, "sub/b.py": b"2"}), list[str]()
    first = find_or_upload_snapshot(client, place, snapshot, tell=lines.append)
    began = azure_server.record.position()
    again = find_or_upload_snapshot(client, place, Snapshot(dict(reversed(snapshot.files.items()))), tell=lines.append)

    assert again == first
    assert [seen.method for seen in azure_server.record.since(began)] == ["GET"]
    assert lines == ["uploading 2 files, 0.0 MB"]
    kept = ask("GET", f"https://management.azure.com{first}?api-version=1").json()["properties"]["properties"]
    assert kept == {"hash_sha256": snapshot.sha256, "hash_version": "202208"}


def test_of_two_that_send_the_same_at_once_both_get_it(azure_workspace: AzureProject, azure_server: Emulated) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    snapshot, others = Snapshot({"a.py": uuid.uuid4().bytes}), list[str]()

    def meanwhile(line: str) -> None:
        others.append(find_or_upload_snapshot(client, place, snapshot))

    with azure_server.fault("forbidden", method="PUT", path="/codes/", skip=1):
        assert [find_or_upload_snapshot(client, place, snapshot, tell=meanwhile)] == others


def test_an_upload_that_failed_goes_on_at_the_next_try(azure_workspace: AzureProject, azure_server: Emulated) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    snapshot = Snapshot({f"f{number}": uuid.uuid4().bytes for number in range(20)})
    with (
        azure_server.fault("forbidden", host="blob", path="/f19$"),
        pytest.raises(errors.AzureError, match="f19 cannot"),
    ):
        find_or_upload_snapshot(client, place, snapshot)
    began = azure_server.record.position()
    find_or_upload_snapshot(client, place, snapshot)

    sent = [
        seen for seen in azure_server.record.since(began) if seen.method == "PUT" and seen.host.startswith("account")
    ]
    assert {seen.path.rpartition("/")[2] for seen in sent if seen.status == 201} == {"f19"}
