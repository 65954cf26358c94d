"""`nbops history`: the ledger of a model, newest first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.models import registry
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import ledger
from notebooks_lib.tracking.store import Store, connect

pytestmark = pytest.mark.tracking


@pytest.fixture
def registered(project: Settings, light: dict[str, Path]) -> Store:
    """A project whose model `sample` has version 1, champion of nothing yet."""
    store = connect(project)
    run_id = store.client.create_run(store.experiment_id("any")).info.run_id
    store.client.log_artifacts(run_id, str(light["double"]), "model")
    registry.register(store, "sample", run_id)
    return store


def test_each_move_of_the_champion_is_listed(registered: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["history", "sample"]) == 0
    assert "nothing of sample has moved yet" in capsys.readouterr().out
    ledger.write_entry(registered, ledger.LedgerEntry("sample", "prod", "champion", "", "1", reason="the first"), "key")
    assert program.run(["history", "sample", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    [entry] = content["entries"]
    assert (entry["stage"], entry["from"], entry["to"], entry["reason"]) == ("prod", "", "1", "the first")
    assert content["unfinished"] == []
    assert program.run(["history", "sample", "--stage", "dev", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []


def test_unknown_models_and_stages_are_usage_errors(registered: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["history", "samle"]) == 2
    assert "did you mean 'sample'?" in capsys.readouterr().err
    assert program.run(["history", "sample", "--stage", "live"]) == 2
    assert "known: dev, prod, test" in capsys.readouterr().err
