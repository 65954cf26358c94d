"""A version that waits for an approval, as a tag of the version tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from notebooks_lib.models.registry import Version
from notebooks_lib.stages import STAGES


@dataclass(frozen=True)
class WaitingRecord:
    """The content of the tag on a version that waits for approval."""

    stages: tuple[str, ...]
    """The stage before which it waits, and those after it."""
    compared: str
    """Number of the champion that it was compared with; empty when there was none."""
    run: str
    reason: str
    passed: tuple[str, ...] = ()
    """Stages whose champion it had become."""


def read_waiting_tag(version: Version) -> WaitingRecord | None:
    """Return the content of a version's waiting tag; None if there is none that `Rollout.wait` wrote."""
    try:
        content = json.loads(version.waiting or "null")
    except (ValueError, RecursionError):
        return None
    kinds: dict[str, type] = {"stages": list, "compared": str, "run": str, "reason": str}
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in kinds.items()):
        return None
    passed = content.get("passed", [])
    if (
        not content["stages"]
        or not isinstance(passed, list)
        or not all(stage in STAGES for stage in content["stages"] + passed)
    ):
        return None
    texts = {key: content[key] for key in ("compared", "run", "reason")}
    return WaitingRecord(tuple(content["stages"]), passed=tuple(passed), **texts)
