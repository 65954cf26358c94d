"""Log a run's model in the one form that every store accepts, find it again and load it. It registers nothing.

The form (docs/design D5): the flavour saves into a folder, the folder becomes artifacts of the run, three tags say
where. On a store that has MLflow 3's logged models the folder is kept a second time as one, so that the UI's Models
page shows it; that costs its size again on disk and a few requests.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.datasets import training_rows
from notebooks_lib.models import flavors, input_schema, model_files, model_folder, serving_skew
from notebooks_lib.old_names import forwarding
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

_DEPTH = 3
"""How many folders deep a run's artifacts are searched for a model."""


@dataclass(frozen=True)
class ModelInfo:
    """Where the model of a run is, and how it was saved."""

    name: str
    """The artifact folder, or the name of the logged model."""
    source: str
    """Its real location, to load or register it by."""
    format: str = ""
    """"skops", "cloudpickle" or the flavour; empty when others logged it."""
    size_bytes: int | None = None
    """None when it was found, not logged here."""
    logged_model_id: str | None = None
    """Its id on the UI's Models page, where the store has one."""


def log_model(
    store: Store, run_id: str, model: Any, *, example: Any, name: str = "model", flavor: str | None = None
) -> ModelInfo:
    """Log a fitted model with its signature, an example and pinned requirements as artifacts of a run.

    `example` is rows as they go to `predict`: all of the training data is best, because the signature then knows of
    missing values; five rows are kept. The flavour follows from the model's class; `flavor` chooses another. A second
    model of the same name becomes "2-NAME", because a registered version's files must never be overwritten (Azure ML
    refuses to). Raises ModelError when the model cannot be saved, does not predict the example, or would get other
    values from an endpoint than in the notebook (`serving_skew`).
    """
    from mlflow.models import Model

    if not name or "/" in name or name != name.strip(" ."):
        raise errors.ModelError(f"{name!r} cannot name a model: give one word, as in name='model'")
    with tempfile.TemporaryDirectory() as scratch, errors.as_model_error(f"the model of run {run_id} cannot be logged"):
        run = store.client.get_run(run_id)
        name = _free_name(store, run, name)
        folder = Path(scratch) / name
        meta = Model(artifact_path=name, run_id=run_id)
        form = flavors.save(model, folder, flavor=flavor, example=example, lock=store.settings.layout.lock, meta=meta)
        schema = meta.get_input_schema()
        serving_skew.check_servable(model, example, schema, input_schema.columns_of(schema))
        for cache in folder.rglob("__pycache__"):
            shutil.rmtree(cache, ignore_errors=True)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        store.client.log_artifacts(run_id, str(folder), name)
        training_rows.log_training_rows(store, run_id, name, example)
        title = type(model).__name__
        logged = _as_logged_model(store, run, folder, title) if store.has_logged_models else None
        info = ModelInfo(name, f"{run.info.artifact_uri.rstrip('/')}/{name}", form, size, logged)
        tags = {Tag.MODEL: name, Tag.MODEL_SOURCE: info.source, Tag.MODEL_FORMAT: form}
        _tag(store, run_id, tags | ({Tag.MODEL_LOGGED: logged} if logged else {}))
    return info


def model_of_run(store: Store, run_id: str, name: str | None = None) -> ModelInfo:
    """Return where a run's model is: by the tag of `log_model`, else in its artifacts, else as MLflow 3's logged model.

    If the run has several, `name` chooses one. Raises ModelError when it has none, or several and `name` is None.
    """
    with errors.as_model_error(f"the model of run {run_id} cannot be looked up"):
        run = store.client.get_run(run_id)
        tags = run.data.tags
        if Tag.MODEL_SOURCE in tags and (name is None or _is_called(tags.get(Tag.MODEL, ""), name)):
            return ModelInfo(
                tags.get(Tag.MODEL, "model"),
                tags[Tag.MODEL_SOURCE],
                tags.get(Tag.MODEL_FORMAT, ""),
                logged_model_id=tags.get(Tag.MODEL_LOGGED),
            )
        models = list(_artifact_models(store, run)) + list(_logged_models(store, run))
    chosen = [model for model in models if name is None or _is_called(model.name, name)]
    if len(chosen) == 1 or (chosen and name is not None):
        return max(chosen, key=lambda model: _number(model.name))
    if not models:
        raise errors.ModelError(f"run {run_id} has no model: log one with run.log_model(model, example=X)")
    names = ", ".join(sorted(model.name for model in models))
    if not chosen:
        raise errors.ModelError(f"run {run_id} has no model {name!r}; it has: {names}")
    raise errors.ModelError(f"run {run_id} has {len(chosen)} models ({names}): name the one you mean")


def load(source: str | Path) -> Any:
    """Return MLflow's pyfunc model at a location: `predict`, `.metadata.signature`, `.input_example`.

    Raises ModelError when it cannot be fetched or loaded.
    """

    def open_folder(folder: Path) -> Any:
        import mlflow.pyfunc

        return input_schema.accept_missing_values(mlflow.pyfunc.load_model(str(folder), suppress_warnings=True))

    return _opened(source, open_folder)


def native(source: str | Path) -> Any:
    """Return the model as an object of its own library, with `predict_proba` and the like.

    Raises ModelError when it cannot be fetched or loaded.
    """
    import importlib

    from mlflow.models import Model

    def open_folder(folder: Path) -> Any:
        native = [flavor for flavor in Model.load(str(folder)).flavors if flavor != "python_function"]
        if native:
            return importlib.import_module(f"mlflow.{native[0]}").load_model(str(folder))
        model = load(folder).unwrap_python_model()
        return getattr(model, "inner", model)

    return _opened(source, open_folder)


def example(source: str | Path) -> Any:
    """Return the example that was logged with a model, in the form that `predict` takes; None when it has none."""
    from mlflow.models import Model

    with errors.as_model_error(f"the model at {source} cannot be read"):
        place = str(model_files.local_model_folder(source) or source)
        return Model.load(place).load_input_example(place)


def signature(source: str | Path) -> dict[str, Any]:
    """Return the signature of a model: its inputs, outputs and params, each None or a list in MLflow's schema form."""
    from mlflow.models import Model

    with errors.as_model_error(f"the model at {source} cannot be read"):
        signature_of_model = Model.load(str(model_files.local_model_folder(source) or source)).signature
    parts = signature_of_model.to_dict() if signature_of_model else {}
    return {key: json.loads(parts[key]) if parts.get(key) else None for key in ("inputs", "outputs", "params")}


def _opened(source: str | Path, open_folder: Callable[[Path], Any]) -> Any:
    here = model_files.local_model_folder(source)
    with errors.as_model_error(f"the model at {source} cannot be loaded"), flavors.quiet():
        if here is not None:
            model_folder.check_folder(here)
            with _no_bytecode():
                return open_folder(here)
        scratch = tempfile.mkdtemp(prefix="nbops-model-")
        try:
            folder = model_files.download(source, Path(scratch))
            model_folder.check_folder(folder)
            model = open_folder(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        # Some flavours read files later, so the folder lives as long as the model.
        weakref.finalize(model, shutil.rmtree, scratch, ignore_errors=True)
        return model


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Load from a folder without leaving bytecode of the model's modules in it: that would change its digest."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _as_logged_model(store: Store, run: Any, folder: Path, title: str) -> str:
    """Keep the folder as a logged model too, named after its class: MLflow lists two of one name twice."""
    from mlflow.entities import LoggedModelOutput

    logged_model = store.client.create_logged_model(run.info.experiment_id, title, source_run_id=run.info.run_id)
    try:
        store.client.log_model_artifacts(logged_model.model_id, str(folder))
    except BaseException:
        store.client.finalize_logged_model(logged_model.model_id, "FAILED")
        raise
    store.client.finalize_logged_model(logged_model.model_id, "READY")
    store.client.log_outputs(run.info.run_id, [LoggedModelOutput(logged_model.model_id, step=0)])
    return str(logged_model.model_id)


def _free_name(store: Store, run: Any, name: str) -> str:
    taken = {entry.path for entry in _repository(store, run).list_artifacts(None)}
    return name if name not in taken else next(new for n in count(2) if (new := f"{n}-{name}") not in taken)


def _is_called(artifact: str, name: str) -> bool:
    return re.fullmatch(rf"(\d+-)?{re.escape(name)}", artifact) is not None


def _number(name: str) -> int:
    match = re.match(r"(\d+)-", name)
    return int(match[1]) if match else 1


def _repository(store: Store, run: Any) -> Any:
    # Not client.list_artifacts(run, folder): it asks for logged models first, which Azure ML answers with 404.
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri, tracking_uri=store.uri, registry_uri=store.uri)


def _artifact_models(store: Store, run: Any) -> Iterator[ModelInfo]:
    repository = _repository(store, run)

    def walk(folder: str | None, depth: int) -> Iterator[str]:
        entries = repository.list_artifacts(folder)
        if folder and any(entry.path == f"{folder}/{model_folder.MLMODEL}" for entry in entries):
            yield folder
        elif depth < _DEPTH:
            for entry in entries:
                if entry.is_dir:
                    yield from walk(entry.path, depth + 1)

    for folder in walk(None, 0):
        yield ModelInfo(folder, f"{run.info.artifact_uri.rstrip('/')}/{folder}")


def _logged_models(store: Store, run: Any) -> Iterator[ModelInfo]:
    if store.has_logged_models:
        for model_id in _logged_model_ids(run):
            model = store.client.get_logged_model(model_id)
            yield ModelInfo(model.name, model.artifact_location, logged_model_id=model_id)


def _logged_model_ids(run: Any) -> list[str]:
    outputs = getattr(run, "outputs", None)
    return [output.model_id for output in outputs.model_outputs] if outputs else []


def _tag(store: Store, run_id: str, tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


__getattr__ = forwarding(__name__)
