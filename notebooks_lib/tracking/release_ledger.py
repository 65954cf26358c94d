"""The ledger: one entry for each change of a mark or of traffic, kept in the tracking store. Entries are only added.

An entry is a run of the experiment `nbops-ledger` that only carries these tags, because every store has runs, several
machines can add them at once, and none overwrites another (docs/decisions/0024). It is written under a key, and only
once for each key, so that a change which was cut short can be repeated.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import translate_store_errors

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

EXPERIMENT = "nbops-ledger"
LIMIT = 1000
"""Characters of a tag that every store accepts."""

What = Literal["mark", "traffic", "failed", "waiting", "approved"]
"""Kind of an entry: the champion or traffic changed, a change failed and was undone, a version waits or is approved."""


@dataclass(frozen=True)
class LedgerEntry:
    """One entry: what happened to a model in a stage, such as the move of a champion mark or of traffic."""

    model: str
    stage: str
    what: What
    before: str
    """A version; of traffic "1=90,2=10", in percent; empty for none."""
    after: str
    reason: str = ""
    run: str = ""
    """The promotion run that decided it, if any."""
    who: str = ""
    """user@machine; in CI the person who started the job, and of an approval there the run that was approved."""
    when: str = ""
    """ISO, UTC."""

    def as_json(self) -> dict[str, str]:
        """Return the entry as `nbops history --json` prints it, with "from" and "to" as keys."""
        return {key: getattr(self, field) for key, field in _FIELDS.items()}


_FIELDS = {
    **{name: name for name in ("when", "who", "model", "stage", "what")},
    "from": "before",
    "to": "after",
    "run": "run",
    "reason": "reason",
}
"""Key of a field in JSON and, after Tag.LEDGER_PREFIX, in tags -> its name here. The time is the run's own."""


def write_entry(store: Store, entry: LedgerEntry, key: str) -> None:
    """Add an entry to the ledger, unless an entry with this key exists."""
    with translate_store_errors(store):
        experiment = store.experiment_id(EXPERIMENT)
        entries = query.search(store, f"tags.`{Tag.LEDGER}` = '{key}'", [experiment])
        if entries:
            run_id, status = entries[0].info.run_id, entries[0].info.status
        else:
            run_id, status = _create(store, experiment, entry, key), "RUNNING"
        if status != "FINISHED":
            store.client.set_terminated(run_id, "FINISHED")


def read_entries(store: Store, model: str, stage: str | None = None) -> list[LedgerEntry]:
    """Return the ledger's entries for a model, newest first; with `stage`, only those of that stage."""
    with translate_store_errors(store):
        experiment = store.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        condition = f"tags.`{Tag.LEDGER_PREFIX}model` = '{model}'"
        if stage is not None:
            condition += f" AND tags.`{Tag.LEDGER_PREFIX}stage` = '{stage}'"
        runs = query.search(store, condition, [experiment.experiment_id])
    # Two machines that finished the same change may both have written its key: the first entry has the time.
    ours = [run for run in runs if Tag.LEDGER in run.data.tags]
    once = {run.data.tags[Tag.LEDGER]: run for run in sorted(ours, key=_order, reverse=True)}
    return [_entry(run) for run in sorted(once.values(), key=_order, reverse=True)]


def acting_user() -> str:
    """Return "user@machine"; in CI, the user is the person who triggered the job."""
    actor = os.environ.get("GITHUB_ACTOR") or os.environ.get("BUILD_REQUESTEDFOR")
    try:
        user = actor or getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def approving_user() -> str:
    """Return who approves: "user@machine", but in CI the run in which it was approved, and who started that.

    CI does not say to a job who approved it; its page of the run does.
    """
    found = os.environ
    user = found.get("GITHUB_ACTOR") or found.get("BUILD_REQUESTEDFOR") or "unknown"
    if run := found.get("GITHUB_RUN_ID"):
        url = f"{found.get('GITHUB_SERVER_URL')}/{found.get('GITHUB_REPOSITORY')}/actions/runs/{run}"
    elif run := found.get("BUILD_BUILDID"):
        place = f"{found.get('SYSTEM_COLLECTIONURI')}{found.get('SYSTEM_TEAMPROJECT')}"
        url = f"{quote(place, safe=':/')}/_build/results?buildId={run}"
    else:
        return acting_user()
    return f"approved in {url}, started by {user}"


def _create(store: Store, experiment: str, entry: LedgerEntry, key: str) -> str:
    fields = replace(entry, who=entry.who or acting_user(), when="").as_json()
    tags = {Tag.LEDGER_PREFIX + key: text[:LIMIT] for key, text in fields.items() if text}
    title = f"{entry.model} {entry.stage}: {entry.what} {entry.before or 'none'} -> {entry.after or 'none'}"[:LIMIT]
    run = store.client.create_run(
        experiment, start_time=time.time_ns() // 1_000_000, tags={**tags, Tag.LEDGER: key}, run_name=title
    )
    return str(run.info.run_id)


def _order(run: Any) -> tuple[int, str]:
    return run.info.start_time or 0, run.data.tags[Tag.LEDGER]


def _entry(run: Any) -> LedgerEntry:
    fields: dict[str, Any] = {
        field: run.data.tags.get(Tag.LEDGER_PREFIX + key, "mark" if key == "what" else "")
        for key, field in _FIELDS.items()
    }
    when = datetime.fromtimestamp((run.info.start_time or 0) / 1000, UTC).isoformat(timespec="seconds")
    return LedgerEntry(**{**fields, "when": when})
