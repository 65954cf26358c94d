"""Write predictions as JSON: NumPy and pandas types, dates, null where JSON has no number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def encode_predictions(value: Any) -> bytes:
    """Return predictions as JSON: NumPy and pandas types, ISO dates, null for NaN and infinities (JSON has none)."""
    try:
        text = json.dumps(value, default=_simpler, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        text = json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))
    return text.encode()


def dtype_kind(value: Any) -> str:
    """Return NumPy's letter for the type of an array's elements, such as M for dates."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, no infinities, texts as keys."""
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
    """Return a value nearer to JSON as MLflow's encoder makes it, except dates: it would write numbers or "NaT"."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if dtype_kind(value) == "M":
        return value.astype("datetime64[us]").tolist()  # dates; in nanoseconds they would become whole numbers
    if hasattr(value, "toarray"):
        return value.toarray().tolist()
    converted, is_known = NumpyEncoder().try_convert(value)
    return converted if is_known else str(value)
