"""Running trials are stopped on request or by a pruner, in this process and in others."""

from __future__ import annotations

import time

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import stop_requests
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart


def opened(project: Settings, name: str, **tags: str) -> OwnedRun:
    return OwnedRun.open(store.connect(project), RunStart("sample", name, "n.ipynb", "", {}, "", "", None, tags))


@pytest.mark.tracking
def test_a_trial_in_the_same_process_sees_a_stop_request_at_once(project: Settings) -> None:
    run = opened(project, "trial")
    with stop_requests.registered_sweep("sweep", run.store) as here:
        assert here.stop_reason(run.run_id) is None
        stop_requests.request_stop(run.store, run.run_id, "pruned", (3, 0.5))
        assert here.stop_reason(run.run_id) == "pruned"
        assert here.stop_reason("another") is None
        here.stop.set()
        assert here.stop_reason(run.run_id) == "interrupt"
    assert query.get_run(run.store, run.run_id).tags[Tag.STOP_VALUE] == "0.5"


@pytest.mark.tracking
def test_a_watcher_sees_the_tag_and_ends_with_its_trial(project: Settings) -> None:
    run, sweep = opened(project, "trial"), opened(project, "sweep").run_id
    watch = stop_requests.StopTagWatcher(run.store, pause=0.05)
    watch.begin(run.run_id, sweep)
    assert watch() is None
    stop_requests.request_stop(run.store, run.run_id, "stopped")
    until = time.monotonic() + 10
    while watch() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert watch() == "interrupt"
    over = stop_requests.StopTagWatcher(run.store, pause=0.05)
    over.end()
    over.begin(run.run_id, sweep)
    time.sleep(0.2)
    assert over() is None

    late = stop_requests.StopTagWatcher(run.store, pause=0.05)
    stop_requests.request_stop(run.store, sweep, "stopped")
    late.begin(opened(project, "opened as its sweep was stopped").run_id, sweep)
    while late() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert late() == "interrupt"
    late.end()
