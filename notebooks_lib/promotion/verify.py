"""Asks an endpoint known rows over HTTP and compares with the same model in this process. It changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import EndpointError, InputError, ModelError, PromotionError
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.differing import difference
from notebooks_lib.tracking.scoring import ServedModel, encode

if TYPE_CHECKING:
    import pandas as pd

    from notebooks_lib.settings import Settings

ROWS = 20
"""Rows of the dataset that are asked beside the model's own example."""


def through_endpoint(settings: Settings, name: str, model_dir: Path, version: str, rows: pd.DataFrame | None) -> int:
    """How many known rows endpoint `name` answered as the model in `model_dir` does here.

    Asks the model's example and the first of `rows`. Raises PromotionError when the endpoint serves another version,
    refuses a row, fails, or answers otherwise than within settings.promotion.tolerance.
    """
    status = endpoint.status(settings, name)
    if (status.state, status.version) != ("running", version):
        raise PromotionError(f"endpoint {name!r} is {status.state} with version {status.version}, expected {version}")
    try:
        served = ServedModel.load(model_dir)
        asked = 0
        if served.example is not None:
            plain = {key: value for key, value in served.example.items() if key != "params"}
            here = served.predict(served.parse(plain), served.example.get("params"))
            asked += _same(settings, name, served.example, here)
        if rows is not None and served.tabular:
            known = [column.name for column in served.columns if column.name in rows.columns]
            few = rows[known] if known else rows
            few = few.iloc[:ROWS]
            asked += _same(settings, name, {"dataframe_split": split(few, named=bool(known))}, served.predict(few))
    except (InputError, EndpointError, ModelError) as error:
        raise PromotionError(f"endpoint {name!r} does not answer known rows: {error}") from error
    if not asked:
        raise PromotionError(
            f"version {version} of {name!r} cannot be verified: its model was logged without an example, and no rows "
            "of its dataset are known"
        )
    return asked


def split(rows: pd.DataFrame, *, named: bool = True) -> dict[str, Any]:
    """A table as MLflow's dataframe_split, in plain JSON values: null for what is missing, times in ISO form."""
    plain = rows.astype(object)
    plain[rows.isna()] = None
    data = json.loads(json.dumps(plain.to_numpy().tolist(), default=str))
    return {"columns": [str(name) for name in rows.columns], "data": data} if named else {"data": data}


def _same(settings: Settings, name: str, payload: Mapping[str, Any], here: Any) -> int:
    answer = endpoint.invoke(settings, name, payload)
    there = answer.get("predictions") if isinstance(answer, Mapping) else None
    apart = difference(json.loads(encode(here)), there)
    if apart > settings.promotion.tolerance:
        raise PromotionError(
            f"endpoint {name!r} answers known rows otherwise than the model does here: they differ by {apart:.3g}, "
            f"promotion.tolerance is {settings.promotion.tolerance:g}"
        )
    return len(here) if _is_list(here) else 1


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
