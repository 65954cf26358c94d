"""A change of a stage that dies anywhere is finished or undone by the next command; one that fails goes back at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.errors import PromotionError
from notebooks_lib.promotion import change, journal, slots, verify
from notebooks_lib.promotion.change import Change
from notebooks_lib.promotion.journal import Desk
from notebooks_lib.serving import endpoint
from notebooks_lib.settings import CanaryStep, Settings, load
from notebooks_lib.tracking import ledger, registry
from notebooks_lib.tracking.store import Store, connect
from tests.promotion.moving import MODEL, Killed, agreed, back, die, dying, promote, version

pytestmark = pytest.mark.tracking


@pytest.fixture(scope="module")
def project_with_two(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A project with versions 1 and 2 behind a running endpoint, made once: starting takes longer than all the rest."""
    root = tmp_path_factory.mktemp("moving")
    (root / "production").mkdir()
    (root / "production" / "settings.toml").write_text('[project]\nname = "sample"\n')
    shutil.copytree(migrated / ".nbops", root / ".nbops")
    settings = load(root, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = connect(settings)
        promote(made, version(made, 1.0))
        promote(made, version(made, 2.0))
    yield settings
    endpoint.stop(settings, MODEL)


@pytest.fixture
def store(project_with_two: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Version 1 serves, 2 is in the other slot. A canary's requests are our own, at once; the small load is very small."""
    from notebooks_lib.promotion import canary

    monkeypatch.setattr(canary, "QUIET", 0.0)
    monkeypatch.setattr(verify, "LOAD", 8)
    found = connect(project_with_two)
    if agreed(found) == "2":
        back(project_with_two)
    return found


def test_died_anywhere_it_is_finished_or_undone_by_the_next_command(store: Store) -> None:
    """After every entry that a rollback's journal has; test_killed.py does it to both, for real, before and after."""
    two = registry.get(store, MODEL, 2)
    promote(store, two)
    back(store.settings)
    entries = Desk(store.settings, MODEL, "prod").newest().entries
    finished = []
    for at in range(len(entries)):
        if not finished or agreed(store) == "1":
            promote(store, two)
        with pytest.raises(Killed), dying(at, written=True, how=die):
            back(store.settings)
        said = change.mend(store, MODEL, "prod")
        finished.append(agreed(store) == "1")
        assert ("finished" in said) == (finished[-1] and at < len(entries) - 1)
    assert finished == sorted(finished), "from some entry on it is finished, never undone again"
    assert {*finished} == {False, True}


def test_a_canary_that_does_badly_goes_back_by_itself(store: Store) -> None:
    two = registry.get(store, MODEL, 2)
    moving = Change.begin(store, two, kind="promotion", stage="prod", reason="a test")
    moving.deploy()
    moving.test()
    assert "40 requests" in str(moving.share(CanaryStep(traffic=50, requests=40)))
    real = verify.asker

    def fewer(settings: Any, name: str) -> Any:
        """Our own requests for the new version are refused by it."""
        ask = real(settings, name)
        wrong = {"dataframe_split": {"columns": ["doors"], "data": [[1]]}}
        return lambda payload, slot: ask(payload if slot == old else wrong, slot)

    old = slots.holding(endpoint.status(store.settings, MODEL), registry.champion(store, MODEL))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PromotionError) as caught:
        patch.setattr(verify, "asker", fewer)
        moving.share(CanaryStep(traffic=20, requests=40))
    assert "requests were refused or failed, more than 1 %" in str(caught.value)
    assert "version 1 serves as before and is champion" in str(caught.value)
    assert agreed(store) == "1"
    newest = ledger.read(store, MODEL)
    assert [(entry.what, entry.before, entry.after) for entry in newest[:3]] == [
        ("failed", "1", "2"),
        ("traffic", "1=80,2=20", "1=100"),
        ("traffic", "1=50,2=50", "1=80,2=20"),
    ]
    assert "refused or failed" in newest[0].reason


def test_two_at_once_are_one_after_the_other(store: Store) -> None:
    two = registry.get(store, MODEL, 2)
    desk = Desk(store.settings, MODEL, "prod")
    code = (
        f"import sys, filelock\nlock = filelock.FileLock({str(desk.folder / 'lock')!r})\nlock.acquire()\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(PromotionError, match="being changed by another process"):
            Change.begin(store, two, kind="promotion", stage="prod", reason="too early")
        other.stdin.close()
    Change.begin(store, two, kind="promotion", stage="prod", reason="now").undo("only a try")


def test_a_journal_that_was_torn_says_what_it_can(project: Any) -> None:
    desk = Desk(project, "m", "prod")
    desk.take()
    begun = desk.begin({"kind": "promotion", "version": "7", "stage": "prod", "who": "ada@here"})
    begun.write("deploy")
    with begun.path.open("ab") as file:
        file.write(b'{"step": "te')
    (left,) = journal.unfinished(project, "m")
    assert left.steps == ["deploy"]
    assert "the promotion of version 7 to prod, begun" in journal.told(left)
    left.write("undo")
    again = desk.pending()
    assert again.steps == ["deploy", "undo"]
    again.write("end", outcome="undone")
    assert desk.pending() is None
    for _ in range(25):
        desk.begin({"kind": "promotion"})
    assert len(list(desk.folder.glob("*.jsonl"))) <= journal.KEPT
    desk.release()


def test_history_tells_what_moved_and_what_is_unfinished(
    store: Store, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from notebooks_lib.__main__ import run as nbops

    two = registry.get(store, MODEL, 2)
    with pytest.raises(Killed), dying(2, written=True, how=die):
        promote(store, two)
    monkeypatch.chdir(store.settings.root)
    assert nbops(["history", MODEL]) == 0
    out = capsys.readouterr().out
    assert "promotion: a test" in out
    assert "unfinished: the promotion of version 2 to prod" in out
    assert nbops(["history", MODEL, "--stage", "prod", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"mark", "traffic"} <= {entry["what"] for entry in told["entries"]}
    assert len(told["unfinished"]) == 1
    assert nbops(["history", "hauses"]) == 2
    assert "did you mean 'houses'" in capsys.readouterr().err
    change.mend(store, MODEL, "prod")
    assert agreed(store) == "1"
