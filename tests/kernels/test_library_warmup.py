"""A warm-up leaves nothing behind but what libraries have found out."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from notebooks_lib.kernels import template_path

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


def _store_caches() -> Any:
    """MLflow's cache of stores by their address."""
    from mlflow.tracking import _tracking_service

    registry: Any = _tracking_service.utils
    return registry._tracking_store_registry._get_store_with_resolved_uri


@pytest.fixture
def warmup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As a template loads it; the tracking library is imported."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # templates of other tests use the machine's
    for name in ("mlflow.tracking.client", "mlflow.store.tracking.sqlalchemy_store"):
        importlib.import_module(name)
    gc.collect()  # thread pools of stores that other tests have used end here, and not while a warm-up runs
    until = time.monotonic() + 2
    while any(thread.name.startswith("Mlflow") for thread in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)
    _store_caches().cache_clear()  # of what other tests have asked, and their finalizers; see `state`
    spec = importlib.util.spec_from_file_location(
        "_nbops_library_warmup", Path(template_path()).with_name("library_warmup.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def state() -> dict[str, object]:
    """All of this process that a warm-up must not have changed."""
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
        "temporary files": sorted(path.name for path in Path(tempfile.gettempdir()).glob("nbops-warm-up*")),
        "active run": mlflow.active_run(),
        "last run": fluent._last_active_run_id.get(),
        "tracking": (mlflow.get_tracking_uri(), mlflow.is_tracking_uri_set(), mlflow.get_registry_uri()),
        "experiment": fluent._active_experiment_id,
        "engines": sorted(SqlAlchemyStore._engine_map),
        "stores": _store_caches().cache_info().currsize,
        "registry": _model_registry.utils._registry_uri,
    }


def test_a_warmup_restores_everything(warmup: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """`state` is what it was, and nothing is said; also where a template before it has imported MLflow."""
    (name,) = warmup.possible_warm_ups()
    before = state()
    gc.freeze()
    warmup.run_warm_up(name)
    gc.unfreeze()
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_a_failing_warmup_restores_everything(warmup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does not know a call any more."""
    import mlflow

    monkeypatch.delattr(mlflow.MlflowClient, "set_terminated")
    (name,) = warmup.possible_warm_ups()
    before = state()
    with pytest.raises(AttributeError):
        warmup.run_warm_up(name)
    assert state() == before
