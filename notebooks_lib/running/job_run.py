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
from notebooks_lib.tracking import store as stores


def run_in_job(plan: Plan, environ: Mapping[str, str], **options: Any) -> RunResult:
    """Run a plan that adopts the run of its job; `options` are those of `run_notebook`."""
    assert plan.start is not None
    assert plan.start.run_id is not None
    run_id, rank = plan.start.run_id, find_rank(environ)
    store = stores.connect(plan.settings)
    if rank is not None and rank.index:
        return run_other_rank(plan, rank, store, run_id, **options)
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(JobProgress(store, run_id, plan))
        others = stack.enter_context(OtherRanks(store, run_id, rank)) if rank is not None else None
        return run_notebook(plan, store=store, others=others, on_cell=progress.cell, **options)
