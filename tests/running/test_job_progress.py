"""The progress of a job stands in its run, without the notebook ever waiting for the store."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from notebooks_lib.running import plan
from notebooks_lib.running.job_progress import JobProgress
from notebooks_lib.running.plan import Plan
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores
from tests import building

pytestmark = pytest.mark.tracking


def planned(settings: Settings) -> Plan:
    cells = ("import os\nx = 1", "\n\ny = 2")
    path = building.write(Path("n.ipynb").absolute(), *cells, parameters="alpha: float = 1.0  # a")
    return plan.make_plan(path, settings, {"alpha": 2.0})


def test_the_cell_that_started_last_stands_in_the_run(project: Settings) -> None:
    store = stores.connect(project)
    run_id = store.client.create_run(store.experiment_id("progress")).info.run_id
    with JobProgress(store, run_id, planned(project)) as progress:
        for index in range(4):
            progress.cell(index, 4)

    told = json.loads(store.client.get_run(run_id).data.tags[Tag.PROGRESS])
    assert told == {"cell": 3, "of": 4, "line": "y = 2"}


def test_a_store_that_refuses_costs_only_the_progress(project: Settings) -> None:
    began = time.monotonic()
    with JobProgress(stores.connect(project), "no such run", planned(project)) as progress:
        progress.cell(0, 4)
        assert time.monotonic() - began < 1
