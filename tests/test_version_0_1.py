"""What a project of version 0.1 has on disk is read as it was: store, ledger, an unfinished promotion, an endpoint."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.settings import Settings

OLD = Path(__file__).parent / "data" / "version_0_1"

pytestmark = pytest.mark.tracking


@pytest.fixture
def old_project(empty_project: Settings) -> Settings:
    """A project whose second promotion was cut short after the contract test of version 2."""
    shutil.copytree(OLD, empty_project.layout.state)
    script = (OLD / "mlflow.sql").read_text("utf-8").replace("/home/ada/project", str(empty_project.root))
    with closing(sqlite3.connect(empty_project.layout.database)) as database:
        database.executescript(script)
    return empty_project


def test_everything_of_version_0_1_is_read(old_project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*words: str) -> Any:
        nbops([*words, "--json"])
        return json.loads(capsys.readouterr().out)

    history = answer("history", "houses")
    assert [(move["what"], move["to"]) for move in history["entries"]] == [("mark", "1"), ("traffic", "1=100")]
    assert "promotion of version 2 to prod" in str(history["unfinished"])
    assert "at step 'test'" in str(history["unfinished"])

    (table,) = answer("compare", "houses", "--metric", "rmse")["tables"]
    assert [row["value"] for row in table["runs"]] == pytest.approx([59.464226, 71.409773])

    status = answer("endpoint", "status", "houses")
    assert (status["state"], status["version"], status["port"]) == ("broken", "1", 38839)
    assert "its server process is gone" in status["last_error"]
    assert {name: (slot["version"], slot["traffic"]) for name, slot in status["slots"].items()} == {
        "blue": ("1", 100),
        "green": ("2", 0),
    }
