"""Whether a dataset has versions that a model's champion was not trained on. It only reads."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from notebooks_lib import errors
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.datasets import version_lookup
from notebooks_lib.models.champions import PROD, champion_among
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import tracking_uri


@dataclass(frozen=True)
class UnseenData:
    """The versions of a dataset that came after the one that a champion was trained on."""

    newer: bool
    """True if there is at least one, and also when there is no champion or no such model, or it has other data."""
    dataset: str
    model: str
    stage: str
    champion: str | None
    """Its version; None when the stage has none yet."""
    trained_on: str | None
    """As "sales@3"; None when the champion was trained on no version of this dataset."""
    newest: str
    """As "sales@5"."""
    unseen: tuple[str, ...]
    """All of them, oldest first."""
    where: str
    """Where the newest version is: the data folder, a workspace, or scikit-learn."""
    reason: str
    """The answer as a sentence."""

    def as_json(self) -> dict[str, object]:
        """Return the object that `nbops data newer --json` prints."""
        return {**asdict(self), "unseen": list(self.unseen), "count": len(self.unseen)}


@dataclass(frozen=True)
class _Champion:
    version: str
    dataset: DatasetTag | None
    """What its run says of the dataset in question."""


class _UnregisteredError(Exception):
    """There is no such model; its argument are the names of those that there are."""


def find_unseen(name: str, model: str, settings: Settings, *, stage: str = PROD) -> UnseenData:
    """Compare the versions of a dataset, on this machine and in the workspace, with that of a stage's champion.

    Raises UnknownNameError for a dataset that is nowhere, UsageError for a name with a version, and DatasetError,
    AzureError or TrackingError when a place does not answer.
    """
    _, version = version_lookup.parse_ref(name)
    if version is not None:
        raise errors.UsageError(f"{name}: all versions are compared; give the name alone: {name.partition('@')[0]}")
    with ThreadPoolExecutor(1) as pool:  # both may ask Azure, and the answer is due in seconds
        asked = pool.submit(version_lookup.sources_by_version, name, settings)
        champion, missing = _find_champion(settings, name, model, stage)
        sources = asked.result()
    trained = _trained_version(champion, name)
    numbers = sorted(sources)
    unseen = [number for number in numbers if trained is None or number > trained]
    if champion and champion.dataset and trained in sources:
        known = sources[trained].metadata(name, trained).fingerprint
        unseen = ([trained] if known != champion.dataset.fingerprint else []) + unseen
    newest = numbers[-1]
    return UnseenData(
        newer=bool(unseen),
        dataset=name,
        model=model,
        stage=stage,
        champion=champion.version if champion else None,
        trained_on=None if trained is None else f"{name}@{trained}",
        newest=f"{name}@{newest}",
        unseen=tuple(f"{name}@{number}" for number in unseen),
        where=sources[newest].origin(name),
        reason=_reason(name, model, stage, champion, trained, unseen)
        if champion
        else f"{missing}, so every version of {name} is new to it",
    )


def _find_champion(settings: Settings, name: str, model: str, stage: str) -> tuple[_Champion | None, str]:
    """Return the champion of a stage with its dataset; if there is none, why."""
    uri = tracking_uri(settings)
    try:
        found = _in_workspace(uri, model, stage) if uri.startswith("azureml:") else _in_store(settings, model, stage)
    except _UnregisteredError as error:
        near = errors.nearest(model, list(error.args))
        return None, f"{model} is not registered yet{f' (did you mean {near}?)' if near else ''}"
    version, tags = found
    if not version:
        return None, f"{model} has no champion in {stage} yet"
    tag = DatasetTag.parse(tags.get(f"{Tag.DATASET_PREFIX}{name}", ""))
    return _Champion(version, tag if tag.ref else None), ""


def _in_workspace(uri: str, model: str, stage: str) -> tuple[str, Mapping[str, str]]:
    """Return the champion's version and its run's tags, by plain requests: importing MLflow takes too long."""
    from notebooks_lib.azure.jobs.run_search import RunSearch

    search = RunSearch(uri)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(search.versions_named, model)
        aliases = search.aliases_of(model)
        if aliases is None:
            raise _UnregisteredError(*search.models())
        versions = {each.version: each for each in asked.result() if Tag.READY in each.tags}
    champion = champion_among(versions, aliases, stage)
    return ("", {}) if champion is None else (champion.version, search.tags_of(champion.run_id))


def _in_store(settings: Settings, model: str, stage: str) -> tuple[str, Mapping[str, str]]:
    from notebooks_lib.models import champions, registry
    from notebooks_lib.tracking.store import connect

    store = connect(settings)
    champion = champions.champion(store, model, stage)
    if champion is None:
        if model not in (known := registry.models(store)):
            raise _UnregisteredError(*known)
        return "", {}
    return champion.version, _tags_of(store, champion.run_id)


def _tags_of(store: Any, run_id: str) -> Mapping[str, str]:
    """Return a run's tags; none when the run is gone."""
    from mlflow.exceptions import MlflowException

    try:
        tags: Mapping[str, str] = store.client.get_run(run_id).data.tags if run_id else {}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise errors.TrackingError(
                f"run {run_id} of the champion cannot be read: {errors.reason(error)}"
            ) from error
        return {}
    return tags


def _trained_version(champion: _Champion | None, name: str) -> int | None:
    """Return the number of the champion's version of the dataset; None when its tag names none."""
    if champion is None or champion.dataset is None:
        return None
    try:
        dataset, number = champion.dataset.version()
    except errors.DatasetError:
        return None
    return number if dataset == name else None


def _reason(name: str, model: str, stage: str, champion: _Champion, trained: int | None, unseen: list[int]) -> str:
    who = f"version {champion.version} of {model}, the champion of {stage},"
    if trained is None:
        return f"{who} was trained on no version of {name}, as far as its run tells"
    if not unseen:
        return f"{who} was trained on {name}@{trained}, and there is none after it"
    if unseen[0] == trained:
        return f"{who} was trained on another {name}@{trained}, of other content"
    since = f"{len(unseen)} version{'' if len(unseen) == 1 else 's'} came after it"
    return f"{who} was trained on {name}@{trained}; {since}"
