"""A claim: the run by which a process wants, holds or held the lock of a stage. `shared_lock.py` says which it is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from notebooks_lib import process_identity
from notebooks_lib.errors import PromotionError, TrackingError
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, release_ledger
from notebooks_lib.tracking.store import translate_store_errors

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

EXPERIMENT = "nbops-changes"
HELD, RELEASED = "held", "released"


@dataclass(frozen=True)
class LockOwner:
    """The process that made a claim."""

    who: str
    """user@machine."""
    pid: int
    machine: str
    """As `process_identity.pid_space` says it."""
    born: str
    """As `process_identity.birth` says it."""
    since: str
    """UTC by the clock of its machine, for people."""

    @classmethod
    def this_process(cls) -> Self:
        """Return this process as an owner."""
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        who, machine = release_ledger.acting_user()[:200], process_identity.pid_space()
        return cls(who, os.getpid(), machine, process_identity.birth(), since)

    @property
    def has_ended(self) -> bool:
        """True if it was a process of this machine that has ended. Of other machines nothing is known."""
        return self.machine == process_identity.pid_space() and not process_identity.alive(self.pid, self.born)

    def __str__(self) -> str:
        return f"{self.who} (process {self.pid})"


@dataclass(frozen=True)
class Claim:
    """One claim, as it was when it was read."""

    run_id: str
    model: str
    stage: str
    owner: LockOwner
    lock: str
    """HELD, RELEASED, or "taken over by" and by whom. A process that wants the lock already claims to hold it."""
    turn: int
    """Larger than that of all claims that held the lock before; 0 if it never did."""
    heartbeat: str
    change: str
    """The id of the change whose journal the run holds; empty if it holds none."""

    @classmethod
    def of_run(cls, run: Any) -> Self:
        """Read the claim that a run is. Raises PromotionError for a run that this nbops has not written."""
        tags = run.data.tags
        try:
            return cls(
                run.info.run_id,
                tags[Tag.CHANGE_MODEL],
                tags[Tag.CHANGE_STAGE],
                LockOwner(**json.loads(tags[Tag.CHANGE_OWNER])),
                tags[Tag.CHANGE_LOCK],
                int(tags.get(Tag.CHANGE_TURN, "0")),
                tags.get(Tag.CHANGE_HEARTBEAT, ""),
                tags.get(Tag.CHANGE_ID, ""),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PromotionError(
                f"run {run.info.run_id} of the experiment {EXPERIMENT} is no claim of this nbops on a stage's lock "
                f"({type(error).__name__}: {error}); another version of nbops may be changing the stage; if none is, "
                "delete that run"
            ) from error


def make_claim(store: Store, model: str, stage: str) -> Claim:
    """Make a claim of this process on the lock of a stage."""
    tags = {
        Tag.CHANGE_MODEL: model,
        Tag.CHANGE_STAGE: stage,
        Tag.CHANGE_OWNER: json.dumps(asdict(LockOwner.this_process())),
        Tag.CHANGE_LOCK: HELD,
    }
    with translate_store_errors(store):
        experiment, now = store.experiment_id(EXPERIMENT), time.time_ns() // 1_000_000
        return Claim.of_run(store.client.create_run(experiment, start_time=now, tags=tags, run_name=f"{model} {stage}"))


def claims(store: Store, model: str = "", stage: str = "") -> list[Claim]:
    """Return all claims on a stage, that of the newest holder first; without `stage` or `model`, those of all."""
    with translate_store_errors(store):
        experiment = store.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            return []
        wanted = {Tag.CHANGE_MODEL: model, Tag.CHANGE_STAGE: stage}
        condition = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items() if value)
        runs = query.search(store, condition, [experiment.experiment_id])
    ours = (Claim.of_run(run) for run in runs if Tag.CHANGE_LOCK in run.data.tags)
    return sorted(ours, key=lambda claim: claim.turn, reverse=True)


def read_claim(store: Store, run_id: str) -> Claim:
    """Return a claim as it is now; a search may answer from an index that lags behind."""
    with translate_store_errors(store):
        return Claim.of_run(store.client.get_run(run_id))


def take_turn(store: Store, claim: Claim, others: Sequence[Claim]) -> None:
    """Give a claim, which now holds the lock, a larger turn than all others."""
    with translate_store_errors(store):
        turn = 1 + max((other.turn for other in others), default=0)
        store.client.set_tag(claim.run_id, Tag.CHANGE_TURN, str(turn))


def send_heartbeat(store: Store, claim: Claim, number: int) -> None:
    """Show others that the owner lives."""
    store.client.set_tag(claim.run_id, Tag.CHANGE_HEARTBEAT, str(number))


def take_over(store: Store, claim: Claim) -> None:
    """Lock the owner of a claim out, who finds that with its next `read_claim`.

    A run without a journal is deleted, so that its owner cannot begin one late.
    """
    try:
        with translate_store_errors(store):
            store.client.set_tag(claim.run_id, Tag.CHANGE_LOCK, f"taken over by {LockOwner.this_process()}")
            store.client.set_terminated(claim.run_id, "KILLED")  # for people who look at the runs
            if not read_claim(store, claim.run_id).change:
                store.client.delete_run(claim.run_id)
    except TrackingError:
        if read_claim(store, claim.run_id).lock == HELD:  # else its owner has deleted it meanwhile
            raise


def release_claim(store: Store, claim: Claim) -> None:
    """End a claim of this process. Its run is deleted if it holds no journal."""
    now = read_claim(store, claim.run_id)
    with translate_store_errors(store):
        if now.lock == HELD:
            store.client.set_tag(claim.run_id, Tag.CHANGE_LOCK, RELEASED)
            store.client.set_terminated(claim.run_id, "FINISHED")
        if not now.change:
            store.client.delete_run(claim.run_id)
