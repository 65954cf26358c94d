"""A version goes through a canary on an online endpoint of a workspace, and back, by the steps of a release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib import datasets
from notebooks_lib.azure import rest_client, schedule, workspace
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.models import champions
from notebooks_lib.release import monitor_update
from notebooks_lib.release.rollout import Rollout, check_endpoints
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.release_ledger import read_entries
from notebooks_lib.tracking.store import connect
from tests.azure.emulator import Emulated
from tests.azure.monitored_endpoint import DEPLOYMENT, FILE
from tests.release.moving import MODEL, agreed, back, promote, version
from tests.serving.azure_project import azure_project

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


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "canary = [{mirror = 60, requests = 4}]",
            "canary: mirror = 60: a managed online endpoint of Azure mirrors at",
        ),
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
