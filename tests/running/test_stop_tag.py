"""A trial on any machine notices the tag on its run, and that its sweep is over."""

from __future__ import annotations

import time

import pytest

from notebooks_lib.running.stop_tag import StopTagWatcher
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart


def opened(project: Settings, name: str) -> OwnedRun:
    return OwnedRun.open(store.connect(project), RunStart("sample", name, "n.ipynb", "", {}, "", "", None))


@pytest.mark.tracking
def test_a_watcher_sees_the_tag_and_ends_with_its_trial(project: Settings) -> None:
    run, sweep = opened(project, "trial"), opened(project, "sweep").run_id
    watch = StopTagWatcher(run.store, pause=0.05)
    watch.begin(run.run_id, sweep)
    assert watch() is None
    run.store.client.set_tag(run.run_id, Tag.STOP, "stopped")
    until = time.monotonic() + 10
    while watch() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert watch() == "interrupt"
    over = StopTagWatcher(run.store, pause=0.05)
    over.end()
    over.begin(run.run_id, sweep)
    time.sleep(0.2)
    assert over() is None

    late = StopTagWatcher(run.store, pause=0.05)
    run.store.client.set_tag(sweep, Tag.STOP, "stopped")
    late.begin(opened(project, "opened as its sweep was stopped").run_id, sweep)
    while late() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert late() == "interrupt"
    late.end()


@pytest.mark.tracking
def test_a_trial_and_a_sweep_stop_once_another_session_has_the_sweep(project: Settings) -> None:
    sweep, trial = opened(project, "sweep"), opened(project, "trial of the first session")
    sweep.store.client.set_tag(sweep.run_id, Tag.SWEEP_SESSION, "first")
    trial.store.client.set_tag(trial.run_id, Tag.SWEEP_SESSION, "first")
    running, owner = StopTagWatcher(sweep.store, pause=0.05), StopTagWatcher(sweep.store, pause=0.05)
    running.begin(trial.run_id, sweep.run_id, "first")
    owner.begin(sweep.run_id, sweep.run_id, "first")
    time.sleep(0.3)
    assert (running(), owner()) == (None, None)
    sweep.store.client.set_tag(sweep.run_id, Tag.SWEEP_SESSION, "second")
    late = StopTagWatcher(sweep.store, pause=0.05)
    late.begin(trial.run_id, sweep.run_id, "first")  # it waited for a machine until now
    until = time.monotonic() + 10
    while not (late() and owner()) and time.monotonic() < until:
        time.sleep(0.02)
    assert (late(), owner()) == ("interrupt", "interrupt")
    running.end()
