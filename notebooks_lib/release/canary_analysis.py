"""Watch a new version while it answers a share of the requests beside the champion. It moves no traffic.

It compares the counts of the running server: shares of failed and of refused requests, the p95, and, for a mirrored
step, the predictions. Without traffic from callers it sends golden rows to both versions itself. So a step ends even
without traffic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebooks_lib.errors import EndpointError, PromotionError
from notebooks_lib.release import slot_checks
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving.prediction_diff import largest_difference
from notebooks_lib.serving.request_counts import RequestCounts

if TYPE_CHECKING:
    from notebooks_lib.release.golden import Golden
    from notebooks_lib.serving.endpoint import Endpoint
    from notebooks_lib.settings.sections import CanaryStep, Stage

ENOUGH = 20
"""Fewest requests of each version for a p95 at the end of a step, and for a step of minutes."""
EARLY = 5
"""Fewest failures for which a share may be too large before the step has ended."""
REFUSING, REFUSING_EARLY = 0.005, 0.0001
"""Significance levels of "it refuses more than the champion": at the end of a step, and before."""
FAILING, FAILING_EARLY = 0.03, 0.001
"""The same for "it fails more". They are looser, because a faulty version that passes gets all requests."""
SURE = 100
"""Fewest requests of each version for a p95 before the step has ended: one slow answer is not enough."""


@dataclass(frozen=True)
class CanaryResult:
    """The result of one canary step."""

    new: RequestCounts
    old: RequestCounts
    seconds: float

    def __str__(self) -> str:
        new, old = self.new, self.old
        sent = request_count(new)
        own = f", {new.probes} of them ours" if new.probes else ""
        text = f"{sent} requests in {self.seconds:.0f} s{own}: {_failed(new)} failed, {new.refused} refused"
        if new.p95 is not None and old.p95 is not None:
            text += f", p95 {1000 * new.p95:.0f} ms beside {1000 * old.p95:.0f} ms"
        if new.rows_compared:
            text += f"; {new.rows_different} of {new.rows_compared} predictions differ"
            if new.largest_difference:
                text += f", by {new.largest_difference:.3g} at most (relative)"
        return text


def request_count(counts: RequestCounts) -> int:
    """Return how many requests a slot received, mirrored requests included."""
    return counts.requests + counts.mirrored


class CanaryWatch:
    """Watches one step of a canary. The caller has already split the traffic."""

    def __init__(
        self,
        endpoint: Endpoint,
        new: str,
        old: str,
        *,
        goldens: Mapping[str, Golden],
        tolerance: float,
        probing: Probing,
    ) -> None:
        self.slots = (new, old)
        self._endpoint = endpoint
        self._golden = goldens
        self._tolerance = tolerance
        self._probing = probing
        self._mark = endpoint.counts()

    def until_done(
        self, step: CanaryStep, stage: Stage, *, clock: Callable[[], float] = time.monotonic
    ) -> CanaryResult:
        """Watch until the canary step is over.

        Raises PromotionError as soon as the new version does worse than the limits of `stage` allow.
        """
        began = last_request = clock()
        goal, seen_before = step.requests or ENOUGH, -1
        while True:
            new, old = self._counts()
            result = CanaryResult(new, old, clock() - began)
            sent = request_count(new)
            over = sent >= goal and result.seconds >= 60 * step.minutes and not (new.unconfirmed or old.unconfirmed)
            fault = judge(new, old, stage, before=self._mark.get(self.slots[1]), over=over)
            if fault:
                raise PromotionError(f"{fault} ({result})")
            if over:
                return result
            if result.seconds > 60 * (step.minutes + stage.wait_minutes):
                seen = sent - new.unconfirmed
                raise PromotionError(f"only {seen} of {goal} requests were seen in {result.seconds / 60:.0f} minutes")
            last_request = clock() if sent - new.probes > seen_before else last_request
            seen_before = max(seen_before, sent - new.probes)
            # A step of minutes gets requests of our own at its end only: callers have time until then.
            quiet = clock() - last_request >= self._probing.quiet
            if quiet and (step.requests or result.seconds >= 60 * step.minutes) and sent < goal:
                self._probe(min(self._probing.most, goal - sent), mirrored=bool(step.mirror))
            else:  # also until requests of our own are among the figures
                time.sleep(self._probing.look_every)

    def _counts(self) -> tuple[RequestCounts, RequestCounts]:
        counts = self._endpoint.counts(since=self._mark)
        new, old = (counts.get(slot, RequestCounts()) for slot in self.slots)
        return new, old

    def _probe(self, count: int, *, mirrored: bool) -> None:
        """Send both versions the same number of golden requests, and check the predictions: the server does not.

        In a `mirrored` step the champion is asked without naming a slot, as its callers do, so that the requests are
        mirrored and the predictions compared.
        """
        session = self._endpoint.session()
        for turn in range(count):
            for slot in self.slots:
                pairs = self._golden[slot].pairs
                request, expected = pairs[turn % len(pairs)]
                try:
                    answer = session.ask(request, slot=None if mirrored and slot == self.slots[1] else slot)
                except EndpointError as error:
                    if slot == self.slots[1]:
                        continue
                    raise PromotionError(f"the endpoint does not answer: {error}") from error
                if answer.status != 200 or slot == self.slots[1]:
                    continue  # the endpoint counts failures, and only the new version's predictions are compared
                if largest_difference(expected, answer.content.get("predictions")) > self._tolerance:
                    raise PromotionError("its predictions for known rows differ from those when it was registered")


def judge(
    new: RequestCounts, old: RequestCounts, stage: Stage, *, before: RequestCounts | None = None, over: bool = True
) -> str:
    """Return why the new version fails the canary step; empty if it does not fail.

    With `over` False, the step is still running, and only faults that are certain count. `before` holds the champion's
    counts before the step. The p95 is compared with them, because a slow new version occupies threads that the champion
    needs, and slows it down.
    """
    sent = request_count(new)
    past = before or RequestCounts()  # for a champion that hardly gets requests any more
    for event, count, champion_count, champion_received, level in (
        (
            "failed",
            _failed(new),
            _failed(old) + _failed(past),
            request_count(old) + request_count(past),
            FAILING if over else FAILING_EARLY,
        ),
        # Both versions refuse malformed requests; the new one is at fault only for those that it alone refuses.
        ("were refused", new.refused, old.refused, request_count(old), REFUSING if over else REFUSING_EARLY),
    ):
        allowed = stage.max_error_rate + (champion_count / champion_received if champion_received else 0.0)
        if sent and count > allowed * sent and (over or count >= EARLY):
            by_chance = 0.0
            if champion_received:
                by_chance = _chance_of_as_many(count, sent, champion_count, champion_received)
            if by_chance <= level:
                return (
                    f"{count} of {sent} requests {event}, more than {100 * allowed:.3g} %, beside {champion_count} of "
                    f"{champion_received} of the champion's (by chance: {by_chance:.2g})"
                )
    if new.rows_misshapen:
        return f"it answers {new.rows_misshapen} of {new.rows_compared} rows in another form than the champion does"
    too_different = _too_different(new, stage, over=over)
    if too_different:
        return too_different
    if min(sum(new.times), sum(old.times)) >= (ENOUGH if over else SURE):
        usual = before.p95 if before is not None and sum(before.times) >= ENOUGH else old.p95
        return slot_checks.too_slow(new.p95, min(filter(None, (usual, old.p95)), default=None), stage.max_latency_ratio)
    return ""


def _too_different(new: RequestCounts, stage: Stage, *, over: bool) -> str:
    """Return why its predictions differ too much from the champion's, where the settings limit that."""
    apart, rows, different = new.largest_difference, new.rows_compared, new.rows_different
    if stage.max_difference is not None and apart > stage.max_difference:
        return f"a prediction differs from the champion's by {apart:.3g}, more than {stage.max_difference:g} (relative)"
    # The share may still fall, and mirrored answers reach no client: it is judged at the end of the step.
    if over and stage.max_different is not None and different > stage.max_different * rows:
        return (
            f"{different} of {rows} predictions differ from the champion's, more than {100 * stage.max_different:g} %"
        )
    return ""


def _failed(counts: RequestCounts) -> int:
    """Return the requests that the version failed: its own, and mirrored ones that the other version did answer."""
    return counts.failed + counts.mirror_failed


def _chance_of_as_many(count: int, total: int, other_count: int, other_total: int) -> float:
    """Return the p-value of Fisher's exact test, one-sided: whether events are more frequent in `total` requests.

    `other_count` of `other_total` requests are what they are compared with.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(count - 1, total + other_total, count + other_count, total))
