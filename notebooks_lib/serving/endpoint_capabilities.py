"""What an endpoint can do beyond what all endpoints promise, and which settings of a stage ask for more than that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebooks_lib.settings.sections import Stage


@dataclass(frozen=True)
class EndpointCapabilities:
    """What depends on the kind of an endpoint."""

    runs_on: str = "this machine"
    """For messages."""
    most_mirrored: int = 100
    """Largest percentage of the requests that can be mirrored; 0: none."""
    compares_mirrored: bool = True
    """Whether the answers to mirrored requests are compared with those of the slot that served."""
    counts_late: float = 0.0
    """Seconds after which a request is surely counted; 0: at once."""
    idle_slots_cost: bool = False
    """Whether a slot costs money while it has no traffic."""
    logs_by_slot: bool = False
    """Whether each slot has a log of its own."""
    lacks: str = ""
    """Which setting it cannot be deployed without, and what to write; empty: none."""


def unsupported_setting(stage: str, policy: Stage, can: EndpointCapabilities) -> str:
    """Return which setting of a stage its endpoint lacks or cannot do, and what to do; empty if none."""
    if can.lacks:
        return can.lacks
    where = f"[stages.{stage}]"
    for step in policy.canary:
        if step.mirror > can.most_mirrored:
            most = f"at most {can.most_mirrored} % of the requests" if can.most_mirrored else "no requests"
            way = f"write {can.most_mirrored} or less" if can.most_mirrored else "take the step out, or give it traffic"
            return f"{where} canary: mirror = {step.mirror}: {can.runs_on} mirrors {most}; {way}"
        if 0 < step.minutes * 60 < can.counts_late:
            return (
                f"{where} canary: minutes = {step.minutes:g}: {can.runs_on} counts requests up to "
                f"{can.counts_late / 60:g} minutes late; write {can.counts_late / 60:g} or more"
            )
    if can.counts_late and policy.canary and policy.wait_minutes * 60 < 2 * can.counts_late:
        return (
            f"{where} wait_minutes = {policy.wait_minutes:g}: {can.runs_on} counts requests up to "
            f"{can.counts_late / 60:g} minutes late; write {2 * can.counts_late / 60:g} or more"
        )
    for key in ("max_different", "max_difference"):
        if not can.compares_mirrored and getattr(policy, key) is not None:
            return f"{where} {key}: {can.runs_on} throws mirrored answers away, so that none is compared; take it out"
    return ""
