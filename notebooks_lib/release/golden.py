"""Golden predictions: known rows and what a version predicted for them when it was registered, kept with the version.

So a version can be checked long after its data are gone, here, through an endpoint, or on another machine. They are an
artifact of the version's run, named by their content; a tag on the version names the artifact.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import InputError, ModelError, PromotionError, reason
from notebooks_lib.models import model_files, registry
from notebooks_lib.models.prediction_json import encode_predictions
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.prediction_diff import largest_difference
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    import pandas as pd

    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store

FOLDER = "promotion"
ROWS = 20
"""Rows of the dataset that are kept beside the model's own example."""


@dataclass(frozen=True)
class Golden:
    """Requests in one of MLflow's formats, each with its predictions, as plain JSON values."""

    pairs: tuple[tuple[Mapping[str, Any], Any], ...]

    @property
    def rows(self) -> int:
        """Return the number of known predictions."""
        return sum(len(predictions) if isinstance(predictions, list) else 1 for _, predictions in self.pairs)

    def differences(self, model: ServedModel) -> float:
        """Predict the golden rows with `model`; return the largest relative difference from the golden predictions."""
        return max(largest_difference(_answer(model, request), expected) for request, expected in self.pairs)


def golden_of(store: Store, version: Version, rows: Callable[[], pd.DataFrame | None] = lambda: None) -> Golden:
    """Return a version's golden predictions. If none are stored, make and store them from its example and `rows`.

    Raises PromotionError when the version has neither an example nor rows, or when the stored predictions were altered.
    """
    stored = read_golden(store, version)
    if stored is not None:
        return stored
    with tempfile.TemporaryDirectory() as scratch:
        golden = make_golden(ServedModel.load(model_files.download(version.source, Path(scratch))), rows())
    if not golden.pairs:
        raise PromotionError(
            f"version {version.version} of {version.model!r} cannot be verified: its model was logged without an "
            "example, and no rows of its dataset are known"
        )
    if version.run_id:
        store_golden(store, version, golden)
    return golden


def make_golden(model: ServedModel, rows: pd.DataFrame | None) -> Golden:
    """Make golden predictions: let the model predict its example and the first of `rows`."""
    requests: list[Mapping[str, Any]] = []
    if model.example is not None:
        requests.append(model.example)
    if rows is not None and model.tabular:
        names = [column.name for column in model.columns if column.name in rows.columns]
        few = (rows[names] if names else rows).iloc[:ROWS]
        requests.append({"dataframe_split": as_dataframe_split(few, named=bool(names))})
    return Golden(tuple((request, _answer(model, request)) for request in requests))


def as_dataframe_split(rows: pd.DataFrame, *, named: bool = True) -> dict[str, Any]:
    """Return a table as MLflow's dataframe_split, in plain JSON values: null for missing values, times in ISO form.

    Without `named`, column names are left out, for a model that takes none.
    """
    plain = rows.astype(object)
    plain[rows.isna()] = None
    data = json.loads(json.dumps(plain.to_numpy().tolist(), default=str))
    return {"columns": [str(name) for name in rows.columns], "data": data} if named else {"data": data}


def store_golden(store: Store, version: Version, golden: Golden) -> None:
    """Store golden predictions with a version: the artifact first, then the tag that names it."""
    text = json.dumps(
        [{"request": request, "predictions": predictions} for request, predictions in golden.pairs], indent=1
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    name = f"golden-{digest[:16]}.json"
    path = f"{FOLDER}/{name}"
    try:
        store.client.log_text(version.run_id, text, path)
    except Exception as error:  # a workspace refuses to overwrite it after a call that died before it set the tag
        if _text(store, version, path) != text:
            raise PromotionError(f"{version.uri}: its golden predictions cannot be kept: {reason(error)}") from error
    registry.set_tags(store, version, {Tag.GOLDEN: f"{path}#{digest}"})


def read_golden(store: Store, version: Version) -> Golden | None:
    """Return the golden predictions stored with a version; None when it has none.

    Raises PromotionError when the version names golden predictions that are missing or were altered.
    """
    path, _, digest = version.tags.get(Tag.GOLDEN, "").partition("#")
    if not path:
        return None
    whose = f"the golden predictions of version {version.version} of {version.model!r}"
    try:
        text = _text(store, version, path)
    except Exception as error:  # of whatever kind of store
        raise PromotionError(f"{whose} cannot be fetched ({path} of its run): {reason(error)}") from error
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise PromotionError(f"{whose} were altered since it was registered ({path} of its run)")
    return Golden(tuple((pair["request"], pair["predictions"]) for pair in json.loads(text)))


def _text(store: Store, version: Version, path: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        return Path(store.client.download_artifacts(version.run_id, path, scratch)).read_text("utf-8")


def _answer(model: ServedModel, request: Mapping[str, Any]) -> Any:
    plain = {key: value for key, value in request.items() if key != "params"}
    try:
        predictions = model.predict(model.parse(plain), request.get("params"))
    except (InputError, ModelError) as error:
        raise PromotionError(f"the model does not answer known rows here: {error}") from error
    return json.loads(encode_predictions(predictions))
