"""Endpoints of a workspace: the body that the SDK would send, traffic and mirror in one request, secrets kept nowhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.azure.project_files import endpoint_file_kinds, file_loading
from tests.azure.emulator import Emulated
from tests.azure.endpoint_parts import QuickEndpoint
from tests.azure.fixtures import WithWorkspace
from tests.azure.project_files.test_file_check import VALID
from tests.azure.request_shapes import misfits

pytestmark = pytest.mark.tracking
PLACE = Workspace("s", "g", "w")


@pytest.mark.parametrize("name", ["endpoint.yml", "test/endpoint.yml", ""])
def test_the_body_is_what_the_sdk_would_send(name: str, tmp_path: Path) -> None:
    path = tmp_path / (name or "endpoint.yml")
    values = {**endpoint_file_kinds.ENDPOINT.inherited(path), **(yaml.safe_load(VALID[name]) if name else {})}
    entity = file_loading.load("endpoint", path, values, {"name": "houses"})
    if compute := endpoint_file_kinds.compute_of(values):
        entity.compute = f"{PLACE.path}/computes/{compute}"  # as the SDK does when it sends the endpoint
    body = online_endpoint.endpoint_body(PLACE, "westeurope", values, {})
    assert body == entity._to_rest_online_endpoint("westeurope").as_dict()
    assert misfits(body, "OnlineEndpoint") == []


@pytest.fixture
def quick(with_workspace: WithWorkspace, empty_project: Any) -> QuickEndpoint:
    return QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)), description="d", tags={"a": "b"})


def test_a_change_moves_traffic_and_mirror_at_once_and_nothing_else(
    quick: QuickEndpoint, azure_server: Emulated
) -> None:
    quick.deploy("blue", ANSWER="2")
    quick.deploy("green", ANSWER="3")
    before, began = quick.find(), azure_server.record.position()
    after = quick.change(traffic={"blue": 100}, mirror={"green": 20})
    puts = [seen for seen in azure_server.record.since(began) if seen.method == "PUT"]
    assert len(puts) == 1
    assert (after.traffic, after.mirror, after.tags) == ({"blue": 100}, {"green": 20}, before.tags)
    for key in ("description", "authMode", "scoringUri"):
        assert after.document["properties"][key] == before.document["properties"][key]
    assert after.document["identity"]["type"] == "SystemAssigned"
    assert quick.change(tags={"c": "d"}).traffic == {"blue": 100}
    assert quick.find().tags == {"c": "d"}


class Renewed:
    """A client behind whose back the endpoint gets other traffic; it sends nothing else than the question."""

    def request(self, method: str, path: str, api_version: str, **more: Any) -> Any:
        return {"name": "houses", "properties": {"traffic": {"blue": 0, "green": 100}}}


def test_a_change_that_rests_on_an_older_look_is_not_sent() -> None:
    before = OnlineEndpoint.of({"name": "houses", "properties": {"traffic": {"blue": 100}}})
    client: Any = Renewed()
    with pytest.raises(errors.AzureError, match="was changed by another command: blue=100 became green=100; look at"):
        online_endpoint.change_endpoint(client, PLACE, before, mirror={"green": 20})


def test_endpoints_are_found_and_listed(quick: QuickEndpoint) -> None:
    assert online_endpoint.find_endpoint(quick.client, quick.workspace, "nothing") is None
    assert quick.name in [each.name for each in online_endpoint.list_endpoints(quick.client, quick.workspace)]
    gone = Workspace(quick.workspace.subscription, quick.workspace.resource_group, "gone")
    with pytest.raises(errors.AzureError, match="workspaces/gone"):
        online_endpoint.find_endpoint(quick.client, gone, quick.name)


@pytest.mark.parametrize("mode", ["key", "aml_token", "aad_token"])
def test_each_auth_mode_lets_its_owner_in_and_no_secret_is_shown(
    mode: str,
    with_workspace: WithWorkspace,
    empty_project: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    place = workspace.find_workspace(with_workspace(empty_project))
    quick = QuickEndpoint.made(place, auth_mode=mode)
    quick.deploy("blue", ANSWER="7")
    quick.change(traffic={"blue": 100})
    endpoint = quick.find()
    secret = online_endpoint.read_secret(quick.client, place, endpoint)
    client = quick.scoring()
    assert client.ask(b"{}").content["predictions"] == [7]
    assert bool(secret) == (mode != "aad_token")
    shown = capsys.readouterr()
    for text in (caplog.text, shown.out, shown.err, repr(endpoint), str(endpoint), repr(client)):
        assert not secret or secret not in text
