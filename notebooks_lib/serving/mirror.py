"""The mirror of a server: copies of requests to a second slot, whose answers are compared and not sent."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

from notebooks_lib.serving.inference import predict
from notebooks_lib.serving.prediction_diff import SAME, AnswerComparison, compare_answers
from notebooks_lib.serving.slots import Slot, log

WAITING = 16
"""Requests that may wait for the mirrored slot; further ones are dropped and counted."""


class Mirror:
    """Sends copies of requests to a second slot, and counts how its answers differ. No client waits for them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mirror")
        self._waiting = 0

    def ask(self, slot: Slot, kind: str, body: bytes, answer: bytes, *, probe: bool = False) -> None:
        """Queue the request `body` for `slot`, to compare its answer with `answer`.

        Drop it when too many are waiting.
        """
        if self._waiting >= WAITING:
            slot.tally.mirror_dropped += 1
            return
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._thread, _compare, slot, kind, body, answer)
        work.add_done_callback(lambda done: self._count(slot, done, probe=probe))

    def _count(self, slot: Slot, done: asyncio.Future[AnswerComparison], *, probe: bool) -> None:
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
        comparison = done.result()
        tally.rows_compared += comparison.rows
        tally.rows_different += comparison.different
        tally.rows_misshapen += comparison.misshapen
        if comparison.largest > SAME:
            tally.differed(comparison.largest)


def _compare(slot: Slot, kind: str, body: bytes, answer: bytes) -> AnswerComparison:
    there = json.loads(predict(slot.model, kind, body))["predictions"]
    return compare_answers(json.loads(answer)["predictions"], there)
