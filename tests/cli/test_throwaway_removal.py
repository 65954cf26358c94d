"""What a killed process left in a workspace is known to the next one; that of a living process is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.cli import throwaway_removal
from notebooks_lib.cli.throwaway_project import ThrowawayProject
from notebooks_lib.settings import Settings

PLACE = Workspace("sub", "group", "space")


def test_only_what_has_no_living_owner_is_left_behind(empty_project: Settings) -> None:
    project = ThrowawayProject("nbops-verify-1", Path(), PLACE)
    file = throwaway_removal.note(empty_project, project)
    assert list(throwaway_removal.left_behind(empty_project)) == [], "its owner is this process"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": gone.pid, "born": ""}))
    assert list(throwaway_removal.left_behind(empty_project)) == [("nbops-verify-1", PLACE, file)]


def test_a_damaged_note_is_removed(empty_project: Settings) -> None:
    file = throwaway_removal.note(empty_project, ThrowawayProject("nbops-verify-1", Path(), PLACE))
    file.write_text('{"pid": ')
    assert list(throwaway_removal.left_behind(empty_project)) == []
    assert not file.exists()


def test_what_cannot_be_removed_is_named_and_the_rest_is_removed(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MlflowException("INTERNAL_ERROR: no such route")

    removed: list[str] = []
    monkeypatch.setattr(throwaway_removal.rest_client, "resource_manager", lambda: None)
    monkeypatch.setattr(throwaway_removal.online_endpoint, "delete_endpoint", lambda *_: removed.append("endpoint"))
    monkeypatch.setattr(throwaway_removal, "_cancel_jobs", lambda *_: removed.append("jobs"))
    monkeypatch.setattr(throwaway_removal, "_remove_model", fails)
    monkeypatch.setattr(throwaway_removal.data_asset, "archive_asset", lambda *_: removed.append("asset"))
    monkeypatch.setattr(throwaway_removal, "_remove_runs", lambda *_: removed.append("runs"))
    project = ThrowawayProject("nbops-verify-1", empty_project.root, PLACE)
    assert throwaway_removal.remove(project) == ["model nbops-verify-1: INTERNAL_ERROR: no such route"]
    assert removed == ["endpoint", "jobs", "asset", "runs"]
