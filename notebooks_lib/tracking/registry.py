"""Versions of models and which of them is champion, on any registry. It neither compares nor decides.

The version's tags are the truth; an alias `champion` is set where the registry has aliases, for people and other tools
(docs/design D6). A version is seen by nobody until it carries Tag.READY, written once it loaded and predicted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.records import Tag
from notebooks_lib.tracking.models import load, model_of_run
from notebooks_lib.tracking.store import quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from notebooks_lib.tracking.store import Store

ALIAS = "champion"
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
        """What MLflow and `load` load it by."""
        return f"models:/{self.model}/{self.version}"

    @property
    def role(self) -> str:
        """ "champion", "previous", "former", "withdrawn", or empty: never marked."""
        return self.tags.get(Tag.ROLE, "")

    @property
    def _order(self) -> tuple[int, int]:
        return int(self.tags.get(Tag.ROLE_SINCE, "0")), int(self.version)


def register(store: Store, model: str, run_id: str, *, tags: Mapping[str, str] | None = None) -> Version:
    """Make the run's model a version of `model`; the same run always gives the same version.

    The version is announced once it has loaded and predicted its example; when it does not, it is deleted and
    ModelError says why. A registration that died half-way is finished by the next call. Two at once agree on one.
    """
    found = model_of_run(store, run_id)
    with errors.as_model_error(f"run {run_id} cannot be registered as {model!r}"):
        _create_model(store, model)
        mine = _of_run(store, model, run_id, found.source)
        if mine is None:
            with quiet("mlflow.store.model_registry.abstract_store"):
                store.client.create_model_version(
                    model, found.source, run_id, tags=dict(tags or {}), model_id=found.logged_model_id
                )
            # Somebody else may have registered this run meanwhile: whoever looks now sees the same lowest version.
            mine = _of_run(store, model, run_id, found.source, tidy=True)
    if mine is None:
        raise errors.ModelError(f"run {run_id} was registered as {model!r}, but its version is gone: try again")
    if Tag.READY in mine.tags:
        return mine
    try:
        checked = _check(mine)
    except errors.ModelError:
        with suppress(Exception):  # the reason it failed is what the caller must hear
            store.client.delete_model_version(model, mine.version)
        raise
    with errors.as_model_error(f"{mine.uri} cannot be announced"):
        _tag(store, mine, {**(tags or {}), Tag.READY: checked})
    return get(store, model, mine.version)


def versions(store: Store, model: str) -> list[Version]:
    """All announced versions of a model, newest first; none if there is no such model."""
    return [version for version in _all(store, model) if Tag.READY in version.tags]


def get(store: Store, model: str, version: str | int) -> Version:
    """One announced version. Raises UnknownNameError that lists the known ones."""
    known = {each.version: each for each in versions(store, model)}
    if str(version) in known:
        return known[str(version)]
    if not known and model not in models(store):
        raise errors.UnknownNameError("model", model, models(store))
    raise errors.UnknownNameError(f"version of {model}", str(version), known)


def models(store: Store) -> list[str]:
    """Names of the registered models, sorted."""
    names: set[str] = set()
    token: str | None = None
    with errors.as_model_error("the registered models cannot be listed"):
        # Not client.search_registered_models: it adds a filter on prompts that Azure ML refuses (docs/azure.md).
        registry = _client(store)._get_registry_client().store
        while True:
            page = registry.search_registered_models(None, PAGE, None, token)
            names |= {found.name for found in page if IS_PROMPT_TAG_KEY not in found.tags}
            token = page.token
            if not token:
                return sorted(names)


def champion(store: Store, model: str) -> Version | None:
    """The version that holds the mark, if any: of two, left by a crash, the one marked later."""
    return _champion(versions(store, model))


def previous(store: Store, model: str) -> Version | None:
    """The version that was champion before the present one."""
    known = versions(store, model)
    holder = _champion(known)
    return _before(holder, known) if holder else None


def mark_champion(store: Store, version: Version, *, reason: str) -> Version | None:
    """Make `version` the champion; return the one that was before, which becomes "previous".

    Order of the writes: the new mark first, with a later time than any, then the old one's. So there is a champion at
    every moment, and a reader that finds two after a crash knows which holds. To mark the champion again changes
    nothing.
    """
    with errors.as_model_error(f"{version.uri} cannot be marked champion"):
        known = versions(store, version.model)
        old = _champion(known)
        if old is not None and old.version == version.version:
            _settle(store, version.model)
            return _before(old, known)
        marks = {
            Tag.ROLE_SINCE: _later_than(known),
            Tag.ROLE_BEFORE: old.version if old else "none",
            Tag.REASON: reason,
            Tag.ROLE: "champion",  # last: it is what readers look at
        }
        _tag(store, version, marks)
        _settle(store, version.model)
    return old


def unmark(store: Store, version: Version, *, reason: str) -> Version | None:
    """Take the champion's mark from `version`, as if it had never had it; return the one that is champion then.

    That is the version that was champion before it. Nothing changes when `version` bears no mark. The undo of
    `mark_champion`; as there, a call that died is finished by the next.
    """
    with errors.as_model_error(f"{version.uri} cannot be unmarked"):
        known = versions(store, version.model)
        holder = _champion(known)
        marked = next((each for each in known if each.version == version.version and each.role == "champion"), None)
        if marked is None:
            return holder
        if holder == marked:
            holder = _before(marked, known)
            if holder is not None:
                _tag(store, holder, {Tag.ROLE_SINCE: _later_than(known), Tag.ROLE: "champion"})
        _tag(store, marked, {Tag.REASON: reason, Tag.ROLE: "withdrawn"})
        _settle(store, version.model)
    return holder


def _settle(store: Store, model: str) -> None:
    """Bring every other mark in line with the champion that holds; what a crash left is mended here too."""
    known = versions(store, model)
    holder = _champion(known)
    before = _before(holder, known) if holder else None
    for version in known:
        if holder is None or version.version == holder.version:
            continue
        wanted = "previous" if before is not None and version.version == before.version else "former"
        if version.role in ("champion", "previous", "former") and version.role != wanted:
            _tag(store, version, {Tag.ROLE: wanted})
    _set_alias(store, model, holder)


def _set_alias(store: Store, model: str, holder: Version | None) -> None:
    """Best effort: nobody has shown that Azure ML's registry has aliases, and nothing of ours reads them."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        if holder is None:
            store.client.delete_registered_model_alias(model, ALIAS)
        else:
            store.client.set_registered_model_alias(model, ALIAS, holder.version)


def _champion(known: list[Version]) -> Version | None:
    return max((each for each in known if each.role == "champion"), key=lambda each: each._order, default=None)


def _before(version: Version, known: list[Version]) -> Version | None:
    wanted = version.tags.get(Tag.ROLE_BEFORE)
    return next((each for each in known if each.version == wanted), None)


def _later_than(known: list[Version]) -> str:
    """Now, but after every mark there is: another machine's clock may be ahead."""
    return str(max([int(time.time() * 1000), *(each._order[0] + 1 for each in known)]))


def _check(version: Version) -> str:
    loaded = load(version.uri)
    example = getattr(loaded, "input_example", None)
    if example is None:
        return "loaded"  # others' models may come without an example; the holdout will be predicted anyway
    try:
        predicted = loaded.predict(example)
    except Exception as error:
        raise errors.ModelError(
            f"{version.uri} loads but does not predict its example: {type(error).__name__}: {errors.first_line(error)}"
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
    """The lowest version made of this run's model; with `tidy` the others, made at the same moment, are deleted."""
    same = [each for each in reversed(_all(store, model)) if (each.run_id, each.source) == (run_id, source)]
    for extra in same[1:] if tidy else ():
        if Tag.READY not in extra.tags:
            with suppress(Exception):  # the other caller deletes it as well
                store.client.delete_model_version(model, extra.version)
    return same[0] if same else None


def _all(store: Store, model: str) -> list[Version]:
    quoted = model.replace("'", "''")
    with errors.as_model_error(f"the versions of {model!r} cannot be listed"):
        found = [_plain(each) for each in _search(store, f"name='{quoted}'") if each.name == model]
    return sorted(found, key=lambda each: int(each.version), reverse=True)


def _search(store: Store, condition: str) -> Iterator[Any]:
    token: str | None = None
    client = _client(store)
    while True:
        page = client.search_model_versions(condition, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _client(store: Store) -> MlflowClient:
    """MLflow's client, ready for several threads: its table of registries is filled at first use, and unguarded."""
    with _FIRST_USE:
        store.client._get_registry_client()
    return store.client


def _plain(found: Any) -> Version:
    return Version(found.name, str(found.version), found.run_id or "", found.source or "", dict(found.tags or {}))


def _tag(store: Store, version: Version, tags: Mapping[str, str]) -> None:
    from mlflow.exceptions import MlflowException

    for key, value in tags.items():
        try:
            store.client.set_model_version_tag(version.model, version.version, key, value)
        except MlflowException:
            # Two that write a new tag at once collide in MLflow's database; the second attempt finds it there.
            store.client.set_model_version_tag(version.model, version.version, key, value)
