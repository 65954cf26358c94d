"""Runs that say RUNNING although their owner is gone: find them and end them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from notebooks_lib import process_identity
from notebooks_lib.run_result import RunStatus
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import Store

GONE = "its owner is gone"


def end_children(store: Store, owner_run: str, status: RunStatus) -> list[str]:
    """End every run that the notebook of `owner_run` opened; return their ids.

    Open runs get `status`; those that MLflow ended keep their status. All are tagged as ended by an owner.
    """
    ended = []
    for run in query.search(store, f"tags.`{Tag.PARENT_OWNER}` = '{owner_run}'"):
        run_id = str(run.info.run_id)
        if run.info.status == "RUNNING":
            store.client.set_terminated(run_id, status=status)
        store.client.set_tag(run_id, Tag.END, status if run.info.status == "RUNNING" else run.info.status)
        ended.append(run_id)
    return ended


def left_behind(store: Store, parent: str | None = None) -> list[Any]:
    """Return runs that are still open although the process that owned them, on this machine, has ended.

    They are RUNNING, or FINISHED by MLflow's exit handler because their owner was killed before it could record the
    end. Runs of a living owner are never included. With `parent`, only trials of that sweep are.
    """
    condition = f"tags.`{Tag.OWNER_HOST}` = '{process_identity.machine()}'"
    if parent is not None:
        condition += f" AND tags.`mlflow.parentRunId` = '{parent}'"
    return [run for run in query.search(store, condition) if _is_open(run) and not is_alive(run.data.tags)]


def close_left_behind(store: Store, parent: str | None = None) -> list[str]:
    """End the runs left behind as KILLED, tagged with the reason; return their ids.

    A run that had ended and was opened again gets back the status of its earlier end.
    """
    closed = []
    for run in left_behind(store, parent):
        end_as_killed(store, run.info.run_id, run.data.tags, GONE)
        closed.append(str(run.info.run_id))
    return closed


def end_as_killed(store: Store, run_id: str, tags: Mapping[str, str], reason: str) -> None:
    """End a run that has these `tags` as KILLED, in place of its owner. Also end the runs that its notebook left open.

    A run that had ended and was opened again gets back the status of its earlier end.
    """
    ended = tags.get(Tag.END)
    if ended is None:
        end_children(store, run_id, "KILLED")
        store.client.set_tag(run_id, Tag.FAILURE, reason)
        if Tag.TRIAL in tags:
            store.client.set_tag(run_id, Tag.TRIAL_STATE, "killed")
    store.client.set_terminated(run_id, status=ended or "KILLED")
    store.client.set_tag(run_id, Tag.END, ended or "KILLED")


def _is_open(run: Any) -> bool:
    child = Tag.PARENT_OWNER in run.data.tags
    return run.info.status == "RUNNING" or (Tag.END not in run.data.tags and not child)


def may_live(tags: Mapping[str, str]) -> bool:
    """Return True if a run's owner is another process that may still be running."""
    if tags.get(Tag.OWNER_HOST) != process_identity.machine():
        return True
    return tags.get(Tag.OWNER_PID) != str(os.getpid()) and is_alive(tags)


def is_alive(tags: Mapping[str, str]) -> bool:
    """Return True if a run's owner is a running process of this machine."""
    pid = tags.get(Tag.OWNER_PID, "")
    return pid.isdecimal() and process_identity.alive(int(pid), tags.get(Tag.OWNER_STARTED, ""))
