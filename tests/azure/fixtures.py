"""Fixtures for an Azure ML workspace on this machine; tests/conftest.py imports them for every test."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking.store import Store
from tests import building
from tests.azure import emulator
from tests.azure.emulator import stand_in_az

MANAGEMENT = "https://management.azure.com"
VERSION = "api-version=2024-10-01-preview"
LOGIN = f"https://login.microsoftonline.com/{emulator.TENANT}"
Ask = Callable[..., requests.Response]
WithWorkspace = Callable[..., Settings]
NbopsJson = Callable[..., tuple[int, Any, str]]
PARAMETERS = "alpha: float = 1.0  # strength\nseed: int = 1  # of the split"
CELLS = (
    "import random\nimport mlflow\nimport notebooks_lib\nrandom.seed(seed)",
    "mlflow.log_metric('rmse', alpha * random.random())\nmlflow.log_text('all well', 'report/note.txt')",
    "mlflow.set_tag('nbops_of', notebooks_lib.__file__)",
)


@dataclass(frozen=True)
class AzureProject:
    """A fresh project whose settings name the emulated workspace, and the variables by which a process reaches it."""

    settings: Settings
    environment: dict[str, str]


@pytest.fixture(scope="session")
def azure_server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Emulated]:
    """One emulated Azure ML workspace for the session: a process of its own, stopped at the end."""
    with emulator.running(tmp_path_factory.mktemp("azure"), migrated / ".nbops" / "mlflow.db") as emulated:
        yield emulated


@pytest.fixture
def azure_workspace(
    azure_server: emulator.Emulated, empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureProject]:
    """A fresh project on the emulated workspace, with an experiment of its own; this process can reach it too.

    A host that is not Azure's fails the test that asked for it.
    """
    for name in ("HTTPS_PROXY", "NO_PROXY"):  # of the machine, in small letters, they would be preferred
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in azure_server.environment.items():
        monkeypatch.setenv(name, value)
    # Every test shares the workspace, so nothing in it may bear the same name twice.
    text = f'[project]\nname = "sample-{uuid.uuid4().hex[:8]}"\n\n{azure_server.settings}'
    empty_project.layout.settings_file.write_text(text)
    with azure_server.only_azure():
        yield AzureProject(load(empty_project.root, {}), azure_server.environment)


@pytest.fixture
def with_workspace(azure_workspace: AzureProject, ask: Ask) -> WithWorkspace:
    """Return a project's settings with a workspace of its own, in which nothing is yet, for all but tracking."""

    def with_workspace(project: Settings, **properties: str) -> Settings:
        own = azure_workspace.settings.azure.model_copy(update={"workspace": f"w-{uuid.uuid4().hex[:8]}"})
        address = f"{MANAGEMENT}{emulator.SCOPE.rpartition('/')[0]}/{own.workspace}?{VERSION}"
        assert ask("PUT", address, {"location": "westeurope", "properties": properties}).ok
        return project.model_copy(update={"azure": own})

    return with_workspace


@pytest.fixture
def azure_group(azure_workspace: AzureProject, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty resource group, an `az` on the PATH that is signed in, and a project that names no workspace."""
    azure_workspace.settings.layout.settings_file.write_text('[project]\nname = "sample"\n')
    monkeypatch.setenv("PATH", f"{stand_in_az.put_on_path(tmp_path / 'bin')}:/usr/bin:/bin")
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "azure-cli"))
    stand_in_az.sign_in(tmp_path / "azure-cli", emulator.SUBSCRIPTION)
    group = f"g-{uuid.uuid4().hex[:8]}"
    address = f"{MANAGEMENT}/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{group}?{VERSION}"
    assert ask("PUT", address, {"location": "westeurope"}).ok
    return group


@pytest.fixture(params=["sqlite", "azureml"])
def either_store(request: pytest.FixtureRequest) -> Store:
    """The same promise on both: SQLite on this machine, and an Azure ML workspace through its real plugin."""
    from notebooks_lib.tracking import store

    if request.param == "sqlite":
        return store.connect(request.getfixturevalue("project"))
    return store.connect(request.getfixturevalue("azure_workspace").settings)


@pytest.fixture(params=["sqlite", "http", "azureml"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """As `either_store`, and a plain MLflow server that keeps the artifacts itself."""
    from notebooks_lib.tracking import store

    if request.param == "sqlite":
        return store.connect(request.getfixturevalue("project"))
    if request.param == "azureml":
        return store.connect(request.getfixturevalue("azure_workspace").settings)
    project = request.getfixturevalue("empty_project")
    server = request.getfixturevalue("azure_server")
    given = {"NBOPS_TRACKING_URI": server.backend, "NBOPS_PROJECT_NAME": f"plain-{uuid.uuid4().hex[:8]}"}
    return store.connect(load(project.root, given))


@pytest.fixture
def anybody(azure_server: emulator.Emulated) -> Ask:
    """Send a request as somebody who has not signed in."""

    def ask(method: str, address: str, **options: Any) -> requests.Response:
        proxies = {"https": azure_server.environment["HTTPS_PROXY"]}
        trusted = azure_server.environment["REQUESTS_CA_BUNDLE"]
        return requests.request(method, address, **{"proxies": proxies, "verify": trusted, "timeout": 30, **options})

    return ask


def sign_in(anybody: Ask, scope: str = f"{MANAGEMENT}/.default", **other: str) -> requests.Response:
    form = {"grant_type": "client_credentials", "client_id": emulator.CLIENT, "client_secret": emulator.SECRET}
    return anybody("POST", f"{LOGIN}/oauth2/v2.0/token", data=form | {"scope": scope} | other)


@pytest.fixture
def ask(anybody: Ask) -> Ask:
    """Send a request to the resource manager, signed in; a path alone is one below the workspace."""
    signed_in = {"Authorization": f"Bearer {sign_in(anybody).json()['access_token']}"}

    def ask(method: str, address: str, body: Any = None, query: str = VERSION) -> requests.Response:
        if not address.startswith("https:"):
            address = f"{MANAGEMENT}{emulator.SCOPE}/{address}?{query}"
        return anybody(method, address, json=body, headers=signed_in)

    return ask


@pytest.fixture
def azure_git_project(azure_workspace: AzureProject) -> Settings:
    """A project in git, with a change that is not committed."""
    settings = azure_workspace.settings
    building.write(settings.root / "experimentation" / "n.ipynb", *CELLS, parameters=PARAMETERS, title="A question")
    (settings.root / "requirements.lock").write_text("click==8.5.1\n")
    (settings.root / ".gitignore").write_text(".nbops\n")
    (settings.root / "environment.yml").write_text("dependencies:\n  - python=3.11\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=settings.root, check=True)
    (settings.root / "requirements.lock").write_text("click==8.5.1\nrich==15.0.0\n")
    return settings


@pytest.fixture
def nbops_json(capsys: pytest.CaptureFixture[str]) -> NbopsJson:
    """Run a command with --json; return its exit code, the object on stdout, and what is on stderr."""
    from notebooks_lib import __main__ as program

    def run(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = program.run([*arguments, "--json"])
        shown = capsys.readouterr()
        return code, json.loads(shown.out), shown.err

    return run
