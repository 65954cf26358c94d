"""endpoint.yml and an endpoint that is there: what Azure changes is changed, the rest is refused with both values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.errors import UsageError
from notebooks_lib.serving import azure_endpoint_file
from notebooks_lib.serving.endpoint import DeploymentDetail, ServedVersion
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag
from tests.serving.azure_documents import changes, serving

VERSION = ServedVersion.in_folder(Path(), version="1", detail=DeploymentDetail(model="houses"))


def write(settings: Settings, text: str) -> None:
    file = settings.root / "production" / "azure" / "endpoint.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_azure_changes_is_changed_and_the_traffic_stays(
    empty_project: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="nbops.endpoint")
    write(empty_project, "public_network_access: disabled\ndescription: prices\ntags: {team: rents}\n")
    documents = serving(empty_project, blue=100)
    change = changes(documents, empty_project)
    after = azure_endpoint_file.create_or_change(change.at, change.find(), VERSION)
    assert after.document["properties"]["publicNetworkAccess"] == "disabled"
    assert (after.tags, after.traffic) == ({"team": "rents", Tag.ENDPOINT_MODEL: "houses"}, {"blue": 100})
    assert "endpoint houses: public_network_access becomes disabled, as endpoint.yml says" in caplog.text
    documents.writes.clear()
    assert azure_endpoint_file.create_or_change(change.at, after, VERSION) is after
    assert documents.writes == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("auth_mode: aml_token\n", "has auth_mode key, endpoint.yml says amltoken, which Azure does not change"),
        (
            "identity: {type: user_assigned, user_assigned_identities: [{resource_id: /s/i}]}\n",
            "has identity SystemAssigned, endpoint.yml says UserAssigned /s/i, which Azure does not change",
        ),
    ],
)
def test_what_azure_does_not_change_is_refused(text: str, problem: str, empty_project: Settings) -> None:
    documents = serving(empty_project, blue=100)
    change = changes(documents, empty_project)
    endpoint = change.find()
    assert endpoint is not None
    endpoint.document["identity"] = {"type": "SystemAssigned"}  # type: ignore[index]
    azure_endpoint_file.check_file(change.at, endpoint)
    write(empty_project, text)
    with pytest.raises(UsageError, match=problem):
        azure_endpoint_file.check_file(change.at, endpoint)


def test_an_endpoint_with_slots_that_nbops_did_not_make_is_refused(empty_project: Settings) -> None:
    change = changes(serving(empty_project, blue=100), empty_project)
    endpoint = change.find()
    assert endpoint is not None
    with pytest.raises(
        UsageError, match="was not made by nbops, and has the slots blue, green; give the stage another"
    ):
        azure_endpoint_file.check_ours(change.at, endpoint, ["blue", "green"], VERSION)
    azure_endpoint_file.check_ours(change.at, endpoint, [], VERSION)
    ours = azure_endpoint_file.create_or_change(change.at, endpoint, VERSION)
    azure_endpoint_file.check_ours(change.at, ours, ["blue", "green"], VERSION)


def test_an_endpoint_that_is_made_names_its_project(empty_project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no other project of the workspace takes it for its own, as monitors do."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(workspace, "read", lambda *at: {"location": "westeurope"})
    monkeypatch.setattr(online_endpoint, "create_endpoint", lambda client, at, name, body: made.append(body))
    empty_project.layout.settings_file.write_text("")
    nameless = load(empty_project.root, {})
    for settings in (empty_project, nameless):  # the name of a folder differs from job to job
        azure_endpoint_file.create_or_change(changes(serving(settings), settings).at, None, VERSION)
    assert [body["tags"] for body in made] == [
        {Tag.ENDPOINT_MODEL: "houses", Tag.ENDPOINT_PROJECT: "sample"},
        {Tag.ENDPOINT_MODEL: "houses"},
    ]
