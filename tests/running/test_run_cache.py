"""A run is reused while code, parameters, environment and data are the same."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath

import pytest

from notebooks_lib.datasets import run_datasets
from notebooks_lib.notebooks import document
from notebooks_lib.running.run_cache import RunCache, has_same_data
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from tests import building
from tests.azure.fixtures import WithWorkspace
from tests.datasets.tables import csv, frame


@pytest.mark.tracking
def test_a_run_counts_as_seen_while_its_data_are_what_they_were(project: Settings) -> None:
    from notebooks_lib import datasets

    path = building.write(project.root / "n.ipynb", "x = datasets.load(name)", parameters="name: str = 'sales'")
    notebook = document.read(path)
    table = project.root / "sales.csv"

    def add(rows: int) -> str:
        table.write_text("key,day,units\n" + "".join(f"{k},{k % 7},{k * k}\n" for k in range(rows)))
        return run_datasets.tag_value(datasets.add(table, "sales", project, target="units", key="key"))

    def ran(fingerprint: str, end: str, **tags: str) -> str:
        start = RunStart("sample", "r", "n.ipynb", "", {}, notebook.code_sha256, fingerprint, None, tags)
        run = OwnedRun.open(store.connect(project), start)
        run.end("FINISHED" if end == "FINISHED" else "FAILED")
        return run.run_id

    def seen(fingerprint: str, folder: str = ".", **parameters: object) -> str | None:
        found = RunCache(store.connect(project), notebook).find(fingerprint, parameters, PurePosixPath(folder))
        return found.run_id if found else None

    first = add(60)
    plain, failed = ran("f1", "FINISHED"), ran("f2", "FAILED")
    used = ran("f3", "FINISHED", **{Tag.DATASET_PREFIX + "sales": first})
    assert (seen("f1"), seen("f2"), seen("f3"), seen("f4"), seen("")) == (plain, None, used, None, None)
    assert failed != plain
    assert seen("f1", folder="copy") is None, "a copy in another folder has other files beside it"
    newer = ran("f1", "FINISHED")
    assert seen("f1") == newer
    second = add(80)
    assert second != first
    assert seen("f3", name="sales") is None, "it would get the newer version now"
    assert seen("f3", name="sales@1") == used
    for other in ("presales@1", "sales@12", "pre-sales@1"):
        assert seen("f3", name=other) is None, "it would get the newer version of sales"
    assert seen("f1") == newer
    bundle = ran("f5", "FINISHED", **{Tag.DATASET_PREFIX + "iris": "iris@1#" + "0" * 64})
    assert seen("f5") == bundle
    shutil.rmtree(project.data_folder)  # as on a machine that would have to pull it
    assert seen("f3", name="sales@1") == used
    assert seen("f3") is None, "nobody knows which version it would get"


@pytest.mark.tracking
def test_a_version_that_only_the_workspace_has_counts_if_its_content_is_the_same(
    empty_project: Settings, with_workspace: WithWorkspace
) -> None:
    from notebooks_lib import datasets
    from notebooks_lib.datasets import workspace_transfer

    settings = with_workspace(empty_project)
    added = datasets.add(csv(settings.root, frame(60)), "sales", settings, target="y", key="id")
    workspace_transfer.push("sales@1", settings)
    shutil.rmtree(settings.data_folder)

    def seen(fingerprint: str) -> bool:
        tags = {Tag.DATASET_PREFIX + "sales": f"sales@1#{fingerprint}"}
        run = query.RunInfo("r", "r", "e", "1", "FINISHED", 0, {}, {}, tags)
        return has_same_data(run, "datasets.load('sales@1')", settings)

    assert seen(added.fingerprint)
    assert not seen("0" * 64)
