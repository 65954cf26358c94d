"""Durations as Azure writes them: PT1H30M."""

from __future__ import annotations

import re

_FORM = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")


def parse_duration(text: object) -> int | None:
    """Return an ISO 8601 duration in whole seconds; None for anything else."""
    match = _FORM.fullmatch(str(text))
    if match is None:
        return None
    return sum(int(number or 0) * unit for number, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
