"""Watch a new version while it answers a share of the requests beside the champion. It moves no traffic.

It compares the counts of the running server: shares of failed and of refused requests, the p95, and, for a mirrored
step, the predictions. Without traffic from callers it sends golden rows to both versions itself. So a step ends whether
there is traffic or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebooks_lib.errors import EndpointError, PromotionError
from notebooks_lib.release import contract_tests
from notebooks_lib.release.contract_tests import Probing
from notebooks_lib.serving.prediction_diff import difference
from notebooks_lib.serving.slot_counts import SlotCounts

if TYPE_CHECKING:
    from notebooks_lib.release.golden import Golden
    from notebooks_lib.serving.endpoint import Endpoint
    from notebooks_lib.settings.sections import CanaryStep, Stage

ENOUGH = 20
"""Requests of each version from which a p95 means something; also the fewest that a step of minutes needs."""
EARLY = 5
"""Failures from which a share can be too large before the step has ended."""
REFUSING, REFUSING_EARLY = 0.005, 0.0001
"""Levels at which a version counts as refusing more than the champion: at the end of a step, and before."""
FAILING, FAILING_EARLY = 0.03, 0.001
"""The same for failing more. It is looser, because a version that passes wrongly answers everybody."""
SURE = 100
"""Requests of each version from which a p95 can be too long before the step has ended: one slow answer is not
enough.
"""


@dataclass(frozen=True)
class CanaryResult:
    """The result of one step."""

    new: SlotCounts
    old: SlotCounts
    seconds: float

    def __str__(self) -> str:
        new, old = self.new, self.old
        sent = asked_of(new)
        own = f", {new.probes} of them ours" if new.probes else ""
        text = f"{sent} requests in {self.seconds:.0f} s{own}: {_failed(new)} failed, {new.refused} refused"
        if new.p95 is not None and old.p95 is not None:
            text += f", p95 {1000 * new.p95:.0f} ms beside {1000 * old.p95:.0f} ms"
        if new.rows_compared:
            text += f"; {new.rows_different} of {new.rows_compared} predictions differ"
            if new.largest_difference:
                text += f", by {new.largest_difference:.3g} at most (relative)"
        return text


def asked_of(counts: SlotCounts) -> int:
    """Return the requests that a version was sent, mirrored ones included."""
    return counts.requests + counts.mirrored


class CanaryWatch:
    """One step of a canary, from now on: the traffic is split already."""

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
        """Watch until the step is over. Raises PromotionError as soon as the new version does worse than allowed."""
        began = moved = clock()
        goal, last = step.requests or ENOUGH, -1
        while True:
            new, old = self._counts()
            result = CanaryResult(new, old, clock() - began)
            sent = asked_of(new)
            over = sent >= goal and result.seconds >= 60 * step.minutes
            wrong = judge(new, old, stage, before=self._mark.get(self.slots[1]), over=over)
            if wrong:
                raise PromotionError(f"{wrong} ({result})")
            if over:
                return result
            if result.seconds > 60 * (step.minutes + stage.wait_minutes):
                raise PromotionError(f"only {sent} of {goal} requests were seen in {result.seconds / 60:.0f} minutes")
            moved = clock() if sent - new.probes > last else moved
            last = max(last, sent - new.probes)
            # A step of minutes is only filled up at its end: the endpoint's own callers have until then.
            if clock() - moved >= self._probing.quiet and (step.requests or result.seconds >= 60 * step.minutes):
                self._probe(min(self._probing.most, max(goal - sent, 0)), mirrored=bool(step.mirror))
            else:
                time.sleep(self._probing.look_every)

    def _counts(self) -> tuple[SlotCounts, SlotCounts]:
        counts = self._endpoint.counts(since=self._mark)
        new, old = (counts.get(slot, SlotCounts()) for slot in self.slots)
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
                    continue  # the endpoint counts it
                if difference(expected, answer.content.get("predictions")) > self._tolerance:
                    raise PromotionError("it answers known rows otherwise than when it was registered")


def judge(
    new: SlotCounts, old: SlotCounts, stage: Stage, *, before: SlotCounts | None = None, over: bool = True
) -> str:
    """Return what is wrong with the new version; empty when nothing is. Before the step is over, only what is certain
    by then.

    `before` holds the champion's counts before the step. A slow new version keeps the threads busy that the champion
    needs, so beside each other both look slow.
    """
    sent = asked_of(new)
    past = before or SlotCounts()  # a champion that hardly gets requests any more is known from before
    for what, bad, theirs, of_old, level in (
        (
            "failed",
            _failed(new),
            _failed(old) + _failed(past),
            asked_of(old) + asked_of(past),
            FAILING if over else FAILING_EARLY,
        ),
        # A client that sends what no model takes meets both versions: only what this one alone refuses is its fault.
        ("were refused", new.refused, old.refused, asked_of(old), REFUSING if over else REFUSING_EARLY),
    ):
        allowed = stage.max_error_rate + (theirs / of_old if of_old else 0.0)
        if sent and bad > allowed * sent and (over or bad >= EARLY):
            by_chance = _chance_of_as_many(bad, sent, theirs, of_old) if of_old else 0.0
            if by_chance <= level:
                return (
                    f"{bad} of {sent} requests {what}, more than {100 * allowed:.3g} %, beside {theirs} of {of_old} "
                    f"of the champion's (by chance: {by_chance:.2g})"
                )
    if new.rows_misshapen:
        return f"it answers {new.rows_misshapen} of {new.rows_compared} rows in another form than the champion does"
    unlike = _unlike(new, stage, over=over)
    if unlike:
        return unlike
    if min(sum(new.times), sum(old.times)) >= (ENOUGH if over else SURE):
        usual = before.p95 if before is not None and sum(before.times) >= ENOUGH else old.p95
        return contract_tests.too_slow(
            new.p95, min(filter(None, (usual, old.p95)), default=None), stage.max_latency_ratio
        )
    return ""


def _unlike(new: SlotCounts, stage: Stage, *, over: bool) -> str:
    """Return why its predictions are too far from the champion's, where the settings limit that."""
    apart, rows, different = new.largest_difference, new.rows_compared, new.rows_different
    if stage.max_difference is not None and apart > stage.max_difference:
        return f"a prediction differs from the champion's by {apart:.3g}, more than {stage.max_difference:g} (relative)"
    # A share may still fall, and mirrored answers reach no client: there is time until the step ends.
    if over and stage.max_different is not None and different > stage.max_different * rows:
        return (
            f"{different} of {rows} predictions differ from the champion's, more than {100 * stage.max_different:g} %"
        )
    return ""


def _failed(counts: SlotCounts) -> int:
    """Return the requests that the version failed: its own, and mirrored ones that the other version did answer."""
    return counts.failed + counts.mirror_failed


def _chance_of_as_many(here: int, among: int, there: int, others: int) -> float:
    """Return the chance of `here` or more events among `among`, if they are as frequent as `there` among `others`.

    Fisher's exact test, one-sided.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(here - 1, among + others, here + there, among))
