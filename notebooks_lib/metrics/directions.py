"""The metrics that nbops knows by name, and which way each is better: one table for sweeps, compare and promotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from notebooks_lib.errors import UsageError, nearest

Direction = Literal["min", "max"]

DIRECTIONS: Mapping[str, Direction] = {
    "rmse": "min",
    "mse": "min",
    "mae": "min",
    "median_ae": "min",
    "mape": "min",
    "r2": "max",
    "accuracy": "max",
    "balanced_accuracy": "max",
    "f1": "max",
    "f1_macro": "max",
    "precision": "max",
    "recall": "max",
    "mcc": "max",
    "auc": "max",
    "roc_auc": "max",
    "log_loss": "min",
    "brier": "min",
}
_BETTER = {"min": "the smaller", "max": "the larger"}


def parse(text: str) -> tuple[str, Direction]:
    """Return name and direction of "rmse", or of "cost:min" for a metric of one's own.

    What stands behind the last colon is the direction. Raises UsageError when it is missing for a metric that is not in
    the table, is no direction, or contradicts the table.
    """
    name, colon, word = (part.strip() for part in text.rpartition(":"))
    if not colon:
        name, word = word, ""
    direction = word.lower()
    if not name:
        raise UsageError(f"metric {text!r}: it has no name; write NAME, NAME:min or NAME:max, as in auc:max")
    known = DIRECTIONS.get(name)
    if colon and direction not in ("min", "max"):
        raise UsageError(f"metric {text!r}: {word!r} is no direction; write {name}:min or {name}:max")
    if colon and known and direction != known:
        raise UsageError(f"metric {text!r}: of {name}, {_BETTER[known]} is better; write {name}")
    if known:
        return name, known
    if colon:
        return name, "min" if direction == "min" else "max"
    match = nearest(name, DIRECTIONS)
    meant = f"did you mean {match!r}? For" if match else "for"
    raise UsageError(
        f"metric {name!r}: nobody said which way is better; {meant} a metric of your own write {name}:min or "
        f"{name}:max (known: {', '.join(sorted(DIRECTIONS))})"
    )
