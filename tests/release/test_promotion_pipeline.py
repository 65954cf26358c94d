"""From decision to a serving champion, and back, through a real endpoint."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pyarrow.parquet as pq
import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.cli import promotion_text
from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.models import champions, logged_models, registry
from notebooks_lib.release import (
    golden,
    monitor_update,
    recovery,
    slot_checks,
    traffic_and_champion,
    version_deployment,
)
from notebooks_lib.release.canary_deployment import CanaryDeployment
from notebooks_lib.release.gate import Gate
from notebooks_lib.release.promotion_pipeline import Release, StageRollout, stage_rollouts
from notebooks_lib.release.rollback import rollback
from notebooks_lib.release.rollout import Rollout
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.store import connect
from tests.promotion.conftest import better, middling, worse
from tests.release import moving
from tests.release.moving import agreed
from tests.serving.memory_endpoint import in_memory

pytestmark = pytest.mark.tracking


class Journey:
    """Promotes as the notebook does, as far as one says."""

    def __init__(self, trials, gate) -> None:
        self.settings, self.store, self.gate = trials.settings, trials.store, gate

    def release(self, **options) -> Release:
        asked = self.gate(**options)
        return asked.release(asked.decide(asked.holdout(asked.candidates())), dry_run=False, reason="a test")

    def promote(self, **options) -> Release:
        release = self.release(**options)
        release.register()
        for stage in release.stages:
            for step in (stage.deploy, stage.test, stage.canary, stage.switch):
                step()
        return release

    @property
    def champion(self) -> str | None:
        found = champions.champion(self.store, "houses")
        return found.version if found else None

    @property
    def served(self) -> tuple[str, str]:
        status = endpoint_for(self.settings, "houses").status()
        return status.state, status.version


def test_a_promotion_that_finds_its_version_serving_moves_the_monitor(empty_project, monkeypatch):
    """As after a kill between the mark of the champion and the monitor."""
    version = SimpleNamespace(version="2", model="houses", waiting="")
    passed: list[str] = []
    rollout = SimpleNamespace(
        store=SimpleNamespace(settings=empty_project),
        model="houses",
        names=("prod",),
        version=version,
        dry_run=False,
        waiting="",
        promoting=True,
        compared="1",
        passes=lambda stage, before: passed.append(stage),
        done=lambda step: step,
    )
    monkeypatch.setattr(recovery, "recover", lambda *at: None)
    monkeypatch.setattr(champions, "champion", lambda *at: version)
    monkeypatch.setattr(champions, "previous", lambda *at: None)
    monkeypatch.setattr(version_deployment, "endpoint_status", lambda endpoint: None)
    monkeypatch.setattr(version_deployment, "serves_all", lambda status, version: True)
    monkeypatch.setattr(traffic_and_champion, "golden_predictions", lambda *at: None)
    monkeypatch.setattr(slot_checks, "verify_golden", lambda *at: 3)
    monkeypatch.setattr(monitor_update, "update_monitor", lambda store, model, stage: f"{model} is watched in {stage}")
    stage = StageRollout(rollout, "prod")
    stage.endpoint = SimpleNamespace(start=lambda: None)
    assert stage.deploy().text.endswith("as they should be; houses is watched in prod")
    assert passed == ["prod"]


@pytest.fixture
def journey(trials, gate, endpoints, houses) -> Journey:
    trials.fitted(worse(), houses)
    return Journey(trials, gate)


@pytest.mark.proof
def test_there_and_back(journey, trials, houses, capsys):
    first = journey.promote()
    assert (journey.champion, journey.served, first.undo) == ("1", ("running", "1"), "")

    good = trials.fitted(better(), houses)
    done = journey.promote()
    assert done.promoted
    assert (journey.champion, journey.served) == ("2", ("running", "2"))
    version = registry.get(journey.store, "houses", "2")
    assert version.run_id == good
    assert version.tags[Tag.REASON].startswith("a test. run ")
    assert golden.read_golden(journey.store, version).rows == 1 + 20  # the example, and validation rows
    assert done.undo == "nbops rollback houses"
    assert not journey.promote().promoted
    assert journey.served == ("running", "2")

    assert nbops(done.undo.split()[1:]) == 0
    out = capsys.readouterr().out
    assert "version 1 is champion of prod again" in out
    assert "21 golden predictions, in this process and through the endpoint" in out
    assert agreed(journey.store) == "1"
    again = journey.gate().candidates()
    assert [each.run.run_id for each in again.ranked] == [first.version.run_id]
    assert any("was withdrawn; to bring it back: nbops rollback houses --to 2" in one.refused for one in again.others)
    note = (
        "is better on the validation rows, but version 2 was withdrawn; to bring it back: nbops rollback houses --to 2"
    )
    assert again.withdrawn_note.startswith(f"run {good[:8]}")
    gate = journey.gate()
    assert note in gate.decide(gate.holdout(again)).summary
    way = r"nothing to go back to: .* except withdrawn ones \(2\); to bring one back all the same: nbops rollback houses --to 2"
    with pytest.raises(UsageError, match=way):
        rollback(journey.settings, "houses")

    # What was registered and what is there to be loaded part ways, as after a mix-up of files or an upgrade.
    other = logged_models.model_of_run(journey.store, trials.fitted(middling(), houses, experiment="elsewhere"))
    registered = Path(urlparse(version.source).path)
    shutil.rmtree(registered)
    shutil.copytree(urlparse(other.source).path, registered)
    with pytest.raises(PromotionError, match="does not predict here what it predicted .* nothing was moved"):
        rollback(journey.settings, "houses", to="2")
    assert agreed(journey.store) == "1"
    houses_endpoint = endpoint_for(journey.settings, "houses")
    houses_endpoint.delete_slot(next(name for name, slot in houses_endpoint.status().slots.items() if not slot.traffic))
    moving = CanaryDeployment.begin(journey.store, version, kind="promotion", stage="prod", reason="a test")
    with pytest.raises(PromotionError, match=r"are not those that were scored .* version 1 serves as before"):
        moving.deploy()
    journey.store.client.delete_model_version_tag("houses", "2", Tag.MODEL_SHA256)  # as of a version from before
    moving = CanaryDeployment.begin(journey.store, version, kind="promotion", stage="prod", reason="a test")
    moving.deploy()
    with pytest.raises(PromotionError, match=r"answers known rows otherwise .* version 1 serves as before"):
        moving.test()
    assert agreed(journey.store) == "1"


@pytest.mark.parametrize(
    "place",
    [pytest.param("local", marks=pytest.mark.proof), "memory"],  # serving/test_endpoint.py holds both to one contract
)
def test_a_version_comes_by_a_mirror_and_a_share_and_goes_back(place, endpoints, tmp_path):
    """Over a server process, whose callers' requests only are collected; and over an endpoint that releases know by its
    protocol alone."""
    with endpoints.layout.settings_file.open("a") as file:
        file.write('[endpoint]\ncollect = ["*"]\n[stages.prod]\n')
        file.write("canary = [{mirror = 100, requests = 20}, {traffic = 50, requests = 40}]\n")
    store = connect(load(endpoints.root, {}))
    with in_memory(tmp_path / "memory") if place == "memory" else nullcontext():
        one = moving.version(store, 1.0)
        moving.promote(store, one)
        moving.promote(store, moving.version(store, 2.0))
        assert agreed(store) == "2"
        shares = [
            move.after for move in reversed(release_ledger.read_entries(store, "houses")) if move.what == "traffic"
        ]
        assert shares == ["1=100", "1=50,2=50", "2=100"]
        assert nbops(["rollback", "houses"]) == 0
        assert agreed(store) == "1"
        endpoint = endpoint_for(store.settings, "houses")
        assert version_deployment.slot_holding(endpoint.status(), one)
        assert endpoint.invoke(endpoint.example()) == {"predictions": [1.0]}
        endpoint.stop()  # which closes the files
    files = sorted(endpoints.layout.collected.rglob("model_inputs/**/*.parquet"))
    assert [len(pq.read_table(each)) for each in files] == ([1] if place == "local" else [])


def test_in_ci_the_endpoint_of_a_stage_is_not_touched_before_its_approval(endpoints, monkeypatch):
    """That of another environment may be out of this job's reach, and starting or repairing it costs an approval, too."""
    settings = load(endpoints.root, {"NBOPS_STAGES_APPROVAL": "prod"})
    store = connect(settings)
    one, two = moving.version(store, 1.0), moving.version(store, 2.0)
    champions.mark_champion(store, one, reason="planted", stage="prod")

    def touched(*_: object) -> None:
        raise AssertionError("the endpoint of prod was touched")

    for name in ("status", "start", "deploy", "idle_slot"):
        monkeypatch.setattr(LocalEndpoint, name, touched)
    monkeypatch.setattr(recovery, "recover", touched)

    def told(version, *, promoting: bool) -> str:
        rollout = Rollout(store, "houses", ["prod"], dry_run=False)
        rollout.version, rollout.compared, rollout.promoting = version, "1", promoting
        (stage,) = stage_rollouts(rollout)
        return stage.deploy().text

    assert told(one, promoting=False) == "version 1 stays; its endpoint is not asked: prod needs an approval"
    assert told(one, promoting=True) == "version 1 has passed already"
    assert told(two, promoting=True) == "waits for an approval: nbops promote --continue houses"
    question = Gate("houses", experiment="houses", metric="rmse", settings=settings)
    assert question.champion_table().rows[-1] == ("endpoint", "not asked: prod needs an approval")


def test_there_must_be_something_to_go_back_to(trials, houses):
    with pytest.raises(UsageError, match="unknown model 'houses'"):
        rollback(trials.settings, "houses")
    with pytest.raises(UsageError, match="unknown stage 'prd', did you mean 'prod'"):
        rollback(trials.settings, "houses", stage="prd")
    one = registry.register(trials.store, "houses", trials.fitted(worse(), houses))
    with pytest.raises(UsageError, match="has no champion"):
        rollback(trials.settings, "houses")

    two = registry.register(trials.store, "houses", trials.fitted(better(), houses))
    champions.mark_champion(trials.store, one, reason="first")
    champions.mark_champion(trials.store, two, reason="only tested", stage="test")
    with pytest.raises(UsageError, match="before version 2; .* nbops endpoint stop houses-test"):
        rollback(trials.settings, "houses", stage="test")
    with pytest.raises(UsageError, match=r"was never champion of prod, .* nbops promote --live"):
        rollback(trials.settings, "houses", to="2")
    registry.set_tags(trials.store, two, {Tag.WAITING: "{}"})
    with pytest.raises(UsageError, match="it waits: nbops promote --continue houses"):
        rollback(trials.settings, "houses", to="2")


def test_promoted_says_where_and_how_to_take_it_back(project):
    decision = SimpleNamespace(answer="promote", model="sales", challenger="run 1")
    release = {"waiting": "", "promoted": True, "version": "3", "passed": ["dev", "test"]}

    def headline(**other):
        return promotion_text.headline(decision, SimpleNamespace(**{**release, **other}))

    assert headline() == "promoted: sales version 3 to dev, test"
    assert headline(passed=["prod"]) == "promoted: sales version 3"
    foreseen = headline(promoted=False, stages=["dev", "test"], ends="test would refuse it")
    assert foreseen == "would promote: run 1 as sales to dev, test, but test would refuse it"
    assert promotion_text.no_undo("sales", ["dev", "test"], project).endswith("nbops endpoint stop sales-test")


@pytest.mark.parametrize(
    "arguments",
    [
        ["promote", "--undo", "m"],
        ["promote", "--continue", "m", "-p", "a=1"],
        ["promote", "--notebook", "none.ipynb"],
        ["rollback"],
        ["history"],
    ],
)
def test_what_does_not_go_together_is_asked_for_wrongly(arguments):
    assert nbops(arguments) == 2
