"""A stage in another workspace gets model and environment through the registry, once, and no other files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib.azure.assets import asset_registry, model_asset
from notebooks_lib.azure.assets.environment import Environment
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.errors import AzureError, EndpointError, SettingsError, UsageError
from notebooks_lib.serving import targets
from notebooks_lib.serving.azure_asset_source import AssetSource
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.endpoint import DeploymentDetail, ServedVersion
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Azure, Stage, Stages
from tests.azure.emulator import Emulated
from tests.serving.azure_project import ELSEWHERE, azure_project, make_workspace

pytestmark = pytest.mark.tracking
ENVIRONMENT = Environment({"image": "image:1"}, {}, "nbops-scoring")
ROW = {"dataframe_records": [{"x": 2.0}]}


@pytest.fixture
def project(azure_server: Emulated, tmp_path: Path) -> Iterator[Settings]:
    with azure_project(azure_server, tmp_path / "azure", stage=ELSEWHERE) as project, azure_server.only_azure():
        yield project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "MLmodel").write_text("flavors: {}")
    return tmp_path / "files"


def source_of(project: Settings) -> AssetSource:
    target = workspace.stage_workspace(project, "prod")
    return AssetSource.of(project, "prod", rest_client.resource_manager(), target)


def test_model_and_environment_go_through_the_registry_once(
    project: Settings, folder: Path, azure_server: Emulated
) -> None:
    ids = [source_of(project).model("houses", "3", folder, "a" * 64), source_of(project).environment(ENVIRONMENT)]
    begin = f"azureml://registries/{project.azure.registry}"
    assert ids == [
        f"{begin}/models/houses/versions/3",
        f"{begin}/environments/nbops-scoring/versions/{ENVIRONMENT.version}",
    ]
    began = azure_server.record.position()
    assert source_of(project).model("houses", "3", folder, "a" * 64) == ids[0]
    assert source_of(project).environment(ENVIRONMENT) == ids[1]
    sent = [seen for seen in azure_server.record.since(began) if seen.host != "login.microsoftonline.com"]
    assert {seen.method for seen in sent} == {"GET"}
    other = workspace.stage_workspace(project, "prod").name
    assert not [seen for seen in sent if f"/workspaces/{other}/" in seen.path], "its workspace gets nothing"


def test_other_files_under_the_same_name_are_refused_with_both_digests(project: Settings, folder: Path) -> None:
    client = rest_client.resource_manager()
    stranger = make_workspace(client, f"{project.azure.workspace}-x")
    model_asset.find_or_upload_model(client, stranger, "houses", "3", {"MLmodel": b"other"}, "f" * 64)
    registry = asset_registry.open_registry(project.azure.registry)
    asset_registry.share_asset(registry, client, stranger, "models", "houses", "3", wait_seconds=20)
    refusal = (
        rf"^registry '{registry.name}' has other files as houses:3 \(digest ffffffffffff, ours aaaaaaaaaaaa\), which"
        r" another workspace shared; name another registry under \[azure\], or promote under another model's name"
    )
    with pytest.raises(AzureError, match=refusal):
        source_of(project).model("houses", "3", folder, "a" * 64)


def test_a_version_whose_digest_is_not_known_there_is_left_to_the_scoring_code(
    project: Settings, folder: Path, azure_server: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    client, own = rest_client.resource_manager(), workspace.find_workspace(project)
    path = model_asset.find_or_upload_model(client, own, "houses", "3", model_asset.folder_files(folder), "a" * 64)
    document = client.request("GET", path, model_asset.API_VERSION, what="the model")
    del document["properties"]["tags"]
    azure_server.put(path, {"properties": document["properties"]})
    source = replace(source_of(project), tracks_here=True)
    with caplog.at_level("INFO", "nbops.endpoint"):
        source.model("houses", "3", folder, "a" * 64)
    assert caplog.messages[-1].endswith("says no digest of houses:3: score.py alone checks its files")


def test_a_stage_elsewhere_needs_a_registry_and_says_which_key(empty_project: Settings) -> None:
    own = Azure(subscription="s", resource_group="g", workspace="w")
    stages = Stages(prod=Stage(endpoint="azureml:", workspace="x"))
    settings = empty_project.model_copy(update={"stages": stages, "azure": own})
    refusal = (
        r"^\[stages.prod\] has its endpoint in workspace 'x', and the project's versions are in 'w': they get there "
        r'through an Azure ML registry; write registry = "NAME" under \[azure\] in .*settings.toml$'
    )
    with pytest.raises(SettingsError, match=refusal):
        workspace.stage_registry(settings, "prod")
    assert AzureEndpoint(settings, "houses", "prod").capabilities.lacks.startswith("[stages.prod] has its endpoint in")
    with pytest.raises(UsageError, match=refusal):
        AzureEndpoint(settings, "houses", "prod").deploy(
            "blue", ServedVersion("1", DeploymentDetail(), lambda _: 1 / 0)
        )  # type: ignore[arg-type, return-value]
    named = settings.model_copy(update={"azure": own.model_copy(update={"registry": "org-models"})})
    assert workspace.stage_registry(named, "prod") == "org-models"


def test_a_stage_in_the_projects_workspace_needs_none(empty_project: Settings) -> None:
    own = Azure(subscription="s", resource_group="g", workspace="w")
    for named in ("", "w", "G/W"):
        stages = Stages(prod=Stage(endpoint="azureml:", workspace=named))
        settings = empty_project.model_copy(update={"stages": stages, "azure": own})
        assert workspace.stage_registry(settings, "prod") == ""
    alone = Stages(prod=Stage(endpoint="azureml:", workspace="s/g/x"))
    assert workspace.stage_registry(empty_project.model_copy(update={"stages": alone}), "prod") == ""


@pytest.mark.proof
def test_an_endpoint_elsewhere_serves_the_registrys_files_is_stopped_and_started(
    project: Settings, light: dict[str, Path], azure_server: Emulated
) -> None:
    detail = DeploymentDetail(model="my_houses", run_id="r1", reason="a test")
    endpoint = targets.endpoint_for(project, "my-houses")
    assert isinstance(endpoint, AzureEndpoint)
    double, triple = (
        ServedVersion.in_folder(light[name], version=name, detail=detail) for name in ("double", "triple")
    )
    with azure_server.fault("forbidden", path="/import$"), pytest.raises(EndpointError, match="AzureML Registry User"):
        endpoint.deploy("blue", double, traffic=True)
    with pytest.raises(LookupError):
        endpoint.status()  # no endpoint was made for it
    endpoint.deploy("blue", double, traffic=True)
    assert endpoint.invoke(ROW) == {"predictions": [4.0]}
    endpoint.deploy("green", triple)
    assert endpoint.is_intact("blue")
    before = endpoint.status()
    endpoint.stop()
    assert endpoint.start().slots == before.slots
    assert endpoint.is_intact("green")
    assert endpoint.invoke(ROW, slot="green") == {"predictions": [6.0]}
    began = azure_server.record.position()
    assert endpoint.deploy("blue", double, traffic=True).slots["blue"].traffic == 100
    assert not [seen.path for seen in azure_server.record.since(began) if seen.method != "GET" and "mferp" in seen.path]
