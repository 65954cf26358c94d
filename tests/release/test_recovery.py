"""SIGKILL at every entry of the journal, before its step and after, while the endpoint is asked without a pause."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.errors import PromotionError, StageBusyError
from notebooks_lib.models import registry
from notebooks_lib.release import recovery
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.release.journal import END, Journal
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.store import Store, connect
from tests.promotion.conftest import better, worse
from tests.release.machines import Machine, clone, shared_endpoints
from tests.release.moving import MODEL, agreed, back, forgive, promote, version
from tests.release.test_promotion_pipeline import Journey
from tests.serving.load import Load

pytestmark = [pytest.mark.tracking, pytest.mark.proof, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
CANARY = """
[stages.prod]
canary = [{mirror = 100, requests = 20}, {traffic = 10, requests = 20}, {traffic = 50, requests = 20}]
"""


@pytest.fixture
def store(endpoints: Settings) -> Store:
    """Version 1 serves, version 2 is in the other slot, and comes by a canary of three steps."""
    with endpoints.layout.settings_file.open("a") as file:
        file.write(CANARY)
    store = connect(load(endpoints.root, {}))
    promote(store, version(store, 1.0))
    promote(store, version(store, 2.0))
    back(store.settings)
    return store


@dataclass
class Places:
    """Where a change is killed and where the next command is given."""

    store: Store
    """Of the next command."""
    killed: Callable[..., None]
    """Carries an order out in a process of its own, which dies over it."""


@pytest.fixture(params=["file", "store"])
def places(
    request: pytest.FixtureRequest,
    store: Store,
    start: Callable[..., Machine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Places]:
    """In the same folder of one machine; and, if the tracking store has the journal, in clones on two machines."""
    here, project = store.settings, store.settings

    def killed(do: str, **more: Any) -> None:
        machine = start(root, name, shared=bool(name), owner=str(project.root) if name else "")
        machine.begin(do, **more)
        assert machine.died()
        machine.close()

    if request.param == "file":
        root, name = project.root, ""
        yield Places(store, killed)
        return
    root, name = clone(project, tmp_path / "first").root, "far"
    here = clone(project, tmp_path / "second")
    monkeypatch.chdir(here.root)
    with shared_endpoints(project, heartbeat=0.1):
        yield Places(connect(here), killed)


@pytest.mark.parametrize("kind", ["promotion", "rollback"])
def test_the_next_command_finishes_or_undoes_and_nobody_is_refused(places: Places, kind: str) -> None:
    store = places.store
    two = registry.get(store, MODEL, 2)
    there, back_again = lambda: promote(store, two, probing=Probing()), lambda: back(store.settings)
    do, undo = (there, back_again) if kind == "promotion" else (back_again, there)
    order: dict[str, Any] = {"do": "promote", "version": 2} if kind == "promotion" else {"do": "back"}
    if kind == "rollback":
        there()
    do()
    newest = changes_of(store.settings, MODEL, "prod").newest()
    assert newest is not None
    entries = newest.entries  # the kill points: nobody lists them by hand
    assert entries[-1].step == END
    undo()
    start = agreed(store)
    port = endpoint_for(store.settings, MODEL).status().port
    ended: dict[tuple[int, bool], str] = {}
    payload = {"dataframe_split": {"columns": ["rooms"], "data": [[1.0]]}}
    with Load(port, payload, connections=2, pause=0.005) as load_:
        for at in range(len(entries) + 1):
            for written in (False, True):
                places.killed(**order, at=at, written=written)
                said = recovery.recover(store, MODEL, "prod")
                ended[at, written] = agreed(store)
                cut = at > 0 or written
                assert (said is not None) == (cut and not (at == len(entries) and written))
                if ended[at, written] != start:
                    undo()
                assert agreed(store) == start
    assert load_.failed == {}
    assert load_.total > 1000
    moved = [each != start for each in ended.values()]
    assert moved == sorted(moved), "from some entry on it is finished, never undone again"
    assert 0 < sum(moved) < len(moved)
    print(f"{kind}: {len(ended)} kills, {sum(moved)} finished, {load_.total} requests, none failed")


def test_of_two_machines_that_promote_at_once_one_is_refused(
    store: Store, start: Callable[..., Machine], tmp_path: Path
) -> None:
    project, outcomes = store.settings, []
    before = release_ledger.read_entries(store, MODEL)
    with shared_endpoints(project, heartbeat=1.0):
        machines = [start(clone(project, tmp_path / name).root, name, owner=str(project.root)) for name in "ab"]
        for machine in machines:
            machine.begin("promote", version=2)
        for machine in machines:
            try:
                machine.answer()
                outcomes.append("promoted")
            except StageBusyError:
                outcomes.append("refused")
        assert sorted(outcomes) == ["promoted", "refused"]
        assert agreed(store) == "2"
    moves = release_ledger.read_entries(store, MODEL)[: -len(before)]
    assert [entry.what for entry in moves].count("mark") == 1
    assert "failed" not in [entry.what for entry in moves]


def test_a_machine_that_sleeps_before_an_entry_moves_nothing_when_it_wakes(
    store: Store, start: Callable[..., Machine], tmp_path: Path
) -> None:
    """Its change was settled meanwhile, from another folder; then both agree with the ledger still."""
    project, far = store.settings, clone(store.settings, tmp_path / "far")
    here = connect(clone(project, tmp_path / "here"))
    two, ended = registry.get(here, MODEL, 2), []
    with shared_endpoints(project, heartbeat=0.1):
        promote(here, two)
        newest = changes_of(here.settings, MODEL, "prod").newest()
        assert newest is not None
        back(here.settings)
        for at in range(1, len(newest.entries) + 1):
            forgive(here, 2)
            machine = start(far.root, f"far-{at}", owner=str(project.root))
            machine.begin("promote", version=2, at=at, written=False, sleep=True)
            machine.stopped()
            assert recovery.recover(here, MODEL, "prod") is not None
            ended.append(agreed(here))
            os.kill(machine.pid, signal.SIGCONT)
            with pytest.raises(PromotionError, match="was taken over by .*, because no heartbeat came"):
                machine.answer()
            assert agreed(here) == ended[-1]
            if ended[-1] == "2":
                back(here.settings)
    assert ended == sorted(ended)
    assert {*ended} == {"1", "2"}


def test_the_command_itself_is_killed_and_given_again(
    trials: Any, houses: Any, gate: Any, endpoints: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """`nbops promote --live`, killed from outside as soon as an entry stands in its journal; then given once more."""
    import shutil

    shutil.copy(ROOT / "production" / "promote.ipynb", endpoints.root / "production")
    trials.fitted(worse(), houses)
    Journey(trials, gate).promote()
    trials.fitted(better(), houses)
    store, lock = trials.store, LocalStageChanges(endpoints, MODEL, "prod")
    port = endpoint_for(endpoints, MODEL).status().port
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [
        sys.executable,
        "-m",
        "notebooks_lib",
        "promote",
        "--live",
        "-p",
        "experiment=houses",
        "-p",
        "model_name=houses",
    ]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=endpoints.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def reset() -> None:
        back(endpoints)
        forgive(store, 2)

    with start() as first:
        assert first.wait(120) == 0, first.stdout.read() if first.stdout else ""
    whole = len(lock.newest().entries) + 1
    reset()
    payload = {"dataframe_split": {"columns": ["rooms", "roof"], "data": [[1.0, 1.0]]}}
    outcomes = []
    with Load(port, payload, connections=1, pause=0.01) as load_:
        for at in range(1, whole):
            before = lock.newest().id
            with start() as cut:
                journal = _reached(lock, before, at, cut)
                with_end = journal.ended
                os.kill(int(journal.change.pid), signal.SIGKILL)
                said = cut.communicate(timeout=120)[0]
            assert cut.returncode == (0 if "promoted: houses" in said else 1), said
            with start() as again:
                told = again.communicate(timeout=120)[0]
            assert again.returncode == 0, told
            assert agreed(store) == "2"
            outcomes.append((at, with_end, "undone, then promoted" if "promoted: houses" in told else "finished"))
            reset()
            assert agreed(store) == "1"
    assert load_.failed == {}
    print(outcomes, f"{load_.total} requests, none failed")


def _reached(lock: LocalStageChanges, before: str, entries: int, process: subprocess.Popen[str]) -> Journal:
    """The new journal as soon as it has so many entries after its first line."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        newest = lock.newest()
        if newest is not None and newest.id != before and len(newest.entries) >= entries:
            return newest
        assert process.poll() is None, process.communicate()[0]
    raise AssertionError("no such entry was written")
