"""The slots of a server: which of them answers the next request. It speaks no HTTP."""

from __future__ import annotations

import itertools
import logging
import math
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from notebooks_lib import cpu_count
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.request_counts import RequestCounter

log = logging.getLogger("nbops.endpoint")

_STEP = 0.6180339887498949
"""The golden section: multiples of it, less their whole part, fill every share evenly, and no rhythm of the requests
(every second one from the same client, say) meets the same slot each time."""


@dataclass
class Slot:
    """A model version that serves requests, with its threads and its counts."""

    model: ServedModel
    info: Mapping[str, Any]
    """What `/version` answers: model, version, run_id, dataset, since and more."""
    name: str = "blue"
    tally: RequestCounter = field(default_factory=lambda: RequestCounter(since=uuid.uuid4().hex))

    pace: float = math.inf
    """CPU seconds of its last predictions, roughly; unknown at first."""
    size: float = 1.0
    """Bytes of their bodies, as roughly."""
    busy: int = 0
    """Predictions in progress."""

    def __post_init__(self) -> None:
        self.header = self.name.encode()
        # A pool for each slot, so that a model that hangs delays no requests of other slots. More threads than cores
        # would only take the interpreter's lock from each other, and from the event loop.
        self.workers = ThreadPoolExecutor(cpu_count.max_workers(), thread_name_prefix=f"predict-{self.name}")
        # Large bodies one after the other: reading one holds the interpreter's lock for a tenth of a second and more.
        self.one_by_one = ThreadPoolExecutor(1, thread_name_prefix=f"predict-large-{self.name}")

    def expected(self, size: int) -> float:
        """Return the expected time of a prediction for a body of `size` bytes, in seconds.

        The time is assumed to grow at most in proportion to the size.
        """
        return self.pace * max(1.0, size / self.size)

    def took(self, seconds: float, size: int) -> None:
        """Record how long a prediction took for a body of `size` bytes, for `expected`."""
        past = 0.9 if self.pace < math.inf else 0.0
        self.pace = past * self.pace + 0.1 * seconds if past else seconds
        self.size = past * self.size + 0.1 * size if past else float(size)

    def released(self) -> None:
        """Record that an abandoned prediction has ended."""
        self.busy -= 1


class Slots:
    """The slots in service.

    The event loop replaces them all at once, so that a request sees either the old or the new ones.
    """

    def __init__(
        self,
        ready: Mapping[str, Slot] | None = None,
        traffic: Mapping[str, int] | None = None,
        mirror: Mapping[str, int] | None = None,
    ) -> None:
        self._turns = itertools.count()
        self._copies = itertools.count()
        self.replace(ready or {}, traffic or {}, mirror or {})

    def replace(self, ready: Mapping[str, Slot], traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        """Put these slots in service. Requests in progress are still answered by their old slot."""
        self.ready = dict(ready)
        self.traffic = {name: percent for name, percent in traffic.items() if percent}
        self.mirror = next(((name, percent) for name, percent in mirror.items() if percent), None)
        self._only = self.ready.get(next(iter(self.traffic))) if len(self.traffic) == 1 else None

    def choose(self) -> Slot | None:
        """Return the slot for a request that names none, by the percentages of traffic; None if it is not loaded."""
        if self._only is not None:
            return self._only
        place = 100 * ((next(self._turns) * _STEP) % 1.0)
        for name, percent in self.traffic.items():
            place -= percent
            if place < 0:
                return self.ready.get(name)
        return None

    def main(self) -> Slot | None:
        """Return the slot with most traffic; if none has traffic, any slot; None if there are none."""
        named = sorted(self.ready, key=lambda name: -self.traffic.get(name, 0))
        return self.ready[named[0]] if named else None

    def copies_to(self, answered: Slot) -> Slot | None:
        """Return the slot that gets a copy of a request which `answered` has answered; None if it is not mirrored."""
        if self.mirror is None or self.mirror[0] == answered.name:
            return None
        name, percent = self.mirror
        return self.ready.get(name) if 100 * ((next(self._copies) * _STEP) % 1.0) < percent else None
