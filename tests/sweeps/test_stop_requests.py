"""Running trials are stopped on request or by a pruner."""

from __future__ import annotations

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
