"""Versions of registered models, on any registry: one for each run, announced once it loads and predicts.

A version stays hidden until it carries Tag.READY, which is written once it has loaded and predicted its example.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.log_levels import quiet_loggers
from notebooks_lib.models import input_schema, serving_skew
from notebooks_lib.models.logged_models import load, model_of_run
from notebooks_lib.old_names import forwarding
from notebooks_lib.stages import STAGES
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from notebooks_lib.tracking.store import Store

PAGE = 200
IS_PROMPT_TAG_KEY = "mlflow.prompt.is_prompt"
"""MLflow keeps prompts as registered models with this tag."""

_FIRST_USE = threading.Lock()


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    model: str
    version: str
    run_id: str
    source: str
    """Where its files are."""
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """The URI by which MLflow and `logged_models.load` load the version."""
        return f"models:/{self.model}/{self.version}"

    @property
    def sha256(self) -> str:
        """Digest of the files that were scored; empty for versions registered by earlier releases or other tools."""
        return self.tags.get(Tag.MODEL_SHA256, "")

    @property
    def reason(self) -> str:
        """The reason given when the version became champion; empty when none was given."""
        return self.tags.get(Tag.REASON, "")

    @property
    def waiting(self) -> str:
        """JSON of the stages that the version may enter once it is approved; empty when no approval is awaited."""
        return self.tags.get(Tag.WAITING, "")

    @property
    def withdrawn(self) -> tuple[str, ...]:
        """The stages from which the version was withdrawn. No promotion moves it there automatically."""
        return tuple(stage for stage in STAGES if self.tags.get(Tag.WITHDRAWN_PREFIX + stage))


def register(store: Store, model: str, run_id: str, *, tags: Mapping[str, str] | None = None) -> Version:
    """Make the run's model a version of `model`, with `tags`; the same run always gives the same version.

    The version becomes visible once it has loaded and predicted its example. When that fails, the version is deleted,
    and ModelError gives the reason. The next call finishes a registration that was interrupted. Two calls at once give
    one version.
    """
    logged = model_of_run(store, run_id)
    with errors.as_model_error(f"run {run_id} cannot be registered as {model!r}"):
        _create_model(store, model)
        mine = _of_run(store, model, run_id, logged.source)
        if mine is None:
            with quiet_loggers("mlflow.store.model_registry.abstract_store"):
                store.client.create_model_version(
                    model, logged.source, run_id, tags=dict(tags or {}), model_id=logged.logged_model_id
                )
            # Another process may have registered this run meanwhile: both now see the same lowest version.
            mine = _of_run(store, model, run_id, logged.source, tidy=True)
    if mine is None:
        raise errors.ModelError(f"run {run_id} was registered as {model!r}, but its version is gone: try again")
    if Tag.READY in mine.tags:
        return mine
    try:
        checked = _check(mine)
    except errors.ModelError:
        with suppress(Exception):  # the caller must get the error that comes first
            store.client.delete_model_version(model, mine.version)
        raise
    with errors.as_model_error(f"{mine.uri} cannot be announced"):
        set_tags(store, mine, {**(tags or {}), Tag.READY: checked})
    return get(store, model, mine.version)


def versions(store: Store, model: str) -> list[Version]:
    """Return all versions of a model that load and predict, newest first; none if there is no such model."""
    return [version for version in _all(store, model) if Tag.READY in version.tags]


def get(store: Store, model: str, version: str | int) -> Version:
    """Return one version of a model.

    Raises UnknownNameError, listing the known versions, when there is no such version.
    """
    announced = {candidate.version: candidate for candidate in versions(store, model)}
    if str(version) in announced:
        return announced[str(version)]
    if not announced and model not in models(store):
        raise errors.UnknownNameError("model", model, models(store))
    hint = ""
    if any(untried.version == str(version) for untried in _all(store, model)):
        hint = "MLflow has it, but nbops has not tried it: promote its run"
    raise errors.UnknownNameError(f"version of {model}", str(version), announced, hint)


def models(store: Store) -> list[str]:
    """Return the names of the registered models, sorted."""
    with errors.as_model_error("the registered models cannot be listed"):
        # Not client.search_registered_models: it adds a filter on prompts that Azure ML refuses (docs/azure.md).
        registry = _client(store)._get_registry_client().store
        registered = query.all_pages(lambda token: registry.search_registered_models(None, PAGE, None, token))
        return sorted({model.name for model in registered if IS_PROMPT_TAG_KEY not in model.tags})


def delete_model(store: Store, model: str) -> None:
    """Delete all versions of a model, and the name where the store can: a workspace of Azure ML keeps it, empty."""
    if model in models(store):
        with errors.as_model_error(f"model {model!r} cannot be deleted"):
            for version in _all(store, model):
                store.client.delete_model_version(model, version.version)
            if not store.uri.startswith("azureml:"):
                store.client.delete_registered_model(model)


def _as_served(loaded: Any, example: Any) -> Any:
    """Return the example as an endpoint would hand it on: an optional boolean may be missing in no row of it."""
    columns = input_schema.columns_of(loaded.metadata.get_input_schema())
    return serving_skew.as_served(example, columns) if input_schema.takes_table(columns) else example


def _check(version: Version) -> str:
    loaded = load(version.uri)
    example = getattr(loaded, "input_example", None)
    if example is None:
        return "loaded"  # models logged by other tools may have no example; promotion predicts the holdout anyway
    try:
        predicted = loaded.predict(_as_served(loaded, example))
    except Exception as error:
        raise errors.ModelError(
            f"{version.uri} loads but does not predict its example: {type(error).__name__}: {errors.reason(error)}"
        ) from error
    if predicted is None:
        raise errors.ModelError(f"{version.uri} loads but predicts nothing for its example")
    return "predicted"


def _create_model(store: Store, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        _client(store).create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _of_run(store: Store, model: str, run_id: str, source: str, *, tidy: bool = False) -> Version | None:
    """Return the lowest version made of this run's model; `tidy` deletes the others, made at the same moment."""
    oldest_first = reversed(_all(store, model))
    same = [version for version in oldest_first if (version.run_id, version.source) == (run_id, source)]
    for extra in same[1:] if tidy else ():
        if Tag.READY not in extra.tags:
            with suppress(Exception):  # the other process deletes it as well
                store.client.delete_model_version(model, extra.version)
    return same[0] if same else None


def _all(store: Store, model: str) -> list[Version]:
    quoted = model.replace("'", "''")
    with errors.as_model_error(f"the versions of {model!r} cannot be listed"):
        client = _client(store)
        pages = query.all_pages(
            lambda token: client.search_model_versions(f"name='{quoted}'", max_results=PAGE, page_token=token)
        )
        all_versions = [_plain(version) for version in pages if version.name == model]
    return sorted(all_versions, key=lambda version: int(version.version), reverse=True)


def _client(store: Store) -> MlflowClient:
    """Return MLflow's client, ready for threads: it fills its table of registries at first use, without a lock."""
    with _FIRST_USE:
        store.client._get_registry_client()
    return store.client


def _plain(mlflow_version: Any) -> Version:
    return Version(
        model=mlflow_version.name,
        version=str(mlflow_version.version),
        run_id=mlflow_version.run_id or "",
        source=mlflow_version.source or "",
        tags=dict(mlflow_version.tags or {}),
    )


def set_tags(store: Store, version: Version, tags: Mapping[str, str]) -> None:
    """Write tags on a version, in the order given."""
    from mlflow.exceptions import MlflowException

    for key, value in tags.items():
        try:
            store.client.set_model_version_tag(version.model, version.version, key, value)
        except MlflowException:
            # Two processes that write a new tag at once collide in MLflow's database; the second attempt finds the tag.
            store.client.set_model_version_tag(version.model, version.version, key, value)


__getattr__ = forwarding(__name__)
