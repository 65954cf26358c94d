"""The lock of a stage in the tracking store, for processes on any machine. It knows no journal and no endpoint.

Who wants the lock makes a run, its claim, and holds the lock if no other claim is open then. A holder sends heartbeats.
When they stop, another process takes the lock over: it writes so on the holder's claim, and the holder, if it wakes up
after all, finds that before its next step. docs/decisions/0056 argues why one process at a time goes on, and when not.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from notebooks_lib import process_identity
from notebooks_lib.errors import PromotionError, StageBusyError, TrackingError
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, release_ledger
from notebooks_lib.tracking.store import translate_store_errors

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

EXPERIMENT = "nbops-changes"
HEARTBEAT = 5.0
"""Seconds between two heartbeats."""
MISSED = 12
"""How many heartbeats must be missed until an owner counts as gone."""
SHOWN_WITHIN = 60.0
"""Seconds in which a search must show a new run."""
ATTEMPTS = 4
"""How often a process tries again that began at the same moment as another."""
HELD, RELEASED = "held", "released"
_log = logging.getLogger(__name__)


def gone_after() -> float:
    """Return the seconds without a heartbeat after which an owner counts as gone."""
    return HEARTBEAT * MISSED


@dataclass(frozen=True)
class LockOwner:
    """The process that made a claim."""

    who: str
    """user@machine."""
    pid: int
    machine: str
    """As `process_identity.machine` says it."""
    born: str
    """As `process_identity.birth` says it."""
    since: str
    """UTC by the clock of its machine, for people."""

    @classmethod
    def this_process(cls) -> Self:
        """Return this process as an owner."""
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        who, machine = release_ledger.acting_user()[:200], process_identity.machine()
        return cls(who, os.getpid(), machine, process_identity.birth(), since)

    @property
    def has_ended(self) -> bool:
        """True if it was a process of this machine that has ended. Of other machines nothing is known."""
        return self.machine == process_identity.machine() and not process_identity.alive(self.pid, self.born)

    def __str__(self) -> str:
        return f"{self.who} (process {self.pid})"


@dataclass(frozen=True)
class Claim:
    """A run by which a process has, had or wants the lock."""

    run_id: str
    model: str
    stage: str
    turn: int
    owner: LockOwner
    lock: str
    """HELD, RELEASED, or who took it over."""
    heartbeat: str
    change: str
    """The id of the change whose journal the run holds; empty if it holds none."""

    @classmethod
    def of_run(cls, run: Any) -> Self:
        """Read the claim that a run is."""
        tags = run.data.tags
        return cls(
            run.info.run_id,
            tags[Tag.CHANGE_MODEL],
            tags[Tag.CHANGE_STAGE],
            int(tags[Tag.CHANGE_TURN]),
            LockOwner(**json.loads(tags[Tag.CHANGE_OWNER])),
            tags[Tag.CHANGE_LOCK],
            tags[Tag.CHANGE_HEARTBEAT],
            tags.get(Tag.CHANGE_ID, ""),
        )


def claims(store: Store, model: str = "", stage: str = "") -> list[Claim]:
    """Return all claims on a stage, the newest first; without `stage` those of a model, without `model` all."""
    with translate_store_errors(store):
        experiment = store.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            return []
        wanted = {Tag.CHANGE_MODEL: model, Tag.CHANGE_STAGE: stage}
        condition = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items() if value)
        runs = query.search(store, condition, [experiment.experiment_id])
    return sorted((Claim.of_run(run) for run in runs if Tag.CHANGE_LOCK in run.data.tags), key=_order, reverse=True)


def read_claim(store: Store, run_id: str) -> Claim:
    """Return a claim as it is now. Other than a search, this never answers from an index that lags behind."""
    with translate_store_errors(store):
        return Claim.of_run(store.client.get_run(run_id))


def fence(store: Store, claim: Claim) -> None:
    """Take a claim's lock away from its owner, who finds that at its next `SharedLock.confirm`."""
    try:
        with translate_store_errors(store):
            store.client.set_tag(claim.run_id, Tag.CHANGE_LOCK, f"taken over by {LockOwner.this_process()}")
            store.client.set_terminated(claim.run_id, "KILLED")
    except TrackingError:
        if read_claim(store, claim.run_id).lock == HELD:  # else its owner deleted it itself, or only its status is old
            raise


class SharedLock:
    """The lock of one stage of a model, in the tracking store."""

    def __init__(self, store: Store, model: str, stage: str) -> None:
        self.store = store
        self.model = model
        self.stage = stage
        self.claim: Claim | None = None
        """The claim by which this object holds the lock; None while it does not."""
        self._heartbeat = Heartbeat(self._send_heartbeat)

    def take(self) -> None:
        """Take the lock, also from an owner that is gone; to find that out takes up to `gone_after` seconds.

        Raises StageBusyError, naming the owner, when a living process holds it.
        """
        for last in (False,) * (ATTEMPTS - 1) + (True,):
            before = claims(self.store, self.model, self.stage)
            gone = self._watch([claim for claim in before if claim.lock == HELD])
            rival = self._claim(1 + max((claim.turn for claim in before), default=0), gone)
            if rival is None:
                return
            if last:
                raise self._busy(rival)
            time.sleep(random.uniform(0, HEARTBEAT))  # both have stepped back, and one comes first the next time

    def renew(self) -> None:
        """Hold the lock by a new claim, whose run has no journal yet. Raises PromotionError when it was taken over."""
        old = self.claim
        assert old is not None
        if self._claim(old.turn + 1, [old]) is not None:
            raise PromotionError(_lost(old, "being taken over"))

    def confirm(self, claim: Claim) -> None:
        """Raise PromotionError unless this object still holds the lock by `claim`."""
        if self.claim is None or self.claim.run_id != claim.run_id:
            raise PromotionError(f"the change of stage {self.stage!r} of {self.model!r} has ended; begin again")
        lock = read_claim(self.store, claim.run_id).lock
        if lock != HELD:
            self._heartbeat.stop()
            self.claim = None
            raise PromotionError(_lost(claim, lock))

    def release(self) -> None:
        """Release the lock, if this object holds it.

        If the store does not answer, others take it over as from an owner that is gone.
        """
        claim, self.claim = self.claim, None
        self._heartbeat.stop()
        if claim is None:
            return
        with suppress(TrackingError):
            now = read_claim(self.store, claim.run_id)
            with translate_store_errors(self.store):
                if now.lock == HELD:
                    self.store.client.set_tag(claim.run_id, Tag.CHANGE_LOCK, RELEASED)
                    self.store.client.set_terminated(claim.run_id, "FINISHED")
                if not now.change:
                    self.store.client.delete_run(claim.run_id)

    def _claim(self, turn: int, gone: Collection[Claim]) -> Claim | None:
        """Make a claim and hold the lock by it, in place of those that are `gone`.

        Return a claim that is in the way, if there is one; then the lock is not held.
        """
        self.claim = mine = self._make_claim(turn)
        self._heartbeat.start()
        try:
            rival = self._rival(mine, {claim.run_id for claim in gone})
            if rival is None:
                for claim in gone:
                    fence(self.store, claim)
                return None
        except BaseException:
            self.release()
            raise
        self.release()
        return rival

    def _make_claim(self, turn: int) -> Claim:
        tags = {
            Tag.CHANGE_MODEL: self.model,
            Tag.CHANGE_STAGE: self.stage,
            Tag.CHANGE_TURN: str(turn),
            Tag.CHANGE_OWNER: json.dumps(asdict(LockOwner.this_process())),
            Tag.CHANGE_HEARTBEAT: "0",
            Tag.CHANGE_LOCK: HELD,
        }
        with translate_store_errors(self.store):
            experiment, now = self.store.experiment_id(EXPERIMENT), time.time_ns() // 1_000_000
            name = f"{self.model} {self.stage}"
            return Claim.of_run(self.store.client.create_run(experiment, start_time=now, tags=tags, run_name=name))

    def _rival(self, mine: Claim, gone: Collection[str]) -> Claim | None:
        """Return another claim that is open, once the store shows ours; ours, if it was taken over meanwhile."""
        deadline = time.monotonic() + SHOWN_WITHIN
        while True:
            now = claims(self.store, self.model, self.stage)
            if any(claim.run_id == mine.run_id for claim in now):
                break
            if time.monotonic() > deadline:
                raise TrackingError(f"{self.store.shown}: a search does not show the run {mine.run_id}, just made")
            time.sleep(HEARTBEAT / 10)
        if read_claim(self.store, mine.run_id).lock != HELD:  # this machine slept since it made the claim
            return mine
        others = (claim for claim in now if claim.lock == HELD and claim.run_id not in {mine.run_id, *gone})
        return next(others, None)

    def _watch(self, held: Iterable[Claim]) -> list[Claim]:
        """Return the claims of owners that are gone. Raises StageBusyError for the first one that lives.

        An owner lives if its heartbeat changes. Times are measured by this machine's own clock: those of two machines
        are never compared.
        """
        gone = {claim.run_id: claim for claim in held}
        unclear = [claim for claim in gone.values() if not claim.owner.has_ended]
        deadline = time.monotonic() + gone_after()
        if unclear:
            _log.warning("%s: waiting up to %.0f s for a heartbeat", self._busy_text(unclear[0]), gone_after())
        while unclear:
            over = time.monotonic() > deadline
            for claim in tuple(unclear):
                now = read_claim(self.store, claim.run_id)
                if now.lock == HELD and now.heartbeat != claim.heartbeat:
                    raise self._busy(now)
                if now.lock != HELD:
                    del gone[claim.run_id]
                if over or now.lock != HELD or claim.owner.has_ended:
                    unclear.remove(claim)
            if unclear:
                time.sleep(HEARTBEAT / 5)
        return [*gone.values()]

    def _busy(self, claim: Claim) -> StageBusyError:
        return StageBusyError(
            f"{self._busy_text(claim)}: try again when that has ended; it counts as gone after "
            f"{gone_after():.0f} s without a heartbeat"
        )

    def _busy_text(self, claim: Claim) -> str:
        return (
            f"stage {self.stage!r} of {self.model!r} is being changed by {claim.owner}, since {claim.owner.since} UTC"
        )

    def _send_heartbeat(self, number: int) -> None:
        claim = self.claim
        if claim is not None:
            self.store.client.set_tag(claim.run_id, Tag.CHANGE_HEARTBEAT, str(number))


class Heartbeat:
    """Calls `send` with 1, 2, 3, ... every HEARTBEAT seconds, on a thread, from `start` to `stop`."""

    def __init__(self, send: Callable[[int], None]) -> None:
        self._send = send
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin, or begin again."""
        self._stopped.set()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, args=(self._stopped,), name="nbops-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End; one that is on its way may still arrive."""
        self._stopped.set()

    def _run(self, stopped: threading.Event) -> None:
        number = 0
        while not stopped.wait(HEARTBEAT):
            number += 1
            with suppress(Exception):  # the store is away for a moment; `confirm` notices if it was too long
                self._send(number)


def _lost(claim: Claim, how: str) -> str:
    return (
        f"the change of stage {claim.stage!r} of {claim.model!r} was {how}, because no heartbeat came for "
        f"{gone_after():.0f} s; this process stops here, and nbops history {claim.model} says what became of it"
    )


def _order(claim: Claim) -> tuple[int, str]:
    return claim.turn, claim.run_id
