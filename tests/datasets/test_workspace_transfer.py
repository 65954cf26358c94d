"""Versions go to the workspace and come back as they were: once, whole or not at all, and every fault is one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import loader, workspace_transfer
from notebooks_lib.errors import DatasetError, HoldoutError, SettingsError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask
from tests.datasets.tables import csv, frame

pytestmark = pytest.mark.tracking

PULL = """
import sys, pathlib
from notebooks_lib import datasets
from notebooks_lib.settings import load
print(len(datasets.load("sales@1", load(pathlib.Path(sys.argv[1]), __import__("os").environ)).train))
"""


@pytest.fixture
def here(empty_project: Settings, with_workspace: Callable[[Settings], Settings]) -> Settings:
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
    return datasets.add(
        csv(settings.root, frame(rows, seed)), "sales", settings, **{"target": "y", "key": "id"} | roles
    )


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
    from notebooks_lib.azure.workspace import find_workspace

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
        DatasetError, match=r"sales@1 in workspace 'w-.*' is another one, with .*; .*add yours as version 2"
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
    assert loader.workspace_store(here).versions("sales") == []
    began = azure_server.record.position()

    assert workspace_transfer.push("sales@1", here).moved
    files = [
        seen.path.rpartition("/")[2] for seen in azure_server.record.since(began) if seen.host.startswith("account")
    ]
    assert "table.parquet" in files
    statuses = {
        seen.path.rpartition("/")[2]: seen.status
        for seen in azure_server.record.since(began)
        if seen.host.startswith("account")
    }
    assert statuses == {"table.parquet": 201, "dataset.toml": 409}


def test_a_push_whose_answer_was_lost_is_no_other_version(here: Settings, azure_server: Emulated) -> None:
    with azure_server.fault("lost_answer", method="PUT", path="/data/sales/versions/1$"):
        assert workspace_transfer.push("sales@1", here).moved
    assert loader.workspace_store(here).versions("sales") == [1]


def test_an_asset_that_nbops_did_not_make_is_never_taken_for_a_version(
    here: Settings, elsewhere: Settings, ask: Ask
) -> None:
    body = {"properties": {"dataType": "uri_file", "dataUri": "https://example.org/t.csv", "tags": {}}}
    assert ask("PUT", f"https://management.azure.com{path_of(here)}/data/sales/versions/1?api-version=1", body).ok

    with pytest.raises(DatasetError, match="data asset sales:1 in workspace .* was not made by nbops"):
        workspace_transfer.push("sales@1", here)
    with pytest.raises(UnknownNameError, match="no dataset in workspace|unknown dataset"):
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


def test_the_holdout_of_a_pulled_version_stays_shut(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    pulled = datasets.load("sales@1", elsewhere)

    assert pulled.rows_held_out == datasets.read("sales@1", here).rows_held_out > 0
    with pytest.raises(HoldoutError, match="is read by promotion only"):
        _ = pulled.holdout


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
    with pytest.raises(UnknownNameError, match="nbops data push other"):
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
    other = add(here, 80)
    folder = azure_server.record.file.parent / "blobs" / "blobstore" / "nbops" / "datasets" / "sales"
    toml = next(
        file for file in folder.rglob("dataset.toml") if datasets.read("sales@1", here).fingerprint in file.read_text()
    )
    toml.write_text(toml.read_text().replace(datasets.read("sales@1", here).fingerprint, other.fingerprint))

    with pytest.raises(DatasetError, match=r"data asset sales:1 in workspace .*: the content has changed since"):
        datasets.load("sales@1", elsewhere)
    assert not list(elsewhere.layout.pulled_datasets.rglob("table.parquet"))


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


def test_a_kill_in_the_middle_of_a_pull_leaves_no_version(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    dying = "import os\nos.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n" + PULL
    child = subprocess.run(
        [sys.executable, "-c", dying, str(elsewhere.root)], env=environment_of(here), capture_output=True, timeout=120
    )
    assert child.returncode == -9, child.stderr
    assert loader.project_store(elsewhere).versions("sales") == []
    assert datasets.load("sales@1", elsewhere).ref == "sales@1"


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
    assert loader.project_store(elsewhere).versions("sales") == [1]


def test_each_workspace_has_its_own_versions(here: Settings, elsewhere: Settings) -> None:
    workspace_transfer.push("sales@1", here)
    datasets.load("sales@1", elsewhere)
    other = elsewhere.azure.model_copy(update={"workspace": f"none-{uuid.uuid4().hex[:8]}"})

    with pytest.raises(DatasetError, match="sales@1 is not on this machine, and .*: no data asset"):
        datasets.load("sales@1", elsewhere.model_copy(update={"azure": other}))
