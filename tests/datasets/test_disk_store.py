"""On disk a version is written whole or not at all, whoever is killed or writes beside; what was changed is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import version_lookup
from notebooks_lib.errors import DatasetError, UnknownNameError
from notebooks_lib.settings import Settings
from tests.datasets.tables import csv, frame, visible

CHILD = """
import sys, pathlib
from notebooks_lib import datasets
from notebooks_lib.settings import load
for file in sys.argv[2:]:
    print(datasets.add(file, "t", load(pathlib.Path(sys.argv[1]), {})).ref)
"""


@pytest.mark.proof
def test_two_processes_adding_at_once_share_no_number(empty_project: Settings, tmp_path: Path) -> None:
    files = [str(csv(tmp_path, frame(60, seed=i), f"{i}.csv")) for i in range(8)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(empty_project.root), *mine], stdout=subprocess.PIPE, text=True
        )
        for mine in (files[:4], files[4:])
    ]
    refs = [ref for child in children for ref in child.communicate(timeout=240)[0].split()]
    assert sorted(refs) == [f"t@{number}" for number in range(1, 9)]


def test_a_kill_in_the_middle_leaves_no_version(empty_project: Settings, tmp_path: Path) -> None:
    file = csv(tmp_path, frame(60))
    dying = "import os\nos.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n" + CHILD
    child = subprocess.run([sys.executable, "-c", dying, str(empty_project.root), str(file)], capture_output=True)
    assert child.returncode == -9
    assert list((empty_project.data_folder / "t").iterdir())  # it was in the middle
    with pytest.raises(UnknownNameError):
        datasets.load("t", empty_project)
    assert datasets.add(file, "t", empty_project).ref == "t@1"


def test_what_a_killed_process_left_is_swept_up_when_it_is_old(empty_project: Settings, tmp_path: Path) -> None:
    home = empty_project.data_folder / "t"
    old, fresh = home / ".adding-old", home / ".adding-fresh"
    for left in (old, fresh):
        left.mkdir(parents=True)
        (left / "table.parquet").touch()
    os.utime(old, (0, 0))
    datasets.add(csv(tmp_path, frame(60)), "t", empty_project)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    empty_project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # bytecode that is cut would stay in this tree
    file = csv(tmp_path, frame(2000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DatasetError, match="cannot be written, nothing was added: File too large") as caught:
            datasets.add(file, "t", empty_project)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert visible(empty_project) == []
    assert datasets.add(file, "t", empty_project).ref == "t@1"


def test_a_data_folder_that_cannot_be_made_is_one_line(empty_project: Settings, tmp_path: Path) -> None:
    empty_project.data_folder.write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="cannot be written, nothing was added"):
        datasets.add(csv(tmp_path, frame(60)), "t", empty_project)


def test_metadata_of_a_newer_nbops_are_refused_with_the_way_out(empty_project: Settings, tmp_path: Path) -> None:
    store = version_lookup.project_store(empty_project)
    datasets.add(csv(tmp_path, frame(60)), "t", empty_project)
    file = empty_project.data_folder / "t" / "1" / "dataset.toml"
    file.write_text("shards = 3\n" + file.read_text("utf-8"), "utf-8")
    with pytest.raises(
        DatasetError, match=r"dataset\.toml: has the key\(s\) shards, which a newer nbops wrote; update"
    ):
        store.metadata("t", 1)


@pytest.mark.parametrize("damage", ["value", "bytes", "gone", "record"])
def test_a_version_that_was_changed_is_refused_and_can_be_added_anew(empty_project: Settings, damage: str) -> None:
    datasets.add(csv(empty_project.root, frame(60)), "sales", empty_project)
    folder = empty_project.data_folder / "sales" / "1"
    if damage == "value":
        changed = pd.read_parquet(folder / "table.parquet")
        changed.loc[7, "x"] += 1e-9
        changed.to_parquet(folder / "table.parquet")
    elif damage == "bytes":
        (folder / "table.parquet").write_bytes(b"PAR1")
    elif damage == "gone":
        (folder / "table.parquet").unlink()
    else:
        (folder / "dataset.toml").write_text("rows = 1\n")
    with pytest.raises(DatasetError, match="restore it") as caught:
        datasets.load("sales", empty_project)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    if damage != "record":
        assert datasets.add(csv(empty_project.root, frame(60)), "sales", empty_project).ref == "sales@2"


def test_columns_come_in_the_order_they_were_added_in(empty_project: Settings) -> None:
    datasets.add(csv(empty_project.root, frame(60)), "sales", empty_project)
    table = empty_project.data_folder / "sales" / "1" / "table.parquet"
    pd.read_parquet(table)[["y", "x", "id"]].to_parquet(table)
    assert list(datasets.load("sales", empty_project).train.X.columns) == ["id", "x", "y"]


def test_a_version_on_disk_is_read_as_the_release_before_wrote_it(empty_project: Settings) -> None:
    """Written by nbops 0.2 before datasets had a store: rows, parts and what left the holdout must stay for good."""
    shutil.copytree(Path(__file__).parents[1] / "data" / "dataset_0_2", empty_project.data_folder)
    sales = datasets.load("sales", empty_project)
    assert (sales.ref, sales.fingerprint[:16], sales.description) == (
        "sales@3",
        "d887a1efdce9e43c",
        'one row is a "sale"',
    )
    assert (len(sales.train), len(sales.validation), sales.rows_held_out, sales.retired) == (72, 31, 17, 14)
    ids = ",".join(sales.train.frame["id"])
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == "fa6fe3d0845c7106"
