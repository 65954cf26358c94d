"""`nbops history`: the ledger of a model, newest first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.models import registry
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import release_ledger
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
    release_ledger.write_entry(
        registered, release_ledger.LedgerEntry("sample", "prod", "champion", "", "1", reason="the first"), "key"
    )
    assert program.run(["history", "sample", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    [entry] = content["entries"]
    assert (entry["stage"], entry["from"], entry["to"], entry["reason"]) == ("prod", "", "1", "the first")
    assert content["unfinished"] == []
    assert program.run(["history", "sample", "--stage", "dev", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []


def test_the_table_explains_itself_in_80_columns(registered: Store, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "promotion: " + "it wins on the holdout rows " * 5
    split = release_ledger.LedgerEntry(
        "sample", "prod", "traffic", "1=100", "1=90,2=10", reason=reason, run="0123456789", who="me"
    )
    release_ledger.write_entry(registered, split, "split")
    release_ledger.write_entry(registered, replace(split, what="mark", before="", after="2"), "mark")
    assert program.run(["history", "sample"]) == 0
    _, mark, traffic, *why = capsys.readouterr().out.splitlines()
    assert mark.split()[2:] == ["prod", "champion", "-", "2", "me", "01234567"]
    assert "1 (100 %)     1 (90 %), 2 (10 %)" in traffic
    assert " ".join(line.strip() for line in why) == reason.strip(), "once for both, below the second"
    assert len(why) > 1
    assert all(len(line) <= 80 for line in why)


def test_unknown_models_and_stages_are_usage_errors(registered: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["history", "samle"]) == 2
    assert "did you mean 'sample'?" in capsys.readouterr().err
    assert program.run(["history", "sample", "--stage", "live"]) == 2
    assert "known: dev, prod, test" in capsys.readouterr().err
