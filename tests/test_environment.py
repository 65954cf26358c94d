"""One set of versions: pyproject, conda file and lock agree, as do editors; no third party's telemetry is on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from notebooks_lib.settings import Settings
from tests import environment


def test_pyproject_conda_and_lock_agree() -> None:
    assert environment.problems() == []


def test_importing_nbformat_does_not_build_a_grammar() -> None:
    """jsonschema from 4.25 on does, through rfc3987-syntax, and every kernel client would pay (docs/design trap 12)."""
    code = "import sys, nbformat, jsonschema; assert 'rfc3987_syntax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.proof
def test_mlflows_telemetry_is_off(project: Settings) -> None:
    code = (
        "import os; os.environ.pop('MLFLOW_DISABLE_TELEMETRY', None); os.environ.pop('CI', None)\n"
        "from notebooks_lib import tracking; tracking.run()\n"
        "from mlflow.telemetry.client import get_telemetry_client\nassert get_telemetry_client() is None"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project.root, check=True)


def test_editors_read_their_files_and_a_container_is_set_up_by_make() -> None:
    folder = environment.ROOT
    container = json.loads((folder / ".devcontainer/devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"] == "make setup"
    recommended = json.loads((folder / ".vscode/extensions.json").read_text("utf-8"))["recommendations"]
    assert container["customizations"]["vscode"]["extensions"] == recommended
    interpreter = json.loads((folder / ".vscode/settings.json").read_text("utf-8"))["python.defaultInterpreterPath"]
    assert interpreter == "${workspaceFolder}/.venv/bin/python"
