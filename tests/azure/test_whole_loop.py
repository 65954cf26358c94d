"""The whole loop, unchanged, with an Azure ML workspace as the store: run, compare, promote, ask, keep."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.models import champions
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests.azure.fixtures import AzureProject

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


def test_the_loop_of_the_readme_holds_on_a_workspace(azure_workspace: AzureProject) -> None:
    settings = azure_workspace.settings
    for folder in ("experimentation", "production"):
        shutil.copytree(
            ROOT / folder, settings.root / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("settings.toml")
        )
    name = settings.project_name  # the workspace is shared by tests: names of our own

    def nbops(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "notebooks_lib", *arguments],
            cwd=settings.root,
            env={**os.environ, **azure_workspace.environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    subject = ("-p", f"experiment={name}", "-p", f"model_name={name}")
    try:
        runs = [
            json.loads(
                nbops("run", "experimentation/diabetes_ridge.ipynb", "-p", f"experiment={name}", *more, "--json")
            )
            for more in ([], ["-p", "alpha=1000.0"])
        ]
        assert runs[0]["run_id"][:8] in nbops("compare", name, "--metric", "rmse").splitlines()[4]
        promoted = json.loads(nbops("promote", "--live", *subject, "--json"))
        assert promoted["promoted"] is True
        answer = json.loads(nbops("endpoint", "invoke", name, "--json"))
        assert len(answer["predictions"]) == 1
        again = json.loads(nbops("promote", "--live", *subject, "--json"))
        assert again["promoted"] is False
    finally:
        nbops("endpoint", "stop", name)

    connected = store.connect(settings)
    assert connected.uri.startswith("azureml://")
    for run in runs:
        info = query.get_run(connected, run["run_id"])
        assert info.ended
        assert info.tags[Tag.DATASET_PREFIX + "diabetes"].startswith("diabetes@1#")
        assert {"rmse", "baseline_rmse"} <= set(info.metrics)
    champion = champions.champion(connected, name)
    assert champion is not None
    assert champion.run_id == runs[0]["run_id"]
