"""An endpoint in a workspace: what `test_endpoint.py` does not promise of all of them. Each deployment takes seconds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.azure.client.workspace import stage_workspace
from notebooks_lib.azure.endpoints import online_deployment
from notebooks_lib.errors import EndpointError, InputError, SettingsError, UsageError
from notebooks_lib.serving import targets
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.endpoint import DeploymentDetail, ServedVersion
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Azure, Stage, Stages
from notebooks_lib.tags import Tag
from tests.azure.emulator import Emulated
from tests.serving.azure_project import azure_project

pytestmark = pytest.mark.tracking
ROW, DOUBLE, TRIPLE = {"dataframe_records": [{"x": 2.0}]}, {"predictions": [4.0]}, {"predictions": [6.0]}
DETAIL = DeploymentDetail(model="my_houses", run_id="r1", reason="a test")
Version = Callable[[str], ServedVersion]


@pytest.fixture
def project(azure_server: Emulated, tmp_path: Path) -> Iterator[Settings]:
    with azure_project(azure_server, tmp_path / "azure") as project, azure_server.only_azure():
        yield project


@pytest.fixture
def version(light: dict[str, Path]) -> Version:
    return lambda name: ServedVersion.in_folder(light[name], version=name, detail=DETAIL)


def endpoint_of(project: Settings) -> AzureEndpoint:
    opened = targets.endpoint_for(project, project.stages.endpoint("prod", "my_houses"))
    assert isinstance(opened, AzureEndpoint)
    return opened


def writes(server: Emulated, began: int) -> list[str]:
    return [
        f"{seen.method} {seen.path.rpartition('/')[2]}"
        for seen in server.record.since(began)
        if seen.method in ("PUT", "DELETE") and seen.host == "management.azure.com"
    ]


@pytest.mark.proof
def test_a_version_is_deployed_found_by_its_name_and_the_same_again_sends_nothing(
    project: Settings, version: Version, azure_server: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="nbops.endpoint")
    endpoint = endpoint_of(project)
    assert targets.endpoints(project) == {}
    status = endpoint.deploy("blue", version("double"), traffic=True)
    assert (status.name, status.state, status.version, status.workspace) == (
        *("my-houses", "running", "double"),
        project.azure.workspace,
    )
    assert endpoint.invoke(ROW) == DOUBLE
    environment, code, slot = (record.getMessage() for record in caplog.records)
    assert environment.startswith("environment nbops-scoring:")
    assert code.startswith("uploading 2 files")
    assert slot == "slot blue of endpoint my-houses: deploying version double, which takes minutes"
    assert list(targets.endpoints(project)) == ["my-houses"]
    assert targets.choose_endpoint(project, None).status().detail == DETAIL
    began = azure_server.record.position()
    again = endpoint.deploy("blue", version("double"), traffic=True)
    assert writes(azure_server, began) == []
    with pytest.raises(InputError, match=r"refused the request \(400\): .*missing column 'x'"):
        endpoint.invoke({"dataframe_records": [{"y": 1}]})
    assert any("missing column 'x'" in line for line in endpoint.logs(slot="blue")), "score.py's own lines"
    assert again.slots == status.slots
    with pytest.raises(UsageError, match="serves model 'my_houses', not 'flats'; give the stage another: endpoint ="):
        endpoint.deploy("green", replace(version("triple"), detail=DeploymentDetail(model="flats")))
    (project.root / "production" / "azure").mkdir()
    (project.root / "production" / "azure" / "endpoint.yml").write_text("auth_mode: aml_token\n")
    with pytest.raises(UsageError, match=r"has auth_mode key, endpoint.yml says amltoken, which Azure does not change"):
        endpoint.deploy("green", version("triple"))


def test_what_a_file_gets_wrong_is_said_before_anything_is_sent(
    project: Settings, version: Version, azure_server: Emulated
) -> None:
    file = project.root / "production" / "azure" / "prod" / "deployment.yml"
    file.parent.mkdir(parents=True)
    file.write_text("instance_typ: x\ninstance_count: 0\n")
    began = azure_server.record.position()
    with pytest.raises(UsageError) as refused:
        endpoint_of(project).deploy("blue", version("double"))
    assert str(refused.value) == (
        "production/azure/prod/deployment.yml:1: instance_typ: unknown key, did you mean instance_type?; "
        "production/azure/prod/deployment.yml:2: instance_count: 0 is too few: write 1 or more"
    )
    with pytest.raises(UsageError, match="slot 'a_b': Azure takes letters, digits and -"):
        endpoint_of(project).deploy("a_b", version("double"))
    assert azure_server.record.since(began) == []


@pytest.mark.parametrize(
    ("fault", "cause", "line"),
    [
        (
            {"kind": "image_build_fails", "code": "ImageBuildFailure", "message": "pip exited with 1"},
            "image",
            "ImageBuildFailure: pip exited with 1; correct the model's requirements",
        ),
        ({"kind": "container_crashes"}, "memory", "Perhaps out of memory?; name a larger instance_type"),
        (
            {"kind": "operation_fails", "code": "OutOfQuota", "message": "Not enough quota"},
            "quota",
            "OutOfQuota: Not enough quota; ask for more quota in the portal",
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
@pytest.mark.proof
def test_a_deployment_that_fails_says_why_in_one_line_and_leaves_no_slot(
    fault: dict[str, Any], cause: str, line: str, project: Settings, version: Version, azure_server: Emulated
) -> None:
    endpoint = endpoint_of(project)
    endpoint.deploy("blue", version("double"), traffic=True)
    with azure_server.fault(**fault, method="PUT", path="/deployments/"), pytest.raises(EndpointError) as failed:
        endpoint.deploy("green", version("triple"))
    first, *rest = str(failed.value).splitlines()
    assert first.startswith(f"endpoint 'my-houses' cannot serve version triple ({cause}): ")
    assert line in first
    assert rest[-1] == "Version double serves as before."
    if cause == "memory":
        assert "  StorageInitializer | Downloaded the model." in rest
        assert "  InferenceServer | Worker (pid:7) was sent SIGKILL! Perhaps out of memory?" in rest
    assert list(endpoint.status().slots) == ["blue"]
    assert endpoint.invoke(ROW) == DOUBLE
    assert endpoint.deploy("green", version("triple")).slots["green"].state == "ready"
    assert endpoint.invoke(ROW, slot="green") == TRIPLE


@pytest.mark.proof
def test_a_look_that_fails_and_a_gateway_that_fails_once_cost_no_deployment(
    project: Settings, version: Version, azure_server: Emulated
) -> None:
    endpoint = endpoint_of(project)
    endpoint.deploy("green", version("double"))  # the endpoint is there: the next operation is the deployment's
    with (
        azure_server.fault("forbidden", method="GET", path=r"[oO]perationsStatus"),
        azure_server.fault("server_error", method="POST", host="inference"),
    ):
        status = endpoint.deploy("blue", version("double"), traffic=True)
    assert (status.slots["blue"].state, status.slots["blue"].traffic) == ("ready", 100)
    began = azure_server.record.position()
    endpoint.deploy("blue", version("double"), traffic=True)
    asked = [seen.path for seen in azure_server.record.since(began) if "inference" in seen.host]
    assert asked == ["/score"], "also of a slot that is there the example is asked"


@pytest.mark.proof
def test_a_deployment_that_never_ends_is_given_up_after_wait_minutes(
    project: Settings, version: Version, azure_server: Emulated
) -> None:
    prod = project.stages.prod.model_copy(update={"wait_minutes": 0.05})
    short = project.model_copy(update={"stages": project.stages.model_copy(update={"prod": prod})})
    began = time.monotonic()
    with (
        azure_server.fault("operation_never_ends", method="PUT", path="/deployments/"),
        pytest.raises(
            EndpointError, match=r"\(time\): slot blue of .* is still InProgress after 0.05 min; raise wait_m"
        ),
    ):
        endpoint_of(short).deploy("blue", version("double"))
    assert time.monotonic() - began < 60
    assert endpoint_of(short).status().slots == {}


@pytest.mark.proof
def test_a_slot_with_an_older_version_is_deleted_before_it_is_filled(
    project: Settings, version: Version, azure_server: Emulated
) -> None:
    endpoint = endpoint_of(project)
    endpoint.deploy("blue", version("double"), traffic=True)
    endpoint.deploy("green", version("shifted"))
    endpoint.set_mirror({"green": 20})
    began = azure_server.record.position()
    endpoint.deploy("green", version("triple"))
    assert [write for write in writes(azure_server, began) if write.endswith(("green", "my-houses"))] == [
        "PUT my-houses",  # no copies are sent any more
        "DELETE green",
        "PUT green",
    ]
    assert (endpoint.invoke(ROW), endpoint.invoke(ROW, slot="green")) == (DOUBLE, TRIPLE)


@pytest.mark.proof
def test_a_stop_that_was_cut_short_is_completed_and_the_start_brings_all_back(
    project: Settings, version: Version, azure_server: Emulated
) -> None:
    endpoint = endpoint_of(project)
    endpoint.deploy("blue", version("double"), traffic=True)
    endpoint.deploy("green", version("triple"))
    before = endpoint.set_traffic({"blue": 80, "green": 20})
    with azure_server.fault("forbidden", method="DELETE", path="/deployments/green"), pytest.raises(EndpointError):
        endpoint.stop()
    half = endpoint.status()
    assert half.state == "stopped"
    assert endpoint.stop().changed
    assert list(online_deployment.list_deployments(endpoint._at.client, endpoint._at.workspace, endpoint.name)) == []
    after = endpoint.start()
    assert after.slots == before.slots
    assert after.address == before.address
    assert endpoint.is_intact("green")
    asset = f"{endpoint._at.workspace.path}/models/my_houses/versions/double"
    azure_server.put(asset, {"properties": {"modelUri": "x", "tags": {Tag.MODEL_SHA256: "0" * 64}}})
    assert endpoint.is_intact("green")
    assert not endpoint.is_intact("blue")


@pytest.mark.proof
def test_a_status_comes_without_the_sdk_within_three_seconds(project: Settings, azure_server: Emulated) -> None:
    """Of this process: the emulator and others share the machine. `azure.ai.ml` alone takes longer to import."""
    code = (
        "import sys, time\nfrom notebooks_lib.__main__ import run\nbegan = time.process_time()\n"
        "code = run(['endpoint', 'list'])\nprint(code, time.process_time() - began < 3, 'azure.ai.ml' in sys.modules)\n"
    )
    environment = {"PATH": "/usr/bin:/bin", **azure_server.environment}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "0 True False", done.stderr


def test_a_stage_names_its_workspace_in_part_or_in_whole(empty_project: Settings) -> None:
    own = Azure(subscription="s", resource_group="g", workspace="w")
    for named, place in (("", "s g w"), ("x", "s g x"), ("h/x", "s h x"), ("t/h/x", "t h x")):
        stages = Stages(prod=Stage(endpoint="azureml:", workspace=named))
        settings = empty_project.model_copy(update={"stages": stages, "azure": own})
        found = stage_workspace(settings, "prod")
        assert f"{found.subscription} {found.resource_group} {found.name}" == place
    bare = empty_project.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:"))})
    with pytest.raises(SettingsError, match=r"^stage prod: no workspace is named: fill "):
        AzureEndpoint(bare, "houses", "prod").status()
