"""A version goes through a canary on an online endpoint of a workspace, and back, by the steps of a release."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from notebooks_lib import datasets
from notebooks_lib.azure.assets import asset_registry, model_asset
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.workspace import Workspace, stage_workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.azure.schedules import schedule
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.models import champions, registry
from notebooks_lib.release import monitor_update, recovery
from notebooks_lib.release.rollout import Rollout, check_endpoints
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving import targets
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import Settings, load
from notebooks_lib.stages import STAGES
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.release_ledger import read_entries
from notebooks_lib.tracking.store import connect
from tests.azure.emulator import ROOT, Emulated
from tests.azure.fixtures import AzureProject
from tests.azure.monitored_endpoint import DEPLOYMENT, FILE
from tests.release.moving import MODEL, agreed, back, promote, version
from tests.serving.azure_project import azure_project, make_registry, make_workspace

pytestmark = [pytest.mark.tracking]
STAGE = """\
[promotion]
trusted_flavors = ["sklearn", "python_function"]

[stages.prod]
endpoint = "azureml:{model}-live"
canary = [{mirror = 50, requests = 4}, {traffic = 50, requests = 6}]
max_latency_ratio = 1000
wait_minutes = 6
"""
FEW = Probing(load=8, quiet=0.0, most=4)


@pytest.fixture
def project(azure_server: Emulated, tmp_path: Path) -> Iterator[Settings]:
    with azure_project(azure_server, tmp_path / "azure", stage=STAGE) as project:
        yield project


@pytest.mark.proof
def test_a_canary_on_azure_ends_with_the_new_version_and_the_rollback_with_the_old(
    project: Settings, azure_server: Emulated
) -> None:
    store = connect(project)
    check_endpoints(project, (), MODEL)
    for value in (1.0, 2.0):
        promote(store, version(store, value), probing=FEW)
    assert agreed(store) == "2"
    endpoint = endpoint_for(project, "houses-live")
    assert endpoint.invoke(endpoint.example())["predictions"] == [2.0]
    back(project)
    assert agreed(store) == "1"
    assert endpoint.invoke(endpoint.example())["predictions"] == [1.0]
    third = version(store, 3.0)
    with (
        azure_server.fault("image_build_fails", method="PUT", path="/deployments/", code="ImageBuildFailure"),
        pytest.raises(PromotionError, match=r"(?s)cannot serve version 3 \(image\): .*ImageBuildFailure.*serves as"),
    ):
        promote(store, third, probing=FEW)
    with (
        azure_server.fault("container_crashes", method="PUT", path="/deployments/"),
        pytest.raises(PromotionError, match=r"cannot serve version 3 .*; version 1 serves as before[^\n]*\n.* \| "),
    ):
        promote(store, third, probing=FEW)
    assert agreed(store) == "1"
    reasons = [entry.reason for entry in read_entries(store, MODEL)]
    assert any("cannot serve version 3" in reason for reason in reasons)
    assert not any("\n" in reason for reason in reasons), "logs of containers are not kept"


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_the_monitor_goes_back_with_the_version(project: Settings) -> None:
    folder = project.root / "production" / "azure"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "monitor.yml").write_text(FILE)
    (folder / "deployment.yml").write_text(DEPLOYMENT)
    file = project.layout.settings_file
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("canary")))
    settings = load(project.root, {})
    store = connect(settings)
    used = datasets.read("diabetes@1", settings)
    tag = str(DatasetTag.of(used.name, used.version, used.fingerprint))
    for value in (1.0, 2.0):
        new = version(store, value)
        store.client.set_tag(new.run_id, f"{Tag.DATASET_PREFIX}diabetes", tag)
        promote(store, new, probing=FEW)
    assert monitor_update.update_monitor(store, MODEL, "prod") == "monitor houses-live-monitor watches slot green"
    assert monitor_update.update_monitor(store, MODEL, "prod") == ""
    restored = back(settings)
    assert restored.monitor == "monitor houses-live-monitor watches slot blue"
    place = workspace.find_workspace(settings)
    there = schedule.require_schedule(rest_client.resource_manager(), place, "houses-live-monitor")
    target = there.properties["action"]["monitorDefinition"]["monitoringTarget"]
    assert target["deploymentId"].endswith("/onlineEndpoints/houses-live/deployments/blue")


@pytest.mark.proof
def test_a_step_whose_figures_never_come_fails_and_the_champion_gets_all_back(
    project: Settings, azure_server: Emulated
) -> None:
    file = project.layout.settings_file
    file.write_text(
        file.read_text()
        .replace("wait_minutes = 6", "wait_minutes = 0.5")
        .replace("{mirror = 50, r", "{traffic = 10, r")
    )
    settings = load(project.root, {})
    store = connect(settings)
    promote(store, version(store, 1.0), probing=FEW)
    second = version(store, 2.0)
    with (
        azure_server.fault("figures_never_come", times=0),
        pytest.raises(PromotionError, match="only 0 of 4 requests were seen"),
    ):
        promote(store, second, probing=FEW)
    champion = champions.champion(store, MODEL)
    assert champion is not None
    assert champion.version == "1"
    assert agreed(store) == "1"


@dataclass(frozen=True)
class ThreeStages:
    """A project that tracks to a workspace: dev on this machine, test in the workspace, prod in another one."""

    settings: Settings
    server: Emulated
    model: str = field(default_factory=lambda: f"m-{uuid.uuid4().hex[:8]}")

    @property
    def other(self) -> Workspace:
        return stage_workspace(self.settings, "prod")

    def shared_since(self, began: int) -> list[int]:
        """What the registry answered to requests to share something."""
        return [seen.status for seen in self.server.record.since(began) if seen.path.endswith("/import")]

    def serves(self, value: float) -> None:
        """Every stage's endpoint answers with a value."""
        for stage in STAGES:
            endpoint = endpoint_for(self.settings, self.settings.stages.endpoint(stage, self.model))
            assert endpoint.invoke(endpoint.example())["predictions"] == [value], stage

    def champions(self) -> list[str]:
        store = connect(self.settings)
        found = (champions.champion(store, self.model, stage) for stage in STAGES)
        return [champion.version if champion else "" for champion in found]


@pytest.fixture
def three_stages(azure_workspace: AzureProject, azure_server: Emulated) -> Iterator[ThreeStages]:
    client, own = rest_client.resource_manager(), uuid.uuid4().hex[:8]
    name, other = make_registry(client, f"shared-{own}"), make_workspace(client, f"o-{own}")
    settings, file = azure_workspace.settings, azure_workspace.settings.layout.settings_file
    text = file.read_text().replace("[azure]\n", f'[azure]\nregistry = "{name}"\n')
    stages = (
        '[stages.test]\nendpoint = "azureml:{model}-test"\n'
        f'[stages.prod]\nendpoint = "azureml:"\nworkspace = "{other.name}"\n'
    )
    file.write_text(f'{text}\n[promotion]\ntrusted_flavors = ["sklearn", "python_function"]\n{stages}')
    three = ThreeStages(load(settings.root, {}), azure_server)
    yield three
    targets.endpoint_for(three.settings, f"{three.model}-dev").stop()
    for place, name in ((workspace.find_workspace(three.settings), f"{three.model}-test"), (other, three.model)):
        online_endpoint.delete_endpoint(client, place, name)


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_a_version_goes_from_this_machine_to_a_workspace_and_through_the_registry_to_another(
    three_stages: ThreeStages, azure_server: Emulated
) -> None:
    three, store, began = three_stages, connect(three_stages.settings), azure_server.record.position()
    check_endpoints(three.settings, STAGES, three.model)
    for value, shared in ((1.0, [202, 202]), (2.0, [202])):  # the second has the environment of the first
        began = azure_server.record.position()
        found = version(store, value, model=three.model)
        for stage in STAGES:
            promote(store, found, stage, probing=FEW)
        three.serves(value)
        assert three.shared_since(began) == shared
    assert three.champions() == ["2", "2", "2"]
    slots = {slot.traffic: slot for slot in _slots(three, "prod")}
    assert (
        slots[100].model_id == f"azureml://registries/{three.settings.azure.registry}/models/{three.model}/versions/2"
    )
    assert slots[100].environment_id.startswith(f"azureml://registries/{three.settings.azure.registry}/environments/")
    assert all("/workspaces/" in slot.model_id for slot in _slots(three, "test"))
    began = azure_server.record.position()
    promote(store, registry.get(store, three.model, 2), "prod", probing=FEW)
    assert three.shared_since(began) == [], "what is there is found again"
    elsewhere = [
        seen.path for seen in azure_server.record.since(0) if f"{three.other.path}/api/2.0/mlflow" in seen.path
    ]
    assert elsewhere == [], "marks, ledger and journal are in the workspace that the project tracks to"


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_a_promotion_that_is_killed_while_it_shares_goes_on_and_others_are_refused_with_the_champion_in_place(
    three_stages: ThreeStages, azure_server: Emulated
) -> None:
    three, store = three_stages, connect(three_stages.settings)
    first, second = (version(store, value, model=three.model) for value in (1.0, 2.0))
    for stage in STAGES:
        promote(store, first, stage, probing=FEW)
    began = azure_server.record.position()
    looks = "managementfrontend/operations/"
    with azure_server.fault("cut", path=looks, times=0):
        process = _promoting(three, second.version)
        while not any(looks in seen.path for seen in azure_server.record.since(began)):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
    three.serves(1.0)
    recovery.recover(store, three.model, "prod")
    promote(store, second, "prod", probing=FEW)
    answers = three.shared_since(began)
    assert (answers[0], set(answers[1:]) <= {409}) == (202, True), "it is shared once, and waited for"
    assert three.champions() == ["1", "1", "2"]

    third = version(store, 3.0, model=three.model)
    unreachable = azure_server.fault("cut", path="/registrymanagement/", times=0)
    with unreachable, pytest.raises(PromotionError, match="Azure does not answer"):
        promote(store, third, "prod", probing=FEW)
    client = rest_client.resource_manager()
    stranger = make_workspace(client, f"x-{three.model}")
    model_asset.find_or_upload_model(client, stranger, three.model, "3", {"MLmodel": b"other"}, "f" * 64)
    shared = asset_registry.open_registry(three.settings.azure.registry)
    asset_registry.share_asset(shared, client, stranger, "models", three.model, "3", wait_seconds=20)
    with pytest.raises(PromotionError, match=rf"has other files as {three.model}:3 \(digest ffffffffffff, ours"):
        promote(store, third, "prod", probing=FEW)
    assert three.champions() == ["1", "1", "2"]
    endpoint = endpoint_for(three.settings, three.model)
    assert endpoint.invoke(endpoint.example())["predictions"] == [2.0]


def _promoting(three: ThreeStages, number: str) -> subprocess.Popen[bytes]:
    """Another process that promotes a version to prod."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom notebooks_lib.models import registry\n"
        "from notebooks_lib.settings import load\nfrom notebooks_lib.tracking.store import connect\n"
        "from tests.release.moving import promote\nstore = connect(load(Path(sys.argv[1]), {}))\n"
        "promote(store, registry.get(store, sys.argv[2], sys.argv[3]), 'prod')\n"
    )
    arguments = [str(three.settings.root), three.model, number]
    environment = {**os.environ, **three.server.environment}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment)


def _slots(three: ThreeStages, stage: str) -> list[AzureSlot]:
    opened = endpoint_for(three.settings, three.settings.stages.endpoint(stage, three.model))
    assert isinstance(opened, AzureEndpoint)
    return list(opened._slots(opened._require()).values())


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "canary = [{mirror = 60, requests = 4}]",
            "canary: mirror = 60: a managed online endpoint of Azure mirrors at",
        ),
        ('workspace = "x"', "in workspace 'x', and the project's versions are in 'w': they get there through an Azure"),
        ("max_different = 0.1", "max_different: a managed online endpoint of Azure throws mirrored answers away"),
        (
            "canary = [{traffic = 5, minutes = 1}]",
            "minutes = 1: a managed online endpoint of Azure counts requests up to",
        ),
    ],
)
def test_what_azure_cannot_do_is_refused_before_the_first_step(
    keys: str, problem: str, empty_project: Settings
) -> None:
    azure = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'
    empty_project.layout.settings_file.write_text(f'{azure}[stages.prod]\nendpoint = "azureml:"\n{keys}\n')
    settings = load(empty_project.root, {})
    with pytest.raises(UsageError) as refused:
        Rollout(connect(settings), MODEL)
    assert problem in str(refused.value)
    assert str(refused.value).startswith("[stages.prod] ")
    with pytest.raises(UsageError) as refused:
        check_endpoints(settings, ("prod",), "prices_of_houses_in_the_old_town_1")
    assert str(refused.value).endswith('set endpoint = "azureml:prices-of-houses-in-the-old-town" under [stages.prod]')
