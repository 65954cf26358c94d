"""A change of a stage that dies anywhere is finished or undone by the next command; one that fails goes back at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.cli import promote as promote_command
from notebooks_lib.errors import PromotionError, TrackingError, UsageError
from notebooks_lib.models import champions, model_files, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.release import (
    approval,
    change_storage,
    decision_record,
    journal,
    pending_approval,
    recovery,
    stage_changes,
    version_deployment,
)
from notebooks_lib.release.canary_deployment import CanaryDeployment
from notebooks_lib.release.journal import ChangeRecord
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.release.manual_endpoint_changes import deploy_by_hand
from notebooks_lib.release.promotion_pipeline import stage_rollouts
from notebooks_lib.release.rollback import rollback
from notebooks_lib.release.rollout import Rollout
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.serving.targets import TARGETS, endpoint_for
from notebooks_lib.settings import Settings, load
from notebooks_lib.settings.sections import CanaryStep, Stage, Stages
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.store import Store, connect
from tests.release.moving import FAST, MODEL, Killed, agreed, back, die, dying, forgive, promote, version
from tests.serving.memory_endpoint import InMemoryEndpoint, in_memory

pytestmark = pytest.mark.tracking


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A project whose endpoints are in memory: version 1 serves, version 2 is in the other slot."""
    root = tmp_path_factory.mktemp("stage") / "project"
    (root / "production").mkdir(parents=True)
    (root / "production" / "settings.toml").write_text(
        '[project]\nname = "sample"\n[promotion]\ntrusted_flavors = ["sklearn", "python_function"]\n'
        "[stages.prod]\nmax_latency_ratio = 1000\n"  # what a busy machine adds is not what is tested here
    )
    settings = load(root, {})
    with in_memory(root / "memory"):
        store = connect(settings)
        promote(store, version(store, 1.0))
        promote(store, version(store, 2.0))
        back(settings)
        yield settings


@pytest.fixture
def store(serving: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The endpoint as each test finds it: version 1 serves, and nothing is known against version 2."""
    monkeypatch.chdir(serving.root)
    store = connect(serving)
    endpoint_for(serving, MODEL).start()
    recovery.recover(store, MODEL, "prod")
    forgive(store, 2)
    registry.set_tags(store, registry.get(store, MODEL, 2), {Tag.WAITING: ""})
    if agreed(store) == "2":
        back(serving)
        forgive(store, 2)
    return store


def memory(settings: Settings) -> InMemoryEndpoint:
    endpoint = endpoint_for(settings, MODEL)
    assert isinstance(endpoint, InMemoryEndpoint)
    return endpoint


@pytest.mark.proof
def test_died_anywhere_it_is_finished_or_undone_by_the_next_command(store: Store) -> None:
    """After every entry of a rollback's journal; test_recovery.py kills both kinds of change, before and after."""
    two = registry.get(store, MODEL, 2)
    promote(store, two)
    back(store.settings)
    entries = LocalStageChanges(store.settings, MODEL, "prod").newest().entries
    finished = []
    for at in range(len(entries) + 1):
        if not finished or agreed(store) == "1":
            promote(store, two)
        with pytest.raises(Killed), dying(at, written=True, how=die):
            back(store.settings)
        said = recovery.recover(store, MODEL, "prod")
        finished.append(agreed(store) == "1")
        assert (said is not None and said.outcome == "finished") == (finished[-1] and at < len(entries))
    assert finished == sorted(finished), "from some entry on it is finished, never undone again"
    assert {*finished} == {False, True}


def test_a_canary_that_does_badly_goes_back_by_itself(store: Store) -> None:
    two = registry.get(store, MODEL, 2)
    registry.set_tags(store, two, {Tag.WAITING: "{}"})
    moving = CanaryDeployment.begin(store, two, kind="promotion", stage="prod", reason="a test", probing=FAST)
    moving.deploy()
    moving.test()
    assert "40 requests" in str(moving.share(CanaryStep(traffic=50, requests=40)))
    endpoint = memory(store.settings)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PromotionError) as caught:
        patch.setattr(endpoint, "refuse", lambda slot: slot == moving.slot)
        moving.share(CanaryStep(traffic=20, requests=40))
    assert "requests were refused, more than 1 %" in str(caught.value)
    assert "version 1 serves as before and is champion" in str(caught.value)
    assert approval.waiting_version(store, MODEL) is None
    assert agreed(store) == "1"
    newest = release_ledger.read_entries(store, MODEL)
    assert [(entry.what, entry.before, entry.after) for entry in newest[:3]] == [
        ("failed", "1", "2"),
        ("traffic", "1=80,2=20", "1=100"),
        ("traffic", "1=50,2=50", "1=80,2=20"),
    ]
    assert "were refused" in newest[0].reason
    with pytest.raises(PromotionError, match="has ended; begin again"):
        moving.switch()  # as from a cell that is run although the one before it failed


def test_the_ledger_has_a_move_of_traffic_that_was_not_confirmed(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moved by a promotion or by hand, it fails; and it is an error of its own when the ledger cannot be written."""
    one, two = (registry.get(store, MODEL, number) for number in (1, 2))
    moving = CanaryDeployment.begin(store, two, kind="promotion", stage="prod", reason="a test", probing=FAST)
    moving.deploy()
    moving.test()
    memory(store.settings).confirms = False
    with pytest.raises(PromotionError, match="ended meanwhile; version 1 serves as before and is champion"):
        moving.share(CanaryStep(traffic=50, requests=40))
    assert agreed(store) == "1"
    assert [(entry.what, entry.before, entry.after) for entry in release_ledger.read_entries(store, MODEL)[:3]] == [
        ("failed", "1", "2"),
        ("traffic", "1=50,2=50", "1=100"),
        ("traffic", "1=100", "1=50,2=50"),
    ]

    memory(store.settings).confirms = False
    assert nbops(["endpoint", "traffic", MODEL, "blue=50", "green=50"]) == 1
    assert "its server process ended meanwhile" in capsys.readouterr().err
    newest = release_ledger.read_entries(store, MODEL)[0]
    assert (newest.before, newest.after, newest.reason) == ("1=100", "1=50,2=50", "by hand: nbops endpoint")

    serving = version_deployment.slot_holding(endpoint_for(store.settings, MODEL).status(), one)
    experiment = store.experiment_id(release_ledger.EXPERIMENT)
    store.client.delete_experiment(experiment)
    memory(store.settings).confirms = False
    assert nbops(["endpoint", "traffic", MODEL, f"{serving}=100"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search("ended meanwhile; the traffic .* moved from 1=50,2=50 to 1=100, but the ledger has no entry", line)
    store.client.restore_experiment(experiment)
    release_ledger.write_entry(
        store, release_ledger.LedgerEntry(MODEL, "prod", "traffic", "1=50,2=50", "1=100"), "the missing one"
    )
    assert agreed(store) == "1"


@pytest.mark.proof
def test_a_rollback_takes_back_what_was_cut_short_and_no_more(store: Store) -> None:
    """Version 2 is champion, with 1 before it; another release dies half way. Who says rollback wants 2 back, not 1."""
    one, two, here = registry.get(store, MODEL, 1), registry.get(store, MODEL, 2), store.settings
    forgive(store, 2)
    mark = promote(store, two).journal.steps.index("mark") + 1
    moving = CanaryDeployment.begin(store, one, kind="promotion", stage="prod", reason="a test", probing=FAST)
    moving.deploy()
    moving.test()
    with pytest.raises(Killed), dying(len(moving.journal.entries) + 3, written=True, how=die):
        moving.share(CanaryStep(traffic=50, requests=40))  # each answers half of the requests by then
    assert version_deployment.traffic_by_version(endpoint_for(here, MODEL).status()) == "1=50,2=50"
    done = rollback(here, MODEL, reason="they call us")
    assert (done.version.version, done.before, done.mended.outcome) == ("2", None, "undone")
    assert done.status.version == agreed(store) == "2"
    assert registry.get(store, MODEL, 2).withdrawn == ()
    newest = release_ledger.read_entries(store, MODEL)[0]
    assert newest.what == "failed"
    assert newest.reason == "promotion: cut short at step 'canary', undone by nbops rollback: they call us"

    # Said again it goes one further back. Cut short before it had, it does so then; after that, it has gone back already.
    assert done.further == "nbops rollback houses"
    for entry in (1, mark):
        with pytest.raises(Killed), dying(entry, written=True, how=die):
            rollback(here, MODEL)
    done = rollback(here, MODEL)
    assert (done.version.version, done.before, done.mended.outcome) == ("1", None, "finished")
    assert agreed(store) == "1"

    # A promotion that was past its point of no return is finished, and gone back from.
    with pytest.raises(Killed), dying(mark, written=True, how=die):
        promote(store, two)
    done = rollback(here, MODEL)
    assert (done.version.version, done.before.version, done.mended.outcome) == ("1", "2", "finished")
    assert agreed(store) == "1"

    # A version that is named and serves by mending is there; where nothing was before, nothing is.
    with pytest.raises(Killed), dying(1, written=True, how=die):
        promote(store, two)
    assert rollback(here, MODEL, to="1").before is None
    assert agreed(store) == "1"
    with pytest.raises(Killed), dying(0, written=True, how=die):
        promote(store, two, "test")
    done = rollback(here, MODEL, stage="test")
    assert (done.version, done.status, done.further) == (None, None, "")
    with pytest.raises(UsageError, match="no champion in test, so there is nothing to go back from"):
        rollback(here, MODEL, stage="test")


def test_two_at_once_are_one_after_the_other(store: Store) -> None:
    two = registry.get(store, MODEL, 2)
    lock = LocalStageChanges(store.settings, MODEL, "prod")
    lock.take()  # a change of another test that was cut short in this process may hold it still
    lock.release()
    code = (
        f"import sys, filelock\nlock = filelock.FileLock({str(lock.folder / 'lock')!r}, timeout=30)\nlock.acquire()\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(PromotionError, match="being changed by another process"):
            CanaryDeployment.begin(store, two, kind="promotion", stage="prod", reason="too early")
        other.stdin.close()
    CanaryDeployment.begin(store, two, kind="promotion", stage="prod", reason="now").undo("only a try")


@pytest.fixture
def staged(store: Store) -> Store:
    """The store with settings by which a version goes through a dev that is emptied, and waits before prod."""
    policy = Stages(
        dev=Stage(empty_after=True, endpoint="try-{model}"),
        prod=Stage(
            approval=True, require_clean=False, require_fingerprint=False, canary=(CanaryStep(mirror=100, requests=20),)
        ),
    )
    return connect(store.settings.model_copy(update={"stages": policy}))


def roll_out(store: Store, *stages: str) -> Rollout:
    rollout = Rollout(store, MODEL, stages, dry_run=False, reason="a test", probing=FAST)
    rollout.version, rollout.compared = registry.get(store, MODEL, 2), "1"
    for stage in stage_rollouts(rollout):
        for step in (stage.deploy, stage.test, stage.canary, stage.switch):
            step()
    return rollout


@pytest.mark.proof
def test_from_stage_to_stage_with_an_approval(store: Store, staged: Store) -> None:
    rollout = roll_out(staged, "prod", "dev")
    assert (rollout.passed, rollout.waiting, rollout.promoted) == (["dev"], "prod", False)
    assert "its endpoint was freed" in str(rollout.steps[3])
    assert endpoint_for(store.settings, "try-houses").status().slots == {}
    assert agreed(staged, stage="dev") == "2"
    assert agreed(store) == "1"
    assert [(each.stage, each.what) for each in release_ledger.read_entries(store, MODEL)[:4]] == [
        ("prod", "waiting"),
        ("dev", "traffic"),
        ("dev", "mark"),
        ("dev", "traffic"),
    ]
    with pytest.raises(PromotionError, match="may not enter test: it was not trained from a clean commit"):
        roll_out(staged, "dev", "test", "prod")  # and dev was not gone through again, prod was not touched
    assert agreed(store) == "1"
    assert approval.waiting_version(store, MODEL).version == "2"

    rollout = approval.approve(staged, MODEL, probing=FAST)
    assert rollout.promoted
    asked, ours, compared = (
        int(re.search(pattern, str(rollout.steps[2])).group(1))
        for pattern in (r"100 % mirrored: (\d+) requests", r"(\d+) of them ours", r"of (\d+) predictions differ")
    )
    assert 20 <= asked == ours < 30  # nobody else asks; more than 20 where a copy came late
    assert 0 < compared < asked
    assert agreed(store) == "2"
    assert [(each.stage, each.what) for each in release_ledger.read_entries(store, MODEL)][2] == ("prod", "approved")


def test_nothing_waits_that_the_ledger_does_not_know(store: Store, staged: Store) -> None:
    experiment = store.experiment_id(release_ledger.EXPERIMENT)
    store.client.delete_experiment(experiment)
    try:
        with pytest.raises(TrackingError, match="was deleted"):
            roll_out(staged, "prod")
    finally:
        store.client.restore_experiment(experiment)
    assert approval.waiting_version(store, MODEL) is None


@pytest.fixture
def waiting(staged: Store) -> tuple[Store, Version, Version]:
    """A model without an endpoint: version 1 is champion; version 2 is champion of dev and waits before prod."""
    if "doors" not in registry.models(staged):
        champions.mark_champion(staged, version(staged, 1.0, model="doors"), reason="the first")
        version(staged, 2.0, model="doors")
    one, two = (registry.get(staged, "doors", number) for number in (1, 2))
    champions.mark_champion(staged, two, reason="passed", stage="dev")
    forgive(staged, 2, model="doors")
    rollout = Rollout(staged, "doors", ("prod",), dry_run=False, reason="a test")
    rollout.version, rollout.compared, rollout.earlier = two, "1", ("dev",)
    rollout.wait("prod")
    return staged, one, two


def waits_for(store: Store, found: Version, **changed: Any) -> None:
    record = json.loads(registry.get(store, found.model, found.version).waiting) | changed
    registry.set_tags(store, found, {Tag.WAITING: json.dumps(record)})


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            lambda store, one, two: champions.mark_champion(store, one, reason="elsewhere", stage="dev"),
            PromotionError,
            "had passed dev, but version 1 is champion there now; promote again",
        ),
        (
            lambda store, one, two: waits_for(store, two, passed=["test"]),
            PromotionError,
            "had passed test, but it has no champion now; promote again",
        ),
        (
            lambda store, one, two: registry.set_tags(store, two, {Tag.WITHDRAWN_PREFIX + "test": "true"}),
            PromotionError,
            "was withdrawn from test, so its rollout cannot continue",
        ),
        (
            lambda store, one, two: waits_for(store, two, compared=""),
            PromotionError,
            "version 1 .*promote again",
        ),
        (
            lambda store, one, two: registry.set_tags(store, two, {Tag.WAITING: "for Anna"}),
            PromotionError,
            f"did not write its tag {Tag.WAITING}: found 'for Anna' .*remove the tag, and promote again",
        ),
        (
            lambda store, one, two: registry.set_tags(store, two, {Tag.WAITING: ""}),
            UsageError,
            "no version of 'doors' waits",
        ),
    ],
    ids=["passed-lost", "passed-empty", "withdrawn", "stale", "foreign-tag", "nothing"],
)
def test_an_approval_that_does_not_hold_any_more_is_refused(
    change: Callable[[Store, Version, Version], None],
    error: type[Exception],
    match: str,
    waiting: tuple[Store, Version, Version],
) -> None:
    store, _, _ = waiting
    change(*waiting)
    with pytest.raises(error, match=match):
        approval.approve(store, "doors")
    assert champions.champion(store, "doors").version == "1"


@pytest.mark.parametrize(
    ("named", "match"),
    [
        (
            {"number": "1"},
            "version 2 of 'doors' waits .*before prod, and version 1, which was approved, does not any more",
        ),
        ({"stage": "test"}, "version 2 of 'doors' waits for an approval before prod, not before test"),
    ],
)
def test_an_approval_is_for_one_version_and_one_stage(
    named: dict[str, str], match: str, waiting: tuple[Store, Version, Version]
) -> None:
    store, _, _ = waiting
    with pytest.raises(UsageError, match=match):
        approval.approve(store, "doors", **named)
    assert champions.champion(store, "doors").version == "1"


def test_an_approval_of_one_stage_settles_no_other(
    waiting: tuple[Store, Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, two = waiting
    waits_for(store, two, stages=["test", "prod"])
    settled: list[str] = []
    monkeypatch.setattr(approval.recovery, "recover", lambda store, model, stage: settled.append(stage))
    monkeypatch.setattr(approval, "stage_rollouts", lambda rollout: ())
    approval.approve(store, "doors", number="2", stage="test")
    assert settled == ["test"]
    waits_for(store, two, stages=["test", "prod"])
    approval.approve(store, "doors")
    assert settled == ["test", "test", "prod"]


def test_a_job_that_is_run_again_approves_nothing_more(waiting: tuple[Store, Version, Version]) -> None:
    store, _, _ = waiting
    again = approval.approve(store, "doors", number="2", stage="dev")  # which it has passed
    assert (again.waiting, again.steps, again.promoted) == ("prod", [], False)
    assert champions.champion(store, "doors").version == "1"
    registry.set_tags(store, registry.get(store, "doors", 2), {Tag.WAITING: ""})
    with pytest.raises(UsageError, match="no version of 'doors' waits"):
        approval.approve(store, "doors", number="2", stage="prod")


def test_a_version_that_is_through_already_is_only_asked_again(store: Store, staged: Store) -> None:
    """As by a job whose machine died after the last step: before, and after the version stopped waiting."""
    roll_out(staged, "prod")
    promote(store, registry.get(store, MODEL, 2))
    ledger = len(release_ledger.read_entries(store, MODEL))
    for noted in (1, 0):
        again = approval.approve(staged, MODEL, number="2", stage="prod", probing=FAST)
        assert (again.promoted, again.passed) == (True, ["prod"])
        assert approval.waiting_version(staged, MODEL) is None
        ledger += noted  # the approval
        assert len(release_ledger.read_entries(store, MODEL)) == ledger


@pytest.mark.proof
def test_a_promotion_that_was_cut_short_goes_on_and_approves_nothing(store: Store) -> None:
    two = registry.get(store, MODEL, 2)
    steps = promote(store, two).journal.steps
    for step in ("test", "mark"):  # it is undone and begun anew; it is finished
        back(store.settings)
        forgive(store, 2)
        with pytest.raises(Killed), dying(steps.index(step) + 1, written=True, how=die):
            promote(store, two)
        with pytest.raises(
            UsageError, match=f"of version 2 to prod.* at step '{step}'.*nbops promote --continue houses@2 "
        ):
            approval.approve(store, MODEL, number="3")
        since = len(release_ledger.read_entries(store, MODEL))
        assert approval.approve(store, MODEL, number="2", probing=FAST).promoted
        assert agreed(store) == "2"
        assert "approved" not in [entry.what for entry in release_ledger.read_entries(store, MODEL)[:-since]]
    back(store.settings)
    forgive(store, 2)
    moving = CanaryDeployment.begin(store, two, kind="promotion", stage="prod", reason="a test", probing=FAST)
    moving.deploy()
    with pytest.raises(Killed), dying(2, written=True, how=die):
        moving.undo("it was slow")
    with pytest.raises(UsageError, match="no version of 'houses' waits"):  # it has failed
        approval.approve(store, MODEL)


@pytest.mark.proof
def test_a_promotion_that_was_cut_short_goes_through_the_stages_that_were_left(
    store: Store, staged: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SimpleNamespace(release=SimpleNamespace(stages=("dev", "prod"), previous=None))
    monkeypatch.setattr(decision_record, "read_decision", lambda store, run: {"its run": record}[run])
    first = version(store, 1.0, model="sheds")
    moving = CanaryDeployment.begin(
        staged, first, kind="promotion", stage="dev", reason="a test", run_id="its run", probing=FAST
    )
    with pytest.raises(Killed), dying(1, written=True, how=die):
        moving.deploy()
    rollout = approval.approve(staged, first.model, probing=FAST)
    assert (rollout.passed, rollout.waiting) == (["dev"], "prod")
    assert approval.approve(staged, first.model, probing=FAST).promoted
    assert agreed(store, model=first.model) == "1"


def test_a_foreign_tag_does_not_keep_a_version_from_waiting(waiting: tuple[Store, Version, Version]) -> None:
    store, _, two = waiting
    registry.set_tags(store, two, {Tag.WAITING: "for Anna"})
    rollout = Rollout(store, "doors", ("prod",), dry_run=False, reason="again")
    rollout.version, rollout.compared = registry.get(store, "doors", 2), "1"
    rollout.wait("prod")
    assert pending_approval.read_waiting_tag(registry.get(store, "doors", 2)).reason == "again"


def test_another_store_releases_nothing_to_a_bound_endpoint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, refused = memory(store.settings), UsageError("it is released by another tracking store")
    before = endpoint.status()
    monkeypatch.setitem(TARGETS, "local", replace(TARGETS["local"], shared=True))
    monkeypatch.setattr(endpoint, "bind_store", lambda identity: (_ for _ in ()).throw(refused))
    with pytest.raises(UsageError, match="by another tracking store"):
        promote(store, registry.get(store, MODEL, 2))
    assert nbops(["endpoint", "stop", MODEL]) == 2
    assert endpoint.status() == before
    assert change_storage.unfinished_changes(store.settings, MODEL, store=store) == []


def test_a_version_that_fails_leaves_no_slot_that_costs_money(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, two = memory(store.settings), registry.get(store, MODEL, 2)
    slot = version_deployment.deploy_version(store, endpoint, two)
    monkeypatch.setattr(endpoint, "can", EndpointCapabilities(idle_slots_cost=True))
    monkeypatch.setattr(endpoint, "refuse", lambda asked: asked == slot)
    with pytest.raises(PromotionError, match=f"version 1 serves as before .*; slot '{slot}' of version 2 is deleted"):
        promote(store, two)
    assert slot not in endpoint.status().slots
    assert agreed(store) == "1"
    version_deployment.deploy_version(store, endpoint, two)
    refused = UsageError("Azure is busy\nwith much else")
    monkeypatch.setattr(endpoint, "delete_slot", lambda slot: (_ for _ in ()).throw(refused))
    with pytest.raises(PromotionError, match=rf"delete it: nbops endpoint delete-slot houses {slot} \(Azure is busy\)"):
        promote(store, two)


def test_a_slot_of_other_settings_is_deployed_anew_by_hand_and_kept_by_a_rollback(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="nbops.endpoint")
    endpoint, one, two = memory(store.settings), registry.get(store, MODEL, 1), registry.get(store, MODEL, 2)
    slot, serves = (version_deployment.deploy_version(store, endpoint, each) for each in (two, one))
    deployed: list[str] = []
    monkeypatch.setattr(endpoint, "deploy", lambda slot, version, **more: deployed.append(f"{slot} {version.version}"))
    deploy_by_hand(store.settings, MODEL, version="2")
    assert deployed == []
    monkeypatch.setattr(endpoint, "changed_settings", lambda slot: ["instance_count"])
    deploy_by_hand(store.settings, MODEL, version="2")
    deploy_by_hand(store.settings, MODEL, version="1")  # it serves: into the other slot
    assert deployed == [f"{slot} 2", f"{slot} 1"]
    assert f"slot {serves} of endpoint houses has other settings: instance_count" in caplog.text
    version_deployment.deploy_version(store, endpoint, two)
    assert len(deployed) == 2, "a rollback does not wait for machines"


def test_an_endpoint_of_no_stage_has_nothing_to_deploy(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stray, champion = endpoint_for(store.settings, "stray"), champions.champion(store, MODEL)
    folder = model_files.local_model_folder(champion.source)
    stray.deploy("blue", ServedVersion.in_folder(folder, version="1"), traffic=True)
    stray.set_traffic({})
    stray.delete_slot("blue")
    assert nbops(["endpoint", "deploy", "stray"]) > 0
    assert "belongs to no stage" in capsys.readouterr().err


def test_a_champion_whose_files_were_changed_is_deployed_anew(store: Store) -> None:
    """By a promotion that keeps it, into the other slot: the endpoint's own copy is not to be trusted."""
    here, champion = store.settings, champions.champion(store, MODEL)
    slot = version_deployment.slot_holding(endpoint_for(here, MODEL).stop(), champion)
    copy = memory(here).held[slot].folder
    (copy / "MLmodel").write_text((copy / "MLmodel").read_text() + "\n# somebody was here\n")
    rollout = Rollout(store, MODEL, dry_run=False, reason="a test")
    rollout.promoting, rollout.version = False, champion
    (stage,) = stage_rollouts(rollout)
    for step in (stage.deploy, stage.test, stage.canary, stage.switch):
        step()
    now = endpoint_for(here, MODEL).status()
    assert (now.state, now.version) == ("running", champion.version)
    assert now.slots[slot].traffic == 0
    assert endpoint_for(here, MODEL).is_intact(version_deployment.slot_holding(now, champion))


def test_a_journal_that_was_torn_says_what_it_can(project: Any) -> None:
    lock = LocalStageChanges(project, "m", "prod")
    lock.take()
    change = ChangeRecord("promotion", "m", "prod", "7", "ada@here")
    begun = lock.begin(change)
    begun.write("deploy")
    with begun.path.open("ab") as file:
        file.write(b'{"step": "te')
    (left,) = change_storage.unfinished_changes(project, "m")
    assert left.steps == ["deploy"]
    assert "the promotion of version 7 to prod, begun" in journal.describe(left)
    left.write("undo")
    again = lock.pending()
    assert again.steps == ["deploy", "undo"]
    again.write("end", outcome="undone")
    assert lock.pending() is None
    for _ in range(25):
        lock.begin(change)
    assert len(list(lock.folder.glob("*.jsonl"))) <= stage_changes.KEPT
    lock.release()


@pytest.mark.parametrize(
    "line",
    ["[]", "5", "null", '"x"', "{}", '{"step": 1}', '{"kind": "promotion"}', '{"step": null}', '{"steps": "end"}']
    + [json.dumps({"kind": "p", "model": "m", "version": "7", "stage": "prod", "who": "w", "pid": 1, "time": when})
       for when in ("soon", None, -1, 1e300, True)],
)  # fmt: skip
@pytest.mark.parametrize("after", [False, True])
def test_a_journal_of_another_shape_is_said_in_one_line(line: str, after: bool, empty_project: Any) -> None:
    lock = LocalStageChanges(empty_project, "m", "prod")
    lock.take()
    change = ChangeRecord("promotion", "m", "prod", "7", "ada@here")
    path = lock.begin(change).path
    content = (path.read_bytes() if after else b"") + line.encode() + b"\n"
    path.write_bytes(content)
    with pytest.raises(PromotionError, match="line .* move the file away") as caught:
        change_storage.unfinished_changes(empty_project, "m")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    lock.release()


def test_a_version_is_deployed_by_hand_without_traffic(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    here, (one, two) = store.settings, (registry.get(store, MODEL, number) for number in (1, 2))
    serving = version_deployment.slot_holding(endpoint_for(here, MODEL).status(), one)
    (idle,) = {"blue", "green"} - {serving}
    entries = release_ledger.read_entries(store, MODEL)

    def deploy(*words: str) -> int:
        capsys.readouterr()
        return nbops(["endpoint", "deploy", *words])

    endpoint_for(here, MODEL).delete_slot(idle)
    assert deploy(MODEL, "--version", "2") == 0
    assert f"slot '{idle}' of {MODEL} holds version 2, with 0 % of the traffic" in capsys.readouterr().out
    now = endpoint_for(here, MODEL).status().slots
    assert {name: (slot.version, slot.traffic, slot.state) for name, slot in now.items()} == {
        serving: ("1", 100, "ready"),
        idle: ("2", 0, "ready"),
    }
    assert endpoint_for(here, MODEL).invoke(endpoint_for(here, MODEL).example(), slot=idle, probe=True) == {
        "predictions": [2.0]
    }
    assert deploy(MODEL, "--version", "2", "--slot", idle) == 0  # it was there, as is the champion
    assert deploy(MODEL) == 0
    assert f"slot '{serving}' of {MODEL} holds version 1, with 100 %" in capsys.readouterr().out

    registry.set_tags(store, two, {Tag.MODEL_SHA256: "0" * 64})
    for words, why in {
        f"{MODEL} --version 2": "are not those that were scored",
        f"{MODEL} --version 9": "unknown version of houses '9'",
        f"{MODEL} --version latest": "unknown version of houses 'latest'",
        f"{MODEL} --slot gren": "unknown slot 'gren', did you mean 'green'",
        "hauses": "did you mean 'houses'",
    }.items():
        assert deploy(*words.split()) > 0, words
        assert why in capsys.readouterr().err
    store.client.delete_model_version_tag(MODEL, "2", Tag.MODEL_SHA256)
    assert deploy(MODEL, "--version", "2", "--slot", serving) == 2
    assert "has 100 % of the traffic" in capsys.readouterr().err
    assert {name: slot.since for name, slot in endpoint_for(here, MODEL).status().slots.items()} == {
        name: slot.since for name, slot in now.items()
    }
    assert release_ledger.read_entries(store, MODEL) == entries
    assert agreed(store) == "1"


def test_history_tells_what_moved_and_what_is_unfinished(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    two = registry.get(store, MODEL, 2)
    with pytest.raises(Killed), dying(2, written=True, how=die):
        promote(store, two)
    assert nbops(["history", MODEL]) == 0
    out = capsys.readouterr().out
    assert "promotion: a test" in out
    assert "unfinished: the promotion of version 2 to prod" in out
    promote_command._print_unfinished(store.settings, MODEL)  # after a notebook that was killed
    out = capsys.readouterr().out
    assert "unfinished: the promotion of version 2 to prod" in out
    assert f"nbops rollback {MODEL} takes the stage back to the version before" in out
    nbops(["endpoint", "status", MODEL])
    assert "unfinished: the promotion of version 2 to prod" in capsys.readouterr().out
    assert nbops(["endpoint", "deploy", MODEL]) > 0
    assert "not free: the promotion of version 2 to prod, begun" in capsys.readouterr().err
    assert nbops(["history", MODEL, "--stage", "prod", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"mark", "traffic"} <= {entry["what"] for entry in told["entries"]}
    assert len(told["unfinished"]) == 1
    assert nbops(["history", "hauses"]) == 2
    assert nbops(["history", MODEL, "--stage", "tets"]) == 2
    assert "did you mean 'houses'" in capsys.readouterr().err
    assert nbops(["rollback", MODEL]) == 0
    out = capsys.readouterr().out
    assert "was cut short: undone, version 1 serves as before and is champion" in out
    assert "houses version 1 is champion of prod\n" in out
    assert "nothing else was moved" in out
    assert "goes back one more" not in out  # it is the first
    assert agreed(store) == "1"
    one, other = (
        version_deployment.slot_holding(endpoint_for(store.settings, MODEL).status(), registry.get(store, MODEL, 1)),
        version_deployment.slot_holding(endpoint_for(store.settings, MODEL).status(), two),
    )
    for shares in ((90, 10), (100, 0)):
        assert nbops(["endpoint", "traffic", MODEL, f"{one}={shares[0]}", f"{other}={shares[1]}"]) == 0
    assert [(each.before, each.after) for each in release_ledger.read_entries(store, MODEL)[:2]] == [
        ("1=90,2=10", "1=100"),
        ("1=100", "1=90,2=10"),
    ]
    assert agreed(store) == "1"
