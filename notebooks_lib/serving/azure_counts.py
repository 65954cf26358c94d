"""Requests to an online endpoint of Azure: those of this process at once, all others as Azure Monitor counts them.

Azure Monitor counts by minute, and minutes late. Requests of this process are among its figures too. So of each minute
the larger number counts, and `unconfirmed` says how many of ours are not among the figures yet.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar, cast

from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import endpoint_metrics
from notebooks_lib.azure.endpoints.endpoint_metrics import MinuteFigures
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.request_counts import TIME_BOUNDS, RequestCounts

LONGEST = 24 * 3600.0
"""Seconds that are looked back at most."""
ASK_AGAIN = 10.0
"""Seconds for which figures are kept: they change once a minute."""

Figures = dict[int, MinuteFigures]
Answer = TypeVar("Answer")


class AzureCounts:
    """Counts the requests to one endpoint. Several threads can use it at once."""

    def __init__(
        self, client: RestClient, workspace: Workspace, endpoint: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._workspace = workspace
        self._endpoint = endpoint
        self._clock = clock
        self._own: dict[str, list[tuple[float, int, bool]]] = {}
        self._kept: dict[tuple[str, int], tuple[float, object]] = {}
        self._lock = threading.Lock()

    def add(self, slot: str, status: int, *, probe: bool) -> None:
        """Count a request that this process has sent."""
        with self._lock:
            self._own.setdefault(slot, []).append((self._clock(), status, probe))

    def read(
        self, slots: Mapping[str, AzureSlot], since: Mapping[str, RequestCounts] | None = None
    ) -> dict[str, RequestCounts]:
        """Return the counts by slot since it was deployed, or since `since`, an earlier result. Raises AzureError."""
        now = self._clock()
        return {name: self._of_slot(name, slot.since, (since or {}).get(name), now) for name, slot in slots.items()}

    def _of_slot(self, slot: str, deployed: str, mark: RequestCounts | None, now: float) -> RequestCounts:
        same, _, moment = mark.since.rpartition("@") if mark else ("", "", "")
        begin = float(moment) if same == deployed else max(_timestamp(deployed), now - LONGEST)
        figures = self._requests(begin, now).get(slot, {})
        with self._lock:
            sent = list(self._own.get(slot, ()))
        own = [request for request in sent if request[0] > begin]
        ours: Figures = {}
        for moment_sent, status, _probe in own:
            minute = int(moment_sent // 60)
            ours[minute] = ours.get(minute, MinuteFigures()).plus(status, 1)
        # The minute of a mark has requests from before it: only ours are known apart.
        first = int(begin // 60) + (same == deployed)
        counted = {minute: each for minute, each in figures.items() if minute >= first}
        minutes = [
            _larger(ours.get(minute, MinuteFigures()), counted.get(minute, MinuteFigures()))
            for minute in {*ours, *counted}
        ]
        earlier = Counter(int(moment_sent // 60) for moment_sent, *_ in sent if moment_sent <= begin)
        missing = (
            each.requests - max(0, figures.get(minute, MinuteFigures()).requests - earlier[minute])
            for minute, each in ours.items()
        )
        return RequestCounts(
            requests=sum(each.requests for each in minutes),
            refused=sum(each.refused for each in minutes),
            failed=sum(each.failed for each in minutes),
            times=self._times(slot, counted, begin, now),
            probes=sum(probe for *_, probe in own),
            unconfirmed=sum(max(0, each) for each in missing),
            since=f"{deployed}@{now}",
        )

    def _requests(self, begin: float, now: float) -> dict[str, Figures]:
        asked = self._client, self._workspace, self._endpoint, 60 * (begin // 60), now
        return self._remembered(("", int(begin // 60)), lambda: endpoint_metrics.requests_by_minute(*asked))

    def _times(self, slot: str, counted: Figures, begin: float, now: float) -> tuple[int, ...]:
        """Return the times as a histogram: of a minute Azure knows how many requests there were, and percentiles."""
        if not any(each.answered for each in counted.values()):
            return ()
        asked = self._client, self._workspace, self._endpoint, slot, 60 * (begin // 60), now
        times = self._remembered((slot, int(begin // 60)), lambda: endpoint_metrics.times_by_minute(*asked))
        histogram = [0] * (len(TIME_BOUNDS) + 1)
        for minute, figures in counted.items():
            below = 0
            for share, seconds in sorted(times.get(minute, {}).items()):
                last = share == endpoint_metrics.SHARES[-1]
                upto = figures.answered if last else round(share * figures.answered)
                histogram[bisect_left(TIME_BOUNDS, seconds)] += upto - below
                below = upto
        return tuple(histogram)

    def _remembered(self, key: tuple[str, int], ask: Callable[[], Answer]) -> Answer:
        """Return an answer of Azure Monitor, which is asked again only after a while."""
        asked, answer = self._kept.get(key, (-ASK_AGAIN, None))
        if answer is None or time.monotonic() - asked >= ASK_AGAIN:
            answer = ask()
            self._kept[key] = time.monotonic(), answer
        return cast("Answer", answer)


def _larger(first: MinuteFigures, second: MinuteFigures) -> MinuteFigures:
    return MinuteFigures(**{kind: max(number, vars(second)[kind]) for kind, number in vars(first).items()})


def _timestamp(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
