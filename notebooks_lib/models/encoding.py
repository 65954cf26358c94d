"""Writes whatever a model answers as JSON. It knows no models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def encode(value: Any) -> bytes:
    """Predictions as JSON: numpy and pandas types, dates in ISO form, NaN and infinities as null (JSON has none)."""
    try:
        text = json.dumps(value, default=_simpler, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        text = json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))
    return text.encode()


def kind(value: Any) -> str:
    """numpy's letter for the type of an array's elements; M are dates."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def _plain(value: Any) -> Any:
    """What the quick way cannot write: numbers that JSON does not have, keys that are no text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _plain(_simpler(value))


def _simpler(value: Any) -> Any:
    """A value nearer to JSON, as MLflow's own encoder makes it, but for dates: it writes them as numbers, or "NaT"."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if kind(value) == "M":
        return value.astype("datetime64[us]").tolist()  # dates; whole numbers if left in nanoseconds
    if hasattr(value, "toarray"):
        return value.toarray().tolist()
    converted, known = NumpyEncoder().try_convert(value)
    return converted if known else str(value)
