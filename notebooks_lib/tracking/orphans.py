"""Ends runs that nobody else will: children that a notebook left open, and runs whose owner is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from notebooks_lib import process_identity
from notebooks_lib.records import RunStatus
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import Store

GONE = "its owner is gone"


def end_children(store: Store, owner_run: str, status: RunStatus) -> list[str]:
    """End every run that the notebook of `owner_run` opened, with `status` where it was left open; their ids.

    Those that MLflow ended itself keep their status; all get the tag that says an owner saw the end.
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
    """MLflow runs that no owner will end any more: their owner was a process of this machine that is gone.

    RUNNING ones; and those that MLflow's exit handler called FINISHED before an owner, killed meanwhile, could say how
    they ended. A run whose owner lives is never among them. With `parent` only trials of that sweep.
    """
    condition = f"tags.`{Tag.OWNER_HOST}` = '{socket.gethostname()}'"
    if parent is not None:
        condition += f" AND tags.`mlflow.parentRunId` = '{parent}'"
    return [run for run in query.search(store, condition) if _is_open(run) and not alive(run.data.tags)]


def close_left_behind(store: Store, parent: str | None = None) -> list[str]:
    """End those as KILLED, saying why; their ids. A run that had ended and was opened again gets its end back."""
    closed = []
    for run in left_behind(store, parent):
        close(store, run.info.run_id, run.data.tags, GONE)
        closed.append(str(run.info.run_id))
    return closed


def close(store: Store, run_id: str, tags: Mapping[str, str], reason: str) -> None:
    """End one run as KILLED in the place of its owner, and what its notebook left open."""
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
    """Whether the owner that a run names is another process than this one that may still go on."""
    if tags.get(Tag.OWNER_HOST) != socket.gethostname():
        return True
    return tags.get(Tag.OWNER_PID) != str(os.getpid()) and alive(tags)


def alive(tags: Mapping[str, str]) -> bool:
    """Whether the owner that a run names is a process of this machine that goes on."""
    pid = tags.get(Tag.OWNER_PID, "")
    return pid.isdecimal() and process_identity.alive(int(pid), tags.get(Tag.OWNER_STARTED, ""))
