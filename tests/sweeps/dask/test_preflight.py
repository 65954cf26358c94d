"""A worker that would run a notebook differently is rejected by name with a remedy; an equal one is accepted."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import socket
import sys

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Tracking
from notebooks_lib.sweeps.dask import preflight
from notebooks_lib.tracking import store
from tests.azure.emulator import Emulated

pytestmark = pytest.mark.tracking


@pytest.fixture
def here(project: Settings) -> tuple[preflight.WorkerRequirements, Settings]:
    """Return the requirements of a sweep in this process, and the settings of a fit worker: this process."""
    project.layout.lock.write_text("click==8.5.1 \\\n    --hash=sha256:00\nnumpy==1.0\nnot-installed==1.0 ; extra\n")
    connected = store.connect(project)
    required = preflight.worker_requirements(project, connected, connected.experiment_id("sample"), ["TOKEN"])
    return required, project.model_copy(update={"tracking": Tracking(uri=connected.uri)})


def only(required: preflight.WorkerRequirements, settings: Settings) -> str:
    (problem,) = preflight.worker_problems(required, settings)
    return problem


def test_a_local_worker_with_the_same_environment_is_fit_even_for_sqlite(
    here: tuple[preflight.WorkerRequirements, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    required, settings = here
    monkeypatch.setenv("TOKEN", "its value")
    assert list(preflight.worker_problems(required, settings)) == []
    assert required.packages["numpy"] == importlib.metadata.version("numpy"), "what is installed counts"
    assert {"nbops", "distributed", "click", "numpy"} <= required.packages.keys()
    assert "not-installed" not in required.packages
    assert "its value" not in repr(required)
    monkeypatch.delenv("TOKEN")
    assert only(required, settings) == "it has no TOKEN: secrets are not sent, set them where that worker starts"


def test_another_python_and_other_packages_are_named(
    here: tuple[preflight.WorkerRequirements, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    required, settings = here
    monkeypatch.setenv("TOKEN", "secret")
    python = dataclasses.replace(required, python="3.99", packages={"numpy": "0.1"})
    running = ".".join(str(part) for part in sys.version_info[:2])
    assert only(python, settings) == f"it has Python {running}, this machine 3.99: use one version on both"

    numpy = importlib.metadata.version("numpy")
    other = {"numpy": "0.1", "click": "0.2", "rich": "0.3", "psutil": "0.4", "only-here": "1.0", "nbops": "9.9"}
    problem = only(dataclasses.replace(required, packages=other), settings)
    assert problem.startswith(f"it has other packages (numpy {numpy}, here 0.1; click ")
    assert problem.endswith("; and 2 more): install the same requirements.lock there")
    assert "only-here" not in problem, "a tool of this machine, which no trial needs"
    monkeypatch.setattr(preflight, "_needed", lambda: ["only-here"])
    missing = dataclasses.replace(required, packages={"only-here": "1.0"})
    assert "(only-here missing, here 1.0)" in only(missing, settings)


def test_sqlite_on_another_machine_is_rejected_with_a_reason(
    here: tuple[preflight.WorkerRequirements, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    required, settings = here
    monkeypatch.setenv("TOKEN", "secret")
    database = settings.layout.database
    elsewhere = only(dataclasses.replace(required, host="laptop"), settings)
    assert elsewhere == (
        f"it runs on {socket.gethostname()} and cannot share {database} of laptop: a SQLite file and its locks are for "
        "one machine; start `mlflow server` where all reach it and name it in NBOPS_TRACKING_URI or [tracking] uri"
    )
    # The same name of a host, as in two containers, but another file under that path.
    files = {**required.files, str(database): (0, 0)}
    assert f"cannot share {database}" in only(dataclasses.replace(required, files=files), settings)
    database.unlink()
    assert f"cannot share {database}" in only(required, settings)
    assert not database.exists(), "nothing was made in its place"


def test_an_unreachable_server_is_named_and_artifacts_in_a_local_folder_are_rejected(
    azure_server: Emulated, empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = empty_project.model_copy(update={"tracking": Tracking(uri=azure_server.backend)})
    connected = store.connect(settings)
    required = preflight.worker_requirements(settings, connected, connected.experiment_id("fitness"), [])
    assert required.files == {}, "the server hands artifacts over"
    assert list(preflight.worker_problems(dataclasses.replace(required, host="laptop"), settings)) == []

    folder = empty_project.root / "its files"
    folder.mkdir()
    kept = connected.client.create_experiment("in a folder", artifact_location=folder.as_uri())
    required = preflight.worker_requirements(settings, connected, kept, [])
    assert required.files.keys() == {str(folder)}
    assert list(preflight.worker_problems(required, settings)) == []
    problem = only(dataclasses.replace(required, host="laptop"), settings)
    assert f"cannot share {folder} of laptop, where artifacts are kept: let the server hand them over" in problem

    nobody = dataclasses.replace(required, uri="http://127.0.0.1:9", files={})
    away = settings.model_copy(update={"tracking": Tracking(uri="http://127.0.0.1:9")})
    assert only(nobody, away).startswith("it cannot reach http://127.0.0.1:9: ")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("NBOPS_TRACKING_URI", "http://other:5000")
    assert only(required, settings) == (
        "it was started with another store, http://other:5000: unset NBOPS_TRACKING_URI and MLFLOW_TRACKING_URI there"
    )
