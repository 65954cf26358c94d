"""The lock of a stage in the tracking store, for processes on any machine. It knows no journal and no endpoint.

Who wants the lock makes a claim, and holds the lock if the store shows no other claim then. A holder sends heartbeats.
When they stop, another process takes the lock over: it writes so on the holder's claim, and the holder, if it wakes up
after all, finds that before its next step. docs/decisions/0058 argues why only one goes on, and what that rests on.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from notebooks_lib.errors import PromotionError, StageBusyError, TrackingError
from notebooks_lib.tracking import lock_claim
from notebooks_lib.tracking.lock_claim import HELD, Claim, claims, read_claim

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

MISSED = 12
"""How many heartbeats must be missed until an owner counts as gone."""
SHOWN_WITHIN = 60.0
"""Seconds in which a search must show a new run."""
ATTEMPTS = 4
"""How often a process tries that wants the lock at the same moment as another."""
_log = logging.getLogger(__name__)


class SharedLock:
    """The lock of one stage of a model, in the tracking store."""

    def __init__(self, store: Store, model: str, stage: str, *, heartbeat: float) -> None:
        self.store = store
        self.model = model
        self.stage = stage
        self._interval = heartbeat
        """Seconds between two heartbeats."""
        self.gone_after = heartbeat * MISSED
        """Seconds without a heartbeat after which an owner counts as gone."""
        self.claim: Claim | None = None
        """The claim by which this object holds the lock; None while it does not."""
        self._heartbeat: Heartbeat | None = None

    def take(self) -> None:
        """Take the lock, also from an owner that is gone; to find that out takes up to `gone_after` seconds.

        Raises StageBusyError, naming the owner, when a living process holds it.
        """
        rival: Claim | None = None
        for _ in range(ATTEMPTS):
            if rival is not None:
                time.sleep(random.uniform(0, self._interval))  # both stepped back, and one comes first the next time
            rival = self._replace(self._watch(self._held(claims(self.store, self.model, self.stage))))
            if rival is None:
                return
        assert rival is not None
        raise self._busy(rival)

    def renew(self) -> None:
        """Hold the lock by a new claim, whose run has no journal. Raises PromotionError when it was taken over."""
        assert self.claim is not None
        rival: Claim | None = None
        for _ in range(ATTEMPTS):
            if rival is not None:
                time.sleep(random.uniform(0, self._interval))
            self.confirm(self.claim)
            rival = self._replace([self.claim])
            if rival is None:
                return
        assert rival is not None
        raise self._busy(rival)

    def confirm(self, claim: Claim) -> None:
        """Raise PromotionError unless this object still holds the lock by `claim`."""
        if self.claim is None or self.claim.run_id != claim.run_id:
            raise PromotionError(f"the change of stage {self.stage!r} of {self.model!r} has ended; begin again")
        lock = read_claim(self.store, claim.run_id).lock
        if lock != HELD:
            self._forget()
            raise PromotionError(
                f"the change of stage {self.stage!r} of {self.model!r} was {lock}, because no heartbeat came for "
                f"{self.gone_after:.0f} s; this process stops here; nbops history {self.model} says what became of it"
            )

    def release(self) -> None:
        """Release the lock, if this object holds it.

        If the store does not answer, others take it over as from an owner that is gone.
        """
        claim = self.claim
        self._forget()
        if claim is not None:
            with suppress(TrackingError):
                lock_claim.release_claim(self.store, claim)

    def _forget(self) -> None:
        self.claim = None
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def _replace(self, gone: Sequence[Claim]) -> Claim | None:
        """Hold the lock by a new claim, in place of those that are gone.

        Return None, or another claim that is in the way; then nothing has changed.
        """
        mine = lock_claim.make_claim(self.store, self.model, self.stage)
        heartbeat = Heartbeat(self.store, mine, self._interval)
        try:
            shown = self._shown_with(mine)
            known = {mine.run_id, *(claim.run_id for claim in gone)}
            others = self._held([claim for claim in shown if claim.run_id not in known])
            rival = others[0] if others else None
            if rival is None and not self._held([mine]):  # this machine slept, and another took it for gone
                rival = mine
            if rival is None:
                for claim in gone:
                    lock_claim.take_over(self.store, claim)
                lock_claim.take_turn(self.store, mine, shown)
                self._forget()
                self.claim, self._heartbeat = mine, heartbeat
        finally:
            if self.claim is not mine:
                heartbeat.stop()
                with suppress(TrackingError):
                    lock_claim.release_claim(self.store, mine)
        return rival

    def _shown_with(self, mine: Claim) -> list[Claim]:
        """Return the claims on this stage, once the store shows this one among them."""
        deadline = time.monotonic() + SHOWN_WITHIN
        while True:
            shown = claims(self.store, self.model, self.stage)
            if any(claim.run_id == mine.run_id for claim in shown):
                return shown
            if time.monotonic() > deadline:
                raise TrackingError(f"{self.store.shown}: a search does not show the run {mine.run_id}, just made")
            time.sleep(self._interval / 10)

    def _held(self, shown: Sequence[Claim]) -> list[Claim]:
        """Return those claims that are open, as they are now: what a search shows of a run may be older."""
        now = (read_claim(self.store, claim.run_id) for claim in shown if claim.lock == HELD)
        return [claim for claim in now if claim.lock == HELD]

    def _watch(self, held: Sequence[Claim]) -> list[Claim]:
        """Return those claims whose owners are gone. Raises StageBusyError for the first owner that lives.

        An owner lives if its heartbeat changes. Times are measured by this machine's own clock: those of two machines
        are never compared.
        """
        gone = [claim for claim in held if claim.owner.has_ended]
        unclear = [claim for claim in held if claim not in gone]
        deadline = time.monotonic() + self.gone_after
        if unclear:
            _log.warning("%s: waiting up to %.0f s for a heartbeat", self._busy_text(unclear[0]), self.gone_after)
        while unclear:
            over = time.monotonic() > deadline
            for claim in tuple(unclear):
                now = read_claim(self.store, claim.run_id)
                if now.lock == HELD and now.heartbeat != claim.heartbeat:
                    raise self._busy(now)
                if now.lock == HELD and (over or claim.owner.has_ended):
                    gone.append(claim)
                if now.lock != HELD or claim in gone:
                    unclear.remove(claim)
            if unclear:
                time.sleep(self._interval / 5)
        return gone

    def _busy(self, claim: Claim) -> StageBusyError:
        return StageBusyError(
            f"{self._busy_text(claim)}: try again when that has ended, or end that process there (a notebook: shut its "
            f"kernel down); it counts as gone after {self.gone_after:.0f} s without a heartbeat"
        )

    def _busy_text(self, claim: Claim) -> str:
        owner = claim.owner
        return f"stage {self.stage!r} of {self.model!r} is being changed by {owner}, since {owner.since} UTC"


class Heartbeat:
    """Sends a heartbeat for a claim every `interval` seconds, on a thread, from now until `stop`."""

    def __init__(self, store: Store, claim: Claim, interval: float) -> None:
        self._store = store
        self._claim = claim
        self._interval = interval
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="nbops-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End; one that is on its way may still arrive."""
        self._stopped.set()

    def _run(self) -> None:
        number = 0
        while not self._stopped.wait(self._interval):
            number += 1
            with suppress(Exception):  # the store is away for a moment; `confirm` notices if it was too long
                lock_claim.send_heartbeat(self._store, self._claim, number)
