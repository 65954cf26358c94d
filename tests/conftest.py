"""Every test works in a folder of its own, with a scrubbed environment; a store is migrated once and copied."""

from __future__ import annotations

import functools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from notebooks_lib.settings import Settings, load
from tests.azure.fixtures import (  # noqa: F401 - fixtures for all tests
    any_store,
    anybody,
    ask,
    azure_git_project,
    azure_group,
    azure_server,
    azure_workspace,
    either_store,
    nbops_json,
    with_workspace,
)

SCRUBBED = ("MLFLOW_", "NBOPS_", "AZURE", "GIT_", "JPY_", "IPYNB_FILE", "GITHUB_", "MAKE")
SCRUBBED += ("ACTIONS_", "SYSTEM_", "TF_BUILD", "IDENTITY_", "MSI_", "ARM_CLOUD_")  # what signs CI in to Azure


hypothesis.settings.register_profile("nbops", deadline=None)  # a busy machine is no fault; benchmarks take the time
hypothesis.settings.load_profile("nbops")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what ends with `&`
    signal.signal(signal.SIGINT, signal.default_int_handler)  # commands that are tested are to be interrupted


PROOF_LIMIT = 900
"""Seconds for a proof, which names a limit of its own only above that: they run beside others, also on a busy machine."""


@pytest.hookimpl(trylast=True)  # after the order was shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give proofs their time limit, and begin with the longest, so that no worker is left with it at the end."""
    for item in items:
        if item.get_closest_marker("proof") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(PROOF_LIMIT))
    items.sort(key=_limit, reverse=True)


def _limit(item: pytest.Item) -> float:
    limit = item.get_closest_marker("timeout") if item.get_closest_marker("proof") else None
    return float(limit.args[0]) if limit else 0.0


@pytest.fixture(scope="session", autouse=True)
def warm_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """papermill, nbval and whoever else asks for `python3` gets a warm kernel, as from `nbops run`."""
    from notebooks_lib.kernels import kernelspec_install

    folder = tmp_path_factory.mktemp("jupyter")
    kernelspec_install.install(prefix=str(folder), name="python3")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JUPYTER_PATH", str(folder / "share" / "jupyter"))
        yield


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own to stand in, and nothing in the environment that could reach a real store."""
    for name in list(os.environ):
        if name.startswith(SCRUBBED):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("NBOPS_KERNELS_IDLE_MINUTES", "3")  # templates of the tests do not stay for long
    monkeypatch.chdir(tmp_path)
    yield
    import sys

    if "mlflow" in sys.modules:
        import mlflow

        while mlflow.active_run():
            mlflow.end_run()
        mlflow.tracking.fluent._active_experiment_id = None
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database that MLflow has brought to its newest schema, made once for all workers. Copy it, don't change it."""
    from notebooks_lib.tracking import store

    folder = made_once(tmp_path_factory, "migrated", lambda folder: store.connect(load(folder, {})))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.store.db import utils

    with pytest.MonkeyPatch.context() as patch:  # MLflow reads its migrations anew for each store that it opens
        patch.setattr(utils, "_get_latest_schema_revision", functools.cache(utils._get_latest_schema_revision))
        yield folder


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker to need it has made, and all others only read."""
    shared = factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not (done := shared / f"{name}.done").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture
def empty_project(tmp_path: Path) -> Settings:
    """A project in which nothing has run yet: no database, no state."""
    root = tmp_path / "project"
    (root / "production").mkdir(parents=True)
    (root / "production" / "settings.toml").write_text(
        '[project]\nname = "sample"\n[promotion]\ntrusted_flavors = ["sklearn", "python_function"]\n'
    )
    os.chdir(root)
    return load(root, {})


@pytest.fixture
def project(empty_project: Settings, migrated: Path) -> Settings:
    """A project with an empty tracking store."""
    copy_store(migrated, empty_project.root)
    return empty_project


def copy_store(migrated: Path, root: Path) -> None:
    """Give the project at `root` an empty store that is marked as ready: MLflow need not check its schema again."""
    shutil.copytree(migrated / ".nbops", root / ".nbops", ignore=shutil.ignore_patterns("*-wal", "*-shm", "*.lock"))
