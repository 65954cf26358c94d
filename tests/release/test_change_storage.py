"""What runs a stage's endpoint says where its changes are kept; commands find and settle both kinds, in any folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.models import registry
from notebooks_lib.release import change_storage
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.release.journal import ChangeRecord
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.release.rollout import Rollout
from notebooks_lib.release.shared_stage_changes import SharedStageChanges
from notebooks_lib.serving import local_endpoint, targets
from notebooks_lib.serving.targets import TARGETS, EndpointTarget
from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.store import Store, connect
from tests.release.machines import Machine, clone, shared_endpoints
from tests.release.moving import MODEL, Killed, agreed, back, die, dying, forgive, promote, version
from tests.serving.memory_endpoint import in_memory

pytestmark = pytest.mark.tracking


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Settings]]:
    """Two clones of a project whose endpoints both reach: version 1 serves, version 2 is in the other slot."""
    root = tmp_path_factory.mktemp("clones")
    (root / "first" / "production").mkdir(parents=True)
    (root / "first" / "production" / "settings.toml").write_text(
        '[project]\nname = "sample"\n[promotion]\ntrusted_flavors = ["sklearn", "python_function"]\n'
        "[stages.prod]\nmax_latency_ratio = 1000\n"  # what a busy machine adds is not what is tested here
    )
    first = load(root / "first", {})
    with in_memory(root / "memory"), shared_endpoints(first):
        store = connect(first)
        promote(store, version(store, 1.0))
        promote(store, version(store, 2.0))
        back(first)
        yield first, clone(first, root / "second")


@pytest.fixture
def here(folders: tuple[Settings, Settings], monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of the second clone, in which commands are given; version 1 serves, and 2 may enter."""
    monkeypatch.chdir(folders[1].root)
    store = connect(folders[1])
    if agreed(store) != "1":
        back(folders[0])
    forgive(store, 2)
    return store


def test_changes_are_kept_where_all_who_reach_the_endpoint_find_them(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        TARGETS, "local", EndpointTarget(targets.open_here, local_endpoint.names)
    )  # whatever `folders` set
    here, elsewhere = (
        ChangeRecord("promotion", "m", "dev", "7", "ada"),
        ChangeRecord("rollback", "m", "prod", "6", "ada"),
    )
    local = changes_of(project, "m", "dev")
    local.take()
    local.begin(here).write("deploy")
    local.release()
    with shared_endpoints():
        shared = changes_of(project, "m", "prod")
        shared.take()
        shared.begin(elsewhere).write("test")
        shared.release()
        assert (type(local), type(shared)) == (LocalStageChanges, SharedStageChanges)
        unfinished = change_storage.unfinished_changes(project)
    assert [(change.change.stage, change.steps) for change in unfinished] == [("dev", ["deploy"]), ("prod", ["test"])]
    assert [change.change.stage for change in change_storage.unfinished_changes(project)] == ["dev"]


def test_a_local_project_asks_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "local", EndpointTarget(targets.open_here, local_endpoint.names))
    assert change_storage.unfinished_changes(Settings(root=tmp_path)) == []
    assert not (tmp_path / ".nbops").exists()


@pytest.mark.proof
def test_a_rollback_in_another_folder_settles_what_was_cut_short(
    folders: tuple[Settings, Settings], here: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store = connect(folders[0])
    two = registry.get(store, MODEL, 2)
    promote(store, two)
    newest = changes_of(here.settings, MODEL, "prod").newest()
    assert newest is not None
    back(folders[0])
    forgive(here, 2)
    steps = newest.steps
    for step, outcome in (("test", "undone"), ("mark", "finished")):
        with pytest.raises(Killed), dying(steps.index(step) + 1, written=True, how=die):
            promote(store, two)
        capsys.readouterr()
        assert nbops(["history", MODEL]) == 0
        assert "unfinished: the promotion of version 2 to prod, begun" in capsys.readouterr().out
        assert nbops(["rollback", MODEL, "--json"]) == 0
        done = json.loads(capsys.readouterr().out)
        assert f"at step '{step}', was cut short: {outcome}" in done["mended"]
        assert done["version"] == agreed(here) == "1"
        forgive(here, 2)


@pytest.mark.proof
def test_a_stage_that_another_machine_changes_is_refused_by_all_commands(
    folders: tuple[Settings, Settings], here: Store, start: Callable[..., Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    """With who, where, since when, and when it counts as gone; exit code 2, and nothing has changed."""
    far = start(folders[0].root, "far", model=MODEL)
    rollout = Rollout(here, MODEL, ("prod",), dry_run=False, reason="a test")
    rollout.version, rollout.compared = registry.get(here, MODEL, 2), "1"
    rollout.wait("prod")
    far("take")
    far("begin", version="2")
    far("write", step="deploy")
    before = release_ledger.read_entries(here, MODEL)
    for command in (["promote", "--continue", MODEL], ["rollback", MODEL]):
        capsys.readouterr()
        assert nbops(command) == 2
        error = capsys.readouterr().err
        assert "stage 'prod' of 'houses' is being changed by root@far (process " in error
        assert "UTC: try again when that has ended, or end that process there" in error
        assert "it is the promotion of version 2 to prod, begun" in error
    assert release_ledger.read_entries(here, MODEL) == before
    far.kill()
    assert nbops(["promote", "--continue", MODEL]) == 0
    assert agreed(here) == "2"
