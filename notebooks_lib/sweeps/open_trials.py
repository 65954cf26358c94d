"""Trials whose runs say RUNNING: find them, and end those that no process waits for."""

from __future__ import annotations

import time

from notebooks_lib.sweeps.stop_requests import request_stop
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphan_runs, query
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store

STOP_PATIENCE = 15.0
"""Seconds to wait for trials that may still run elsewhere."""


OVER = "its sweep is over"


def close_open(store: Store, run_id: str) -> None:
    """End the trials of sweep `run_id` whose runs are still RUNNING although no process waits for them.

    If a trial may still run on a worker, it is first asked to stop, and gets some seconds for that.
    """
    runs = open_trials(store, run_id)
    for run in runs:
        request_stop(store, run.run_id, "stopped")
    until = time.monotonic() + STOP_PATIENCE
    while any(orphan_runs.may_live(run.tags) for run in runs) and time.monotonic() < until:
        time.sleep(0.5)
        runs = open_trials(store, run_id)
    for run in runs:
        orphan_runs.end_as_killed(store, run.run_id, run.tags, OVER)


def open_trials(
    store: Store, run_id: str, *, number: int | None = None, experiment_id: str | None = None
) -> list[RunInfo]:
    """Return the RUNNING trials of sweep `run_id`; only the runs of trial `number`, or of one experiment, if given."""
    condition = f"tags.`mlflow.parentRunId` = '{run_id}'"
    condition += "" if number is None else f" AND tags.`{Tag.TRIAL}` = '{number}'"
    if query.is_searched_by_status(store):
        condition += " AND attributes.status = 'RUNNING'"
    runs = (query.run_info(run) for run in query.search(store, condition, experiment_id and [experiment_id]))
    return [run for run in runs if run.status == "RUNNING"]
