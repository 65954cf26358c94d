"""Asks an endpoint known rows over HTTP and compares the answers with the known ones. It changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import EndpointError, InputError, PromotionError
from notebooks_lib.serving import endpoint

if TYPE_CHECKING:
    import pandas as pd

    from notebooks_lib.promotion.golden import Golden
    from notebooks_lib.settings import Settings

ROWS = 20
"""Rows of the dataset that are known beside the model's own example."""


def through_endpoint(settings: Settings, name: str, golden: Golden, version: str) -> int:
    """How many known rows endpoint `name` answered as its version did when it was registered.

    Raises PromotionError when the endpoint serves another version, refuses a row, fails, or answers otherwise than
    within settings.promotion.tolerance.
    """
    status = endpoint.status(settings, name)
    if (status.state, status.version) != ("running", version):
        raise PromotionError(f"endpoint {name!r} is {status.state} with version {status.version}, expected {version}")
    for request, known in golden.pairs:
        try:
            answer = endpoint.invoke(settings, name, request)
        except (InputError, EndpointError) as error:
            raise PromotionError(f"endpoint {name!r} does not answer known rows: {error}") from error
        apart = difference(known, answer.get("predictions") if isinstance(answer, Mapping) else None)
        if apart > settings.promotion.tolerance:
            raise PromotionError(
                f"endpoint {name!r} answers known rows otherwise than version {version} did when it was registered: "
                f"they differ by {apart:.3g}, promotion.tolerance is {settings.promotion.tolerance:g}"
            )
    return golden.rows


def split(rows: pd.DataFrame, *, named: bool = True) -> dict[str, Any]:
    """A table as MLflow's dataframe_split, in plain JSON values: null for what is missing, times in ISO form."""
    plain = rows.astype(object)
    plain[rows.isna()] = None
    data = json.loads(json.dumps(plain.to_numpy().tolist(), default=str))
    return {"columns": [str(name) for name in rows.columns], "data": data} if named else {"data": data}


def difference(one: Any, other: Any) -> float:
    """The largest relative difference of two answers; infinite when they differ in form, or in anything but numbers."""
    if _is_number(one) and _is_number(other):
        if one == other or (math.isnan(one) and math.isnan(other)):
            return 0.0
        apart = abs(one - other) / max(abs(one), abs(other))
        return apart if math.isfinite(apart) else math.inf
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        return max((difference(one[key], other[key]) for key in one), default=0.0)
    if _is_list(one) and _is_list(other) and len(one) == len(other):
        return max((difference(*pair) for pair in zip(one, other, strict=True)), default=0.0)
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
