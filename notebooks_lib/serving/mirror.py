"""Send copies of requests to a second slot and count where its answers differ. No client ever waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from notebooks_lib.serving.inference import difference, largest_finite_difference, predict, same_form
from notebooks_lib.serving.slots import Slot

WAITING = 16
"""Requests that may wait for the second slot; further ones are dropped and counted."""
SAME = 1e-6
"""Largest relative difference of two predictions that count as the same."""

log = logging.getLogger("nbops.endpoint")


@dataclass(frozen=True)
class MirrorComparison:
    """The comparison of one request's answers."""

    rows: int
    different: int
    misshapen: int
    """Of these, how many have another form: code that reads one answer cannot read the other."""
    largest: float
    """Largest relative difference of the numbers."""


class Mirror:
    """One thread that works through the queue."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mirror")
        self._waiting = 0

    def ask(self, slot: Slot, kind: str, body: bytes, answer: bytes, *, probe: bool = False) -> None:
        """Queue `body` for `slot`, to be compared with `answer`; drop it when too many are waiting."""
        if self._waiting >= WAITING:
            slot.tally.mirror_dropped += 1
            return
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._thread, _compare, slot, kind, body, answer)
        work.add_done_callback(lambda done: self._count(slot, done, probe=probe))

    def _count(self, slot: Slot, done: asyncio.Future[MirrorComparison], *, probe: bool) -> None:
        self._waiting -= 1
        if done.cancelled():
            return
        tally, error = slot.tally, done.exception()
        tally.mirrored += 1
        tally.probes += probe
        if error is not None:
            tally.mirror_failed += 1
            log.warning("mirror to slot %s: %s: %s", slot.name, type(error).__name__, error)
            return
        found = done.result()
        tally.rows_compared += found.rows
        tally.rows_different += found.different
        tally.rows_misshapen += found.misshapen
        if found.largest > SAME:
            tally.differed(found.largest)


def _compare(slot: Slot, kind: str, body: bytes, answer: bytes) -> MirrorComparison:
    there = json.loads(predict(slot.model, kind, body))["predictions"]
    return compare(json.loads(answer)["predictions"], there)


def compare(one: Any, other: Any) -> MirrorComparison:
    """Compare two answers to the same rows, row by row."""
    lists = isinstance(one, list), isinstance(other, list)
    if any(lists) and not (all(lists) and len(one) == len(other)):
        return MirrorComparison(1, 1, 1, 0.0)
    if not all(lists):
        one, other = [one], [other]
    rows = list(zip(one, other, strict=True))
    different = [pair for pair in rows if difference(*pair) > SAME]
    misshapen = sum(not same_form(*pair) for pair in different)
    return MirrorComparison(
        len(rows), len(different), misshapen, max((largest_finite_difference(*pair) for pair in rows), default=0.0)
    )
