"""Versions go to the workspace and come back as they were: once, whole or not at all, and every fault is one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from notebooks_lib import datasets
from notebooks_lib.__main__ import run as nbops
from notebooks_lib.datasets import holdout_budget, loader, run_datasets, splits, version_lookup, workspace_transfer
from notebooks_lib.datasets.dataset_store import VersionContent
from notebooks_lib.errors import DatasetError, HoldoutError, SettingsError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking.store import connect
from tests import building
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, NbopsJson, WithWorkspace
from tests.datasets.tables import csv, frame

pytestmark = pytest.mark.tracking

LIMIT = 3.0
"""Seconds in which a command that reads must answer."""
PULL = """
import sys, pathlib
from notebooks_lib import datasets
from notebooks_lib.settings import load
print(len(datasets.load("sales@1", load(pathlib.Path(sys.argv[1]), __import__("os").environ)).train))
"""


PUSH = """
import os, pathlib, sys
from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.storage import file_upload
from notebooks_lib.datasets import workspace_transfer
from notebooks_lib.settings import load
def die(*given):
    os.kill(os.getpid(), 9)
send = file_upload._Sender.send
def send_all_but_the_table(sender, path, content):
    return die() if path == "table.parquet" else send(sender, path, content)
if sys.argv[2] == "before the asset":
    data_asset.create_asset = die
else:
    file_upload._Sender.send = send_all_but_the_table
workspace_transfer.push("sales@1", load(pathlib.Path(sys.argv[1]), os.environ))
"""


@pytest.fixture
def here(empty_project: Settings, with_workspace: WithWorkspace) -> Settings:
    """A project with a workspace in which nothing is yet, and `sales@1`."""
    settings = with_workspace(empty_project)
    add(settings, 60)
    return settings


@pytest.fixture
def elsewhere(here: Settings, tmp_path: Path) -> Settings:
    """The project on a machine without data."""
    (tmp_path / "elsewhere").mkdir()
    return here.model_copy(update={"root": tmp_path / "elsewhere"})


def add(settings: Settings, rows: int, seed: int = 0, **roles: str) -> datasets.Dataset:
    """Add a version that no other test adds: its description makes the files its own, in a storage that all share."""
    others = {"target": "y", "key": "id", "description": uuid.uuid4().hex} | roles
    return datasets.add(csv(settings.root, frame(rows, seed)), "sales", settings, **others)


def sent(server: Emulated, began: int) -> list[str]:
    return [f"{seen.method} {seen.path}" for seen in server.record.since(began) if seen.method in ("PUT", "DELETE")]


def environment_of(settings: Settings) -> dict[str, str]:
    own = settings.azure
    names = {"SUBSCRIPTION": own.subscription, "RESOURCE_GROUP": own.resource_group, "WORKSPACE": own.workspace}
    return dict(os.environ) | {f"NBOPS_AZURE_{name}": value for name, value in names.items()}


def test_a_pushed_version_is_a_folder_asset_with_fingerprint_rows_and_roles_as_tags(here: Settings, ask: Ask) -> None:
    pushed = workspace_transfer.push("sales", here)
    asset = ask("GET", f"https://management.azure.com{path_of(here)}/data/sales/versions/1?api-version=1").json()

    fingerprint = datasets.read("sales@1", here).fingerprint
    assert (pushed.dataset, pushed.moved, pushed.rows, pushed.fingerprint) == ("sales@1", True, 60, fingerprint)
    own = asset["properties"]
    assert own["tags"] == {
        "nbops.fingerprint": fingerprint,
        "nbops.rows": "60",
        "nbops.role.target": "y",
        "nbops.role.key": "id",
    }
    assert own["dataType"] == "uri_folder"
    assert own["dataUri"].startswith("azureml://datastores/workspaceblobstore/paths/nbops/datasets/sales/")


def path_of(settings: Settings) -> str:
    from notebooks_lib.azure.client.workspace import find_workspace

    return find_workspace(settings).path


def test_pushing_the_same_content_again_sends_nothing(here: Settings, azure_server: Emulated) -> None:
    workspace_transfer.push("sales@1", here)
    began = azure_server.record.position()

    assert not workspace_transfer.push("sales@1", here).moved
    assert sent(azure_server, began) == []


@pytest.mark.parametrize("other", [{"seed": 1}, {"target": "x"}])
def test_other_content_under_the_same_version_is_refused_before_anything_is_sent(
    here: Settings, azure_server: Emulated, other: dict[str, object]
) -> None:
    workspace_transfer.push("sales@1", here)
    shutil.rmtree(here.data_folder)
    add(here, 60, **other)  # type: ignore[arg-type]
    began = azure_server.record.position()

    with pytest.raises(
        DatasetError,
        match=r"sales@1 in workspace 'w-.*' is another one, with .*: move .* away and nbops data pull sales@1, then add",
    ):
        workspace_transfer.push("sales@1", here)
    with pytest.raises(DatasetError, match="is another one"):
        workspace_transfer.pull("sales@1", here)
    assert sent(azure_server, began) == []


def test_a_version_that_deals_its_rows_in_another_way_is_refused_before_anything_is_sent(
    here: Settings, elsewhere: Settings, azure_server: Emulated
) -> None:
    workspace_transfer.push("sales@1", here)
    for rows in (70, 80):
        datasets.add(csv(elsewhere.root, frame(rows)), "sales", elsewhere, target="y", group="id")
    began = azure_server.record.position()

    with pytest.raises(
        DatasetError, match=r"sales@1 in workspace .* has key id, not none, group none, not id: rows would"
    ):
        workspace_transfer.push("sales@2", elsewhere)
    assert sent(azure_server, began) == []


def timed(settings: Settings, rows: int) -> None:
    """Add a version whose holdout are the newest of its rows, if it is the first one."""
    table = frame(rows).assign(day=range(rows))
    datasets.add(csv(settings.root, table), "sales", settings, target="y", time="day")


def test_a_version_whose_holdout_begins_at_another_time_is_refused_before_anything_is_sent(
    here: Settings, elsewhere: Settings, azure_server: Emulated
) -> None:
    shutil.rmtree(here.data_folder)
    timed(here, 60)
    workspace_transfer.push("sales@1", here)
    for rows in (70, 120):  # on a machine that did not pull
        timed(elsewhere, rows)
    began = azure_server.record.position()
    with pytest.raises(
        DatasetError,
        match=r"sales@1 in workspace .* has validation_from 30, not 35, holdout_from 42, not 49: rows would change"
        r" sides between versions of one name; nothing was sent: add your file again after nbops data pull sales@1",
    ):
        workspace_transfer.push("sales@2", elsewhere)
    assert sent(azure_server, began) == []

    shutil.rmtree(elsewhere.data_folder)
    workspace_transfer.pull("sales@1", elsewhere)
    timed(elsewhere, 120)
    assert workspace_transfer.push("sales@2", elsewhere).moved


def test_rows_that_have_left_the_holdout_never_enter_it_again(
    here: Settings, elsewhere: Settings, azure_server: Emulated
) -> None:
    for rows in (60, 70):
        add(elsewhere, rows)  # of the same split, and nobody has made a fresh holdout there
    workspace_transfer.push("sales@1", here)
    leaving = version_lookup.project_store(here)
    opened = loader.open_table("sales@1", here)
    retired = np.unique(opened.placing[opened.masks["holdout"]][:3], axis=0)
    metadata = replace(opened.metadata, retired=splits.retired_sha256(retired))
    metadata = replace(metadata, fingerprint=splits.version_fingerprint(opened.table, opened.digests, metadata))
    assert leaving.add("sales", 2, VersionContent(metadata, opened.table, retired))
    assert workspace_transfer.push("sales@2", here).moved
    add(elsewhere, 80)
    began = azure_server.record.position()

    with pytest.raises(DatasetError, match=r"sales@2 in workspace .* has other rows that have left the holdout: rows"):
        workspace_transfer.push("sales@3", elsewhere)
    assert sent(azure_server, began) == []


def test_a_version_that_was_changed_by_hand_is_refused_as_data_show_does(
    here: Settings, azure_server: Emulated
) -> None:
    file = here.data_folder / "sales" / "1" / "dataset.toml"
    file.write_text(file.read_text().replace('fingerprint = "', 'fingerprint = "00'))
    with pytest.raises(DatasetError) as shown:
        datasets.read("sales@1", here)
    began = azure_server.record.position()

    with pytest.raises(DatasetError, match="the content has changed since it was added") as pushed:
        workspace_transfer.push("sales@1", here)
    assert str(pushed.value) == str(shown.value)
    assert sent(azure_server, began) == []


def test_what_is_not_here_or_ships_with_scikit_learn_is_not_pushed(here: Settings) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sales'"):
        workspace_transfer.push("sale", here)
    with pytest.raises(UnknownNameError, match="known: 1"):
        workspace_transfer.push("sales@2", here)
    with pytest.raises(UsageError, match="ships with scikit-learn, which every machine has"):
        workspace_transfer.push("iris@1", here)


def test_without_a_workspace_both_say_how_to_name_one(empty_project: Settings) -> None:
    add(empty_project, 60)
    for move in (workspace_transfer.push, workspace_transfer.pull):
        with pytest.raises(SettingsError, match=r"no workspace is named: fill .* config.json"):
            move("sales@1", empty_project)


def test_an_upload_that_was_cut_goes_on_at_the_next_try(here: Settings, azure_server: Emulated) -> None:
    with (
        azure_server.fault("forbidden", host="blob", method="PUT", path="table"),
        pytest.raises(
            DatasetError, match=r"sales@1 cannot be pushed to workspace .*: table.parquet cannot be uploaded"
        ),
    ):
        workspace_transfer.push("sales@1", here)
    assert version_lookup.workspace_store(here).versions("sales") == []
    began = azure_server.record.position()

    assert workspace_transfer.push("sales@1", here).moved
    statuses = {
        seen.path.rpartition("/")[2]: seen.status
        for seen in azure_server.record.since(began)
        if seen.host.startswith("account")
    }
    assert statuses == {"table.parquet": 201, "dataset.toml": 409}


@pytest.mark.proof
@pytest.mark.parametrize("moment", ["between two files", "before the asset"])
def test_a_push_that_is_killed_in_the_middle_shows_no_version_and_can_be_said_again(
    here: Settings, elsewhere: Settings, moment: str
) -> None:
    command = [sys.executable, "-c", PUSH, str(here.root), moment]
    child = subprocess.run(command, env=environment_of(here), capture_output=True, timeout=120)

    assert child.returncode == -9, child.stderr
    assert version_lookup.workspace_store(here).versions("sales") == []
    with pytest.raises(UsageError, match="no sales@1 in workspace"):
        workspace_transfer.pull("sales@1", elsewhere)
    assert workspace_transfer.push("sales@1", here).moved
    assert datasets.load("sales@1", elsewhere).fingerprint == datasets.read("sales@1", here).fingerprint


def test_a_push_whose_answer_was_lost_is_no_other_version(here: Settings, azure_server: Emulated) -> None:
    with azure_server.fault("lost_answer", method="PUT", path="/data/sales/versions/1$"):
        assert workspace_transfer.push("sales@1", here).moved
    assert version_lookup.workspace_store(here).versions("sales") == [1]


def test_an_asset_that_nbops_did_not_make_is_never_taken_for_a_version(
    here: Settings, elsewhere: Settings, ask: Ask
) -> None:
    body = {"properties": {"dataType": "uri_file", "dataUri": "https://example.org/t.csv", "tags": {}}}
    assert ask("PUT", f"https://management.azure.com{path_of(here)}/data/sales/versions/1?api-version=1", body).ok

    with pytest.raises(DatasetError, match="sales@1 in workspace .* was not made by nbops"):
        workspace_transfer.push("sales@1", here)
    with pytest.raises(UsageError, match="no sales@1 in workspace .*: it has no version of that name"):
        workspace_transfer.pull("sales@1", elsewhere)


def test_load_pulls_a_version_that_is_not_here_once(
    here: Settings, elsewhere: Settings, azure_server: Emulated
) -> None:
    workspace_transfer.push("sales@1", here)
    loaded = datasets.load("sales@1", elsewhere)
    began = azure_server.record.position()

    mine = datasets.load("sales@1", here)
    assert loaded.fingerprint == mine.fingerprint
    for theirs, own in ((loaded.train, mine.train), (loaded.validation, mine.validation)):
        assert theirs.frame.equals(own.frame)
    datasets.load("sales@1", elsewhere)
    assert datasets.load("sales", elsewhere).ref == "sales@1"
    assert azure_server.record.since(began) == []
    assert not elsewhere.data_folder.exists()
    assert list(elsewhere.layout.pulled_datasets.rglob("table.parquet"))


def test_a_name_alone_is_the_latest_here_and_pull_takes_the_latest_there(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    datasets.load("sales", elsewhere)
    add(here, 80)
    workspace_transfer.push("sales@2", here)

    assert datasets.load("sales", elsewhere).ref == "sales@1"
    assert workspace_transfer.pull("sales", elsewhere).dataset == "sales@2"
    assert datasets.load("sales", elsewhere).ref == "sales@2"


def test_the_next_version_goes_on_from_a_pulled_one(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    datasets.load("sales@1", elsewhere)
    before = datasets.read("sales@1", elsewhere)

    assert datasets.add(csv(elsewhere.root, frame(60)), "sales", elsewhere).ref == "sales@1"  # the same content
    added = datasets.add(csv(elsewhere.root, frame(90)), "sales", elsewhere)
    assert (added.ref, added.key, added.target) == ("sales@2", before.key, before.target)
    assert (elsewhere.data_folder / "sales" / "2").is_dir()
    assert workspace_transfer.push("sales@2", elsewhere).moved
    assert workspace_transfer.pull("sales@2", here).moved


def test_an_unknown_version_names_those_of_both_sides(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    add(here, 80)

    with pytest.raises(UnknownNameError, match="known: 1, 2"):
        datasets.load("sales@7", here)
    with pytest.raises(UnknownNameError, match="known: 1"):
        datasets.load("sales@7", elsewhere)
    with pytest.raises(UnknownNameError, match="'iris'"):
        datasets.load("irsi@1", elsewhere)
    with pytest.raises(UsageError, match="no sales@7 in workspace .*: it has 1; push it from"):
        workspace_transfer.pull("sales@7", elsewhere)
    with pytest.raises(
        UsageError, match="no other in workspace .*: it has no version of that name; .* data push other"
    ):
        workspace_transfer.pull("other", elsewhere)


def test_a_pulled_version_that_was_changed_by_hand_is_refused_and_pulled_again(
    here: Settings, elsewhere: Settings
) -> None:
    workspace_transfer.push("sales@1", here)
    workspace_transfer.pull("sales@1", elsewhere)
    (table,) = elsewhere.layout.pulled_datasets.rglob("table.parquet")
    table.write_bytes(table.read_bytes()[:-20])

    with pytest.raises(DatasetError, match=r"cannot be read: .*; pull it again: nbops data pull sales@1"):
        datasets.load("sales@1", elsewhere)
    assert workspace_transfer.pull("sales@1", elsewhere).moved
    assert not workspace_transfer.pull("sales@1", elsewhere).moved
    assert len(datasets.load("sales@1", elsewhere).train)


def test_files_that_were_changed_in_the_workspace_are_not_taken(
    here: Settings, elsewhere: Settings, azure_server: Emulated
) -> None:
    workspace_transfer.push("sales@1", here)
    mine, other = datasets.read("sales@1", here), add(here, 80)
    folder = azure_server.record.file.parent / "blobs" / "blobstore" / "nbops" / "datasets" / "sales"
    (toml,) = (file for file in folder.rglob("dataset.toml") if mine.description in file.read_text())
    toml.write_text(toml.read_text().replace("rows = 60", "rows = 61"))
    (toml.parent / "table.parquet").write_bytes((here.data_folder / "sales" / "2" / "table.parquet").read_bytes())

    with pytest.raises(DatasetError, match=r"data asset sales:1 in workspace .*: the content has changed since"):
        datasets.load("sales@1", elsewhere)
    toml.write_text(toml.read_text().replace(mine.fingerprint, other.fingerprint))  # now the files fit each other
    with pytest.raises(
        DatasetError, match=r"data asset sales:1 in workspace .*: its files are those of another version"
    ):
        datasets.load("sales@1", elsewhere)
    assert not list(elsewhere.root.rglob("*.parquet"))


def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    here: Settings, elsewhere: Settings, azure_server: Emulated
) -> None:
    workspace_transfer.push("sales@1", here)
    with (
        azure_server.fault("forbidden", host="blob", path="table"),
        pytest.raises(
            DatasetError, match=r"sales@1 cannot be read from workspace .*: table.parquet cannot be downloaded"
        ) as caught,
    ):
        datasets.load("sales@1", elsewhere)
    assert "\n" not in str(caught.value)
    assert "sig=" not in str(caught.value)
    assert not list(elsewhere.root.rglob("*.parquet"))
    with azure_server.fault("cut", host="blob", path="table"):
        assert len(datasets.load("sales@1", elsewhere).train)


def test_without_network_a_version_that_is_here_loads_and_another_is_one_line(
    here: Settings, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert len(datasets.load("sales@1", here).train)
    began = time.monotonic()
    with pytest.raises(
        DatasetError, match="sales@1 is not on this machine, and the versions of sales in workspace"
    ) as caught:
        datasets.load("sales@1", elsewhere)
    assert time.monotonic() - began < 30
    assert "check HTTPS_PROXY" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    here: Settings, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # bytecode that is cut would stay in this tree
    add(here, 2000)
    workspace_transfer.push("sales@2", here)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DatasetError, match="cannot be written, nothing was added: File too large"):
            datasets.load("sales@2", elsewhere)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(elsewhere.root.rglob("*.parquet"))
    assert datasets.load("sales@2", elsewhere).ref == "sales@2"


@pytest.mark.proof
def test_a_kill_in_the_middle_of_a_pull_leaves_no_version(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    dying = "import os\nos.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n" + PULL
    child = subprocess.run(
        [sys.executable, "-c", dying, str(elsewhere.root)], env=environment_of(here), capture_output=True, timeout=120
    )
    assert child.returncode == -9, child.stderr
    assert version_lookup.project_store(elsewhere).versions("sales") == []
    assert datasets.load("sales@1", elsewhere).ref == "sales@1"


@pytest.mark.proof
def test_two_processes_that_pull_at_once_both_get_it(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PULL, str(elsewhere.root)],
            env=environment_of(here),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = {child.communicate(timeout=120)[0].strip() for child in children}
    assert answers == {str(len(datasets.load("sales@1", here).train))}
    assert version_lookup.project_store(elsewhere).versions("sales") == [1]


def test_storage_that_gives_out_no_keys_takes_the_credential(
    here: Settings, elsewhere: Settings, with_workspace: WithWorkspace, azure_server: Emulated
) -> None:
    own = with_workspace(here, systemDatastoresAuthMode="identity").azure
    began = azure_server.record.position()
    assert workspace_transfer.push("sales@1", here.model_copy(update={"azure": own})).moved

    assert datasets.load("sales@1", elsewhere.model_copy(update={"azure": own})).ref == "sales@1"
    blobs = [seen for seen in azure_server.record.since(began) if seen.host.startswith("account")]
    assert blobs
    assert not [seen for seen in blobs if "sig=" in seen.query]


def test_each_workspace_has_its_own_versions(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    datasets.load("sales@1", elsewhere)
    other = elsewhere.azure.model_copy(update={"workspace": f"none-{uuid.uuid4().hex[:8]}"})

    with pytest.raises(DatasetError, match="sales@1 is not on this machine, and .*: no data asset"):
        datasets.load("sales@1", elsewhere.model_copy(update={"azure": other}))


@pytest.fixture
def tracked(here: Settings, azure_workspace: AzureProject) -> Settings:
    """The same project, which also tracks to a workspace; its settings file says so."""
    text = azure_workspace.settings.layout.settings_file.read_text()
    name = here.azure.workspace
    here.layout.settings_file.write_text(text.replace('workspace = "workspace"', f'workspace = "{name}"'))
    return load(here.root, {})


def test_models_and_runs_of_a_version_are_found_by_tag_without_pulling_it(
    tracked: Settings, nbops_json: NbopsJson, azure_server: Emulated
) -> None:
    workspace_transfer.push("sales@1", tracked)
    store, experiment = connect(tracked), f"trials-{uuid.uuid4().hex[:8]}"
    tag = run_datasets.tag_value(datasets.read("sales@1", tracked))
    tags = {f"{Tag.DATASET_PREFIX}sales": tag}
    runs = [store.client.create_run(store.experiment_id(experiment), tags=tags).info.run_id for _ in range(3)]
    for run_id in runs[:2]:
        store.client.set_tag(run_id, Tag.MODEL, "model")
    model = f"m-{uuid.uuid4().hex[:8]}"
    store.client.create_registered_model(model)
    source = f"{store.client.get_run(runs[0]).info.artifact_uri}/model"
    for ready in ({Tag.READY: "loaded"}, {}):  # the second is not announced
        store.client.create_model_version(model, source, runs[0], tags=ready)
    shutil.rmtree(tracked.data_folder)
    began = azure_server.record.position()

    code, found, _ = nbops_json("data", "models", "sales@1")
    assert code == 0
    ours = [each for each in found if each["experiment"] == experiment]  # other tests may have used the same rows
    assert {(each["run_id"], each["model"], each["version"], each["has_model"]) for each in ours} == {
        (runs[0], model, "1", True),
        (runs[1], "", "", True),
        (runs[2], "", "", False),
    }
    assert not [seen for seen in azure_server.record.since(began) if "parquet" in seen.path]
    assert not tracked.layout.pulled_datasets.exists()


@pytest.mark.proof
def test_only_a_promotion_opens_the_holdout_of_a_pulled_version(tracked: Settings) -> None:
    seed = uuid.uuid4().int % 2**32  # rows that no other test of this session has decided by
    sales = add(tracked, 60, seed)
    workspace_transfer.push(sales.ref, tracked)
    shutil.rmtree(tracked.data_folder)
    pulled = datasets.load(sales.ref, tracked)

    assert pulled.rows_held_out == sales.rows_held_out > 0
    with pytest.raises(HoldoutError, match="is read by promotion only"):
        _ = pulled.holdout
    store = connect(tracked)
    before = holdout_budget.count_uses(store, sales.ref, alpha=0.05, budget=10)
    with holdout_budget.holdout_use(store, pulled, {"q": seed}, alpha=0.05, budget=10, reader="test") as use:
        assert len(use.open()) == pulled.rows_held_out
        use.answer({})
    assert holdout_budget.count_uses(store, sales.ref, alpha=0.05, budget=10) == before + 1
    assert len((tracked.layout.state / "holdout.jsonl").read_text().splitlines()) == 1


COMMANDS = """
import sys
from notebooks_lib import __main__ as program
code = program.run(sys.argv[1:])
loaded = sorted({"mlflow", "azure.ai.ml"} & set(sys.modules))
assert not loaded, loaded
sys.exit(code)
"""


def seconds(settings: Settings, *command: str) -> float:
    """Run a command in a process of its own, without MLflow and without the SDK."""
    began = time.monotonic()
    program = [sys.executable, "-c", COMMANDS, "data", *command]
    done = subprocess.run(program, cwd=settings.root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return time.monotonic() - began


@pytest.mark.proof
def test_commands_import_neither_mlflow_nor_the_sdk_and_answer_within_three_seconds(tracked: Settings) -> None:
    took = {}
    for command in ("push", "push again", "pull", "models"):
        arguments = [command.split()[0], "sales@1"]
        took[command] = seconds(tracked, *arguments)
        if took[command] > LIMIT:  # this machine may have been busy
            took[command] = seconds(tracked, *arguments)
    print({command: round(duration, 2) for command, duration in took.items()})
    assert max(took.values()) < LIMIT, took


PAGE = Path(__file__).parents[2] / "docs" / "azure-data.md"


def test_each_command_of_the_page_does_what_it_says(tracked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for rows in (80, 90):
        add(tracked, rows)
    text = PAGE.read_text("utf-8")
    commands = re.findall(r"^    nbops (.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(commands) == 3
    shown = {}
    for command in commands:
        capsys.readouterr()
        assert nbops(shlex.split(command)) == 0, command
        shown[command] = capsys.readouterr().out
    workspace = f"workspace '{tracked.azure.workspace}'"
    assert shown["data push sales@3"].startswith(f"sales@3 pushed to {workspace}\n")
    assert shown["data pull sales@3"].startswith(f"sales@3 is here already, as in {workspace}\n")
    assert shown["data models sales@3"] == "No model was trained on sales@3.\n"


def test_json_is_one_object_for_push_and_pull(tracked: Settings, nbops_json: NbopsJson) -> None:
    expected = {"dataset": "sales@1", "rows": 60, "workspace": f"workspace '{tracked.azure.workspace}'"}
    code, pushed, _ = nbops_json("data", "push", "sales@1")
    assert (code, pushed | expected, pushed["moved"]) == (0, pushed, True)
    code, pulled, _ = nbops_json("data", "pull", "sales")
    assert (code, pulled | expected, pulled["moved"]) == (0, pulled, False)
    assert pulled["location"] == str(tracked.data_folder / "sales" / "1")


JOB = """
environment_variables:
  AZURE_TENANT_ID: ${AZURE_TENANT_ID}
  AZURE_CLIENT_ID: ${AZURE_CLIENT_ID}
  AZURE_CLIENT_SECRET: ${AZURE_CLIENT_SECRET}
"""


@pytest.mark.proof
@pytest.mark.notebooks
@pytest.mark.filterwarnings("ignore")  # the SDK, which reads job.yml, warns about itself
def test_a_job_pulls_what_its_notebook_loads_and_has_it_as_input(
    azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask
) -> None:
    root, name = azure_git_project.root, f"sales-{uuid.uuid4().hex[:8]}"
    (root / ".gitignore").write_text(".nbops\ndata\n")
    job = root / "production" / "azure" / "job.yml"
    job.parent.mkdir(parents=True)
    job.write_text(JOB)
    added = datasets.add(csv(root / "production", frame(60)), name, azure_git_project, target="y", key="id")
    assert nbops_json("data", "push", added.ref)[0] == 0
    cells = ("from notebooks_lib import datasets", "print(len(datasets.load(data).train))")
    building.write(root / "experimentation" / "n.ipynb", *cells, parameters=f'data: str = "{added.ref}"  # what')

    code, result, shown = nbops_json("run", "experimentation/n.ipynb", "--on", "azureml:serverless")
    assert (code, result["status"]) == (0, "FINISHED"), shown
    run = connect(azure_git_project).client.get_run(result["run_id"])
    assert run.data.tags[f"{Tag.DATASET_PREFIX}{name}"] == run_datasets.tag_value(added)
    inputs = ask("GET", f"jobs/{result['run_id']}").json()["properties"]["inputs"]
    assert inputs["data"]["uri"].endswith(f"/data/{name}/versions/1")
    assert str(len(added.train)) in Path(result["output"]).read_text()


def test_an_archived_version_is_neither_pushed_nor_pulled_and_both_say_how_to_restore_it(
    here: Settings, elsewhere: Settings, ask: Ask, azure_server: Emulated
) -> None:
    workspace_transfer.push("sales@1", here)
    address = f"https://management.azure.com{path_of(here)}/data/sales/versions/1?api-version=1"
    own = ask("GET", address).json()["properties"]
    assert ask("PUT", address, {"properties": own | {"isArchived": True}}).ok
    began = azure_server.record.position()

    with pytest.raises(
        DatasetError, match=r"sales@1 .* is archived, .*: az ml data restore --name sales --version 1, or"
    ):
        workspace_transfer.push("sales@1", here)
    with pytest.raises(UsageError, match="if it was archived: az ml data restore --name sales --version 1"):
        workspace_transfer.pull("sales@1", elsewhere)
    assert sent(azure_server, began) == []


def test_in_a_job_a_name_alone_is_the_latest_version_where_the_job_was_submitted(
    here: Settings, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace_transfer.push("sales@1", here)
    monkeypatch.setenv(Env.DATASETS, json.dumps(version_lookup.latest_versions(here)))
    add(here, 70)
    workspace_transfer.push("sales@2", here)

    assert datasets.load("sales", elsewhere).ref == "sales@1"
    assert datasets.load("sales@2", elsewhere).ref == "sales@2"
    assert datasets.load("sales", here).ref == "sales@2", "a version that the job itself has added counts"
    monkeypatch.setenv(Env.DATASETS, '{"sales": 3}')
    with pytest.raises(UnknownNameError, match="The machine that submitted the job has it: nbops data push sales@3"):
        datasets.load("sales", elsewhere)
    monkeypatch.delenv(Env.DATASETS)
    assert datasets.load("sales", elsewhere).ref == "sales@2"
