"""Finds the sweep that is to go on and what came of its trials, and ends what its last session left open."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from notebooks_lib import errors
from notebooks_lib.records import TrialState
from notebooks_lib.sweeps import formatting, stopping
from notebooks_lib.sweeps.records import Goal, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphans, query
from notebooks_lib.tracking.owner import Start
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, answering

PATIENCE = 15.0
"""Seconds that trials which still run somewhere are given to stop."""
OVER = "its sweep is over"


@dataclass(frozen=True)
class Earlier:
    """A trial of an earlier session."""

    trial: Trial
    run: RunInfo


def find(store: Store, start: Start, asked: str) -> RunInfo:
    """The parent run that goes on: the one asked for by id, else the newest over the same notebook and values.

    Raises UsageError when there is none, or when the one asked for goes over something else.
    """
    digest = (start.tags or {})[Tag.SWEEP_DIGEST]
    if asked:
        found = query.get_run(store, asked)
        if not found.holds_trials:
            raise errors.UsageError(f"run {asked} is no sweep; --resume alone takes the newest of this notebook")
        if found.tags.get(Tag.SWEEP_DIGEST) != digest:
            raise errors.UsageError(
                f"sweep {asked} goes over something else: {_said(found)}; give the same notebook, values, metric and -p"
            )
        return found
    with answering(store):
        experiment_id = start.experiment_id or store.experiment_id(start.experiment)
        parents = query.search(store, f"tags.`{Tag.SWEEP}` = 'parent'", [experiment_id])
    sweeps = [query.plain(run, start.experiment) for run in parents]
    for found in sweeps:
        if found.tags.get(Tag.SWEEP_DIGEST) == digest:
            return found
    same = [found for found in sweeps if found.tags.get(Tag.NOTEBOOK) == start.notebook]
    newest = f"; the newest of this notebook, {same[0].run_id}, goes over {_said(same[0])}" if same else ""
    raise errors.UsageError(
        f"experiment {start.experiment!r} has no sweep of {start.notebook} over these values{newest}; "
        "leave --resume out to start one"
    )


def take_over(store: Store, run_id: str, goal: Goal | None) -> dict[int, Earlier]:
    """End what the last session left open; what came of each trial so far, by number, the newest run of each."""
    orphans.close_left_behind(store, run_id)
    close_open(store, run_id)
    if Tag.STOP in store.client.get_run(run_id).data.tags:
        store.client.delete_tag(run_id, Tag.STOP)  # meant for the trials of that session
    found: dict[int, Earlier] = {}
    for run in query.children(store, run_id):
        number = run.tags.get(Tag.TRIAL, "")
        if number.isdecimal() and int(number) not in found:
            found[int(number)] = Earlier(_trial(int(number), run, goal), run)
    return dict(sorted(found.items()))


def close_open(store: Store, run_id: str) -> None:
    """End the trials that still say RUNNING and that nobody waits for any more.

    Where the owner of one may still live, on a cluster's worker, it is asked to stop and given some seconds.
    """
    left = open_trials(store, run_id)
    for run in left:
        stopping.ask(store, run.run_id, "stopped")
    until = time.monotonic() + PATIENCE
    while any(orphans.may_live(run.tags) for run in left) and time.monotonic() < until:
        time.sleep(0.5)
        left = open_trials(store, run_id)
    for run in left:
        orphans.close(store, run.run_id, run.tags, OVER)


def open_trials(
    store: Store, run_id: str, *, number: int | None = None, experiment_id: str | None = None
) -> list[RunInfo]:
    """The trials that say RUNNING; with `number` the runs of that one, with `experiment_id` looked for there alone."""
    condition = f"attributes.status = 'RUNNING' AND tags.`mlflow.parentRunId` = '{run_id}'"
    condition += "" if number is None else f" AND tags.`{Tag.TRIAL}` = '{number}'"
    return [query.plain(run) for run in query.search(store, condition, experiment_id and [experiment_id])]


def _trial(number: int, run: RunInfo, goal: Goal | None) -> Trial:
    said = run.tags.get(Tag.TRIAL_STATE, "")
    state: TrialState = "killed"
    for known in get_args(TrialState):
        state = known if said == known else state
    values: Mapping[str, object] = {}
    with contextlib.suppress(ValueError):
        values = json.loads(run.tags.get(Tag.TRIAL_VALUES, "{}"))
    seconds = (run.ended_ms - run.started_ms) / 1000 if run.ended_ms else None
    value = run.metrics.get(goal.metric) if goal is not None else None
    if state == "pruned":  # it may have logged more until it stopped
        with contextlib.suppress(ValueError):
            value = float(run.tags.get(Tag.STOP_VALUE, ""))
    return Trial(number, values, state, value, run.metrics, run.run_id, seconds, _reason(run))


def _reason(run: RunInfo) -> str:
    tags = run.tags
    cell, line = tags.get(Tag.FAILED_CELL, ""), tags.get(Tag.FAILED_LINE, "")
    what = ": ".join(part for part in (tags.get(Tag.FAILURE, ""), tags.get(Tag.FAILURE_MESSAGE, "")) if part)
    step = tags.get(Tag.STOP_STEP)
    return formatting.reason(what, cell, line) or (f"at step {step}" if step is not None else "")


def seconds_before(run: RunInfo) -> float:
    """What the sessions of a sweep took so far, as far as they came to say it."""
    try:
        return float(run.tags.get(Tag.SWEEP_SECONDS, "0"))
    except ValueError:
        return 0.0


def _said(run: RunInfo) -> str:
    """What a sweep goes through, for people."""
    try:
        what = json.loads(run.tags.get(Tag.SWEEP_SPACE, ""))
        swept, fixed, goal = {**what.get("grid", {}), **what.get("space", {})}, what["fixed"], what["goal"]
    except (ValueError, LookupError, TypeError):  # cut short by a store with little room
        return "what nobody can read any more"
    words = [f"{name} in {values}" for name, values in swept.items()]
    words += [f"{name}={value}" for name, value in fixed.items()]
    return ", ".join([*words, goal] if goal else words)
