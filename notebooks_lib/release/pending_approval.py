"""A version that waits for an approval, as a tag of the version tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from notebooks_lib import json_shape
from notebooks_lib.errors import PromotionError, reason
from notebooks_lib.models.registry import Version
from notebooks_lib.stages import STAGES
from notebooks_lib.tags import Tag

_SHOWN = 60
"""Characters of a foreign tag that a message shows."""


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
    """Return the content of a version's waiting tag; None if it has no such tag.

    Raises PromotionError, which says what was found, for a tag that `Rollout.wait` did not write.
    """
    if not version.waiting:
        return None
    try:
        return _from_json(json.loads(version.waiting))
    except (ValueError, RecursionError) as error:
        raise PromotionError(
            f"version {version.version} of {version.model!r}: nbops did not write its tag {Tag.WAITING}: found "
            f"{_shortened(version.waiting)!r} ({reason(error)}); remove the tag, and promote again: "
            "nbops promote --live"
        ) from error


def _from_json(content: Any) -> WaitingRecord:
    """Restore the record from plain values. Raises ValueError when one is missing or invalid."""
    texts = ("compared", "run", "reason")
    json_shape.expect_keys(content, {"stages": list, **dict.fromkeys(texts, str)})
    passed = content.get("passed", [])
    json_shape.expect_keys({"passed": passed}, {"passed": list})
    unknown = [stage for stage in (*content["stages"], *passed) if stage not in STAGES]
    if unknown:
        raise ValueError(f"unknown stage {unknown[0]!r}")
    if not content["stages"]:
        raise ValueError("'stages' is empty")
    return WaitingRecord(tuple(content["stages"]), passed=tuple(passed), **{key: content[key] for key in texts})


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
