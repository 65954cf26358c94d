"""Runs to look at, without running a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import connect
from tests.serving.conftest import light  # noqa: F401 - small models

LogRun = Callable[..., str]


@pytest.fixture
def log_run(project: Settings) -> LogRun:
    """A function that makes a run of experiment `sales` and returns its id; without `end`, nobody saw it end."""
    store = connect(project)

    def log(metrics: Mapping[str, float], *, dataset: str = "", end: str | None = "FINISHED") -> str:
        tags = {Tag.DATASET_PREFIX + "t": dataset} if dataset else {}
        run_id = str(store.client.create_run(store.experiment_id("sales"), tags=tags).info.run_id)
        for name, value in metrics.items():
            store.client.log_metric(run_id, name, value)
        store.client.set_terminated(run_id)
        if end:
            store.client.set_tag(run_id, Tag.END, end)
        return run_id

    return log
