"""A rehearsal leaves nothing behind but what libraries have found out: here in this process, and in a real kernel."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import random
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from notebooks_lib.kernels import template_path
from tests.kernels.building import Kernel, own_templates

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]
NEEDED = "mlflow.tracking.client,mlflow.store.tracking.sqlalchemy_store"


def _store_caches() -> Any:
    """MLflow's cache of stores by their address."""
    from mlflow.tracking import _tracking_service

    registry: Any = _tracking_service.utils
    return registry._tracking_store_registry._get_store_with_resolved_uri


@pytest.fixture
def rehearsal() -> ModuleType:
    """As a template loads it; the tracking library is imported."""
    for name in ("mlflow.tracking.client", "mlflow.store.tracking.sqlalchemy_store"):
        importlib.import_module(name)
    _store_caches().cache_clear()  # of what other tests have asked; see `state`
    spec = importlib.util.spec_from_file_location("_nbops_rehearsal", Path(template_path()).with_name("rehearsal.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def state() -> dict[str, object]:
    """All of this process that a rehearsal must not have changed."""
    import mlflow
    import numpy
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking import _model_registry, fluent

    return {
        "threads": [thread.name for thread in threading.enumerate()],
        "tasks": len(list(Path("/proc/self/task").iterdir())),
        "files": sorted(path.name for path in Path("/proc/self/fd").iterdir()),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "path": sys.path[:],
        "random": random.getstate(),
        "numpy": str(numpy.random.get_state()),
        "warnings": warnings.filters[:],
        "temporary files": sorted(path.name for path in Path(tempfile.gettempdir()).glob("nbops-rehearsal*")),
        "active run": mlflow.active_run(),
        "last run": fluent._last_active_run_id.get(),
        "tracking": (mlflow.get_tracking_uri(), mlflow.is_tracking_uri_set(), mlflow.get_registry_uri()),
        "experiment": fluent._active_experiment_id,
        "engines": sorted(SqlAlchemyStore._engine_map),
        "stores": _store_caches().cache_info().currsize,
        "registry": _model_registry.utils._registry_uri,
    }


def test_a_rehearsal_leaves_nothing_behind(rehearsal: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """`state` is what it was, and nothing is said; also where a template before it has imported MLflow."""
    (name,) = rehearsal.possible()
    before = state()
    gc.freeze()
    rehearsal.run(name)
    gc.unfreeze()
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_what_fails_in_the_middle_leaves_nothing_either(rehearsal: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does not know a call any more."""
    import mlflow

    monkeypatch.delattr(mlflow.MlflowClient, "set_terminated")
    (name,) = rehearsal.possible()
    before = state()
    with pytest.raises(AttributeError):
        rehearsal.run(name)
    assert state() == before


@pytest.fixture
def home() -> Iterator[Path]:
    with own_templates() as home, contextlib.chdir(home):
        (home / "work").mkdir()
        yield home


RECORDED = """
import mlflow, os
before = [mlflow.active_run(), mlflow.last_active_run(), os.path.basename(mlflow.get_tracking_uri()), os.listdir()]
mlflow.set_tracking_uri(f"sqlite:///{os.getcwd()}/own.db")
with mlflow.start_run() as run:
    mlflow.log_param("alpha", 1)
    mlflow.log_metric("rmse", 2.5)
found = mlflow.get_run(run.info.run_id)
others = [experiment.name for experiment in mlflow.search_experiments()]
"""


def test_a_kernel_after_it_knows_of_no_run_and_records_its_own(home: Path) -> None:
    settings = {"NBOPS_KERNELS_PRELOAD": NEEDED}
    with Kernel(home / "work", warm=True, env=settings) as kernel:
        assert kernel.warm
    with Kernel(home / "work", warm=True, env=settings) as kernel:
        assert kernel.value("before", RECORDED) == [None, None, "mlflow.db", []]
        assert kernel.value("found.data.params, found.data.metrics, found.info.status, others") == (
            {"alpha": "1"},
            {"rmse": 2.5},
            "FINISHED",
            ["Default"],
        )
