"""`nbops azure up` and `down`: from an empty resource group to a workspace and back, said twice, refused, interrupted."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.infrastructure import infrastructure, managed_resources
from notebooks_lib.azure.infrastructure.azure_cli import AzureCli
from notebooks_lib.azure.infrastructure.infrastructure import Infrastructure
from notebooks_lib.azure.project_files import template_files
from notebooks_lib.settings import Settings, here
from tests.azure import emulator
from tests.azure.emulator import Emulated, stand_in_az
from tests.azure.fixtures import MANAGEMENT, VERSION, Ask, NbopsJson

pytestmark = pytest.mark.tracking

PAGE = Path(__file__).parents[2] / "docs" / "azure-workspace.md"
UP = ("azure", "up", "--resource-group")
PREFIX = template_files.default_prefix("sample", "dev")
SMALL = """
param stage string
param workspaceName string = 'w-${uniqueString(resourceGroup().id)}'
resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: 'st${uniqueString(resourceGroup().id)}'
}
resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  name: workspaceName
  location: resourceGroup().location
  tags: { 'nbops.managed-by': 'nbops azure up', 'nbops.stage': stage }
  properties: {
    storageAccount: storage.id
  }
}
output workspaceName string = workspace.name
output jobsIdentityId string = storage.id
"""


@pytest.fixture
def root() -> Path:
    return here().root


@pytest.fixture
def small(azure_group: str, root: Path) -> str:
    """The resource group of a project with a small template of its own."""
    folder = root / "production" / "infra"
    folder.mkdir(parents=True)
    (folder / "main.bicep").write_text(SMALL)
    (folder / "parameters.dev.json").write_text('{"parameters": {"stage": {"value": "dev"}}}')
    return azure_group


def made_in(group: str) -> list[str]:
    """The types of what the resource group holds."""
    path = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{group}/resources"
    return [each["type"] for each in rest_client.resource_manager().pages(path, "2021-04-01", what=group)]


def put(server: Emulated, group: str, path: str, stage: str = "dev", prefix: str = "", **tags: str) -> str:
    """Keep a resource in a group, as `up` would have made it."""
    own = {managed_resources.STAGE: stage, **({managed_resources.PREFIX: prefix} if prefix else {})}
    full = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{group}/providers/{path}"
    server.put(full, {"tags": {managed_resources.MANAGED_BY: managed_resources.UP, **(tags or own)}})
    return full


def write_parameters(root: Path, stage: str = "dev", **values: object) -> None:
    """Write a project's parameters, without a template."""
    file = root / "production" / "infra" / f"parameters.{stage}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    given = {name: {"value": value} for name, value in {"stage": stage, **values}.items()}
    file.write_text(json.dumps({"parameters": given}))


def answer(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sit at a terminal, and type."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(text))


def test_without_the_azure_cli_nothing_is_done(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert program.run([*UP, "g", "--yes"]) == 2
    assert "the Azure CLI (az) is not installed; install it: https://aka.ms/" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "down"])
def test_without_a_terminal_it_wants_to_be_told(
    command: str, azure_group: str, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    began = azure_server.record.position()
    assert program.run(["azure", command, "--resource-group", azure_group]) == 2
    assert capsys.readouterr().err == "nbops: there is no terminal to ask at: add --yes; nothing was changed\n"
    assert azure_server.record.since(began) == []


def test_somebody_who_is_not_signed_in_or_elsewhere_changes_nothing(
    azure_group: str, root: Path, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = Path(os.environ["AZURE_CONFIG_DIR"])
    (profile / stand_in_az.ACCOUNT).unlink()
    assert program.run([*UP, azure_group, "--yes"]) == 2
    assert capsys.readouterr().err == "nbops: the Azure CLI is not signed in: run `az login`\n"

    stand_in_az.sign_in(profile, "0000", "Elsewhere")
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, azure_group, "w"))
    began = azure_server.record.position()
    assert program.run(["azure", "up", "--yes"]) == 2
    refusal = capsys.readouterr().err
    assert "is signed in to subscription 'Elsewhere' (0000) as somebody@example.com" in refusal
    assert (
        f"the project names {emulator.SUBSCRIPTION}: `az account set --subscription {emulator.SUBSCRIPTION}`" in refusal
    )
    assert azure_server.record.since(began) == []


def test_what_if_shows_everything_and_makes_nothing(azure_group: str, root: Path, nbops_json: NbopsJson) -> None:
    page = root / ".nbops" / "infra" / "report.md"
    code, content, told = nbops_json(*UP, azure_group, "--what-if", "--markdown", str(page))
    assert (code, content["deployed"], content["workspace"]) == (0, False, None)
    kinds = {each["resource"].rpartition("/")[0] for each in content["changes"] if "role on" not in each["resource"]}
    assert kinds >= {"Microsoft.KeyVault/vaults", "Microsoft.MachineLearningServices/workspaces"}
    assert re.search(r"  \+ role on Microsoft\.Storage/storageAccounts/\w+ \(6\)\n", told)
    assert told.endswith("23 to create\n")
    title, lines = page.read_text("utf-8").split("\n\n")
    assert title == "### Azure, stage dev: 23 to create"
    assert lines.startswith(f"```diff\n+ Microsoft.ContainerRegistry/registries/cr{PREFIX}")
    assert made_in(azure_group) == []
    assert not (root / "config.json").exists()
    assert not (root / "production" / "infra").exists()


@pytest.mark.proof
def test_up_asks_makes_and_names_the_workspace_and_down_refuses_what_is_not_its_own(
    small: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer("n\n", monkeypatch)
    assert program.run([*UP, small]) == 0
    assert "Deploy this? [y/N]:" in capsys.readouterr().err
    assert made_in(small) == []

    answer("y\n", monkeypatch)
    assert program.run([*UP, small]) == 0
    shown = capsys.readouterr()
    assert "+ Microsoft.MachineLearningServices/workspaces/w-" in shown.out
    assert 'next: tracking.uri = "azureml" in production/settings.toml, then nbops doctor' in shown.out
    named = json.loads((root / "config.json").read_text())
    assert (named["subscription_id"], named["resource_group"]) == (emulator.SUBSCRIPTION, small)
    assert workspace.find_workspace(here()).name == named["workspace_name"]

    assert program.run(["azure", "down", "--yes"]) == 2  # the storage account has no tags of ours
    refusal = capsys.readouterr().err
    assert "also holds what `nbops azure up` did not make: Microsoft.Storage/storageAccounts/st" in refusal
    assert len(made_in(small)) == 2


@pytest.mark.proof
def test_an_up_that_was_interrupted_names_the_workspace_when_azure_has_ended_it(
    small: str, root: Path, nbops_json: NbopsJson
) -> None:
    """Azure ended the deployment between two calls: nothing is left to deploy, and the outputs are known."""
    cli = AzureCli()
    deployment = infrastructure.choose_deployment(here(), cli.account(), stage="dev", resource_group=small)
    infra = Infrastructure(cli, deployment)
    assert infra.finished() is None
    infra.start()
    infra.wait(poll=0.01)
    assert not (root / "config.json").exists()
    code, content, told = nbops_json(*UP, small, "--yes")
    assert (code, content["changes"], content["deployed"]) == (0, [], False)
    named = json.loads((root / "config.json").read_text())
    assert named["workspace_name"] == content["workspace"]["name"]
    assert content["outputs"]["jobsIdentityId"]
    assert "wrote config.json" in told
    assert "wrote config.json" not in nbops_json(*UP, small, "--yes")[2]


@pytest.mark.proof
def test_a_stage_with_a_workspace_of_its_own_gets_that_one(
    small: str, root: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    live = f"live-{small}"
    group = f"{MANAGEMENT}/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{live}?{VERSION}"
    assert ask("PUT", group, {"location": "westeurope"}).ok
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, small, "w"))
    folder = root / "production" / "infra"
    (folder / "parameters.prod.json").write_text('{"parameters": {"stage": {"value": "prod"}}}')
    template = (folder / "main.bicep").read_text().replace("resourceGroup().location", "location")
    (folder / "main.bicep").write_text(f"param location string = resourceGroup().location\n{template}")
    (root / "production" / "settings.toml").write_text(
        f'[azure]\nlocation = "northeurope"\n\n[stages.prod]\nendpoint = "azureml:"\nworkspace = "{live}/w-live"\n'
    )
    assert program.run(["azure", "up", "--stage", "prod", "--yes"]) == 0
    shown = capsys.readouterr()
    assert f"workspace 'w-live' (resource group '{live}', subscription {emulator.SUBSCRIPTION}) is there" in shown.out
    assert "config.json" not in shown.err
    made = workspace.stage_workspace(here(), "prod")
    assert workspace.read(rest_client.resource_manager(), made)["location"] == "northeurope"
    assert made_in(small) == []
    assert json.loads((root / "config.json").read_text())["workspace_name"] == "w"
    assert program.run(["azure", "down", "--stage", "prod", "--yes"]) == 2, "the storage account is not tagged"
    assert f"resource group '{live}'" in capsys.readouterr().err


def test_down_removes_what_up_made_and_can_be_said_twice(
    azure_group: str, root: Path, azure_server: Emulated, nbops_json: NbopsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, azure_group, "w"))
    put(azure_server, azure_group, "Microsoft.KeyVault/vaults/secrets", prefix=PREFIX)
    made = put(azure_server, azure_group, "Microsoft.MachineLearningServices/workspaces/w", prefix=PREFIX)
    azure_server.put(f"{made}/onlineEndpoints/houses", {})

    answer("n\n", monkeypatch)
    assert nbops_json("azure", "down")[:2] == (0, {"removed": []})
    assert len(made_in(azure_group)) == 3
    answer("y\n", monkeypatch)
    code, content, told = nbops_json("azure", "down")
    assert (code, [each["name"] for each in content["removed"]]) == (0, ["w", "secrets"])
    assert "with Microsoft.MachineLearningServices/workspaces/onlineEndpoints/houses" in told
    assert "Azure keeps the deleted Microsoft.KeyVault/vaults/secrets for some days (purge protection)" in told
    code, content, told = nbops_json("azure", "down", "--yes")
    assert (code, content) == (0, {"removed": []})
    assert told.startswith("nothing to remove: resource group")


def test_down_of_a_project_without_a_workspace_wants_a_group_as_after_an_up_that_failed(
    azure_group: str, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    put(azure_server, azure_group, "Microsoft.Storage/storageAccounts/store", prefix=PREFIX)
    assert program.run(["azure", "down", "--yes"]) == 2
    assert "no workspace is named: give --resource-group NAME, fill [azure] in" in capsys.readouterr().err
    assert program.run(["azure", "down", "--resource-group", azure_group, "--yes"]) == 0
    assert made_in(azure_group) == []


def test_down_removes_nothing_of_another_project_in_the_group(
    azure_group: str, root: Path, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    for name in ("alpha", "beta"):
        put(azure_server, azure_group, f"Microsoft.MachineLearningServices/workspaces/{name}", prefix=name)
        put(azure_server, azure_group, f"Microsoft.KeyVault/vaults/{name}", prefix=name)
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, azure_group, "beta"))
    write_parameters(root, prefix="beta")
    code, content, told = nbops_json("azure", "down", "--yes")
    assert (code, {each["name"] for each in content["removed"]}) == (0, {"beta"})
    assert "what `nbops azure up` made for stage dev with prefix alpha stays" in told
    assert "the project still names workspace beta: `nbops azure up` makes it again" in told
    assert len(made_in(azure_group)) == 2
    assert nbops_json("azure", "down", "--yes")[1] == {"removed": []}
    assert len(nbops_json("azure", "down", "--prefix", "alpha", "--yes")[1]["removed"]) == 2


def test_down_stops_at_a_lock_before_anything_is_gone(
    azure_group: str, root: Path, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, azure_group, "w"))
    put(azure_server, azure_group, "Microsoft.MachineLearningServices/workspaces/w", prefix=PREFIX)
    store = put(azure_server, azure_group, "Microsoft.Storage/storageAccounts/store", prefix=PREFIX)
    azure_server.put(f"{store}/providers/Microsoft.Authorization/locks/keep", {"properties": {"level": "CanNotDelete"}})
    assert program.run(["azure", "down", "--yes"]) == 2
    refusal = capsys.readouterr().err
    assert "lock 'keep' on Microsoft.Storage/storageAccounts/store; nothing was removed: it would stop" in refusal
    assert len(made_in(azure_group)) == 2


def test_an_organisation_registry_is_removed_by_its_name_only(
    azure_group: str, root: Path, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, azure_group, "w"))
    put(azure_server, azure_group, "Microsoft.MachineLearningServices/workspaces/w", prefix=PREFIX)
    shared = f"shared-{azure_group}"
    tags = {managed_resources.REGISTRY: shared}
    put(azure_server, azure_group, f"Microsoft.MachineLearningServices/registries/{shared}", **tags)
    _, content, told = nbops_json("azure", "down", "--yes")
    assert [each["name"] for each in content["removed"]] == ["w"]
    assert f"Azure ML registry {shared} stays: `nbops azure down --registry {shared}` removes it" in told
    (root / "production" / "settings.toml").write_text("")  # neither name nor prefix say which registry
    assert nbops_json("azure", "down", "--registry", "other", "--yes")[1] == {"removed": []}
    assert nbops_json("azure", "down", "--registry", shared, "--yes")[1]["removed"][0]["name"] == shared
    assert made_in(azure_group) == []


def test_the_files_can_be_written_before_anything_is_made(
    empty_project: Settings, root: Path, nbops_json: NbopsJson, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parameters(root, prefix="sales", location="northeurope")
    kept = (root / "production" / "infra" / "parameters.dev.json").read_text()
    code, content, _ = nbops_json("azure", "up", "--write-files")
    assert (code, "production/infra/main.bicep" in content["written"]) == (0, True)
    assert (root / "production" / "infra" / "parameters.dev.json").read_text() == kept
    assert program.run(["azure", "up", "--write-files"]) == 0
    assert capsys.readouterr().out == "nothing to write: the project has production/infra/main.bicep\n"


@pytest.mark.proof
def test_after_a_deployment_that_somebody_else_started_ones_own_changes_are_made(
    small: str, root: Path, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    """As a colleague's, or that of CI: of the same name, and of other files."""
    base = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{small}/providers"
    theirs = f"{base}/Microsoft.MachineLearningServices/workspaces/theirs"
    azure_server.put(theirs, {"properties": {"provisioningState": "Creating"}})
    outputs = {"workspaceName": {"type": "String", "value": "theirs"}}
    state = {"provisioningState": "Running", "made": [theirs], "outputs": outputs}
    azure_server.put(f"{base}/Microsoft.Resources/deployments/nbops-dev", {"deployment": state})
    azure_server.put(f"{base}/Microsoft.Resources/deployments/nbops-dev/operations", {"list": []})
    done = {"properties": {"provisioningState": "Succeeded"}}
    threading.Timer(5, lambda: azure_server.put(theirs, done)).start()
    code, content, told = nbops_json(*UP, small, "--yes")
    assert "was started before, and is still running" in told
    assert (code, content["deployed"], content["workspace"]["name"][:2]) == (0, True, "w-")
    assert json.loads((root / "config.json").read_text())["workspace_name"] == content["workspace"]["name"]


@pytest.mark.proof
def test_up_after_down_restores_a_vault_that_one_may_not_see(
    azure_group: str, root: Path, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    """`az keyvault list-deleted` shows nothing to an owner of the resource group alone."""
    workspace.write_config(root, workspace.Workspace(emulator.SUBSCRIPTION, azure_group, f"w-{azure_group}"))
    assert nbops_json("azure", "up", "--yes")[0] == 0
    assert nbops_json("azure", "down", "--yes")[0] == 0
    with azure_server.fault("forbidden", path="/deletedVaults$", times=0):
        code, content, told = nbops_json("azure", "up", "--yes")
    assert (code, content["deployed"]) == (0, True), told
    assert "the key vault was deleted before: it is restored, with its secrets; the deployment starts again" in told


@pytest.mark.proof
def test_make_infra_looks_and_deploys_as_the_workflows_do(small: str, root: Path) -> None:
    (root / "Makefile").write_bytes((PAGE.parents[1] / "Makefile").read_bytes())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for deploy, line in (("", "2 to create"), ("DEPLOY=--yes", "2 to create"), ("", "nothing to change")):
        command = ["make", "-o", "setup", "infra", *filter(None, [deploy])]
        environment = {**os.environ, "PATH": path, "GROUP": small, "STAGE": "dev"}
        subprocess.run(command, cwd=root, env=environment, check=True)
        assert (root / ".nbops" / "infra" / "report.md").read_text().startswith(f"### Azure, stage dev: {line}")
    assert len(made_in(small)) == 2


def interrupted(command: list[str], root: Path) -> str:
    """Press Ctrl-C as soon as a command waits for its deployment; return what it says on standard error."""
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    stopper = threading.Timer(100, process.kill)
    stopper.start()
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.endswith(": Running\n"):
            process.send_signal(signal.SIGINT)
    process.stderr.close()
    stopper.cancel()
    assert process.wait(10) == 130
    return "".join(lines)


@pytest.mark.proof
def test_ctrl_c_says_that_azure_goes_on_and_the_next_up_waits_for_it(
    small: str, root: Path, azure_server: Emulated
) -> None:
    command = [sys.executable, "-m", "notebooks_lib", *UP, small, "--yes"]
    with azure_server.fault("operation_never_ends", path="MachineLearningServices/workspaces/"):
        first = interrupted(command, root)
    assert (
        f"Azure goes on with deployment nbops-dev in resource group '{small}': `nbops azure up` waits for it" in first
    )
    assert first.endswith("nbops: interrupted\n")
    assert "was started before, and is still running" in interrupted(command, root)


def commands(group: str) -> Iterator[list[str]]:
    """The commands of the page, from its first section on the workspace to the removal."""
    text = PAGE.read_text("utf-8").partition("## Make the workspace\n")[2].partition("### What costs money")[0]
    for line in re.findall(r"^    ((?:az|nbops) .+)$", text, re.MULTILINE):
        yield [word.replace("GROUP", group) for word in shlex.split(line, comments=True)]


@pytest.mark.proof
def test_the_commands_of_the_page_from_an_empty_group_to_an_empty_group_and_again(
    azure_group: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def nbops(*arguments: str) -> str:
        assert program.run(arguments) == 0, capsys.readouterr()
        shown: Any = capsys.readouterr()
        return str(shown.out + shown.err)

    (Path(os.environ["AZURE_CONFIG_DIR"]) / stand_in_az.ACCOUNT).unlink()
    done = []
    for tool, *arguments in commands(azure_group):
        asks = {"up", "down"} & {*arguments} and "--what-if" not in arguments
        if tool == "az":
            subprocess.run([tool, *arguments], check=True, stdout=subprocess.DEVNULL)
        else:
            shown = nbops(*arguments, *(["--yes"] if asks else []))
        done.append(" ".join([tool, *arguments[:2]]))
        if "status" in arguments:
            assert re.search(rf"^\* +workspace +mlw-{PREFIX}-\w+ +Succeeded", shown, re.MULTILINE)
            assert "nothing to change" in nbops("azure", "up", "--yes")
    assert done == [
        "az login",
        "az group create",
        *["nbops azure up"] * 3,
        "nbops azure status",
        "nbops azure down",
    ]
    assert made_in(azure_group) == []

    parameters = root / "production" / "infra" / "parameters.dev.json"
    content = json.loads(parameters.read_text("utf-8"))
    content["parameters"] |= {"wakeSchedule": {"value": "retrain"}, "registryName": {"value": f"r-{azure_group}"}}
    parameters.write_text(json.dumps(content))
    again = nbops("azure", "up", "--yes")
    assert re.search(rf"key vault kv{PREFIX}\w+ was deleted before: it is restored", again)
    assert "nothing to change" in nbops("azure", "up", "--yes")
    assert {*made_in(azure_group)} >= {"Microsoft.Logic/workflows", "Microsoft.EventGrid/systemTopics"}
    nbops("azure", "down", "--yes")
    assert made_in(azure_group) == ["Microsoft.MachineLearningServices/registries"]
    nbops("azure", "down", "--registry", f"r-{azure_group}", "--yes")
    assert made_in(azure_group) == []
