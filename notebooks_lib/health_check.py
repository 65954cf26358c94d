"""The result of one check of `nbops doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HealthCheck:
    """What was checked, whether it is well, and what to do when it is not."""

    what: str
    ok: bool
    detail: str
    advice: str = ""
    """What to do when the check fails."""
