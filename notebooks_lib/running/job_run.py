"""Runs a notebook inside a job: with the job's run as its own, or as one of the other ranks of a distributed job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from notebooks_lib.run_result import RunResult
from notebooks_lib.running.job_progress import JobProgress
from notebooks_lib.running.job_ranks import OtherRanks, find_rank, run_other_rank
from notebooks_lib.running.plan import Plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.running.stop_tag import StopTagWatcher
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores


def run_in_job(plan: Plan, environ: Mapping[str, str], **options: Any) -> RunResult:
    """Run a plan that adopts the run of its job; `options` are those of `run_notebook`.

    A trial stops when a tag of its run asks it to.
    """
    assert plan.start is not None
    assert plan.start.run_id is not None
    run_id, rank = plan.start.run_id, find_rank(environ)
    store = stores.connect(plan.settings)
    watcher = StopTagWatcher(store)
    tags = plan.start.tags or {}
    with contextlib.ExitStack() as stack:
        stack.callback(watcher.end)
        if Tag.TRIAL in tags:
            watcher.begin(run_id, tags.get("mlflow.parentRunId", run_id), tags.get(Tag.SWEEP_SESSION, ""))
        if rank is not None and rank.index:
            return run_other_rank(plan, rank, store, run_id, stop_reason=watcher, **options)
        progress = stack.enter_context(JobProgress(store, run_id, plan))
        others = stack.enter_context(OtherRanks(store, run_id, rank)) if rank is not None else None
        return run_notebook(plan, store=store, others=others, on_cell=progress.cell, stop_reason=watcher, **options)
